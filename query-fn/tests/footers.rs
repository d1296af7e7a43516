//! What footers know is answered from footers: the questions of the index read no block of a segment. Bytes from the store are counted.

mod live;

use live::{Source, World};
use model::Stream;
use serde_json::Value;
use store::Counts;
use testkit::generate::{self, Plan};

/// A whole minute, long ago.
const START_S: i64 = 1_750_000_020;
const NANOS: i64 = 1_000_000_000;
const LIMITS: &str = "limits_config: {reject_old_samples: false, ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
                      per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB}";
/// Entries of a segment: so many that it is larger than what is read as a whole, and its blocks lie outside the end that is read.
const ENTRIES: usize = 16_000;
const SEGMENTS: usize = 3;
/// Of a larger segment, so much is read when it is opened.
const TAIL_BYTES: u64 = 64 << 10;
const WHOLE_BYTES: u64 = 256 << 10;

/// A segment's streams; segments follow one another ten minutes apart.
fn streams(segment: usize, entries: usize) -> Vec<Stream> {
    let start_ns = (START_S + 600 * segment as i64) * NANOS;
    let step_ns = 300 * NANOS / entries as i64;
    generate::streams(Plan { seed: 5 + segment as u64, entries, streams: 12, start_ns, step_ns })
}

fn entries<'s>(streams: impl IntoIterator<Item = &'s Stream>) -> (u64, u64) {
    let lines = streams.into_iter().flat_map(|stream| &stream.entries).map(|entry| entry.line.len() as u64);
    lines.fold((0, 0), |(count, bytes), line| (count + 1, bytes + line))
}

fn path(of: &str, rest: &str) -> String {
    let (query, end) = ("%7Bservice_name%3D~%22.%2B%22%7D", START_S + 3600);
    format!("/loki/api/v1/{of}?query={query}&start={START_S}&end={end}{rest}")
}

/// Asks, and says what it cost.
async fn ask(world: &World, path: &str) -> (Value, Counts) {
    let before = world.store.counters().snapshot();
    let (status, text) = world.get(path).await;
    assert_eq!(status, 200, "{path}: {text}");
    (serde_json::from_str(&text).expect("JSON"), world.store.counters().snapshot() - before)
}

/// All bytes of an answer about volumes, over all its series and steps.
fn volume(answer: &Value) -> u64 {
    let series = answer["data"]["result"].as_array().expect("a result").iter();
    let number = |point: &Value| point[1].as_str().and_then(|text| text.parse::<u64>().ok()).expect("a number");
    let points = series.flat_map(|series| match series["values"].as_array() {
        Some(values) => values.iter().map(number).collect::<Vec<_>>(),
        None => vec![number(&series["value"])],
    });
    points.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_of_the_index_read_no_block() {
    let world = World::start(Source::Feed, LIMITS).await;
    let all: Vec<Vec<Stream>> = (0..SEGMENTS).map(|segment| streams(segment, ENTRIES)).collect();
    for streams in &all {
        let before = world.store.counters().snapshot();
        world.push_body(&generate::push_json(streams)).await;
        let stored = world.store.counters().snapshot() - before;
        assert!(stored.puts == 1 && stored.bytes_out > WHOLE_BYTES, "not one large segment: {stored:?}");
    }
    let (count, bytes) = entries(all.iter().flatten());

    // The first question opens the segments: of each the end, and nothing else.
    let (stats, cost) = ask(&world, &path("index/stats", "")).await;
    println!("index/stats, nothing opened before: {} GETs, {} bytes", cost.gets, cost.bytes_in);
    assert_eq!((stats["entries"].as_u64(), stats["bytes"].as_u64()), (Some(count), Some(bytes)), "{stats}");
    assert_eq!((cost.gets, cost.bytes_in), (SEGMENTS as u64, SEGMENTS as u64 * TAIL_BYTES));
    for question in [
        path("index/stats", ""),
        path("index/volume", "&limit=1000"),
        path("index/volume", "&limit=1000&targetLabels=pod"),
        path("index/volume", "&limit=1000&aggregateBy=labels"),
        path("index/volume_range", "&limit=1000&step=60"),
        path("index/volume_range", "&limit=1000&step=300&targetLabels=cluster"),
    ] {
        let (answer, cost) = ask(&world, &question).await;
        println!("{question}: {} GETs, {} bytes", cost.gets, cost.bytes_in);
        match question.contains("stats") {
            true => assert_eq!(answer["bytes"].as_u64(), Some(bytes), "{question}"),
            false => assert_eq!(volume(&answer), bytes, "{question}"),
        }
        assert_eq!((cost.gets, cost.bytes_in), (0, 0), "{question}");
    }

    // A question that needs lines does read blocks, and the same counters see it.
    let metric = format!(
        "/loki/api/v1/query?query=sum(count_over_time(%7Bservice_name%3D~%22.%2B%22%7D%7C%3D%22e%22%5B2h%5D))&time={}",
        START_S + 3600
    );
    let (_, cost) = ask(&world, &metric).await;
    println!("lines: {} GETs, {} bytes", cost.gets, cost.bytes_in);
    assert!(cost.bytes_in > SEGMENTS as u64 * TAIL_BYTES, "{cost:?}");
}

/// A client that got no answer pushes again, and its push is stored a second time, in the company of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_retried_in_another_group_counts_once() {
    let world = World::start(Source::Feed, LIMITS).await;
    let (pushed, other) = (streams(0, 600), streams(1, 100));
    let both: Vec<Stream> = pushed.iter().chain(&other).cloned().collect();
    world.push_body(&generate::push_json(&pushed)).await;
    world.push_body(&generate::push_json(&both)).await;
    assert_eq!(world.store.counters().snapshot().puts, 2, "stored twice");
    let (count, bytes) = entries(&both);
    let (stats, _) = ask(&world, &path("index/stats", "")).await;
    assert_eq!((stats["entries"].as_u64(), stats["bytes"].as_u64()), (Some(count), Some(bytes)), "{stats}");
    for question in [path("index/volume", "&limit=1000"), path("index/volume_range", "&limit=1000&step=60")] {
        assert_eq!(volume(&ask(&world, &question).await.0), bytes, "{question}");
    }
}
