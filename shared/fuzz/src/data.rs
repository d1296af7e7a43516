//! Lines, labels and streams of small choices: the pieces of which the formats are made, in any order.

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use model::{Entry, Labels, Stream};

/// Names that streams, metadata, lines and queries use alike, so that they meet.
pub const NAMES: &[&str] = &[
    "app",
    "a",
    "b",
    "level",
    "msg",
    "x_y",
    "status",
    "trace",
    "a_extracted",
    "app_extracted",
    "__error__",
    "__error_details__",
    "_entry",
    "duration",
    "size",
];

/// What lines are made of.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ":",
    ",",
    "=",
    " ",
    "\t",
    "\n",
    "'",
    "`",
    "<",
    ">",
    "|",
    "(",
    ")",
    "-",
    ".",
    "a",
    "b",
    "app",
    "x",
    "y",
    "key",
    "_entry",
    "\\u00e9",
    "\\ud83c",
    "\\udf89",
    "\"a\":",
    "{\"a\":1}",
    "\"b\":\"x\",",
    "\"app\":",
    "{\"x\":{\"y\":",
    "[1,",
    "null",
    "true",
    "false",
    "1",
    "0",
    "1.5",
    "-2e9",
    "1e400",
    "NaN",
    "Inf",
    "10.0.0.1",
    "10.0.0.0/8",
    "::1",
    "5s",
    "1h30m",
    "-3ms",
    "10KB",
    "2 MiB",
    "a=b ",
    "b=\"c d\" ",
    "app=z ",
    "c=\"d",
    "level=error ",
    "é",
    "🎉",
    "\u{fffd}",
    "\u{0}",
    "\u{1b}[31m",
    "\u{9b}",
    "\u{2028}",
    "GET /",
    "__error__=x ",
    "a_extracted=1 ",
    "2026-11-20T10:00:00Z",
];

/// Text of pieces, now and then with characters of any kind.
pub fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let mut out = String::new();
    for _ in 0..u.int_in_range(0..=12)? {
        match u.ratio(1, 12)? {
            true => out.push(u.arbitrary()?),
            false => out.push_str(u.choose(PIECES)?),
        }
    }
    Ok(out)
}

/// A few labels, values not empty as ingest leaves them.
pub fn labels(u: &mut Unstructured<'_>) -> Result<Labels> {
    let mut pairs = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let (name, value) = (*u.choose(NAMES)?, text(u)?);
        if !value.is_empty() {
            pairs.push((name.to_owned(), value));
        }
    }
    Ok(Labels::from_pairs(pairs))
}

/// Up to three streams of up to eight entries within ten minutes, in order of time.
pub fn streams(u: &mut Unstructured<'_>) -> Result<Vec<Stream>> {
    let mut streams: Vec<Stream> = Vec::new();
    for _ in 0..u.int_in_range(1..=3)? {
        let labels = labels(u)?;
        let mut entries = Vec::new();
        for _ in 0..u.int_in_range(0..=8)? {
            let timestamp_ns = i64::from(u.int_in_range(0..=600_000u32)?) * 1_000_000;
            entries.push(Entry { timestamp_ns, line: text(u)?, metadata: self::labels(u)? });
        }
        entries.sort_by_key(|entry| entry.timestamp_ns);
        streams.push(Stream { labels, entries });
    }
    Ok(streams)
}
