//! 4 and 5: metric queries in the pieces and with the steps that Grafana makes.

use std::collections::BTreeMap;

use serde_json::json;

use crate::ask::{DAY_NS, Grafana, HOUR_NS, Range, SECOND_NS, T0_NS};
use crate::strict::{Labels, Series};

const MINUTE_MS: i64 = 60_000;

/// The requests that Grafana makes of one metric query: whole steps of a day, the next begins one step later.
fn chunks(start_ms: i64, end_ms: i64, step_ms: i64) -> Vec<(i64, i64)> {
    let day = DAY_NS / 1_000_000 / step_ms * step_ms;
    let (mut start, mut all) = (start_ms - start_ms % step_ms, Vec::new());
    while start <= end_ms {
        let end = (start + day - step_ms).min(end_ms);
        all.push((start, end));
        start += day;
    }
    all
}

/// By label set; equal times are added, as Grafana does when it merges.
fn added<'a>(parts: impl IntoIterator<Item = &'a Series>) -> BTreeMap<Labels, BTreeMap<i64, f64>> {
    let mut sums = BTreeMap::<Labels, BTreeMap<i64, f64>>::new();
    for series in parts {
        for (time_ms, value) in &series.samples {
            *sums.entry(series.labels.clone()).or_default().entry(*time_ms).or_default() += value;
        }
    }
    sums
}

/// Log volume of the last day, whose start lies between two steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_04_log_volume_in_chunks_is_the_whole() {
    let grafana = Grafana::start().await;
    let start_ms = T0_NS / 1_000_000 + 31_007;
    let end_ms = start_ms + DAY_NS / 1_000_000;
    let lines = |level: &str, every_s: i64| -> Vec<serde_json::Value> {
        let times = (0..DAY_NS / SECOND_NS / every_s).map(|i| start_ms * 1_000_000 + i * every_s * SECOND_NS);
        times.map(|time| json!([time, format!("level={level} one line")])).collect()
    };
    // On the boundary of the two chunks, and at both ends.
    let edges: Vec<_> = chunks(start_ms, end_ms, MINUTE_MS)
        .iter()
        .flat_map(|(start, end)| [*start, *end, end + MINUTE_MS])
        .filter(|ms| (start_ms..end_ms).contains(ms))
        .map(|ms| json!([ms * 1_000_000, "level=error on an edge"]))
        .collect();
    assert!(edges.len() >= 2, "{edges:?}");
    grafana
        .push(json!([
            [{"app": "shop"}, lines("info", 97)],
            [{"app": "shop", "level": "warn"}, lines("error", 1_009)],
            [{"app": "shop", "pod": "edges"}, edges]
        ]))
        .await;

    let query = r#"sum by (level, detected_level) (count_over_time({app="shop"} | drop __error__[1m]))"#;
    let whole = grafana.range(query, Range::new(start_ms * 1_000_000, end_ms * 1_000_000)).await;
    let mut parts = Vec::new();
    let cut = chunks(start_ms, end_ms, MINUTE_MS);
    assert_eq!(cut.len(), 2);
    for (start, end) in cut {
        let part = grafana.range(query, Range::new(start * 1_000_000, end * 1_000_000)).await;
        // A sample outside of what was asked for would be counted twice.
        for (time_ms, _) in part.series.iter().flat_map(|series| &series.samples) {
            assert!((start..=(end + MINUTE_MS - 1) / MINUTE_MS * MINUTE_MS).contains(time_ms), "{time_ms}");
        }
        parts.extend(part.series);
    }
    assert_eq!(added(&parts), added(&whole.series));
    let of = |name: &str| -> Vec<Option<&str>> {
        let values = |series: &'_ Series| series.labels.get(name).map(String::len);
        whole.series.iter().filter(|s| values(s).is_some()).map(|s| s.labels.get(name).map(String::as_str)).collect()
    };
    assert_eq!(of("level"), [Some("warn")], "absent where no stream has it: {:?}", whole.series);
    let mut levels = of("detected_level");
    levels.sort_unstable();
    assert_eq!(levels, [Some("error"), Some("info"), Some("warn")]);
}

/// Log volume of less than five seconds has steps of a millisecond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_05_steps_of_a_millisecond() {
    let grafana = Grafana::start().await;
    let at = |ms: i64| T0_NS + ms * 1_000_000;
    grafana.push(json!([[{"app": "fast"}, [[at(10), "a"], [at(10) - 1, "b"], [at(11), "c"], [at(2_000), "d"]]]])).await;
    let query = r#"sum(count_over_time({app="fast"}[1ms]))"#;
    let answer = grafana.range(query, Range::new(T0_NS, at(3_000)).step_ms(1)).await;
    let t0_ms = T0_NS / 1_000_000;
    // Windows are open on the left: what is a nanosecond older than a boundary belongs to the boundary's window.
    assert_eq!(answer.samples(), [(t0_ms + 10, 2.0), (t0_ms + 11, 1.0), (t0_ms + 2_000, 1.0)]);
}

/// Log volume of a month has steps of a day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_05_steps_of_a_day() {
    let grafana = Grafana::start().await;
    let first = T0_NS - 29 * DAY_NS;
    let entries: Vec<_> = (0..30).map(|day| json!([first + day * DAY_NS + HOUR_NS, format!("day {day}")])).collect();
    grafana.push(json!([[{"app": "slow"}, entries]])).await;
    let query = r#"sum(count_over_time({app="slow"}[1d]))"#;
    let answer = grafana.range(query, Range::new(first, first + 30 * DAY_NS).step_ms(86_400_000)).await;
    let days: Vec<(i64, f64)> = (1..=30).map(|day| ((first + day * DAY_NS) / 1_000_000, 1.0)).collect();
    assert_eq!(answer.samples(), days);
}

/// The last chunk of a split query is often a single point.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_05_start_is_end() {
    let grafana = Grafana::start().await;
    grafana.push(json!([[{"app": "point"}, [[T0_NS - SECOND_NS, "a"], [T0_NS, "b"], [T0_NS + 1, "c"]]]])).await;
    let query = r#"sum(count_over_time({app="point"}[1m]))"#;
    let answer = grafana.range(query, Range::new(T0_NS, T0_NS)).await;
    assert_eq!(answer.samples(), [(T0_NS / 1_000_000, 2.0)]);
}
