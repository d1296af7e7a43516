//! 2 and 3: the shape of entries, and pages of them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::ask::{DAY_NS, Grafana, HOUR_NS, Range, SECOND_NS, T0_NS};
use crate::strict::{Answer, Labels};

fn all() -> Range {
    Range::new(T0_NS, T0_NS + HOUR_NS)
}

/// With the header, labels are told by category; without, they are merged. The entries are the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_02_categories_only_when_asked_for() {
    let grafana = Grafana::start().await;
    let at = |i: i64| T0_NS + i * SECOND_NS;
    grafana
        .push(json!([
            [{"app": "shop", "pod": "a"}, [
                [at(0), r#"{"level":"info","took":1}"#, {"trace_id": "t0"}],
                [at(1), r#"{"level":"error","took":2}"#, {"trace_id": "t1"}],
                [at(2), "no JSON at all"]
            ]],
            [{"app": "shop", "pod": "b"}, [[at(3), r#"{"level":"info","took":3}"#]]]
        ]))
        .await;
    let query = r#"{app="shop"} | json"#;
    let (told, plain) = (grafana.range(query, all()).await, grafana.plain_range(query, all()).await);

    assert_eq!(told.streams.len(), 2, "streams are grouped by their index labels alone");
    for stream in &told.streams {
        let names: Vec<&str> = stream.labels.keys().map(String::as_str).collect();
        assert_eq!(names, ["app", "pod", "service_name"]);
    }
    assert!(plain.streams.len() > 2, "merged labels split them");
    let merged = |answer: &Answer| -> BTreeSet<(i64, String, Labels)> {
        answer.entries().map(|(labels, e)| (e.time_ns, e.line.clone(), e.merged(labels))).collect()
    };
    assert_eq!(merged(&told), merged(&plain));
    assert_eq!(merged(&told).len(), 4);
    let (_, first) = told.entries().find(|(_, entry)| entry.time_ns == at(0)).expect("the first entry");
    assert_eq!(first.metadata["trace_id"], "t0");
    assert_eq!(first.metadata["detected_level"], "info");
    assert_eq!((first.parsed["level"].as_str(), first.parsed["took"].as_str()), ("info", "1"));

    for answer in [grafana.range(query, all().limit(1)).await, grafana.plain_range(query, all().limit(1)).await] {
        assert_eq!(answer.lines(), [r#"{"level":"info","took":3}"#], "backward begins with the newest of all streams");
    }
    let oldest = grafana.range(query, all().limit(1).forward()).await;
    assert_eq!(oldest.lines(), [r#"{"level":"info","took":1}"#]);
    let none = grafana.range(r#"{app="shop"} |= "nowhere""#, all()).await;
    assert!(none.categorized && none.streams.is_empty());
}

/// Three streams with entries at the same nanoseconds, over 48 hours.
async fn with_ties() -> (Grafana, Vec<String>) {
    let grafana = Grafana::start().await;
    let mut lines = Vec::new();
    let mut streams = Vec::new();
    for pod in ["a", "b", "c"] {
        let entries: Vec<_> = (0..48)
            .map(|hour| {
                lines.push(format!("{hour:02} {pod}"));
                json!([T0_NS + hour * HOUR_NS, format!("{hour:02} {pod}")])
            })
            .collect();
        streams.push(json!([{"app": "ties", "pod": pod}, entries]));
    }
    grafana.push(json!(streams)).await;
    lines.sort();
    (grafana, lines)
}

/// Infinite scroll moves the end to the last time shown, which is exclusive, or the start, which is inclusive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_03_pages_lose_and_repeat_nothing() {
    const PAGE: usize = 6;
    let (grafana, lines) = with_ties().await;
    let query = r#"{app="ties"}"#;

    let (mut end_ns, mut seen) = (T0_NS + 2 * DAY_NS, Vec::new());
    loop {
        let page = grafana.range(query, Range::new(T0_NS, end_ns).limit(PAGE)).await;
        let Some(oldest) = page.entries().map(|(_, entry)| entry.time_ns).min() else { break };
        seen.extend(page.lines().into_iter().map(str::to_owned));
        end_ns = oldest;
    }
    seen.sort();
    assert_eq!(seen, lines, "backward");

    let (mut start_ns, mut seen) = (T0_NS, Vec::new());
    loop {
        let page = grafana.range(query, Range::new(start_ns, T0_NS + 2 * DAY_NS).limit(PAGE).forward()).await;
        let Some(newest) = page.entries().map(|(_, entry)| entry.time_ns).max() else { break };
        seen.extend(page.lines().into_iter().map(str::to_owned));
        start_ns = newest + 1;
    }
    seen.sort();
    assert_eq!(seen, lines, "forward");
}

/// Grafana cuts more than a day into days that share a boundary, on which three entries lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_03_two_days_in_two_chunks_are_one_query() {
    let (grafana, lines) = with_ties().await;
    let query = r#"{app="ties"}"#;
    let whole = grafana.range(query, Range::new(T0_NS, T0_NS + 2 * DAY_NS)).await;
    assert_eq!(whole.lines(), lines);
    let mut chunks = Vec::new();
    for start_ns in [T0_NS + DAY_NS, T0_NS] {
        let chunk = grafana.range(query, Range::new(start_ns, start_ns + DAY_NS)).await;
        chunks.extend(chunk.lines().into_iter().map(str::to_owned));
    }
    chunks.sort();
    assert_eq!(chunks, lines);
}
