//! Walks JSON text without building a tree: finds tokens, ends of strings and of blocks.
//!
//! As forgiving as Loki's reader is: arrays and skipped objects are only matched bracket by bracket, a number is any
//! token that starts like one, and what follows the last bracket does not matter. Every function is linear in what it
//! steps over.
//!
//! Measured on the lines of `benches/stages.rs`, in MB/s on a busy machine: a `serde_json` tree 235 to 257, walking an
//! object with sonic-rs 0.5 without making a label 359, all of `| json` on this scanner 516; one key by sonic-rs 1683,
//! one label by `| json` 1077. So no SIMD crate: it would be one more dependency, and stricter than Loki's reader is.

use memchr::memchr3;

use super::short_search::quote_or_backslash;

/// What is wrong with a line, in the words of Loki's reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonError {
    Malformed,
    MalformedString,
    MalformedArray,
    MalformedObject,
    UnknownValue,
    BadEscape,
}

impl JsonError {
    pub(super) fn text(self) -> &'static str {
        match self {
            JsonError::Malformed => "Malformed JSON error",
            JsonError::MalformedString => "Value is string, but can't find closing '\"' symbol",
            JsonError::MalformedArray => "Value is array, but can't find closing ']' symbol",
            JsonError::MalformedObject => "Value looks like object, but can't find closing '}' symbol",
            JsonError::UnknownValue => "Unknown value type",
            JsonError::BadEscape => "Encountered an invalid escape sequence in a string",
        }
    }
}

/// A value that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    String(Text<'a>),
    /// A number or a boolean, as written.
    Plain(&'a str),
    Null,
    /// With its brackets.
    Array(&'a str),
    /// With its braces.
    Object(&'a str),
}

/// What stands between two quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a str,
    pub(super) has_escapes: bool,
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Steps over blanks; the byte that follows, which is not consumed.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Steps over the byte that was peeked, an ASCII one.
    pub(super) fn step(&mut self) {
        self.at += 1;
    }

    /// Reads a string whose opening quote was stepped over: what stands before the closing one.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Text<'a>> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let (mut at, mut has_escapes) = (start, false);
        loop {
            let found = at + quote_or_backslash(bytes.get(at..)?)?;
            if bytes.get(found) == Some(&b'"') {
                self.at = found + 1;
                let raw = self.text.get(start..found)?;
                return Some(Text { raw, has_escapes });
            }
            has_escapes = true;
            at = found + 2;
        }
    }

    /// Reads a key and the colon behind it. The opening quote must be next.
    pub(super) fn key(&mut self) -> Result<Text<'a>, JsonError> {
        self.step();
        let key = self.string().ok_or(JsonError::Malformed)?;
        self.colon().map(|()| key)
    }

    /// What stands behind the opening quote, which must be next.
    #[inline]
    pub(super) fn behind_quote(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at + 1..).unwrap_or_default()
    }

    /// As `key`, where it is known that so many bytes stand between its quotes, and none of them is special.
    #[inline]
    pub(super) fn key_of(&mut self, bytes: usize) -> Result<&'a str, JsonError> {
        let start = self.at + 1;
        let end = start + bytes;
        self.at = end + 1;
        self.colon().map(|()| self.text.get(start..end).unwrap_or_default())
    }

    #[inline]
    fn colon(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b':') {
            return Err(JsonError::Malformed);
        }
        self.step();
        Ok(())
    }

    /// Reads any value; objects and arrays are stepped over.
    #[inline]
    pub(super) fn value(&mut self) -> Result<Value<'a>, JsonError> {
        match self.peek() {
            None => Err(JsonError::Malformed),
            Some(b'"') => {
                self.step();
                self.string().map(Value::String).ok_or(JsonError::MalformedString)
            }
            Some(b'[') => self.block(b'[', b']').map(Value::Array).ok_or(JsonError::MalformedArray),
            Some(b'{') => self.block(b'{', b'}').map(Value::Object).ok_or(JsonError::MalformedObject),
            Some(first) => self.token(first),
        }
    }

    /// Steps over a block: strings count as a whole, of the brackets only the block's own kind.
    fn block(&mut self, open: u8, close: u8) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(found) = memchr3(b'"', open, close, bytes.get(self.at..)?) {
            let byte = bytes.get(self.at + found).copied()?;
            self.at += found + 1;
            if byte == b'"' {
                self.string()?;
            } else if byte == open {
                depth += 1;
            } else if byte == close {
                depth -= 1;
                if depth == 0 {
                    return self.text.get(start..self.at);
                }
            }
        }
        None
    }

    fn token(&mut self, first: u8) -> Result<Value<'a>, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |b: &u8| TOKEN_ENDS.get(usize::from(*b)).copied().unwrap_or_default();
        let length = rest.as_bytes().iter().position(ends).unwrap_or(rest.len());
        let token = rest.get(..length).unwrap_or_default();
        let value = match (first, token) {
            (_, "true" | "false") | (b'0'..=b'9' | b'-', _) => Value::Plain(token),
            (_, "null") => Value::Null,
            _ => return Err(JsonError::UnknownValue),
        };
        self.at += length;
        Ok(value)
    }
}

/// The bytes behind which no number goes on.
const TOKEN_ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    ends[b' ' as usize] = true;
    ends[b'\n' as usize] = true;
    ends[b'\r' as usize] = true;
    ends[b'\t' as usize] = true;
    ends[b',' as usize] = true;
    ends[b'}' as usize] = true;
    ends[b']' as usize] = true;
    ends
};

/// Whether a block that starts at the text's first byte is closed.
pub(super) fn is_closed(text: &str) -> bool {
    Scanner::new(text).block(b'{', b'}').is_some()
}

/// Appends what an escaped string means; `None`, and nothing appended, if an escape makes no sense.
pub(super) fn unescape_into(raw: &str, out: &mut String) -> Option<()> {
    let start = out.len();
    let done = unescape(raw, |piece| out.push_str(piece));
    if done.is_none() {
        out.truncate(start);
    }
    done
}

/// Whether all escapes of a string make sense.
pub(super) fn can_unescape(raw: &str) -> bool {
    unescape(raw, |_| {}).is_some()
}

/// Calls `emit` with what an escaped string means, piece by piece, up to an escape that makes no sense.
fn unescape(mut raw: &str, mut emit: impl FnMut(&str)) -> Option<()> {
    while let Some(at) = memchr::memchr(b'\\', raw.as_bytes()) {
        emit(raw.get(..at)?);
        let escape = raw.get(at + 1..)?;
        let (meant, length) = match escape.as_bytes().first()? {
            b'"' => ('"', 1),
            b'\\' => ('\\', 1),
            b'/' => ('/', 1),
            b'b' => ('\u{8}', 1),
            b'f' => ('\u{c}', 1),
            b'n' => ('\n', 1),
            b'r' => ('\r', 1),
            b't' => ('\t', 1),
            b'u' => unicode_escape(escape)?,
            _ => return None,
        };
        emit(meant.encode_utf8(&mut [0; 4]));
        raw = escape.get(length..)?;
    }
    emit(raw);
    Some(())
}

/// Reads `uXXXX` or `uXXXX\uXXXX`; the character and how long it was.
fn unicode_escape(escape: &str) -> Option<(char, usize)> {
    let unit = |from: usize| u32::from_str_radix(escape.get(from..from + 4)?, 16).ok();
    let first = unit(1)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 5));
    }
    let second = escape.get(5..7).filter(|text| *text == "\\u").and_then(|_| unit(7))?;
    if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).map(|c| (c, 11))
}

/// Appends the text of a string value: unescaped, nothing if an escape makes no sense, a blank for what was no UTF-8.
pub(super) fn string_into(text: Text<'_>, out: &mut String) {
    let start = out.len();
    if !text.has_escapes {
        out.push_str(text.raw);
    } else if unescape_into(text.raw, out).is_none() {
        return;
    }
    blank_invalid(out, start);
}

/// Makes blanks of the characters that stand for invalid bytes, in what was written behind `start`.
pub(super) fn blank_invalid(out: &mut String, start: usize) {
    let written = out.get(start..).unwrap_or_default();
    // The first byte of U+FFFD is rare enough to look for it alone.
    if memchr::memchr(0xef, written.as_bytes()).is_some() && written.contains('\u{fffd}') {
        let cleaned = written.replace('\u{fffd}', " ");
        out.truncate(start);
        out.push_str(&cleaned);
    }
}
