//! `json`: values of a JSON line become extracted values.
//!
//! The line is checked and searched in one pass, without building a tree: strings are crossed eight bytes at a time, and only
//! the values that an expression names are looked at. Expressions are the part of JMESPath that names a place: `a.b`, `"a.b".c`,
//! `a[0]`, `a[-1]`. As in Promtail nothing is taken from a line that is not one whole JSON object, and of two equal keys the last wins.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Names, Record, Slot, Sources, Text, source_of};

/// Objects and arrays inside each other; deeper lines count as malformed.
const DEPTH_MAX: usize = 200;

/// The stage's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    expressions: Sources,
    source: Option<String>,
    #[serde(default)]
    drop_malformed: bool,
}

#[derive(Debug)]
pub(super) struct Json {
    expressions: Vec<Expression>,
    source: Option<Slot>,
    drop_malformed: bool,
}

#[derive(Debug)]
struct Expression {
    slot: Slot,
    /// The first step, a key of the line's object.
    key: String,
    rest: Vec<Step>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(i64),
}

impl Json {
    pub(super) fn new(settings: Settings, names: &mut Names) -> Result<Self, String> {
        if settings.expressions.is_empty() {
            return Err("no expression is given".into());
        }
        let mut expressions = Vec::new();
        for (name, source) in &settings.expressions {
            let expression = source_of(name, source);
            let mut steps = parse_expression(expression).map_err(|why| format!("expression {expression:?}: {why}"))?;
            let Step::Key(key) = steps.remove(0) else {
                return Err(format!("expression {expression:?}: starts with an index"));
            };
            expressions.push(Expression { slot: names.slot(name), key, rest: steps });
        }
        let source = settings.source.map(|source| names.slot(&source));
        Ok(Json { expressions, source, drop_malformed: settings.drop_malformed })
    }

    pub(super) fn process(&self, record: &mut Record<'_>) -> bool {
        let whole = match record.source(self.source) {
            Some(Cow::Borrowed(text)) => self.extract(text, record, |value| value),
            Some(Cow::Owned(text)) => self.extract(&text, record, |value| Cow::Owned(value.into_owned())),
            None => true,
        };
        whole || !self.drop_malformed
    }

    /// Extracts all values, or none if the text is not one JSON object; tells which.
    fn extract<'t, 'a>(&self, text: &'t str, record: &mut Record<'a>, keep: impl Fn(Text<'t>) -> Text<'a>) -> bool {
        // Raw text of the values found, by expression; a handful fits on the stack.
        let mut few = [None; 16];
        let mut many = Vec::new();
        let found = match few.get_mut(..self.expressions.len()) {
            Some(few) => few,
            None => {
                many.resize(self.expressions.len(), None);
                many.as_mut_slice()
            }
        };
        if !self.find(text, found) {
            return false;
        }
        for (expression, raw) in self.expressions.iter().zip(found) {
            let value = raw.and_then(|raw| descend(raw, &expression.rest)).and_then(value_text);
            record.extract(expression.slot, value.map(&keep));
        }
        true
    }

    fn find<'t>(&self, text: &'t str, found: &mut [Option<&'t str>]) -> bool {
        let mut scanner = Scanner { text, at: 0 };
        scanner.skip_blanks();
        if scanner.peek() == Some(b'n') {
            // `null` is an object without keys to Go.
            return scanner.skip_value(0).is_some() && scanner.is_done();
        }
        let whole = scanner.object(0, |key, raw| {
            for (expression, place) in self.expressions.iter().zip(found.iter_mut()) {
                if key.is(&expression.key) {
                    *place = Some(raw);
                }
            }
        });
        whole.is_some() && scanner.is_done()
    }
}

fn parse_expression(text: &str) -> Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    let mut rest = text.trim();
    loop {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, behind) = index.split_once(']').ok_or("an index ends with ]")?;
            steps.push(Step::Index(index.parse().map_err(|_| "only whole numbers stand in [ ] here")?));
            rest = behind;
        } else if rest.starts_with('"') {
            let mut scanner = Scanner { text: rest, at: 0 };
            let inside = scanner.string().ok_or("a quoted key ends with \"")?;
            steps.push(Step::Key(unescape(inside.raw).into_owned()));
            rest = rest.get(scanner.at..).unwrap_or_default();
        } else {
            let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (key, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
                return Err("only keys, \"quoted keys\" and [indexes], joined by dots, are supported");
            }
            steps.push(Step::Key(key.to_owned()));
            rest = behind;
        }
        match rest.strip_prefix('.') {
            Some(behind) => rest = behind,
            None if rest.is_empty() => return Ok(steps),
            None if rest.starts_with('[') => {}
            None => return Err("only keys, \"quoted keys\" and [indexes], joined by dots, are supported"),
        }
    }
}

/// Follows the steps into a value that is known to be whole.
fn descend<'t>(mut raw: &'t str, steps: &[Step]) -> Option<&'t str> {
    for step in steps {
        let mut scanner = Scanner { text: raw, at: 0 };
        let mut found = None;
        match step {
            Step::Key(wanted) => scanner.object(0, |key, value| {
                if key.is(wanted) {
                    found = Some(value);
                }
            })?,
            Step::Index(index) => {
                let mut items = 0;
                scanner.array(0, |_| items += 1)?;
                let wanted = if *index < 0 { items + index } else { *index };
                let mut i = 0;
                Scanner { text: raw, at: 0 }.array(0, |value| {
                    if i == wanted {
                        found = Some(value);
                    }
                    i += 1;
                })?;
            }
        }
        raw = found?;
    }
    Some(raw)
}

/// A value as a stage behind this one reads it: text as it is, numbers as Go prints them, objects and arrays as JSON.
fn value_text(raw: &str) -> Option<Text<'_>> {
    match raw.as_bytes().first()? {
        b'"' => Some(unescape(raw.get(1..raw.len() - 1)?)),
        b'n' => None,
        b't' | b'f' => Some(Cow::Borrowed(raw)),
        b'{' | b'[' => {
            let value: serde_json::Value = serde_json::from_str(raw).ok()?;
            Some(Cow::Owned(escape_html(&value.to_string())))
        }
        _ => Some(number_text(raw)),
    }
}

/// Go reads every number as a 64-bit float and prints it without an exponent.
fn number_text(raw: &str) -> Text<'_> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if digits.len() <= 15 && digits != "0" && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Cow::Borrowed(raw);
    }
    raw.parse::<f64>().map_or(Cow::Borrowed(raw), |number| Cow::Owned(number.to_string()))
}

/// Go's JSON writer escapes what could end a script in HTML.
fn escape_html(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            _ => out.push(c),
        }
    }
    out
}

/// The text of a string's inside. Half a surrogate pair becomes U+FFFD, as in Go.
pub(super) fn unescape(raw: &str) -> Text<'_> {
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else { return Cow::Borrowed(raw) };
    let (before, mut rest) = raw.split_at_checked(first).unwrap_or((raw, ""));
    let mut out = String::with_capacity(raw.len());
    out.push_str(before);
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(escape) = rest.chars().next() else { break };
        rest = rest.get(escape.len_utf8()..).unwrap_or_default();
        match escape {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let Some(mut code) = hex4(rest) else { continue };
                rest = rest.get(4..).unwrap_or_default();
                let low = rest.strip_prefix("\\u").and_then(hex4).filter(|low| (0xdc00..0xe000).contains(low));
                if let (0xd800..0xdc00, Some(low)) = (code, low) {
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    rest = rest.get(6..).unwrap_or_default();
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

fn hex4(text: &str) -> Option<u32> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// A string's inside, as written.
#[derive(Clone, Copy)]
struct JsonString<'t> {
    raw: &'t str,
    escaped: bool,
}

impl JsonString<'_> {
    fn is(&self, text: &str) -> bool {
        if self.escaped { unescape(self.raw) == text } else { self.raw == text }
    }
}

/// Walks over JSON text, and stops (`None`) at the first byte that does not belong.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn is_done(&mut self) -> bool {
        self.skip_blanks();
        self.at == self.text.len()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_blanks();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// An object; tells of each key and its value's text.
    fn object(&mut self, depth: usize, mut visit: impl FnMut(JsonString<'t>, &'t str)) -> Option<()> {
        self.expect(b'{')?;
        self.skip_blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_blanks();
            let key = self.string()?;
            self.expect(b':')?;
            self.skip_blanks();
            let start = self.at;
            self.skip_value(depth + 1)?;
            visit(key, self.text.get(start..self.at)?);
            self.skip_blanks();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// An array; tells of each item's text.
    fn array(&mut self, depth: usize, mut visit: impl FnMut(&'t str)) -> Option<()> {
        self.expect(b'[')?;
        self.skip_blanks();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_blanks();
            let start = self.at;
            self.skip_value(depth + 1)?;
            visit(self.text.get(start..self.at)?);
            self.skip_blanks();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn skip_value(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.object(depth, |_, _| ()),
            b'[' => self.array(depth, |_| ()),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number(),
        }
    }

    fn literal(&mut self, literal: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(literal).then(|| self.at += literal.len())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let leading_zero = self.peek()? == b'0';
        let whole = self.digits()?;
        if leading_zero && whole > 1 {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }

    /// A string; the place is then behind its closing quote.
    fn string(&mut self) -> Option<JsonString<'t>> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = find_special(self.text.as_bytes(), at)?;
            match self.text.as_bytes().get(at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    match self.text.as_bytes().get(at + 1)? {
                        b'u' => {
                            hex4(self.text.get(at + 2..)?)?;
                            at += 6;
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                        _ => return None,
                    }
                }
                _ => return None,
            }
        }
        self.at = at + 1;
        Some(JsonString { raw: self.text.get(start..at)?, escaped })
    }
}

/// The next quote, backslash or control character. Eight bytes are looked at together; the lowest mark is always right, since a
/// borrow can only disturb the bytes above it. <https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord>
fn find_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let marks =
            control | zero_bytes(word ^ (ONES * u64::from(b'"'))) | zero_bytes(word ^ (ONES * u64::from(b'\\')));
        if marks != 0 {
            return Some(at + (marks.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|b| *b == b'"' || *b == b'\\' || *b < 0x20).map(|i| at + i)
}
