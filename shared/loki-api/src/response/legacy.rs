//! Answers in the shapes of `/api/prom`, which came before `/loki/api/v1`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{Labels, LogEntry, QueryStats};
use serde_json::{Value, json};

/// Streams with their labels as text, entries in the order given.
pub fn streams(entries: &[LogEntry], stats: &QueryStats) -> String {
    let mut streams: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in entries {
        let categories = [&entry.stream, &entry.metadata, &entry.parsed];
        let all: Labels = categories.into_iter().flat_map(Labels::iter).collect();
        streams.entry(all.to_string()).or_default().push(json!({"ts": time(entry.timestamp_ns), "line": entry.line}));
    }
    let streams: Vec<Value> =
        streams.into_iter().map(|(labels, entries)| json!({"labels": labels, "entries": entries})).collect();
    json!({"streams": streams, "stats": super::stats_json(stats)}).to_string()
}

/// Names or values; without any there is no key.
pub fn labels(values: &[String]) -> String {
    if values.is_empty() { "{}".to_owned() } else { json!({"values": values}).to_string() }
}

/// RFC 3339 with as many digits as it needs.
fn time(timestamp_ns: i64) -> String {
    // Every number of nanoseconds that fits 64 bits is a time.
    Timestamp::from_nanosecond(timestamp_ns.into()).map_or_else(|_| String::new(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_their_labels_as_text() {
        let entry = |timestamp_ns, line: &str, app: &str| LogEntry {
            timestamp_ns,
            line: line.to_owned(),
            stream: Labels::from_pairs([("app", app)]),
            metadata: Labels::from_pairs([("id", "1")]),
            parsed: Labels::default(),
        };
        let entries = [entry(1_500_000_000, "x", "b"), entry(1_000_000_000, "y", "b"), entry(-1, "z", "a")];
        let got: Value = serde_json::from_str(&streams(&entries, &QueryStats::default())).expect("JSON");
        let want = json!([
            {"labels": r#"{app="a", id="1"}"#, "entries": [{"ts": "1969-12-31T23:59:59.999999999Z", "line": "z"}]},
            {"labels": r#"{app="b", id="1"}"#, "entries": [
                {"ts": "1970-01-01T00:00:01.5Z", "line": "x"}, {"ts": "1970-01-01T00:00:01Z", "line": "y"},
            ]},
        ]);
        assert_eq!(got["streams"], want);
        assert!(got["stats"]["summary"].is_object());
        assert_eq!((labels(&[]), labels(&["a".to_owned()])), ("{}".to_owned(), r#"{"values":["a"]}"#.to_owned()));
    }
}
