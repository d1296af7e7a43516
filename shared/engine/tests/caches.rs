//! What was read once is not read again: requests to the store, counted question by question.

use std::path::Path;

use engine::{Answer, Direction, Engine, EngineSettings, Limits, QueryRequest, When};
use model::{Day, Entry, Labels, TenantId};
use store::{FreshKey, Store, StoreUrl};

/// 2026-11-20T10:00:00Z.
const START_NS: i64 = 1_795_168_800_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

const QUESTIONS: [&str; 4] = [
    r#"{s=~".+"} |= "line 7""#,
    r#"{s=~".+"} | trace_id="t5""#,
    r#"sum by (s) (rate({s=~".+"} |= "line" [1m]))"#,
    r#"sum by (s) (count_over_time({s=~".+"}[90s]))"#,
];

/// Two segments of several small blocks.
async fn stored() -> Store {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    fill(&store).await;
    store
}

async fn fill(store: &Store) {
    for batch in 0..2 {
        let entry = |at: i64| {
            let metadata = Labels::from_pairs([("trace_id", format!("t{at}"))]);
            let timestamp_ns = START_NS + (batch * 100 + at) * 10 * SECOND_NS;
            let stream = Labels::from_pairs([("s", (at % 3).to_string())]);
            (stream, Entry { timestamp_ns, line: format!("a line {at} of text"), metadata })
        };
        let entries: Vec<(Labels, Entry)> = (0..100).map(entry).collect();
        let options = segment::Options { block_bytes_max: 300, block_bytes_min: 200, ..Default::default() };
        let mut writer = segment::Writer::new(options);
        entries.iter().for_each(|(stream, entry)| writer.add(stream, std::slice::from_ref(entry)));
        let built = writer.finish().expect("a segment");
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: batch as u128, rows: built.rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
    }
}

/// An engine that reads small pieces, with room for so much.
fn engine(store: &Store, memory: usize, directory: Option<&Path>) -> Engine {
    Engine::new(
        store.clone(),
        EngineSettings {
            whole_object_bytes_max: 0,
            tail_bytes: 64,
            block_cache_memory_bytes_max: memory,
            block_cache_directory: directory.map(Into::into),
            ..EngineSettings::default()
        },
    )
}

async fn ask(engine: &Engine, query: &str) -> Answer {
    try_to_ask(engine, query).await.expect("an answer")
}

async fn try_to_ask(engine: &Engine, query: &str) -> Result<Answer, engine::Error> {
    let (start_ns, end_ns) = (START_NS, START_NS + 3600 * SECOND_NS);
    let request = QueryRequest {
        tenants: vec![TenantId::single()],
        query: query.to_owned(),
        when: When::Range { start_ns, end_ns, step_ns: 60 * SECOND_NS, interval_ns: 0 },
        direction: Direction::Forward,
        limit: 5000,
        limits: Limits::default(),
        partial_series: false,
    };
    engine.query(request).await
}

/// Asks everything; the answers, and the bytes that the store gave for each.
async fn ask_all(engine: &Engine) -> (Vec<Answer>, Vec<u64>) {
    let mut answers = Vec::new();
    for query in QUESTIONS {
        answers.push(ask(engine, query).await);
    }
    let bytes = answers.iter().map(|answer| answer.stats.store_bytes).collect();
    (answers, bytes)
}

fn assert_same(some: &[Answer], others: &[Answer]) {
    for (one, other) in some.iter().zip(others) {
        assert_eq!(one.value, other.value);
    }
}

#[tokio::test]
async fn a_second_question_reads_nothing_but_the_listing() {
    let store = stored().await;
    let warm = engine(&store, 1 << 20, None);
    let (first, cold) = ask_all(&warm).await;
    assert!(cold[0] > 0, "{cold:?}");
    let (second, bytes) = ask_all(&warm).await;
    assert_eq!(bytes, [0; 4]);
    for answer in &second {
        assert_eq!((answer.stats.store_requests, answer.stats.cache_misses), (1, 0), "one LIST");
        assert!(answer.stats.cache_hits > 0);
    }
    assert_same(&first, &second);
    // Lines that were decoded twice are kept decoded.
    let (third, bytes) = ask_all(&warm).await;
    assert_eq!(bytes, [0; 4]);
    assert_same(&first, &third);
}

#[tokio::test]
async fn without_room_every_question_reads_again() {
    let store = stored().await;
    let never = engine(&store, 0, None);
    let (first, _) = ask_all(&never).await;
    let (second, bytes) = ask_all(&never).await;
    assert!(bytes[0] > 0 && bytes[2] > 0, "{bytes:?}");
    assert_same(&first, &second);
}

#[tokio::test]
async fn another_process_reads_from_the_folder_they_share() {
    let store = stored().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (first, _) = ask_all(&engine(&store, 0, Some(folder.path()))).await;
    let (second, bytes) = ask_all(&engine(&store, 0, Some(folder.path()))).await;
    assert_eq!(bytes, [0; 4], "footers too");
    assert_same(&first, &second);
}

#[tokio::test]
async fn what_is_damaged_on_disk_is_read_from_the_store_again() {
    let store = stored().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (first, cold) = ask_all(&engine(&store, 0, Some(folder.path()))).await;
    let files = std::fs::read_dir(folder.path().join("logbarn-blocks-1")).expect("a folder");
    for (at, file) in files.enumerate() {
        let path = file.expect("a file").path();
        let mut bytes = std::fs::read(&path).expect("a file");
        match at % 3 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => *bytes.last_mut().expect("a byte") ^= 1,
            _ => bytes.clear(),
        }
        std::fs::write(&path, bytes).expect("written");
    }
    let healed = engine(&store, 0, Some(folder.path()));
    let (second, bytes) = ask_all(&healed).await;
    assert_eq!(bytes, cold);
    assert_same(&first, &second);
    assert_eq!(ask_all(&healed).await.1, [0; 4]);
}

/// The files of all segments below a folder.
fn segment_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    all.flat_map(|path| if path.is_dir() { segment_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect()
}

#[tokio::test]
async fn a_repair_under_the_same_name_is_seen_at_once() {
    let (data, blocks) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let url = StoreUrl::folder(data.path()).expect("a folder's address");
    let store = Store::open(&url, []).expect("a folder");
    fill(&store).await;
    let (want, _) = ask_all(&engine(&store, 0, None)).await;
    let files = segment_files(data.path());
    let whole: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).expect("a segment")).collect();
    for (path, bytes) in files.iter().zip(&whole) {
        let damaged: Vec<u8> =
            bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at < bytes.len() / 2)).collect();
        std::fs::write(path, damaged).expect("damaged");
    }
    let asked_before = engine(&store, 1 << 20, Some(blocks.path()));
    let failed = try_to_ask(&asked_before, QUESTIONS[2]).await.expect_err("its blocks are damaged");
    assert!(matches!(failed, engine::Error::Corrupt { .. }), "{failed}");
    for (path, bytes) in files.iter().zip(&whole) {
        std::fs::write(path, bytes).expect("repaired");
    }
    let kept_on_disk = engine(&store, 1 << 20, Some(blocks.path()));
    let (other_process, _) = ask_all(&kept_on_disk).await;
    let (same_process, _) = ask_all(&asked_before).await;
    assert_same(&want, &same_process);
    assert_same(&want, &other_process);
}
