//! Messages of a tail: entries and what had to be left out, as the JSON that Loki's clients read.
//!
//! In: entries behind the pipeline, in the order in which they are to be told. Out: one message. Each entry is a stream of its
//! own, as in Loki. Never decides what is left out.

use std::fmt::Write as _;

use jiff::Timestamp;
use model::{Labels, LogEntry};

use crate::response::{Encoding, json_into, list, object};

/// The two shapes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// That of `/loki/api/v1/tail`.
    Current(Encoding),
    /// That of `/api/prom/tail`.
    Legacy,
}

/// An entry that was left out, because its reader was too slow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its time.
    pub timestamp_ns: i64,
    /// All its labels.
    pub labels: Labels,
}

impl Dropped {
    /// Of an entry behind the pipeline.
    pub fn of(entry: &LogEntry) -> Self {
        Dropped { timestamp_ns: entry.timestamp_ns, labels: merged(entry) }
    }
}

/// One message.
pub fn message(entries: &[LogEntry], dropped: &[Dropped], shape: Shape) -> String {
    match shape {
        Shape::Current(encoding) => current(entries, dropped, encoding),
        Shape::Legacy => legacy(entries, dropped),
    }
}

fn current(entries: &[LogEntry], dropped: &[Dropped], encoding: Encoding) -> String {
    let mut out = String::from(r#"{"streams":"#);
    list(&mut out, entries, |out, entry| {
        let categorized = encoding == Encoding::Categorized;
        out.push_str(r#"{"stream":"#);
        object(out, &if categorized { entry.stream.clone() } else { merged(entry) });
        let _ = write!(out, r#","values":[["{}","#, entry.timestamp_ns);
        json_into(out, &entry.line);
        if categorized {
            out.push_str(r#",{"#);
            let categories = [("structuredMetadata", &entry.metadata), ("parsed", &entry.parsed)];
            for (i, (name, labels)) in categories.into_iter().filter(|(_, labels)| !labels.is_empty()).enumerate() {
                let _ = write!(out, r#"{}"{name}":"#, if i > 0 { "," } else { "" });
                object(out, labels);
            }
            out.push('}');
        }
        out.push_str("]]}");
    });
    if !dropped.is_empty() {
        out.push_str(r#","dropped_entries":"#);
        list(&mut out, dropped, |out, dropped| {
            let _ = write!(out, r#"{{"timestamp":"{}","labels":"#, dropped.timestamp_ns);
            object(out, &dropped.labels);
            out.push('}');
        });
    }
    if encoding == Encoding::Categorized {
        out.push_str(r#","encodingFlags":["categorize-labels"]"#);
    }
    out.push('}');
    out
}

fn legacy(entries: &[LogEntry], dropped: &[Dropped]) -> String {
    let mut out = String::from(r#"{"streams":"#);
    list(&mut out, entries, |out, entry| {
        out.push_str(r#"{"labels":"#);
        json_into(out, &merged(entry).to_string());
        let _ = write!(out, r#","entries":[{{"ts":"{}","line":"#, rfc3339(entry.timestamp_ns));
        json_into(out, &entry.line);
        out.push_str("}]}");
    });
    out.push_str(r#","dropped_entries":"#);
    if dropped.is_empty() {
        out.push_str("null");
    } else {
        list(&mut out, dropped, |out, dropped| {
            let _ = write!(out, r#"{{"Timestamp":"{}","Labels":"#, rfc3339(dropped.timestamp_ns));
            json_into(out, &dropped.labels.to_string());
            out.push('}');
        });
    }
    out.push('}');
    out
}

/// All labels of an entry; what the pipeline made wins.
fn merged(entry: &LogEntry) -> Labels {
    if entry.metadata.is_empty() && entry.parsed.is_empty() {
        return entry.stream.clone();
    }
    [&entry.stream, &entry.metadata, &entry.parsed].into_iter().flat_map(Labels::iter).collect()
}

fn rfc3339(timestamp_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(timestamp_ns)).map_or_else(|_| timestamp_ns.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split(' ').filter_map(|pair| pair.split_once('=')).collect()
    }

    fn check(dropped: &[Dropped], shape: Shape, want: &str) {
        let entry = |timestamp_ns, metadata: &str, parsed: &str| LogEntry {
            timestamp_ns,
            line: "a \"b\"".to_owned(),
            stream: labels("app=x"),
            metadata: labels(metadata),
            parsed: labels(parsed),
        };
        let entries = [entry(1_795_168_800_000_000_001, "level=info", "level=warn"), entry(2_000_000_000, "", "")];
        let message = message(&entries, dropped, shape);
        serde_json::from_str::<serde_json::Value>(&message).expect("JSON");
        assert_eq!(message, want);
    }

    #[test]
    fn messages_are_lokis() {
        let dropped = [Dropped { timestamp_ns: 5, labels: labels("app=y") }];
        check(
            &dropped,
            Shape::Current(Encoding::Merged),
            r#"{"streams":[{"stream":{"app":"x","level":"warn"},"values":[["1795168800000000001","a \"b\""]]},{"stream":{"app":"x"},"values":[["2000000000","a \"b\""]]}],"dropped_entries":[{"timestamp":"5","labels":{"app":"y"}}]}"#,
        );
        check(
            &[],
            Shape::Current(Encoding::Categorized),
            r#"{"streams":[{"stream":{"app":"x"},"values":[["1795168800000000001","a \"b\"",{"structuredMetadata":{"level":"info"},"parsed":{"level":"warn"}}]]},{"stream":{"app":"x"},"values":[["2000000000","a \"b\"",{}]]}],"encodingFlags":["categorize-labels"]}"#,
        );
        check(
            &dropped,
            Shape::Legacy,
            r#"{"streams":[{"labels":"{app=\"x\", level=\"warn\"}","entries":[{"ts":"2026-11-20T10:00:00.000000001Z","line":"a \"b\""}]},{"labels":"{app=\"x\"}","entries":[{"ts":"1970-01-01T00:00:02Z","line":"a \"b\""}]}],"dropped_entries":[{"Timestamp":"1970-01-01T00:00:00.000000005Z","Labels":"{app=\"y\"}"}]}"#,
        );
    }
}
