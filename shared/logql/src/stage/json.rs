//! `| json`: every leaf of an object becomes a label, keys of nested objects joined by `_`.
//!
//! Arrays and nulls are left out. A line that is no JSON is marked, and keeps the labels found before the fault.

use std::borrow::Cow;

use memchr::memchr;

use super::json_scan::{JsonError, Scanner, Text, Value, is_closed, string_into, unescape_into};
use crate::labels::{Ended, Fate, LineLabels, Place, Prefix, sanitize_into};

/// Objects nested deeper are left out.
const DEPTH_MAX: usize = 100;
/// Objects under a longer prefix are left out: it is written again for each of their labels.
const PREFIX_BYTES_MAX: usize = 2048;

pub(super) const ERROR: &str = "JSONParserErr";

/// How a walk ended.
enum End {
    Finished,
    /// Every label that is needed was found.
    Found,
}

/// Makes labels of a line.
pub(super) fn process(line: &str, labels: &mut LineLabels<'_>) {
    let prefix = labels.take_buffer();
    let has_invalid = may_hold_invalid(line);
    let mut walk =
        Walk { scanner: Scanner::new(line), line, has_invalid, labels, prefix, place: Place::ROOT, depth: 0 };
    let outcome = walk.object();
    let prefix = walk.prefix;
    labels.give_buffer(prefix);
    if let Err(error) = outcome {
        labels.set_error(ERROR, Some(error.text()));
    }
}

struct Walk<'l, 'a, 'b> {
    scanner: Scanner<'l>,
    line: &'l str,
    /// Values must be looked through for what was no UTF-8.
    has_invalid: bool,
    labels: &'b mut LineLabels<'a>,
    prefix: String,
    place: Place,
    depth: usize,
}

impl Walk<'_, '_, '_> {
    fn object(&mut self) -> Result<End, JsonError> {
        if self.scanner.peek() != Some(b'{') {
            return Err(JsonError::MalformedObject);
        }
        self.scanner.step();
        let mut next = self.scanner.peek().ok_or(JsonError::Malformed)?;
        loop {
            match next {
                b'}' => break,
                b'"' => {}
                _ => return Err(JsonError::MalformedObject),
            }
            if let End::Found = self.member()? {
                return Ok(End::Found);
            }
            match self.scanner.peek().ok_or(JsonError::MalformedArray)? {
                b'}' => break,
                b',' => self.scanner.step(),
                _ => return Err(JsonError::MalformedObject),
            }
            next = self.scanner.peek().ok_or(JsonError::MalformedArray)?;
        }
        self.scanner.step();
        Ok(End::Finished)
    }

    fn member(&mut self) -> Result<End, JsonError> {
        if let Some(known) = self.labels.expected(self.place, self.scanner.behind_quote(), Ended::ByQuote) {
            let key = self.scanner.key_of(known.bytes)?;
            if self.scanner.peek() == Some(b'{') && self.depth < DEPTH_MAX {
                return self.nested(key, known.place());
            }
            return self.leaf(|_| known.fate);
        }
        let key = unescape_key(self.scanner.key()?)?;
        if self.scanner.peek() == Some(b'{') && self.depth < DEPTH_MAX {
            let place = self.labels.place(Prefix::new(self.place, &self.prefix), &key);
            return self.nested(&key, place);
        }
        self.leaf(|walk| walk.labels.fate(Prefix::new(walk.place, &walk.prefix), &key))
    }

    /// The value of a key that becomes a label, if it is one that can be.
    #[inline]
    fn leaf(&mut self, fate: impl FnOnce(&mut Self) -> Fate) -> Result<End, JsonError> {
        match self.scanner.value()? {
            Value::String(text) if text.has_escapes || self.has_invalid => {
                let fate = fate(self);
                self.labels.extract_as_with(fate, |out| string_into(text, out));
            }
            Value::String(Text { raw, .. }) | Value::Plain(raw) => {
                let fate = fate(self);
                self.labels.extract_as(fate, raw);
            }
            Value::Null | Value::Array(_) | Value::Object(_) => return Ok(End::Finished),
        }
        Ok(if self.labels.all_found() { End::Found } else { End::Finished })
    }

    fn nested(&mut self, key: &str, place: Place) -> Result<End, JsonError> {
        let (outside, before) = (self.place, self.prefix.len());
        self.place = place;
        if before > 0 {
            self.prefix.push('_');
        }
        sanitize_into(key, before == 0, &mut self.prefix);
        if self.prefix.len() > PREFIX_BYTES_MAX || !self.labels.wants_prefix(&self.prefix) {
            self.prefix.truncate(before);
            self.place = outside;
            return self.scanner.value().map(|_| End::Finished);
        }
        let (start, mark) = (self.scanner.position(), self.labels.mark());
        self.depth += 1;
        let end = self.object();
        self.depth -= 1;
        self.prefix.truncate(before);
        self.place = outside;
        // An object that is never closed gives nothing at all. Looked at once a line, where the outermost one ends.
        if end.is_err() && self.depth == 0 && !is_closed(self.line.get(start..).unwrap_or_default()) {
            self.labels.reset(mark);
            return Err(JsonError::MalformedObject);
        }
        end
    }
}

/// Whether there may be a character in a text that stands for bytes that were no UTF-8: its first byte is rare.
pub(super) fn may_hold_invalid(text: &str) -> bool {
    memchr(0xef, text.as_bytes()).is_some()
}

/// A key as it is meant.
#[inline]
pub(super) fn unescape_key(key: Text<'_>) -> Result<Cow<'_, str>, JsonError> {
    if !key.has_escapes {
        return Ok(Cow::Borrowed(key.raw));
    }
    let mut out = String::new();
    unescape_into(key.raw, &mut out).ok_or(JsonError::BadEscape)?;
    Ok(Cow::Owned(out))
}
