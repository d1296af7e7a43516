//! Where the values of a line are: what is likely to differ from one line to the next of its kind.
//!
//! In: a line. Out: ranges of it, ascending, apart from one another; what lies between is literal. Knows the habits of JSON, logfmt and access logs
//! (what a key names, what is quoted, what holds a digit) and nothing of any program. Any cut is correct: it decides nothing but bytes.

use std::ops::Range;

/// Bytes that end a word.
const DELIMITERS: &[u8] = b"\t\n\r \"'`()[]{}<>,;=|&";

/// What a byte is to a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Delimiter,
    Digit,
    Other,
}

const CLASSES: [Class; 256] = classes();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn classes() -> [Class; 256] {
    let mut classes = [Class::Other; 256];
    let mut at = 0;
    while at < DELIMITERS.len() {
        classes[DELIMITERS[at] as usize] = Class::Delimiter;
        at += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        classes[digit as usize] = Class::Digit;
        digit += 1;
    }
    classes
}

fn class(byte: u8) -> Class {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Other)
}

/// Calls `value` for each value of a line.
pub(super) fn cut(line: &[u8], mut value: impl FnMut(Range<usize>)) {
    let mut at = 0;
    while let Some(byte) = line.get(at).copied() {
        match byte {
            b'"' => {
                let Some(end) = closing_quote(line, at + 1) else {
                    at += 1;
                    continue;
                };
                if line.get(end + 1) == Some(&b':') {
                    // A key of JSON; what it names may stand behind it without quotes.
                    at = end + 2;
                    at += usize::from(line.get(at) == Some(&b' '));
                    at = word_after_key(line, at, &mut value);
                } else {
                    value(at + 1..end);
                    at = end + 1;
                }
            }
            b'=' => at = word_after_key(line, at + 1, &mut value),
            byte if class(byte) == Class::Delimiter => at += 1,
            _ => {
                let (end, has_digit) = word_end(line, at);
                if has_digit {
                    value(at..end);
                }
                at = end;
            }
        }
    }
}

/// A word that a key names is a value, digits or not.
fn word_after_key(line: &[u8], at: usize, value: &mut impl FnMut(Range<usize>)) -> usize {
    let (end, _) = word_end(line, at);
    if end > at {
        value(at..end);
    }
    end
}

/// Where the word ends that begins there, and whether it holds a digit.
fn word_end(line: &[u8], start: usize) -> (usize, bool) {
    let mut has_digit = false;
    for (at, byte) in line.iter().enumerate().skip(start) {
        match class(*byte) {
            Class::Delimiter => return (at, has_digit),
            Class::Digit => has_digit = true,
            Class::Other => {}
        }
    }
    (line.len().max(start), has_digit)
}

fn closing_quote(line: &[u8], start: usize) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in line.iter().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// The end of a literal that says what follows it: the last word and what stands behind it.
pub(super) fn key_of(literal: &str) -> Option<&str> {
    let bytes = literal.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || !byte.is_ascii();
    let word_end = bytes.iter().rposition(is_word)? + 1;
    let word = bytes.get(..word_end)?;
    let start = word.iter().rposition(|byte| !is_word(byte)).map_or(0, |before| before + 1);
    literal.get(start..)
}
