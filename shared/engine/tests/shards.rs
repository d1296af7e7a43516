//! A question that is cut gives the answer of the same question asked whole, however it is cut and whatever becomes of its shards.
//!
//! The leaves are engines over the same store, behind a way that loses, breaks or refuses shards. Counts, texts, minima and the like
//! must be equal to the bit; sums of fractions may differ in the last digits, since they are added in another order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{
    Answer, Direction, Engine, EngineSettings, Error, FanOut, FanOutSettings, ForgetSettings, Leaves, Limits, Policy,
    QueryRequest, Undone, When,
};
use futures::future::{BoxFuture, FutureExt as _};
use model::{Day, Entry, Labels, Point, Series, TenantId, Value};
use proptest::prelude::*;
use store::{FreshKey, Store, StoreUrl};

/// 2026-11-20T23:30:00Z: an hour of entries lies on both sides of midnight.
const START_NS: i64 = 1_795_217_400_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);

/// What becomes of a shard on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    Throttled,
    Stuck,
    Garbled,
    CutOff,
}

/// Leaves whose shards meet these fates in turn.
struct Way {
    engine: Engine,
    fates: Vec<Fate>,
    asked: AtomicUsize,
}

impl Leaves for Way {
    fn ask(&self, shard: Bytes) -> BoxFuture<'_, Result<Bytes, Undone>> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let fate = self.fates.get(turn % self.fates.len().max(1)).copied().unwrap_or(Fate::Answered);
        async move {
            if fate == Fate::Stuck {
                std::future::pending::<()>().await;
            }
            if fate == Fate::Throttled {
                return Err(Undone("throttled".to_owned()));
            }
            let answer = self.engine.answer_shard(&shard).await.map_err(|error| Undone(error.to_string()))?;
            Ok(match fate {
                Fate::Garbled => answer.iter().map(|byte| byte ^ 0x55).collect(),
                Fate::CutOff => answer[..answer.len() / 2].to_vec().into(),
                _ => answer.into(),
            })
        }
        .boxed()
    }
}

/// An entry as the test makes it.
#[derive(Debug, Clone)]
struct Row {
    stream: u8,
    second: u16,
    number: i32,
    level: Option<&'static str>,
}

impl Row {
    /// Unlike entries have unlike times, since nobody says which of two is the last. Some lie exactly where a minute ends.
    fn timestamp_ns(&self) -> i64 {
        let level = self.level.map_or(0, |level| level.len() as i64);
        let beside_ns = i64::from(self.number + 20) * 100 + i64::from(self.stream) * 10 + level;
        START_NS + i64::from(self.second) * 4 * SECOND_NS + beside_ns
    }

    fn entry(&self) -> Entry {
        let metadata = self.level.map(|level| ("detected_level", level));
        let padding = "x".repeat(self.second as usize % 7);
        let line = format!("v={}.5 d={}ms {padding}", self.number, self.number.unsigned_abs());
        Entry { timestamp_ns: self.timestamp_ns(), line, metadata: metadata.into_iter().collect() }
    }
}

fn row() -> impl Strategy<Value = Row> {
    let level = prop::sample::select(vec![None, Some("info"), Some("error")]);
    (0u8..3, 0u16..900, prop_oneof![Just(-20), -20i32..100], level).prop_map(|(stream, second, number, level)| Row {
        stream,
        second,
        number,
        level,
    })
}

/// Segments of rows; those of `shared` lie in several of them.
fn segments() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let own = prop::collection::vec(prop::collection::vec(row(), 1..16), 1..8);
    (own, prop::collection::vec((row(), 0usize..9, 0usize..9), 0..8)).prop_map(|(mut segments, shared)| {
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
        for day in [Day::of(START_NS), Day::of(START_NS + 3600 * SECOND_NS)] {
            let options = segment::Options { block_bytes_max: 60, block_bytes_min: 30, ..Default::default() };
            let of_day = rows
                .iter()
                .map(|row| (row.stream, row.entry()))
                .filter(|(_, entry)| Day::of(entry.timestamp_ns) == day);
            let entries: Vec<(Labels, Entry)> =
                of_day.map(|(stream, entry)| (Labels::from_pairs([("s", stream.to_string())]), entry)).collect();
            let mut writer = segment::Writer::new(options);
            for (labels, entry) in &entries {
                writer.add(labels, std::slice::from_ref(entry));
            }
            if !entries.is_empty() {
                let built = writer.finish().expect("a segment");
                let key = FreshKey {
                    day,
                    min_ts: built.min_ts,
                    max_ts: built.max_ts,
                    batch_id: batch as u128,
                    rows: built.rows,
                };
                store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
            }
        }
    }
    store
}

const LOGS: &[&str] =
    &[r#"{s=~".+"}"#, r#"{s=~"0|1"} |= "5" != "xx""#, r#"{s=~".+"} | logfmt | v>20 | line_format "{{.d}}""#];

/// Every fold, and expressions around them.
const METRICS: &[&str] = &[
    r#"count_over_time({s=~".+"}[5m])"#,
    r#"sum by (detected_level) (count_over_time({s=~".+"}[1m]))"#,
    r#"sum(rate({s=~".+"} |= "5"[7m]))"#,
    r#"sum by (s) (bytes_over_time({s=~".+"}[10m]))"#,
    r#"bytes_rate({s="1"}[3m])"#,
    r#"sum by (s) (sum_over_time({s=~".+"} | logfmt | unwrap v [6m]))"#,
    r#"rate({s=~".+"} | logfmt | unwrap v [6m])"#,
    r#"avg_over_time({s=~".+"} | logfmt | unwrap v [6m]) by (s)"#,
    r#"min_over_time({s=~".+"} | logfmt | unwrap v [6m]) by (s)"#,
    r#"max_over_time({s=~".+"} | logfmt | unwrap v [6m])"#,
    r#"first_over_time({s=~".+"} | logfmt | unwrap v [6m]) by (s)"#,
    r#"last_over_time({s=~".+"} | logfmt | unwrap duration(d) [6m]) by (s)"#,
    r#"stddev_over_time({s=~".+"} | logfmt | unwrap v [6m]) by (s)"#,
    r#"stdvar_over_time({s=~".+"} | logfmt | unwrap v [6m]) by (s)"#,
    r#"quantile_over_time(0.7, {s=~".+"} | logfmt | unwrap v [6m]) by (s)"#,
    r#"rate_counter({s=~".+"} | logfmt | unwrap v [6m])"#,
    r#"absent_over_time({s="1"} |= "99"[3m])"#,
    r#"topk(2, sum by (s) (count_over_time({s=~".+"}[10m])))"#,
    r#"sum(rate({s="0"}[5m])) / sum(rate({s=~".+"}[8m] offset 2m)) > 0.1"#,
    r#"label_replace(count_over_time({s=~".+"}[5m]), "t", "x$1", "s", "(.*)") or vector(1)"#,
];

fn request(query: &str, when: When, direction: Direction, limit: usize) -> QueryRequest {
    let limits = Limits { split_queries_by_interval: Duration::ZERO, ..Limits::default() };
    let tenants = vec![TenantId::single()];
    QueryRequest { tenants, query: query.to_owned(), when, direction, limit, limits, partial_series: false }
}

fn fan_out(engine: &Engine, fates: &[Fate], slice_bytes: u64) -> (Engine, Arc<Way>) {
    let way = Arc::new(Way { engine: engine.clone(), fates: fates.to_vec(), asked: AtomicUsize::new(0) });
    let settings = FanOutSettings {
        shards_max: 12,
        bytes_per_shard: slice_bytes,
        concurrency_max: 3,
        ..FanOutSettings::default()
    };
    (engine.clone().with_fan_out(FanOut { leaves: way.clone(), settings }), way)
}

/// With the paused clock a leaf that is stuck costs no time.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

fn close(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

fn same(query: &str, whole: &Value, cut: &Value) -> bool {
    let inexact = ["sum_over", "avg_over", "stddev", "stdvar", "unwrap v [6m])"].iter().any(|op| query.contains(op));
    let points = |a: &[Point], b: &[Point]| {
        let same = |(a, b): (&Point, &Point)| a.timestamp_ms == b.timestamp_ms && close(a.value, b.value);
        a.len() == b.len() && a.iter().zip(b).all(same)
    };
    let series = |(a, b): (&Series, &Series)| a.labels == b.labels && points(&a.points, &b.points);
    match (whole, cut) {
        (Value::Matrix(a), Value::Matrix(b)) if inexact => a.len() == b.len() && a.iter().zip(b).all(series),
        // NaN is not equal to itself; printed it is.
        _ => format!("{whole:?}") == format!("{cut:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn metrics_are_those_of_the_whole(
        segments in segments(), query in prop::sample::select(METRICS.to_vec()), slice_bytes in 200u64..4000,
        (start, length, step) in (0i64..1800, 1i64..3600, 1i64..400), fates in fates(),
    ) {
        run(async {
            let engine = Engine::new(store(&segments).await, EngineSettings::default());
            let (start_ns, step_ns) = (START_NS + start * SECOND_NS, step * SECOND_NS);
            let end_ns = start_ns + length * SECOND_NS;
            let when = When::Range { start_ns, end_ns, step_ns, interval_ns: 0 };
            let asked = request(query, when, Direction::Forward, 0);
            let whole = engine.query(asked.clone()).await.expect("an answer");
            let (fanned, way) = fan_out(&engine, &fates, slice_bytes);
            let cut = fanned.query(asked).await.expect("an answer");
            prop_assert!(same(query, &whole.value, &cut.value), "{query}\n{:?}\n{:?}", whole.value, cut.value);
            check_stats(&whole, &cut, &way, &fates)
        })?;
    }

    #[test]
    fn entries_are_those_of_the_whole(
        segments in segments(), query in prop::sample::select(LOGS.to_vec()), slice_bytes in 200u64..4000,
        (start, length, limit) in (0i64..1800, 1i64..3600, 1usize..80), backward: bool, fates in fates(),
    ) {
        run(async {
            let engine = Engine::new(store(&segments).await, EngineSettings::default());
            let start_ns = START_NS + start * SECOND_NS;
            let when = When::Range { start_ns, end_ns: start_ns + length * SECOND_NS, step_ns: SECOND_NS, interval_ns: 0 };
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let asked = request(query, when, direction, limit);
            let whole = engine.query(asked.clone()).await.expect("an answer");
            let (fanned, way) = fan_out(&engine, &fates, slice_bytes);
            let cut = fanned.query(asked).await.expect("an answer");
            prop_assert_eq!(&whole.value, &cut.value);
            check_stats(&whole, &cut, &way, &fates)
        })?;
    }
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let all =
        [Fate::Answered, Fate::Answered, Fate::Answered, Fate::Throttled, Fate::Stuck, Fate::Garbled, Fate::CutOff];
    prop_oneof![Just(Vec::new()), prop::collection::vec(prop::sample::select(all.to_vec()), 1..6)]
}

/// Every shard is counted, and so is every one that came to nothing.
fn check_stats(whole: &Answer, cut: &Answer, way: &Way, fates: &[Fate]) -> Result<(), TestCaseError> {
    let asked = way.asked.load(Ordering::Relaxed);
    prop_assert!(cut.stats.shards as usize >= cut.stats.shards_undone as usize);
    prop_assert!(cut.stats.shards as usize >= asked, "{:?} {asked}", cut.stats);
    if fates.iter().all(|fate| *fate == Fate::Answered) {
        prop_assert_eq!(cut.stats.shards_undone, 0);
    } else if fates.iter().all(|fate| *fate != Fate::Answered) {
        // Log queries stop when they have enough: what was asked by then is not waited for.
        let enough = matches!(cut.value, Value::Entries(_)) && cut.stats.shards_undone > 0;
        prop_assert!(enough || cut.stats.shards_undone == cut.stats.shards, "{:?}", cut.stats);
    }
    prop_assert_eq!(whole.stats.segments, cut.stats.segments);
    prop_assert_eq!(whole.stats.entries_returned, cut.stats.entries_returned);
    Ok(())
}

/// Eight hundred entries of three streams, in eight segments.
fn many() -> Vec<Vec<Row>> {
    let row = |n: i32| Row { stream: (n % 3) as u8, second: n as u16, number: n % 90, level: None };
    (0..8).map(|part| (part * 100..part * 100 + 100).map(row).collect()).collect()
}

fn hour() -> When {
    When::Range { start_ns: START_NS, end_ns: START_NS + 3600 * SECOND_NS, step_ns: 60 * SECOND_NS, interval_ns: 0 }
}

#[test]
fn a_full_answer_asks_no_further() {
    run(async {
        let engine = Engine::new(store(&many()).await, EngineSettings::default());
        for (query, limit, want) in
            [(r#"{s=~".+"}"#, 30, 0..=0), (r#"{s=~".+"}"#, 200, 2..=5), (r#"{s="7"} |= "no""#, 9, 8..=12)]
        {
            let (fanned, way) = fan_out(&engine, &[], 1);
            let got = fanned.query(request(query, hour(), Direction::Backward, limit)).await.expect("an answer");
            let asked = way.asked.load(Ordering::Relaxed);
            assert!(want.contains(&asked), "{query} {limit}: {asked} shards, {:?}", got.stats);
        }
    });
}

#[test]
fn what_a_leaf_reads_is_counted() {
    run(async {
        let engine =
            |store| Engine::new(store, EngineSettings { footer_cache_bytes_max: 0, ..EngineSettings::default() });
        let store = store(&many()).await;
        let (fanned, _) = fan_out(&engine(store.clone()), &[], 1);
        let before = store.counters().snapshot();
        let asked = request(r#"sum(count_over_time({s=~".+"} |= "v"[5m]))"#, hour(), Direction::Forward, 0);
        let got = fanned.query(asked).await.expect("an answer").stats;
        let after = store.counters().snapshot();
        assert_eq!(got.store_requests, after.requests() - before.requests());
        assert_eq!(got.store_bytes, after.bytes_in - before.bytes_in);
        assert!(got.shards >= 8 && got.shards_undone == 0 && got.lines >= 800, "{got:?}");
    });
}

#[test]
fn an_answer_that_is_too_large_is_made_by_the_root() {
    run(async {
        let engine = Engine::new(store(&many()).await, EngineSettings::default());
        let way = Arc::new(Way { engine: engine.clone(), fates: Vec::new(), asked: AtomicUsize::new(0) });
        let settings = FanOutSettings { bytes_per_shard: 1, answer_bytes_max: 100, ..FanOutSettings::default() };
        let fanned = engine.clone().with_fan_out(FanOut { leaves: way, settings });
        let asked =
            request(r#"quantile_over_time(0.5, {s=~".+"} | logfmt | unwrap v [9m])"#, hour(), Direction::Forward, 0);
        let (whole, cut) = (engine.query(asked.clone()).await.expect("whole"), fanned.query(asked).await.expect("cut"));
        assert_eq!(format!("{:?}", whole.value), format!("{:?}", cut.value));
        assert!(cut.stats.shards > 8 && cut.stats.shards == cut.stats.shards_undone, "{:?}", cut.stats);
    });
}

#[test]
fn leaves_forget_what_is_past_for_the_root() {
    run(async {
        let store = store(&many()).await;
        let engine = |minutes_ahead: i64| {
            let keep_an_hour = |_: &TenantId| ForgetSettings { retention_period: HOUR, ..ForgetSettings::default() };
            let now_ns = START_NS + (70 + minutes_ahead) * 60 * SECOND_NS;
            Engine::new(store.clone(), EngineSettings::default()).heeding(Policy::new(keep_an_hour, move || now_ns))
        };
        let (root, leaf) = (engine(0), engine(20));
        let way = Arc::new(Way { engine: leaf.clone(), fates: Vec::new(), asked: AtomicUsize::new(0) });
        let settings = FanOutSettings { bytes_per_shard: 1, ..FanOutSettings::default() };
        let fanned = root.clone().with_fan_out(FanOut { leaves: way, settings });
        let asked = request(r#"sum(count_over_time({s=~".+"}[5m]))"#, hour(), Direction::Forward, 0);
        let whole = format!("{:?}", root.query(asked.clone()).await.expect("whole").value);
        let cut = fanned.query(asked.clone()).await.expect("cut");
        assert_eq!(whole, format!("{:?}", cut.value));
        assert!(cut.stats.shards >= 8 && cut.stats.shards_undone == 0, "{:?}", cut.stats);
        assert_ne!(whole, format!("{:?}", leaf.query(asked).await.expect("later").value), "later more is past");
    });
}

#[test]
fn a_bound_on_bytes_keeps_the_rest_here() {
    run(async {
        let store = store(&many()).await;
        let segments = store.segments(&TenantId::single(), model::TimeRange::new(0, i64::MAX).expect("a range")).await;
        let bytes: u64 = segments.expect("listed").iter().map(|segment| segment.size).sum();
        let engine = Engine::new(store, EngineSettings::default());
        let way = Arc::new(Way { engine: engine.clone(), fates: Vec::new(), asked: AtomicUsize::new(0) });
        let settings = FanOutSettings { bytes_per_shard: bytes / 8, bytes_max: bytes / 2, ..FanOutSettings::default() };
        let fanned = engine.clone().with_fan_out(FanOut { leaves: way.clone(), settings });
        let asked = request(r#"sum(count_over_time({s=~".+"}[5m]))"#, hour(), Direction::Forward, 0);
        let cut = fanned.query(asked).await.expect("an answer").stats;
        assert!((1..=4).contains(&cut.shards) && cut.shards_undone == 0, "{cut:?}");
    });
}

#[test]
fn an_error_of_the_question_is_the_same() {
    run(async {
        let engine = Engine::new(store(&many()).await, EngineSettings::default());
        let (fanned, _) = fan_out(&engine, &[], 1);
        let asked =
            request(r#"sum by (s) (sum_over_time({s=~".+"} | logfmt | unwrap d [5m]))"#, hour(), Direction::Forward, 0);
        let (whole, cut) = (engine.query(asked.clone()).await, fanned.query(asked).await);
        let (Err(Error::Invalid(whole)), Err(Error::Invalid(cut))) = (whole, cut) else { panic!("an error each") };
        assert!(whole.starts_with("pipeline error: 'SampleExtractionErr'"), "{whole}");
        assert!(cut.starts_with("pipeline error: 'SampleExtractionErr'"), "{cut}");
    });
}

#[test]
fn a_leaf_reads_no_other_tenant() {
    run(async {
        struct Spy(std::sync::Mutex<Vec<Bytes>>);
        impl Leaves for Spy {
            fn ask(&self, shard: Bytes) -> BoxFuture<'_, Result<Bytes, Undone>> {
                self.0.lock().expect("a lock").push(shard);
                async { Err(Undone("not today".to_owned())) }.boxed()
            }
        }
        let store = store(&many()).await;
        let engine = Engine::new(store, EngineSettings::default());
        let spy = Arc::new(Spy(std::sync::Mutex::default()));
        let settings = FanOutSettings { bytes_per_shard: 1, ..FanOutSettings::default() };
        let fanned = engine.clone().with_fan_out(FanOut { leaves: spy.clone(), settings });
        let asked = request(r#"{s="7"}"#, hour(), Direction::Forward, 9);
        fanned.query(asked).await.expect("an answer");
        let shard = spy.0.lock().expect("a lock").pop().expect("a shard");
        assert!(engine.answer_shard(&shard).await.is_ok());
        let mut other = zstd::stream::decode_all(&shard[1..]).expect("zstd");
        let at = other.windows(4).position(|bytes| bytes == b"fake").expect("the tenant");
        other[at..at + 4].copy_from_slice(b"evil");
        let other = [&shard[..1], &zstd::encode_all(other.as_slice(), 1).expect("zstd")].concat();
        let refused = engine.answer_shard(&other).await.expect_err("refused").to_string();
        assert_eq!(refused, "a segment of another tenant");
    });
}
