//! Answers: values and what they cost, as the JSON that Grafana reads.
//!
//! In: `model` nouns. Out: the body. Keys stand in the order that Grafana's streaming parser needs: `resultType`, then
//! `encodingFlags`, then `result`, then `stats`. Never decides a status code.

pub mod legacy;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::{Labels, LogEntry, Point, QueryStats, Value};
use serde::Serialize;
use serde_json::json;

/// The content type of every JSON answer.
pub const CONTENT_TYPE: &str = "application/json; charset=UTF-8";
/// The header by which Grafana asks for categorised labels, a list.
pub const ENCODING_FLAGS_HEADER: &str = "X-Loki-Response-Encoding-Flags";

/// How the labels of log entries are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// All labels of an entry name its stream; values are `[time, line]`.
    #[default]
    Merged,
    /// Stream labels name the stream; each value has its structured metadata and parsed labels as a third element.
    Categorized,
}

impl Encoding {
    /// Reads the header's value: a list of flags, of which the unknown ones are ignored.
    pub fn from_flags(header: &str) -> Self {
        let asked = header.split(',').any(|flag| flag.trim() == "categorize-labels");
        if asked { Encoding::Categorized } else { Encoding::Merged }
    }
}

/// The answer to `query` and `query_range`.
pub fn query(value: &Value, stats: &QueryStats, warnings: &[String], encoding: Encoding) -> String {
    let mut out = String::from(r#"{"status":"success""#);
    if !warnings.is_empty() {
        out.push_str(r#","warnings":"#);
        json_into(&mut out, warnings);
    }
    let kind = match value {
        Value::Entries(_) => "streams",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
        Value::Scalar(_) => "scalar",
    };
    let _ = write!(out, r#","data":{{"resultType":"{kind}""#);
    if matches!(value, Value::Entries(_)) && encoding == Encoding::Categorized {
        out.push_str(r#","encodingFlags":["categorize-labels"]"#);
    }
    out.push_str(r#","result":"#);
    match value {
        Value::Entries(entries) if encoding == Encoding::Merged => merged_streams(&mut out, entries),
        Value::Entries(entries) => categorized_streams(&mut out, entries),
        Value::Vector(samples) => list(&mut out, samples, |out, sample| {
            metric(out, &sample.labels);
            out.push_str(r#","value":"#);
            point(out, sample.point);
            out.push('}');
        }),
        Value::Matrix(series) => list(&mut out, series, |out, series| {
            metric(out, &series.labels);
            out.push_str(r#","values":"#);
            list(out, &series.points, |out, p| point(out, *p));
            out.push('}');
        }),
        // Loki tells a number's time in milliseconds, in the place of seconds. Its clients have learnt to live with it.
        Value::Scalar(p) => point(&mut out, Point { timestamp_ms: p.timestamp_ms.saturating_mul(1000), ..*p }),
    }
    let _ = write!(out, r#","stats":{}}}}}"#, stats_json(stats));
    out
}

/// The answer to `labels` and `label/{name}/values`: without any, `data` is left out.
pub fn labels(names: &[String]) -> String {
    let body =
        if names.is_empty() { json!({"status": "success"}) } else { json!({"status": "success", "data": names}) };
    body.to_string()
}

/// The answer to `series`.
pub fn series(all: &[Labels]) -> String {
    let mut out = String::from(r#"{"status":"success","data":"#);
    list(&mut out, all, object);
    out.push('}');
    out
}

/// What `status/buildinfo` tells.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo<'a> {
    /// The version of the API that clients may expect, as Loki numbers it.
    pub version: &'a str,
    /// The commit.
    pub revision: &'a str,
    /// The branch.
    pub branch: &'a str,
    /// Who built it.
    pub build_user: &'a str,
    /// When.
    pub build_date: &'a str,
    /// Loki's clients know this key; there is no Go here, so it is empty.
    pub go_version: &'a str,
}

/// The answer to `status/buildinfo`.
pub fn build_info(info: &BuildInfo<'_>) -> String {
    let mut out = String::new();
    json_into(&mut out, info);
    out
}

/// The answer to `format_query`.
pub fn formatted(query: &str) -> String {
    json!({"status": "success", "data": query}).to_string()
}

/// A stream for each distinct set of all labels, ordered by their text, entries in the order given.
fn merged_streams(out: &mut String, entries: &[LogEntry]) {
    // Entries of one stream mostly share all their labels, so a set is built once for each distinct triple.
    let mut streams: BTreeMap<String, (Labels, Vec<&LogEntry>)> = BTreeMap::new();
    let mut known: std::collections::HashMap<(&Labels, &Labels, &Labels), (String, Labels)> =
        std::collections::HashMap::new();
    for entry in entries {
        let (text, all) = known.entry((&entry.stream, &entry.metadata, &entry.parsed)).or_insert_with(|| {
            let categories = [&entry.stream, &entry.metadata, &entry.parsed];
            let all: Labels = categories.into_iter().flat_map(Labels::iter).collect();
            (all.to_string(), all)
        });
        match streams.get_mut(text) {
            Some((_, rows)) => rows.push(entry),
            None => drop(streams.insert(text.clone(), (all.clone(), vec![entry]))),
        }
    }
    list(out, streams.values(), |out, (all, rows)| {
        stream(out, all, rows, |_, _| {});
    });
}

/// A stream for each set of stream labels, ordered by their text; the other labels go with each entry.
fn categorized_streams(out: &mut String, entries: &[LogEntry]) {
    let mut streams: BTreeMap<String, Vec<&LogEntry>> = BTreeMap::new();
    let mut known: std::collections::HashMap<&Labels, String> = std::collections::HashMap::new();
    for entry in entries {
        let text = known.entry(&entry.stream).or_insert_with(|| entry.stream.to_string());
        match streams.get_mut(text) {
            Some(rows) => rows.push(entry),
            None => drop(streams.insert(text.clone(), vec![entry])),
        }
    }
    list(out, streams.values(), |out, rows| {
        let Some(first) = rows.first() else { return };
        stream(out, &first.stream, rows, |out, entry| {
            out.push_str(",{");
            if !entry.metadata.is_empty() {
                out.push_str(r#""structuredMetadata":"#);
                object(out, &entry.metadata);
            }
            if !entry.parsed.is_empty() {
                out.push_str(if entry.metadata.is_empty() { r#""parsed":"# } else { r#","parsed":"# });
                object(out, &entry.parsed);
            }
            out.push('}');
        });
    });
}

/// One stream; `third` writes what comes behind an entry's line.
fn stream(out: &mut String, labels: &Labels, rows: &[&LogEntry], third: impl Fn(&mut String, &LogEntry)) {
    out.push_str(r#"{"stream":"#);
    object(out, labels);
    out.push_str(r#","values":"#);
    list(out, rows, |out, entry| {
        let _ = write!(out, r#"["{}","#, entry.timestamp_ns);
        text_into(out, &entry.line);
        third(out, entry);
        out.push(']');
    });
    out.push('}');
}

fn metric(out: &mut String, labels: &Labels) {
    out.push_str(r#"{"metric":"#);
    object(out, labels);
}

pub(crate) fn object(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        text_into(out, name);
        out.push(':');
        text_into(out, value);
    }
    out.push('}');
}

/// `[seconds,"value"]`, neither ever with an exponent.
fn point(out: &mut String, point: Point) {
    let (seconds, millis) = (point.timestamp_ms / 1000, point.timestamp_ms.unsigned_abs() % 1000);
    let sign = if point.timestamp_ms < 0 && seconds == 0 { "-" } else { "" };
    let _ = match millis {
        0 => write!(out, "[{seconds}"),
        _ if millis % 100 == 0 => write!(out, "[{sign}{seconds}.{}", millis / 100),
        _ if millis % 10 == 0 => write!(out, "[{sign}{seconds}.{:02}", millis / 10),
        _ => write!(out, "[{sign}{seconds}.{millis:03}"),
    };
    out.push_str(",\"");
    number_into(out, point.value);
    out.push_str("\"]");
}

/// A sample's value as Loki prints it: the shortest digits that read back, never an exponent.
pub fn number(value: f64) -> String {
    let mut out = String::new();
    number_into(&mut out, value);
    out
}

fn number_into(out: &mut String, value: f64) {
    /// Below it each whole number is a float of its own. Most values are counts, and counts print faster as such.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let whole = value as i64;
    let _ = match value {
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        _ if value.abs() < WHOLE_MAX && whole as f64 == value && (whole != 0 || value.is_sign_positive()) => {
            write!(out, "{whole}")
        }
        _ => write!(out, "{value}"),
    };
}

pub(crate) fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    out.push('[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

pub(crate) fn json_into<T: Serialize + ?Sized>(out: &mut String, value: &T) {
    out.push_str(&serde_json::to_string(value).expect("strings and flat structs are always JSON"));
}

/// A text as a JSON string.
pub(crate) fn text_into(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        return json_into(out, text);
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// Loki's `stats` object, every key of it; what has no meaning here is zero.
fn stats_json(stats: &QueryStats) -> serde_json::Value {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let per_second = |n: u64| if stats.exec_ns == 0 { 0 } else { (n as f64 / seconds(stats.exec_ns)) as u64 };
    let bytes = stats.line_bytes + stats.metadata_bytes;
    let store = |read: bool| {
        let only = |n: u64| if read { n } else { 0 };
        json!({
            "totalChunksRef": only(stats.blocks),
            "totalChunksDownloaded": only(stats.blocks_read),
            "chunksDownloadTime": 0,
            "queryReferencedStructuredMetadata": read && stats.metadata_bytes > 0,
            "queryUsedV2Engine": false,
            "chunk": {
                "headChunkBytes": 0,
                "headChunkLines": 0,
                "decompressedBytes": only(bytes),
                "decompressedLines": only(stats.lines),
                "compressedBytes": only(stats.store_bytes),
                "totalDuplicates": only(stats.duplicates),
                "postFilterLines": only(stats.post_filter_lines),
                "headChunkStructuredMetadataBytes": 0,
                "decompressedStructuredMetadataBytes": only(stats.metadata_bytes),
            },
            "chunkRefsFetchTime": 0,
            "congestionControlLatency": 0,
            "pipelineWrapperFilteredLines": 0,
        })
    };
    let cache = |found: u64, requested: u64| {
        json!({
            "entriesFound": found, "entriesRequested": requested, "entriesStored": 0, "bytesReceived": 0, "bytesSent": 0,
            "requests": requested, "downloadTime": 0, "queryLengthServed": 0,
        })
    };
    json!({
        "summary": {
            "bytesProcessedPerSecond": per_second(bytes),
            "linesProcessedPerSecond": per_second(stats.lines),
            "totalBytesProcessed": bytes,
            "totalLinesProcessed": stats.lines,
            "execTime": seconds(stats.exec_ns),
            "queueTime": seconds(stats.queue_ns),
            "subqueries": 0,
            "totalEntriesReturned": stats.entries_returned,
            "splits": 0,
            "shards": stats.shards,
            "totalPostFilterLines": stats.post_filter_lines,
            "totalStructuredMetadataBytesProcessed": stats.metadata_bytes,
        },
        "querier": {"store": store(true), "querierExecTime": seconds(stats.exec_ns)},
        "ingester": {
            "totalReached": 0, "totalChunksMatched": 0, "totalBatches": 0, "totalLinesSent": 0, "store": store(false),
        },
        "cache": {
            "chunk": cache(stats.cache_hits, stats.cache_hits + stats.cache_misses),
            "index": cache(0, 0), "result": cache(0, 0), "statsResult": cache(0, 0), "volumeResult": cache(0, 0),
            "seriesResult": cache(0, 0), "labelResult": cache(0, 0), "instantMetricResult": cache(0, 0),
            "logResult": cache(0, 0), "taskResult": cache(0, 0),
        },
        "index": {
            "totalChunks": stats.blocks,
            "postFilterChunks": stats.blocks.saturating_sub(stats.blocks_skipped),
            "shardsDuration": 0,
            "usedBloomFilters": stats.blocks_skipped > 0,
            "totalStreams": stats.streams,
            "chunkRefsLookupTime": 0.0,
            "bloomFilterTime": 0.0,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Sample, Series};

    fn entry(timestamp_ns: i64, line: &str, stream: &str, metadata: &str, parsed: &str) -> LogEntry {
        let labels = |text: &str| text.split(' ').filter_map(|pair| pair.split_once('=')).collect::<Labels>();
        LogEntry {
            timestamp_ns,
            line: line.into(),
            stream: labels(stream),
            metadata: labels(metadata),
            parsed: labels(parsed),
        }
    }

    /// The body up to the statistics.
    fn head(value: &Value, encoding: Encoding) -> String {
        let body = query(value, &QueryStats::default(), &[], encoding);
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON");
        body.split_once(r#","stats":"#).expect("stats").0.to_owned()
    }

    #[test]
    fn streams_by_all_labels_or_by_stream_labels() {
        let value = Value::Entries(vec![
            entry(30, "c", "app=b", "level=info", ""),
            entry(20, "b\"", "app=a", "", "x=1"),
            entry(10, "a", "app=b", "level=warn", "level=err y="),
        ]);
        assert_eq!(
            head(&value, Encoding::Merged),
            r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"a","x":"1"},"values":[["20","b\""]]},{"stream":{"app":"b","level":"err","y":""},"values":[["10","a"]]},{"stream":{"app":"b","level":"info"},"values":[["30","c"]]}]"#
        );
        assert_eq!(
            head(&value, Encoding::Categorized),
            r#"{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"app":"a"},"values":[["20","b\"",{"parsed":{"x":"1"}}]]},{"stream":{"app":"b"},"values":[["30","c",{"structuredMetadata":{"level":"info"}}],["10","a",{"structuredMetadata":{"level":"warn"},"parsed":{"level":"err","y":""}}]]}]"#
        );
        assert_eq!(
            head(&Value::Entries(vec![]), Encoding::Categorized),
            r#"{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[]"#
        );
    }

    #[test]
    fn numbers_have_no_exponent() {
        let check = |value: f64, want: &str| assert_eq!(number(value), want);
        check(1e21, "1000000000000000000000");
        check(1.5e-7, "0.00000015");
        check(0.1, "0.1");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(-0.0, "-0");
        check(0.0, "0");
        check(-17.0, "-17");
        check(9_007_199_254_740_991.0, "9007199254740991");
        check(-9_007_199_254_740_994.0, "-9007199254740994");
        check(f64::NEG_INFINITY, "-Inf");
        for value in [0.5, 1.0, 3.0e15, 289.0, 1e300, 5e-324, 0.1 + 0.2, -2.5e-7, 4.0e18] {
            check(value, &value.to_string());
        }
        let times = [
            (1_700_000_000_000, "1700000000"),
            (1_700_000_000_120, "1700000000.12"),
            (-500, "-0.5"),
            (1_003, "1.003"),
            (-1_500, "-1.5"),
        ];
        for (timestamp_ms, want) in times {
            let sample = Sample { labels: Labels::default(), point: Point { timestamp_ms, value: 1.0 } };
            let answer = head(&Value::Vector(vec![sample]), Encoding::Merged);
            assert!(answer.ends_with(&format!(r#""value":[{want},"1"]}}]"#)), "{answer}");
        }
    }

    #[test]
    fn texts_are_json() {
        for text in ["", "plain é \u{7f}\u{2028}", "\"", "a\\b", "tab\t", "\u{0}", "line\nbreak"] {
            let mut out = String::new();
            text_into(&mut out, text);
            assert_eq!(out, serde_json::to_string(text).expect("JSON"));
        }
    }

    #[test]
    fn a_scalar_has_its_time_in_milliseconds() {
        assert_eq!(
            head(&Value::Scalar(Point { timestamp_ms: 1_700_000_000_120, value: 1.0 }), Encoding::Merged),
            r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000120,"1"]"#
        );
    }

    #[test]
    fn vectors_and_matrices() {
        let labels: Labels = [("a", "b")].into_iter().collect();
        let point = Point { timestamp_ms: 1_000, value: 2.0 };
        assert_eq!(
            head(&Value::Vector(vec![Sample { labels: labels.clone(), point }]), Encoding::Categorized),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"2"]}]"#
        );
        assert_eq!(
            head(&Value::Matrix(vec![Series { labels, points: vec![point, point] }]), Encoding::Merged),
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"2"],[1,"2"]]}]"#
        );
    }

    #[test]
    fn lists() {
        assert_eq!(labels(&[]), r#"{"status":"success"}"#);
        assert_eq!(labels(&["a".into()]), r#"{"data":["a"],"status":"success"}"#);
        assert_eq!(series(&[]), r#"{"status":"success","data":[]}"#);
        assert_eq!(series(&[Labels::default()]), r#"{"status":"success","data":[{}]}"#);
    }
}
