//! What is counted by blocks, or behind line filters that ran first, is what is counted entry by entry.
//!
//! The engine searches whole blocks for the leading filters and adds runs of entries with the same metadata at once.
//! Both ways are taken here over generated entries and queries, and must give the same series, or the same error.

#![expect(clippy::unwrap_used, reason = "the queries are made here")]

use logql::ast::{Expr, RangeOp};
use logql::eval::{Leaf, RangeFold, Steps, leaves};
use logql::sample::Sampler;
use model::{EntryRef, Labels, Series};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

#[derive(Debug, Clone)]
struct Entry {
    timestamp_ns: i64,
    line: String,
    metadata: Vec<(&'static str, &'static str)>,
}

impl Entry {
    fn as_ref(&self) -> EntryRef<'_> {
        EntryRef { timestamp_ns: self.timestamp_ns, line: &self.line, metadata: &self.metadata }
    }
}

fn entry() -> impl Strategy<Value = Entry> {
    let line = prop::sample::select(vec![
        "",
        "a",
        "a b",
        "GET /x 200",
        "level=error v=3",
        "level=info v=5 =",
        r#"{"level":"warn","v":2}"#,
        r#"{"app":"inner","v":"7"}"#,
        "{broken",
        "v=x",
        "10.0.0.1 denied",
        "é🎉",
        "level=error v=1.5 d=3s",
    ]);
    let metadata = prop::sample::select(vec![
        vec![],
        vec![("detected_level", "error")],
        vec![("detected_level", "info")],
        // A stream label's name, an empty value, and two orders.
        vec![("app", "other"), ("trace", "1")],
        vec![("trace", "1"), ("app", "other")],
        vec![("trace", "")],
    ]);
    (0..200_i64, line, metadata).prop_map(|(seconds, line, metadata)| Entry {
        timestamp_ns: seconds * SECOND / 2,
        line: line.to_owned(),
        metadata,
    })
}

/// Several streams, each in the order of time, with runs of equal metadata now and then.
fn streams() -> impl Strategy<Value = Vec<(Labels, Vec<Entry>)>> {
    let labels = |i: usize| Labels::from_pairs([("app", "api".to_owned()), ("pod", format!("p{i}"))]);
    let repeated = (entry(), 1..6_usize).prop_map(|(entry, times)| vec![entry; times]);
    let entries = prop::collection::vec(repeated, 0..25).prop_map(|runs| {
        let mut entries = runs.concat();
        entries.sort_by_key(|entry| entry.timestamp_ns);
        entries
    });
    prop::collection::vec(entries, 1..4)
        .prop_map(move |all| all.into_iter().enumerate().map(|(i, entries)| (labels(i), entries)).collect())
}

fn query() -> impl Strategy<Value = String> {
    let filters = prop::sample::select(vec![
        "",
        r#" |= "a""#,
        r#" != "error" |~ "v=\\d""#,
        r#" |= "level" or "GET""#,
        r#" |> "<_>v=<_>""#,
        r#" !~ "(?i)LEVEL""#,
        r#" |= ip("10.0.0.0/8")"#,
    ]);
    let stages = prop::sample::select(vec![
        "",
        "",
        "",
        " | logfmt",
        r#" | json | __error__="""#,
        " | logfmt | v > 2",
        r#" | line_format "{{.app}}{{.level}}""#,
        r#" | logfmt | label_format pod="{{.level}}" |= "v""#,
        " | drop trace, detected_level",
        r#" | detected_level="error""#,
    ]);
    let operation = prop::sample::select(vec![
        ("count_over_time", ""),
        ("rate", ""),
        ("bytes_over_time", ""),
        ("bytes_rate", ""),
        ("absent_over_time", ""),
        ("sum_over_time", " | unwrap v"),
        ("max_over_time", r#" | unwrap v | __error__="""#),
        ("rate", " | unwrap v"),
    ]);
    let grouping = prop::sample::select(vec![
        "",
        "sum",
        "sum by (app)",
        "sum by (level, app_extracted)",
        "sum by (detected_level)",
        "sum without (pod)",
        "max by (trace)",
    ]);
    let window = (prop::sample::select(vec![1, 3, 10, 45, 300]), prop::sample::select(vec!["", " offset 7s"]));
    (filters, stages, operation, grouping, window).prop_map(
        |(filters, stages, (operation, unwrap), grouping, window)| {
            let (range, offset) = window;
            format!("{grouping}({operation}({{app=\"api\"}}{filters}{stages}{unwrap} [{range}s]{offset}))")
        },
    )
}

/// Entry by entry, all stages in one go.
fn by_entry(leaf: &Leaf<'_>, steps: Steps, streams: &[(Labels, Vec<Entry>)]) -> Result<Vec<Series>, String> {
    let sampler = Sampler::new(leaf).unwrap();
    let mut fold = RangeFold::new(leaf, steps);
    for (labels, entries) in streams {
        let mut running = sampler.for_stream(labels);
        for entry in entries {
            if let Some(sample) = running.process(entry.as_ref()).map_err(|error| error.to_string())? {
                fold.add(sample.series, entry.timestamp_ns, sample.value);
            }
        }
    }
    Ok(fold.finish())
}

/// How runs of entries that only count are added.
#[derive(Debug, Clone, Copy)]
enum Bulk {
    /// `add_counts` and `add_values`: runs of equal metadata, across windows.
    Columns,
    /// `add_sum`: runs that lie in the same windows too.
    Sums,
}

/// The leading filters over all lines first; then runs of equal metadata at once, where the sampler says that it only
/// counts, and entry by entry where it does not. Each stream folds for itself.
fn by_block(
    leaf: &Leaf<'_>,
    steps: Steps,
    streams: &[(Labels, Vec<Entry>)],
    bulk: Bulk,
) -> Result<Vec<Series>, String> {
    let sampler = Sampler::new(leaf).unwrap();
    let mut whole = RangeFold::new(leaf, steps);
    for (labels, entries) in streams {
        let mut fold = RangeFold::new(leaf, steps);
        let mut running = sampler.for_stream(labels);
        let stays = |entry: &&Entry| sampler.leading_line_filters().iter().all(|filter| filter.matches(&entry.line));
        let left: Vec<&Entry> = entries.iter().filter(stays).collect();
        if sampler.counts_entries() || sampler.counts_bytes() {
            let alike = |a: &&Entry, b: &&Entry| match bulk {
                Bulk::Columns => a.metadata == b.metadata,
                Bulk::Sums => a.metadata == b.metadata && fold.same_windows(a.timestamp_ns, b.timestamp_ns),
            };
            let runs: Vec<&[&Entry]> = left.chunk_by(alike).collect();
            for run in runs {
                let Some(series) = running.series(&run[0].metadata).cloned() else { continue };
                let times: Vec<i64> = run.iter().map(|entry| entry.timestamp_ns).collect();
                let bytes: Vec<f64> = run.iter().map(|entry| entry.line.len() as f64).collect();
                match bulk {
                    Bulk::Columns if sampler.counts_bytes() => fold.add_values(&series, &times, &bytes),
                    Bulk::Columns => fold.add_counts(&series, &times),
                    Bulk::Sums => {
                        let sum = if sampler.counts_bytes() { bytes.iter().sum() } else { run.len() as f64 };
                        fold.add_sum(&series, times[0], run.len() as u64, sum);
                    }
                }
            }
        } else {
            for entry in left {
                if let Some(sample) = running.process_filtered(entry.as_ref()).map_err(|error| error.to_string())? {
                    fold.add(sample.series, entry.timestamp_ns, sample.value);
                }
            }
        }
        whole.merge(fold);
    }
    Ok(whole.finish())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn blocks_and_entries_agree(query in query(), streams in streams(), start in 0..60_i64, step in 1..20_i64) {
        let Ok(Expr::Metric(expr)) = logql::parse(&query) else { return Err(TestCaseError::fail(query)) };
        let steps = Steps { start_ns: start * SECOND, end_ns: (start + 40) * SECOND, step_ns: step * SECOND };
        for leaf in leaves(&expr) {
            let want = by_entry(&leaf, steps, &streams);
            for bulk in [Bulk::Columns, Bulk::Sums] {
                prop_assert_eq!(&by_block(&leaf, steps, &streams, bulk), &want, "{} {:?}", query, bulk);
            }
        }
    }
}

/// The property above would hold of queries that are never counted at once too.
#[test]
fn what_only_counts_is_known() {
    let counted = |query: &str| {
        let Ok(Expr::Metric(expr)) = logql::parse(query) else { panic!("{query}") };
        let leaf = leaves(&expr).remove(0);
        let sampler = Sampler::new(&leaf).unwrap();
        assert!(!(sampler.counts_entries() && sampler.counts_bytes()));
        (leaf.aggregation.op, sampler.counts_entries() || sampler.counts_bytes())
    };
    assert_eq!(counted(r#"rate({a="b"} |= "x" !~ "y" [1m])"#), (RangeOp::Rate, true));
    assert_eq!(counted(r#"bytes_over_time({a="b"}[1m])"#), (RangeOp::BytesOverTime, true));
    // No label is needed, so the parser is left out.
    assert_eq!(counted(r#"sum(count_over_time({a="b"} | json [1m]))"#), (RangeOp::CountOverTime, true));
    assert_eq!(counted(r#"count_over_time({a="b"} | json [1m])"#), (RangeOp::CountOverTime, false));
    assert_eq!(counted(r#"sum_over_time({a="b"} | unwrap v [1m])"#), (RangeOp::SumOverTime, false));
}
