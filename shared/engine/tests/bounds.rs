//! However little may be open at once or kept: answers are the same, and a segment is asked of the store no more than once a question.

use std::collections::BTreeSet;

use engine::{
    Direction, Engine, EngineSettings, IndexStats, LabelsRequest, Limits, QueryRequest, VolumeBy, VolumeRequest, When,
};
use model::{Day, Entry, Labels, TenantId, TimeRange, Value};
use store::{FreshKey, Store, StoreUrl};

/// 2026-11-20T10:00:00Z.
const START_NS: i64 = 1_795_168_800_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// Segments, each of two minutes; a minute lies in two of them, and a few of its entries too.
const SEGMENTS: i64 = 30;

const QUESTIONS: [&str; 6] = [
    r#"{s=~".+"} |= "nowhere""#,
    r#"{s="1"} |= "line 7""#,
    r#"sum by (s) (rate({s=~".+"} |= "line" [1m]))"#,
    r#"sum by (s) (count_over_time({s=~".+"}[5m]))"#,
    r#"sum by (detected_level) (bytes_over_time({s=~".+"}[90s]))"#,
    r#"sum(count_over_time({s="1"}[7m])) / sum(count_over_time({s=~".+"}[7m]))"#,
];

fn entry(at_s: i64) -> (Labels, Entry) {
    let metadata = Labels::from_pairs([("detected_level", if at_s % 5 == 0 { "error" } else { "info" })]);
    let stream = Labels::from_pairs([("s", (at_s % 3).to_string())]);
    (stream, Entry { timestamp_ns: START_NS + at_s * SECOND_NS, line: format!("a line {at_s} of text"), metadata })
}

/// The seconds of a segment's entries: odd ones belong to one of two segments, multiples of 20 to both.
fn seconds(segment: i64) -> impl Iterator<Item = i64> {
    let within = (0..120).filter(move |at| at % 20 == 0 || (at + segment) % 2 == 0);
    within.map(move |at| segment * 60 + at)
}

async fn stored() -> Store {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    for segment in 0..SEGMENTS {
        let entries: Vec<(Labels, Entry)> = seconds(segment).map(entry).collect();
        let mut writer = segment::Writer::new(segment::Options::default());
        entries.iter().for_each(|(stream, entry)| writer.add(stream, std::slice::from_ref(entry)));
        let built = writer.finish().expect("a segment");
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: segment as u128, rows: built.rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
    }
    store
}

fn engine(store: &Store, open: u64, footers: usize, blocks: usize) -> Engine {
    let settings = EngineSettings {
        open_bytes_max: open,
        footer_cache_bytes_max: footers,
        block_cache_memory_bytes_max: blocks,
        ..EngineSettings::default()
    };
    Engine::new(store.clone(), settings)
}

fn request(query: &str) -> QueryRequest {
    let (start_ns, end_ns) = (START_NS, START_NS + 3600 * SECOND_NS);
    QueryRequest {
        tenants: vec![TenantId::single()],
        query: query.to_owned(),
        when: When::Range { start_ns, end_ns, step_ns: 60 * SECOND_NS, interval_ns: 0 },
        direction: Direction::Backward,
        limit: 5000,
        limits: Limits::default(),
        partial_series: false,
    }
}

/// The answers to everything, and the requests of each.
async fn ask_all(engine: &Engine, store: &Store) -> (Vec<Value>, IndexStats, Vec<Labels>, Vec<u64>) {
    let (mut values, mut requests) = (Vec::new(), Vec::new());
    let (start_ns, end_ns) = (START_NS, START_NS + 3600 * SECOND_NS);
    for query in QUESTIONS {
        let answer = engine.query(request(query)).await.expect("an answer");
        values.push(answer.value);
        requests.push(answer.stats.store_requests);
    }
    let of = LabelsRequest {
        tenants: vec![TenantId::single()],
        selectors: vec![r#"{s=~".+"}"#.to_owned()],
        range: TimeRange::new(start_ns, end_ns).expect("a range"),
    };
    for step_ns in [0, 60 * SECOND_NS] {
        let by = VolumeBy::Series(Vec::new());
        let request =
            VolumeRequest { of: of.clone(), by, step_ns, limit: 100, series_max: 0, limits: Limits::default() };
        let answer = engine.volume(request).await.expect("an answer");
        values.push(answer.value);
        requests.push(answer.stats.store_requests);
    }
    let before = store.counters().snapshot().requests();
    let stats = engine.index_stats(of.clone(), &Limits::default()).await.expect("figures");
    requests.push(store.counters().snapshot().requests() - before);
    (values, stats, engine.series(of).await.expect("streams"), requests)
}

#[tokio::test]
async fn answers_do_not_depend_on_what_is_open_at_once() {
    let store = stored().await;
    let (values, stats, series, all) = ask_all(&engine(&store, 32 << 20, 32 << 20, 0), &store).await;
    let distinct: BTreeSet<i64> = (0..SEGMENTS).flat_map(seconds).collect();
    assert_eq!(stats.entries, distinct.len() as u64, "{stats:?}");
    assert_eq!(all[0], SEGMENTS as u64 + 1, "one LIST, and each small segment by one GET");
    let size = store.segments(&TenantId::single(), TimeRange::new(0, i64::MAX).expect("a range")).await;
    let size = size.expect("listed").iter().map(|segment| segment.size).max().expect("a segment");
    for open in [1, 3 * size, 10 * size] {
        for (footers, blocks) in [(32 << 20, 1 << 20), (10_000, 0), (0, 0)] {
            let little = engine(&store, open, footers, blocks);
            let got = ask_all(&little, &store).await;
            assert_eq!((&got.0, got.1, &got.2), (&values, stats, &series), "{open} {footers}");
            // The last question has two parts, each with a listing.
            for (question, requests) in got.3.iter().enumerate() {
                let parts = if question == 5 { 2 } else { 1 };
                assert!(*requests <= parts * (SEGMENTS as u64 + 1), "{question} {open} {footers}: {requests}");
            }
        }
    }
}

#[tokio::test]
async fn footers_stay_where_blocks_must_go() {
    let store = stored().await;
    // Room for footers, but not for blocks.
    let little = engine(&store, 32 << 20, 60_000, 1 << 20);
    let (first, ..) = ask_all(&little, &store).await;
    let (second, .., requests) = ask_all(&little, &store).await;
    assert_eq!(first, second);
    assert_eq!(requests[0], 1, "nothing but the LIST: {requests:?}");
    // What was asked of the blocks is in the other cache.
    assert_eq!(requests[3], 1, "{requests:?}");
}

/// A segment of many blocks, as a merge writes it, is asked for neighbours together.
#[tokio::test]
async fn neighbouring_blocks_are_read_by_one_request() {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    let entries: Vec<(Labels, Entry)> = (0..3600).map(entry).collect();
    let mut writer = segment::Writer::new(segment::Options { block_bytes_max: 2 << 10, ..segment::Options::default() });
    entries.iter().for_each(|(stream, entry)| writer.add(stream, std::slice::from_ref(entry)));
    let built = writer.finish().expect("a segment");
    let (min_ts, max_ts) = (built.min_ts, built.max_ts);
    let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: 1, rows: built.rows };
    store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
    let asked = async |gap: u64| {
        let settings = EngineSettings {
            whole_object_bytes_max: 0,
            tail_bytes: 1 << 10,
            coalesce_gap_bytes_max: gap,
            block_cache_memory_bytes_max: 0,
            ..EngineSettings::default()
        };
        let engine = Engine::new(store.clone(), settings);
        let request = request(QUESTIONS[2]);
        let said = engine.explain(request.clone()).await.expect("figures");
        // The footer is kept, so that what is left are the listing and the blocks.
        let answer = engine.query(request).await.expect("an answer");
        assert_eq!(said.blocks.requests() + 1, answer.stats.store_requests);
        (answer.value, answer.stats.blocks_read, answer.stats.store_requests)
    };
    let (near, apart) = (asked(128 << 10).await, asked(0).await);
    assert_eq!((near.0, near.1), (apart.0, apart.1));
    assert!(near.1 > 30, "{} blocks", near.1);
    assert_eq!((near.2, apart.2), (2, near.1 + 1), "the listing, and all blocks at once or each by itself");
}
