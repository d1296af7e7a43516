//! `| logfmt`: `key=value` pairs become labels.
//!
//! Forgiving unless told to be strict: what is no pair is passed over up to the next blank. With extractions only those
//! labels are made, and each of them is, empty where the line does not have it.

use super::json::may_hold_invalid;
use super::json_scan::{blank_invalid, can_unescape, unescape_into};
use super::short_search::{quote_or_backslash, word_end};
use crate::Error;
use crate::ast::Extraction;
use crate::labels::{Ended, Fate, LineLabels, Place, Prefix, sanitize_into};

const ERROR: &str = "LogfmtParserErr";

/// The flags of a `logfmt` stage.
#[derive(Debug)]
pub(crate) struct Logfmt {
    strict: bool,
    keep_empty: bool,
    extractions: Vec<Extraction>,
}

impl Logfmt {
    pub(crate) fn new(strict: bool, keep_empty: bool, extractions: &[Extraction]) -> Result<Self, Error> {
        Ok(Logfmt { strict, keep_empty, extractions: extractions.to_vec() })
    }

    pub(crate) fn process(&self, line: &str, labels: &mut LineLabels<'_>) {
        let outcome =
            if self.extractions.is_empty() { self.take_all(line, labels) } else { self.take_some(line, labels) };
        if let Err(fault) = outcome {
            labels.set_error(ERROR, Some(&fault.text()));
        }
    }

    fn take_all(&self, line: &str, labels: &mut LineLabels<'_>) -> Result<(), Fault> {
        let mut pairs = Pairs::new(line);
        // Only a strict stage finds faults, and so may have to read on.
        while (self.strict || !labels.none_left()) && pairs.step_to_pair() {
            let known = labels.expected(Place::ROOT, pairs.rest(), Ended::ByEquals);
            let pair = match known {
                Some(known) => pairs.pair_of(known.bytes),
                None => pairs.pair(),
            };
            match pair {
                Ok(pair) if pair.value.is_empty() && !self.keep_empty => {}
                Ok(pair) => {
                    let fate = known.map_or_else(|| labels.fate(Prefix::NONE, pair.key), |known| known.fate);
                    pair.value.extract(fate, pairs.has_invalid, labels);
                    if labels.all_found() {
                        break;
                    }
                }
                Err(fault) if self.strict => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn take_some(&self, line: &str, labels: &mut LineLabels<'_>) -> Result<(), Fault> {
        for extraction in &self.extractions {
            if !labels.base_has(&extraction.label) && labels.get(&extraction.label).is_none() {
                labels.set(&extraction.label, "");
            }
        }
        let mut pairs = Pairs::new(line);
        let mut cleaned = String::new();
        while pairs.step_to_pair() {
            match pairs.pair() {
                Ok(pair) => {
                    let mut name = pair.key;
                    if !is_clean(name) {
                        cleaned.clear();
                        sanitize_into(name, true, &mut cleaned);
                        name = &cleaned;
                    }
                    for extraction in self.extractions.iter().filter(|e| e.expression == name) {
                        let fate = labels.fate(Prefix::NONE, &extraction.label);
                        pair.value.extract(fate, pairs.has_invalid, labels);
                    }
                    if labels.all_found() {
                        break;
                    }
                }
                Err(fault) if self.strict => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Whether a key is a label name as it stands.
fn is_clean(key: &str) -> bool {
    key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !key.starts_with(|c: char| c.is_ascii_digit())
}

struct Pair<'a> {
    key: &'a str,
    value: Value<'a>,
}

enum Value<'a> {
    Plain(&'a str),
    /// Between its quotes, with escapes.
    Escaped(&'a str),
}

impl Value<'_> {
    fn is_empty(&self) -> bool {
        matches!(self, Value::Plain(""))
    }

    /// Makes a label of the value.
    #[inline]
    fn extract(&self, fate: Fate, has_invalid: bool, labels: &mut LineLabels<'_>) {
        match self {
            Value::Plain(text) if !has_invalid => labels.extract_as(fate, text),
            _ => labels.extract_as_with(fate, |out| self.write(out)),
        }
    }

    fn write(&self, out: &mut String) {
        let start = out.len();
        match self {
            Value::Plain(text) => out.push_str(text),
            // Checked when the pair was read.
            Value::Escaped(raw) => drop(unescape_into(raw, out)),
        }
        blank_invalid(out, start);
    }
}

/// Where and why a line is no logfmt.
struct Fault {
    at: usize,
    why: Why,
}

enum Why {
    Unexpected(char),
    InvalidKey,
    InvalidQuote,
    Unterminated,
}

impl Fault {
    fn text(&self) -> String {
        let why = match self.why {
            Why::Unexpected(c) => format!("unexpected '{c}'"),
            Why::InvalidKey => "invalid key".to_owned(),
            Why::InvalidQuote => "invalid quoted value".to_owned(),
            Why::Unterminated => "unterminated quoted value".to_owned(),
        };
        format!("logfmt syntax error at pos {} : {why}", self.at + 1)
    }
}

/// Reads a line pair by pair. After a fault it stands behind the blank-delimited word with the fault.
struct Pairs<'a> {
    line: &'a str,
    at: usize,
    /// The line must be looked through for what was no UTF-8.
    has_invalid: bool,
}

impl<'a> Pairs<'a> {
    fn new(line: &'a str) -> Self {
        Pairs { line, at: 0, has_invalid: may_hold_invalid(line) }
    }

    /// Steps to where the next pair begins; whether there is one.
    fn step_to_pair(&mut self) -> bool {
        self.at = self.find(|b| b > b' ');
        self.at < self.line.len()
    }

    /// The next byte that fits, or the end.
    fn find(&self, fits: impl Fn(u8) -> bool) -> usize {
        self.rest().iter().position(|b| fits(*b)).map_or(self.line.len(), |i| self.at + i)
    }

    fn rest(&self) -> &'a [u8] {
        self.line.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn byte(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn pair(&mut self) -> Result<Pair<'a>, Fault> {
        let start = self.at;
        self.at += word_end(self.rest());
        let key = self.line.get(start..self.at).unwrap_or_default();
        match self.byte() {
            Some(b'"') => Err(self.unexpected('"')),
            Some(b'=') if key.is_empty() => Err(self.unexpected('=')),
            _ if self.has_invalid && key.contains('\u{fffd}') => Err(Fault { at: self.at, why: Why::InvalidKey }),
            Some(b'=') => self.value(key),
            _ => Ok(Pair { key, value: Value::Plain("") }),
        }
    }

    /// The pair whose key is so long, and ends at its `=`.
    fn pair_of(&mut self, key_bytes: usize) -> Result<Pair<'a>, Fault> {
        let start = self.at;
        self.at += key_bytes;
        self.value(self.line.get(start..self.at).unwrap_or_default())
    }

    /// Reads what stands behind the `=` that comes next.
    fn value(&mut self, key: &'a str) -> Result<Pair<'a>, Fault> {
        self.at += 1;
        let value = if self.byte() == Some(b'"') { self.quoted()? } else { self.plain()? };
        Ok(Pair { key, value })
    }

    fn plain(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        self.at += word_end(self.rest());
        match self.byte() {
            Some(b'=') => Err(self.unexpected('=')),
            Some(b'"') => Err(self.unexpected('"')),
            _ => Ok(Value::Plain(self.line.get(start..self.at).unwrap_or_default())),
        }
    }

    fn quoted(&mut self) -> Result<Value<'a>, Fault> {
        let bytes = self.line.as_bytes();
        let start = self.at + 1;
        let (mut end, mut escaped) = (start, false);
        loop {
            let rest = bytes.get(end..).unwrap_or_default();
            let Some(found) = quote_or_backslash(rest) else {
                self.at = self.line.len();
                return Err(Fault { at: self.at, why: Why::Unterminated });
            };
            end += found;
            if bytes.get(end) == Some(&b'"') {
                break;
            }
            escaped = true;
            end += 2;
        }
        self.at = end + 1;
        let raw = self.line.get(start..end).unwrap_or_default();
        if !escaped {
            return Ok(Value::Plain(raw));
        }
        let has_control = raw.bytes().any(|b| b < b' ');
        if has_control || !can_unescape(raw) {
            return Err(Fault { at: self.at, why: Why::InvalidQuote });
        }
        Ok(Value::Escaped(raw))
    }

    /// The fault of a byte that cannot stand here; the rest of the word is passed over.
    fn unexpected(&mut self, c: char) -> Fault {
        let fault = Fault { at: self.at, why: Why::Unexpected(c) };
        self.at = self.find(|b| b <= b' ');
        fault
    }
}
