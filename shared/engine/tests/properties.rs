//! What must hold for any data: pruning never drops a match, an entry in two segments counts once.
//!
//! The yardstick is the plainest reading of a query: look at every entry that was pushed, once.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Direction, Engine, EngineSettings, Limits, QueryRequest, When};
use model::{Day, Entry, Labels, TenantId, Value};
use proptest::prelude::*;
use store::{FreshKey, Store, StoreUrl};

/// 2026-11-20T10:00:00Z.
const START_NS: i64 = 1_795_168_800_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;

/// An entry as the test makes it: which stream, when, what, with which metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    stream: u8,
    second: u8,
    line: String,
    trace: Option<u8>,
    level: Option<&'static str>,
}

impl Row {
    /// Some lie exactly where a minute ends.
    fn timestamp_ns(&self) -> i64 {
        START_NS + i64::from(self.second + 1) * 12 * SECOND_NS
    }

    fn entry(&self) -> Entry {
        let trace = self.trace.map(|trace| ("trace_id", format!("t{trace}")));
        let metadata = self.level.map(|level| ("detected_level", level.to_owned())).into_iter().chain(trace);
        Entry { timestamp_ns: self.timestamp_ns(), line: self.line.clone(), metadata: metadata.collect() }
    }
}

/// Few words, so that needles hit and miss; joined by what tokens end at, and by what they do not.
fn line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["a", "ab", "b", "500", "5001", "é", "err", "x_y", ""]);
    let gap = prop::sample::select(vec![" ", "", "=", "-", "é", "_"]);
    prop::collection::vec((word, gap), 1..6).prop_map(|parts| parts.iter().map(|(w, g)| format!("{w}{g}")).collect())
}

/// Words that differ in case only, as Unicode sees it.
fn cased_line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "panic",
        "PANIC",
        "Panic",
        "segfault",
        "\u{17f}egfault",
        "Kill",
        "\u{212a}ILL",
        "corrupt page",
        "corrupted page",
        "É",
        "é",
    ]);
    prop::collection::vec((word, prop::sample::select(vec![" ", "", "x"])), 1..4)
        .prop_map(|parts| parts.iter().map(|(word, gap)| format!("{word}{gap}")).collect())
}

fn row(line: impl Strategy<Value = String>) -> impl Strategy<Value = Row> {
    let level = prop::sample::select(vec![None, Some("info"), Some("error")]);
    (0u8..3, 0u8..20, line, prop::option::of(0u8..4), level).prop_map(|(stream, second, line, trace, level)| Row {
        stream,
        second,
        line,
        trace,
        level,
    })
}

/// Segments of rows; the rows of `shared` lie in several of them.
fn segments() -> impl Strategy<Value = Vec<Vec<Row>>> {
    segments_of(line)
}

fn segments_of<S: Strategy<Value = String>>(line: fn() -> S) -> impl Strategy<Value = Vec<Vec<Row>>> {
    let own = prop::collection::vec(prop::collection::vec(row(line()), 1..12), 1..5);
    (own, prop::collection::vec((row(line()), 0usize..5, 0usize..5), 0..8)).prop_map(|(mut segments, shared)| {
        for (row, first, second) in shared {
            let count = segments.len();
            segments[first % count].push(row.clone());
            segments[second % count].push(row);
        }
        segments
    })
}

async fn store(segments: &[Vec<Row>]) -> Store {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    for (batch, rows) in segments.iter().enumerate() {
        // Tiny blocks, so that there is something to prune.
        let options =
            segment::Options { block_bytes_max: 24, block_bytes_min: 12, gram_line_bytes_min: 1, ..Default::default() };
        let entries: Vec<(Labels, Entry)> =
            rows.iter().map(|row| (Labels::from_pairs([("s", row.stream.to_string())]), row.entry())).collect();
        let mut writer = segment::Writer::new(options);
        for (labels, entry) in &entries {
            writer.add(labels, std::slice::from_ref(entry));
        }
        let built = writer.finish().expect("a segment");
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: batch as u128, rows: built.rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
    }
    store
}

fn ask(segments: &[Vec<Row>], query: &str, when: When) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        // Small reads, so that columns and filters are fetched and not found in the tail.
        // And mostly in slices of time.
        let open_bytes_max = if segments.len().is_multiple_of(3) { u64::MAX } else { 1 };
        let settings =
            EngineSettings { whole_object_bytes_max: 0, tail_bytes: 64, open_bytes_max, ..EngineSettings::default() };
        let request = QueryRequest {
            tenants: vec![TenantId::single()],
            query: query.to_owned(),
            when,
            direction: Direction::Forward,
            limit: 5000,
            // Steps as they are asked, at any second.
            limits: Limits { split_queries_by_interval: std::time::Duration::ZERO, ..Limits::default() },
            partial_series: false,
        };
        Engine::new(store(segments).await, settings).query(request).await.expect("an answer").value
    })
}

/// Each distinct row that `keep` likes, as `time stream line metadata`, sorted.
fn naive(segments: &[Vec<Row>], keep: impl Fn(&Row) -> bool) -> Vec<String> {
    let distinct: BTreeSet<&Row> = segments.iter().flatten().filter(|row| keep(row)).collect();
    let mut rows: Vec<String> = distinct
        .into_iter()
        .map(|row| format!("{} {} {} {}", row.timestamp_ns(), row.stream, row.line, row.entry().metadata))
        .collect();
    rows.sort();
    rows
}

fn found(value: Value) -> Vec<String> {
    let Value::Entries(entries) = value else { panic!("entries") };
    assert!(entries.is_sorted_by_key(|entry| entry.timestamp_ns), "oldest first");
    let mut rows: Vec<String> = entries
        .iter()
        .map(|e| format!("{} {} {} {}", e.timestamp_ns, e.stream.get("s").unwrap_or_default(), e.line, e.metadata))
        .collect();
    rows.sort();
    rows
}

/// A leaf that asks for labels and times alone: grouping, stages, and what each entry amounts to.
type Counted = (&'static str, &'static str, &'static str, fn(&Row) -> Option<f64>);

fn counted() -> impl Strategy<Value = Counted> {
    let leaves: Vec<Counted> = vec![
        ("s", "count_over_time", "", |_| Some(1.0)),
        ("detected_level, level", "count_over_time", " | drop __error__", |_| Some(1.0)),
        ("s, detected_level", "bytes_over_time", "", |row| Some(row.line.len() as f64)),
        ("s", "bytes_over_time", " | detected_level=\"error\"", |row| {
            (row.level == Some("error")).then_some(row.line.len() as f64)
        }),
        ("", "count_over_time", " | s!=\"1\" | detected_level!=\"info\"", |row| {
            (row.stream != 1 && row.level != Some("info")).then_some(1.0)
        }),
        ("trace_id", "count_over_time", "", |_| Some(1.0)),
        ("s", "count_over_time", " |= \"err\"", |row| row.line.contains("err").then_some(1.0)),
        ("detected_level, s", "bytes_over_time", " != \"500\" | trace_id!=\"t1\"", |row| {
            (!row.line.contains("500") && row.trace != Some(1)).then_some(row.line.len() as f64)
        }),
        ("detected_level, trace_id", "count_over_time", " | s!=\"0\" |~ \"a|b\" |= \"b\"", |row| {
            (row.stream != 0 && row.line.contains('b')).then_some(1.0)
        }),
        ("trace_id, s", "count_over_time", " | trace_id!=\"\"", |row| row.trace.map(|_| 1.0)),
    ];
    prop::sample::select(leaves)
}

/// The sum of each group at each step, as `labels time value`, sorted.
fn sums(segments: &[Vec<Row>], leaf: &Counted, steps: &[i64], length_ns: i64) -> Vec<String> {
    let distinct: BTreeSet<&Row> = segments.iter().flatten().collect();
    let mut sums: BTreeMap<(String, i64), f64> = BTreeMap::new();
    for row in distinct {
        let Some(value) = (leaf.3)(row) else { continue };
        let stream = row.stream.to_string();
        let entry = row.entry();
        let labels = leaf.0.split(", ").filter_map(|name| {
            let value = if name == "s" { Some(stream.as_str()) } else { entry.metadata.get(name) };
            Some((name, value?))
        });
        let labels = Labels::from_pairs(labels).to_string();
        for step in steps.iter().filter(|step| (**step - length_ns..**step).contains(&(row.timestamp_ns() - 1))) {
            *sums.entry((labels.clone(), *step / 1_000_000)).or_default() += value;
        }
    }
    sums.into_iter().map(|((labels, step), value)| format!("{labels} {step} {value}")).collect()
}

const RANGE: When = When::Range { start_ns: START_NS, end_ns: START_NS + HOUR_NS, step_ns: HOUR_NS, interval_ns: 0 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Needles are cut from lines and from thin air.
    #[test]
    fn pruning_never_drops_a_match(segments in segments(), needle in line(), cut in 0usize..8, length in 0usize..8) {
        let lines: Vec<&String> = segments.iter().flatten().map(|row| &row.line).collect();
        let piece: String = lines[cut % lines.len()].chars().skip(cut).take(length).collect();
        for needle in [&needle, &piece] {
            let quoted = model::quote(needle);
            let got = found(ask(&segments, &format!("{{s=~\".+\"}} |= {quoted}"), RANGE));
            prop_assert_eq!(got, naive(&segments, |row| row.line.contains(needle.as_str())));
            let pattern = model::quote(&format!("{}( |=|5)", regex_syntax::escape(needle)));
            let got = found(ask(&segments, &format!("{{s=~\".+\"}} |~ {pattern}"), RANGE));
            let ends = [" ", "=", "5"].map(|end| format!("{needle}{end}"));
            prop_assert_eq!(got, naive(&segments, |row| ends.iter().any(|end| row.line.contains(end))));
        }
    }

    /// Pieces of lines in another case, joined by all that a regular expression may put between them.
    #[test]
    fn grams_never_drop_a_match(
        segments in segments_of(cased_line), pieces in prop::collection::vec((0usize..9, 0usize..12, 3usize..9, 0u8..3), 2),
        shape in 0usize..9,
    ) {
        let lines: Vec<&String> = segments.iter().flatten().map(|row| &row.line).collect();
        let pieces: Vec<String> = pieces.iter().map(|(line, from, length, case)| {
            let piece: String = lines[line % lines.len()].chars().skip(*from).take(*length).collect();
            match case { 0 => piece, 1 => piece.to_uppercase(), _ => piece.to_lowercase() }
        }).collect();
        let (p, q) = (&pieces[0], &pieces[1]);
        let pattern = match shape {
            0 => format!("(?i){p}"),
            1 => format!("{p}|{q}"),
            2 => format!("(?i){p}|{q}"),
            3 => format!("(?i)({p})? ?{q}"),
            4 => format!("{p}.*{q}"),
            5 => format!("(?i)({p})+{q}"),
            6 => format!("(?i)x?({p} ){{1}}|{q}$"),
            7 => format!("(?i)\\b{p}[x ]({q}|panic)?"),
            _ => format!("(?i:{p}){q}*"),
        };
        let translated = logql::regexp::translate(&pattern).expect("a pattern");
        let regex = regex::Regex::new(&translated).expect("a pattern");
        let got = found(ask(&segments, &format!("{{s=~\".+\"}} |~ {}", model::quote(&pattern)), RANGE));
        prop_assert_eq!(got, naive(&segments, |row| regex.is_match(&row.line)), "{}", pattern);
        let got = found(ask(&segments, &format!("{{s=~\".+\"}} |= {}", model::quote(p)), RANGE));
        prop_assert_eq!(got, naive(&segments, |row| row.line.contains(p)));
    }

    #[test]
    fn metadata_is_found_by_pair(segments in segments(), trace in 0u8..5) {
        let got = found(ask(&segments, &format!("{{s=~\"0|1\"}} | trace_id=\"t{trace}\""), RANGE));
        prop_assert_eq!(got, naive(&segments, |row| row.stream < 2 && row.trace == Some(trace)));
    }

    /// Filters that are asked of a block's columns first, beside some that are not: the stream's label, and names that no row has.
    #[test]
    fn metadata_filters_drop_what_they_should(segments in segments(), trace in 0u8..5, other in 0u8..3) {
        let is = |row: &Row| row.trace == Some(trace);
        let check = |filter: &str, keeps: &dyn Fn(&Row) -> bool| {
            let got = found(ask(&segments, &format!("{{s=~\".+\"}} {filter}"), RANGE));
            prop_assert_eq!(got, naive(&segments, keeps), "{}", filter);
            Ok(())
        };
        check(&format!("| trace_id!=\"t{trace}\""), &|row| !is(row))?;
        check(&format!("| trace_id=~\"t{trace}|\""), &|row| is(row) || row.trace.is_none())?;
        check("| trace_id=\"\"", &|row| row.trace.is_none())?;
        check("| trace_id!~\".+\" | detected_level=\"error\"", &|row| row.trace.is_none() && row.level == Some("error"))?;
        check(&format!("| s=\"{other}\" | trace_id=\"t{trace}\""), &|row| row.stream == other && is(row))?;
        check(&format!("|= \"a\" | trace_id=\"t{trace}\" and s!=\"{other}\""), &|row| {
            row.line.contains('a') && is(row) && row.stream != other
        })?;
        check(&format!("| trace_id=\"t{trace}\" or s=\"{other}\""), &|row| is(row) || row.stream == other)?;
        check("| nosuch=\"\" | __error__=\"\" | s_extracted=\"\"", &|_| true)?;
        check("| nosuch=\"x\"", &|_| false)?;
    }

    #[test]
    fn an_entry_in_two_segments_counts_once(segments in segments()) {
        let when = When::Instant { time_ns: START_NS + HOUR_NS };
        let counted = |query: &str| match ask(&segments, query, when) {
            Value::Vector(samples) => samples.iter().map(|sample| sample.point.value).sum::<f64>(),
            other => panic!("{other:?}"),
        };
        let all = naive(&segments, |_| true).len() as f64;
        // By times alone, by lengths alone, by lines, and with metadata in the labels.
        prop_assert_eq!(counted("sum(count_over_time({s=~\".+\"}[1h]))"), all);
        prop_assert_eq!(counted("sum(count_over_time({s=~\".+\"} |~ \".*\" [1h]))"), all);
        prop_assert_eq!(counted("count_over_time({s=~\".+\"}[1h])"), all);
        let distinct: BTreeSet<&Row> = segments.iter().flatten().collect();
        let bytes: usize = distinct.iter().map(|row| row.line.len()).sum();
        prop_assert_eq!(counted("sum(bytes_over_time({s=~\".+\"}[1h]))"), bytes as f64);
    }

    /// Windows of any length at any second: what the footers counted by the minute, the minutes that an edge cuts, and
    /// what lies in two segments must add up.
    #[test]
    fn counts_are_those_of_the_entries(
        segments in segments(), leaf in counted(), start in 0i64..200, step in 1i64..150, length in 1i64..200, whole: bool,
    ) {
        let unit_ns = if whole { 60 * SECOND_NS } else { SECOND_NS };
        let (step_ns, length_ns) = ((step % 4 + 1) * unit_ns, (length % 130 + 1) * unit_ns);
        let start_ns = if whole { START_NS } else { START_NS + start * SECOND_NS };
        let when = When::Range { start_ns, end_ns: start_ns + 7 * step_ns, step_ns, interval_ns: 0 };
        let steps: Vec<i64> = (0..=7).map(|step| start_ns + step * step_ns).collect();
        let (grouping, op, stages, _) = leaf;
        let query = format!("sum by ({grouping}) ({op}({{s=~\".+\"}}{stages}[{}s]))", length_ns / SECOND_NS);
        let Value::Matrix(series) = ask(&segments, &query, when) else { panic!("a matrix") };
        let points = series.iter().flat_map(|one| one.points.iter().map(|point| (&one.labels, point)));
        let mut got: Vec<String> =
            points.map(|(labels, point)| format!("{labels} {} {}", point.timestamp_ms, point.value)).collect();
        let mut want = sums(&segments, &leaf, &steps, length_ns);
        got.sort();
        want.sort();
        prop_assert_eq!(got, want, "{}", query);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A query asked of a cold engine makes the requests that another cold engine foretold, or fewer where it said so.
    #[test]
    fn what_is_explained_is_what_is_read(
        segments in segments(),
        query in prop::sample::select(EXPLAINED.to_vec()),
        limit in 1usize..30,
        forward in any::<bool>(),
        (start_s, end_s) in (0i64..240, 0i64..240),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let settings = EngineSettings {
                whole_object_bytes_max: 0,
                tail_bytes: 64,
                coalesce_gap_bytes_max: 16,
                decode_concurrency_max: 1,
                blocks_ahead_max: 1,
                ..EngineSettings::default()
            };
            let at = |second: i64| START_NS + second * SECOND_NS;
            let when = When::Range {
                start_ns: at(start_s.min(end_s)),
                end_ns: at(start_s.max(end_s)),
                step_ns: 60 * SECOND_NS,
                interval_ns: 0,
            };
            let request = QueryRequest {
                tenants: vec![TenantId::single()],
                query: query.to_owned(),
                when,
                direction: if forward { Direction::Forward } else { Direction::Backward },
                limit,
                limits: Limits::default(),
                partial_series: false,
            };
            let store = store(&segments).await;
            let cold = || Engine::new(store.clone(), settings.clone());
            let said = cold().explain(request.clone()).await.expect("an explanation");
            let stats = cold().query(request).await.expect("an answer").stats;
            let (reads, read) = (said.reads(), (stats.store_requests, stats.store_bytes));
            if said.exact {
                assert_eq!((reads.requests(), reads.bytes), read, "{said:#?}");
            } else {
                assert!(reads.requests() >= read.0 && reads.bytes >= read.1, "{read:?}, {said:#?}");
            }
        });
    }
}

/// A query of each way that a query may take through the engine.
const EXPLAINED: [&str; 8] = [
    r#"{s=~".+"}"#,
    r#"{s="1"} | logfmt"#,
    r#"{s=~".+"} |= "500""#,
    r#"{s="0"} | trace_id="t1""#,
    r#"count_over_time({s=~".+"}[1m])"#,
    r#"sum(bytes_over_time({s="1"} |= "err" [2m])) / sum(count_over_time({s="1"}[1m]))"#,
    r#"sum by (trace_id) (count_over_time({s=~".+"}[1m]))"#,
    r#"sum by (x) (count_over_time({s=~".+"} | logfmt | x!="" [30s]))"#,
];
