//! Finds the level of a log entry, as Loki finds it.
//!
//! In: stream labels, structured metadata and the line. Out: one word: a known level in its short form, an unknown one as
//! it stands, or `unknown`. Never fails, never looks at more than the line. The order is Loki's: labels, metadata, OTLP's
//! severity number, a field of a JSON or logfmt line, and last a word of the line.

use loki_api::config::Limits;
use model::Labels;

/// The name under which the level is kept.
pub(crate) const DETECTED_LEVEL: &str = "detected_level";
const UNKNOWN: &str = "unknown";

/// Bytes of the longest word that means a level.
const WORD_BYTES_MAX: usize = "information".len();

/// Words looked for in a line that has no level field. Of two that begin alike the longer stands first.
const KEYWORDS: [(&str, &str); 9] = [
    ("trace", "trace"),
    ("debug", "debug"),
    ("fatal", "fatal"),
    ("critical", "critical"),
    ("error", "error"),
    ("err", "error"),
    ("warning", "warn"),
    ("warn", "warn"),
    ("info", "info"),
];

/// What may stand before a keyword; the start of the line may, too. A colon may not.
const LEFT: &[u8] = b" \t\n[({\"'=,|";
/// What may stand behind one; the end of the line may, too.
const RIGHT: &[u8] = b" \t\n[({\"'=,|])}:!";

/// What the labels say of the level of all entries of a stream.
#[derive(Debug)]
pub(crate) enum OfStream {
    /// It is a label, or nobody wants to know it: entries need none of their own.
    Label,
    /// A word for it.
    Told(Box<str>),
    /// Nothing.
    Silent,
}

impl OfStream {
    pub(crate) fn new(labels: &Labels, limits: &Limits) -> Self {
        let wanted = limits.discover_log_levels && limits.allow_structured_metadata;
        if !wanted || labels.contains(DETECTED_LEVEL) {
            return OfStream::Label;
        }
        let told = limits.log_level_fields.iter().find_map(|field| labels.get(field));
        told.map_or(OfStream::Silent, |told| OfStream::Told(told.into()))
    }
}

/// The level of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level<'l> {
    /// A word that is kept once: the short form of a known level, or what a label says.
    Word(&'l str),
    /// The value of this pair, as it was sent.
    Sent(usize),
}

/// Which of an entry's pairs may tell the level: a function of their names, as sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Telling {
    detected: Option<usize>,
    field: Option<usize>,
    severity: Option<usize>,
}

impl Telling {
    pub(crate) fn new(names: &[&str], limits: &Limits) -> Self {
        let place = |wanted: &str| names.iter().position(|name| *name == wanted);
        Telling {
            detected: place(DETECTED_LEVEL),
            field: limits.log_level_fields.iter().find_map(|field| place(field)),
            severity: place("severity_number"),
        }
    }
}

/// The level of an entry; `None` if a stream label says it already. `value` gives the value of the pair in a place.
pub(crate) fn detect<'l, 't>(
    stream: &'l OfStream,
    telling: Telling,
    value: impl Fn(usize) -> &'t str,
    line: &str,
    limits: &Limits,
) -> Option<Level<'l>> {
    let of_labels = match stream {
        OfStream::Label => return None,
        OfStream::Told(told) => Some(Level::Word(told)),
        OfStream::Silent => None,
    };
    if let Some(told) = telling.detected.map(Level::Sent).or(of_labels).or(telling.field.map(Level::Sent)) {
        let short = match told {
            Level::Word(word) => known(word),
            Level::Sent(place) => known(value(place)),
        };
        return Some(short.map_or(told, Level::Word));
    }
    if let Some(place) = telling.severity {
        return Some(Level::Word(severity(value(place))));
    }
    Some(Level::Word(in_line(line, &limits.log_level_fields, limits.log_level_from_json_max_depth)))
}

/// The short form of a known level, in any case.
fn known(word: &str) -> Option<&'static str> {
    let mut lower = [0; WORD_BYTES_MAX];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"trace" | b"trc" => "trace",
        b"debug" | b"dbg" => "debug",
        b"info" | b"inf" | b"information" => "info",
        b"warn" | b"wrn" | b"warning" => "warn",
        b"error" | b"err" => "error",
        b"critical" => "critical",
        b"fatal" => "fatal",
        _ => return None,
    })
}

/// OTLP's numbers: four to a level.
fn severity(number: &str) -> &'static str {
    match number.parse::<u32>() {
        Ok(1..=4) => "trace",
        Ok(5..=8) => "debug",
        Ok(9..=12) => "info",
        Ok(13..=16) => "warn",
        Ok(17..=20) => "error",
        Ok(21..=24) => "fatal",
        _ => UNKNOWN,
    }
}

fn in_line(line: &str, fields: &[String], depth_max: usize) -> &'static str {
    let trimmed = line.trim_ascii().as_bytes();
    let value = if trimmed.first() == Some(&b'{') && trimmed.last() == Some(&b'}') {
        Json { bytes: trimmed, at: 0, fields, depth_max }.object(1).flatten()
    } else if trimmed.contains(&b'=') {
        in_logfmt(trimmed, fields)
    } else {
        None
    };
    value.and_then(|value| known(std::str::from_utf8(value).ok()?)).unwrap_or_else(|| keyword(line.as_bytes()))
}

/// The first keyword that stands by itself.
fn keyword(line: &[u8]) -> &'static str {
    let mut bounded = true;
    for (at, byte) in line.iter().enumerate() {
        if bounded && matches!(byte | 0x20, b't' | b'd' | b'f' | b'c' | b'e' | b'w' | b'i') {
            let rest = line.get(at..).unwrap_or_default();
            let found = KEYWORDS.iter().find(|(word, _)| {
                let head = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
                head && rest.get(word.len()).is_none_or(|next| RIGHT.contains(next))
            });
            if let Some((_, level)) = found {
                return level;
            }
        }
        bounded = LEFT.contains(byte);
    }
    UNKNOWN
}

/// The value of the field that stands highest in the list, names compared in any case.
fn in_logfmt<'a>(line: &'a [u8], fields: &[String]) -> Option<&'a [u8]> {
    let mut best: Option<(usize, &[u8])> = None;
    let mut rest = line;
    while let Some(equals) = rest.iter().position(|b| *b == b'=') {
        let (head, tail) = rest.split_at(equals);
        let tail = tail.get(1..).unwrap_or_default();
        let key = head.rsplit(|b| b.is_ascii_whitespace()).next().unwrap_or_default();
        let (value, behind) = match tail.strip_prefix(b"\"") {
            Some(quoted) => quoted.split_at(end_of_string(quoted)),
            None => tail.split_at(tail.iter().position(u8::is_ascii_whitespace).unwrap_or(tail.len())),
        };
        rest = behind;
        let rank = fields.iter().position(|field| field.as_bytes().eq_ignore_ascii_case(key));
        if let Some(rank) = rank.filter(|rank| best.is_none_or(|(better, _)| *rank < better)) {
            best = Some((rank, value));
        }
    }
    best.map(|(_, value)| value)
}

/// Where a string ends: its closing quote, or the end of the bytes.
fn end_of_string(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A walk over a JSON object that stops at the first level field. Broken JSON ends it.
struct Json<'a, 'f> {
    bytes: &'a [u8],
    at: usize,
    fields: &'f [String],
    depth_max: usize,
}

impl<'a> Json<'a, '_> {
    /// Walks over an object. `None`: broken; `Some(None)`: no level in it; `Some(Some)`: its level.
    fn object(&mut self, depth: usize) -> Option<Option<&'a [u8]>> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(None);
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            match self.peek()? {
                b'"' => {
                    let value = self.string()?;
                    if self.fields.iter().any(|field| field.as_bytes() == key) {
                        return Some(Some(value));
                    }
                }
                b'{' if depth < self.depth_max => {
                    if let Some(found) = self.object(depth + 1)? {
                        return Some(Some(found));
                    }
                }
                _ => self.skip()?,
            }
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(None);
                }
                _ => return None,
            }
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        let found = self.peek()? == wanted;
        self.at += 1;
        found.then_some(())
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let end = end_of_string(rest);
        self.at += end + 1;
        rest.get(..end).filter(|_| end < rest.len())
    }

    /// Steps over a number, a word, an array or an object that is too deep.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                b',' | b'}' | b']' if depth == 0 => return Some(()),
                _ => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(line: &str) -> &'static str {
        match detect(&OfStream::Silent, Telling::default(), |_| "", line, &Limits::default()) {
            Some(Level::Word(word)) => word,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn in_lines() {
        let check = |line: &str, want: &str| assert_eq!(level(line), want, "{line}");
        check("", "unknown");
        check("nothing here", "unknown");
        // Words by themselves, the earliest wins.
        check("ERROR: bad", "error");
        check("[WARN] careful", "warn");
        check("warning sign", "warn");
        check("INFO all fine", "info");
        check("an info, then an error", "info");
        check("x|Fatal!", "fatal");
        check("(err)", "error");
        check("trace", "trace");
        // Not by themselves.
        check("level:error", "unknown");
        check("errors terror informed warn_x", "unknown");
        check("error-prone", "unknown");
        // JSON: document order, strings only, two levels deep.
        check(r#"{"severity":"Critical"}"#, "critical");
        check(r#"{"lvl":"DBG"}"#, "debug");
        check(r#" {"log":{"level":"warn"}} "#, "warn");
        check(r#"{"a":{"b":{"level":"warn"}}}"#, "warn");
        check(r#"{"a":{"b":{"level":"WRN"}}}"#, "unknown");
        check(r#"{"lvl":"info","level":"error"}"#, "info");
        check(r#"{"level":5,"lvl":"trc"}"#, "trace");
        check(r#"{"x":[1,{"y":"}"},"\""],"n":1.5,"level":"inf"}"#, "info");
        check(r#"{"level":"strange","msg":"an error occurred"}"#, "error");
        check(r#"{"msg":"error"}"#, "error");
        check(r#"{"level":"wrn", broken}"#, "warn");
        check(r#"{broken "level":"wrn"}"#, "unknown");
        check("{}", "unknown");
        // logfmt: the list's order, any case, quoted or not.
        check("level=trace x", "trace");
        check("lvl=err", "error");
        check("msg=\"a b=c\" LEVEL=\"Warning\"", "warn");
        check("lvl=info level=error", "error");
        check("level=strange msg=debug", "debug");
        check("a=\"unclosed level=info", "info");
        check("=", "unknown");
    }

    #[test]
    fn in_labels_and_metadata() {
        let limits = Limits::default();
        let check = |labels: &[(&str, &str)], metadata: &[(&str, &str)], want: Option<&str>| {
            let labels: Labels = labels.iter().copied().collect();
            let names: Vec<&str> = metadata.iter().map(|(name, _)| *name).collect();
            let (stream, telling) = (OfStream::new(&labels, &limits), Telling::new(&names, &limits));
            let found =
                detect(&stream, telling, |place| metadata[place].1, "an error", &limits).map(|level| match level {
                    Level::Word(word) => word,
                    Level::Sent(place) => metadata[place].1,
                });
            assert_eq!(found, want);
        };
        check(&[("level", "INFO")], &[], Some("info"));
        check(&[("level", "verbose")], &[("level", "warn")], Some("verbose"));
        check(&[], &[("SeverityText", "WRN"), ("severity_number", "5")], Some("warn"));
        check(&[], &[("severity_number", "5")], Some("debug"));
        check(&[], &[("severity_number", "0")], Some("unknown"));
        check(&[("level", "info")], &[("detected_level", "ERR")], Some("error"));
        check(&[("detected_level", "info")], &[], None);
        check(&[], &[("level", "verbose")], Some("verbose"));
        check(&[], &[("other", "x")], Some("error"));
    }

    proptest::proptest! {
        #[test]
        fn any_line_has_a_level(line in ".*", json in r#"\{["\\{}:,a\[\]level ]{0,40}\}"#) {
            proptest::prop_assert!(!level(&line).is_empty());
            proptest::prop_assert!(!level(&json).is_empty());
        }
    }
}
