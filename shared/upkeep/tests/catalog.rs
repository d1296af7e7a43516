//! Catalogs: what opens many segments lies side by side, and nothing depends on it.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod support;

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, EngineSettings, QueryRequest, When};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use store::Store;
use store::faulty::Faulty;
use upkeep::{
    CopySettings, Direction, Grace, KeepAll, MergeSettings, Scope, VerifySettings, collect_day, copy, merge_day, verify,
};

use crate::support::{Load, day, everything, read, read_with, tenant};

const HOUR: Duration = Duration::from_secs(3600);

/// More than one batch takes, less than two.
const OUTPUT_BYTES: u64 = 150_000;

/// Two batches make a complete segment, the one that is left a small one.
fn settings() -> MergeSettings {
    MergeSettings { inputs_max: 2, output_bytes: OUTPUT_BYTES, catalog_count_min: 4, ..MergeSettings::all() }
}

/// A store of several complete segments, and what they hold.
async fn stored() -> (Faulty, Store, Load) {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(faulty.clone()));
    let load = Load::new(13, 3_000);
    load.put_all(&store).await;
    (faulty, store, load)
}

/// The same, to be damaged.
async fn in_memory() -> (Arc<InMemory>, Store, Load) {
    let memory = Arc::new(InMemory::new());
    let store = Store::new(memory.clone());
    let load = Load::new(13, 3_000);
    load.put_all(&store).await;
    (memory, store, load)
}

async fn merge(store: &Store, settings: &MergeSettings) -> upkeep::Merged {
    merge_day(store, &tenant(), day(), settings, Arc::new(KeepAll)).await.unwrap()
}

#[tokio::test]
async fn each_complete_segment_gets_one_place() {
    let (_, store, load) = stored().await;
    let merged = merge(&store, &settings()).await;
    assert!(merged.catalogs > 0, "{merged:?}");
    let manifest = store.current(&tenant(), day()).await.unwrap().manifest;
    let segments = manifest.segments.iter().map(|merged| merged.segment(&tenant(), day()));
    let (complete, small): (Vec<_>, Vec<_>) = segments.partition(|segment| segment.size >= OUTPUT_BYTES);
    assert_eq!((complete.len(), small.len()), (6, 1));
    assert_eq!(small[0].catalog, None, "what is merged again has no place");
    for segment in &complete {
        let copy = segment.catalog.as_ref().unwrap();
        let bytes = store.read_catalog(&copy.key, copy.range()).await.unwrap();
        let mut parts = Vec::new();
        let mut at = 0;
        for part in &copy.parts {
            let copied = bytes.slice(at..at + (part.end - part.start) as usize);
            assert_eq!(copied, store.read_range(segment, part.clone()).await.unwrap());
            at += copied.len();
            parts.push((part.start, copied));
        }
        let parts: Vec<(u64, &[u8])> = parts.iter().map(|(start, part)| (*start, &part[..])).collect();
        let Ok(segment::Opened::Footer(footer)) = segment::open_parts(&parts, segment.size) else {
            panic!("the copy opens {}", segment.key);
        };
        assert_eq!((footer.rows(), footer.min_ts(), footer.max_ts()), (segment.rows, segment.min_ts, segment.max_ts));
        let counts = footer.counts_range();
        let (start, bytes) = parts[0];
        let counts = &bytes[(counts.start - start) as usize..(counts.end - start) as usize];
        footer.decode_counts(counts).unwrap();
    }
    let again = merge(&store, &settings()).await;
    assert_eq!(again.commits(), 0, "all is done");
    assert_eq!(read(&store).await, load.entries());
}

#[tokio::test]
async fn a_catalog_goes_when_no_segment_has_a_place_in_it() {
    let (faulty, store, load) = stored().await;
    merge(&store, &settings()).await;
    let catalogs = async || store.day_objects(&tenant(), day()).await.unwrap().catalogs.len();
    let before = catalogs().await;
    assert!(before > 0);
    faulty.set_clock(48 * HOUR);
    collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
    assert_eq!(catalogs().await, before, "they are needed");
    // Now the same segments are small ones, and become one.
    merge(&store, &MergeSettings { tier_count_min: 2, ..MergeSettings::all() }).await;
    let manifest = store.current(&tenant(), day()).await.unwrap().manifest;
    let needed = manifest.catalogs().len();
    assert!(needed < before);
    collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
    assert_eq!(catalogs().await, needed);
    assert_eq!(read(&store).await, load.entries());
}

#[tokio::test]
async fn nothing_is_lost_with_a_catalog() {
    let (_, store, load) = stored().await;
    merge(&store, &settings()).await;
    let how = VerifySettings { quick: false, now_ms: 0 };
    let verified = verify(&store, &Scope::default(), &how, &()).await.unwrap();
    assert_eq!((verified.bad, verified.missing, verified.unknown), (0, 0, 0));
    let target = Store::new(Arc::new(InMemory::new()));
    let direction = Direction::Backup { of: "memory:".to_owned(), moved: false };
    let copied = CopySettings { direction, verify: true };
    copy(&store, &target, &Scope::default(), &copied, &()).await.unwrap();
    let verified = verify(&target, &Scope::default(), &how, &()).await.unwrap();
    assert_eq!((verified.missing, verified.losses), (0, 0), "catalogs are copied too");
    let catalogs = target.day_objects(&tenant(), day()).await.unwrap().catalogs;
    let count = catalogs.len() as u64;
    target.delete(catalogs.into_iter().map(|(_, listed)| listed.key).collect()).await.unwrap();
    let verified = verify(&target, &Scope::default(), &how, &()).await.unwrap();
    assert_eq!((verified.missing, verified.losses), (count, 0));
    assert_eq!(read(&target).await, load.entries());
}

/// An engine that reads the ends of segments by little pieces, as if they were large.
fn engine(store: &Store) -> Engine {
    Engine::new(
        store.clone(),
        EngineSettings { whole_object_bytes_max: 0, tail_bytes: 64, ..EngineSettings::default() },
    )
}

/// Counts everything by the minute; gives the answer and the requests.
async fn count(engine: &Engine) -> (model::Value, u64) {
    let answer = engine.query(QueryRequest { query: COUNT.to_owned(), when: hour(), ..everything() }).await.unwrap();
    (answer.value, answer.stats.store_requests)
}

const COUNT: &str = r#"sum by (service_name) (count_over_time({service_name=~".+"}[1m]))"#;

/// Whole minutes.
fn hour() -> When {
    let start_ns = support::START_NS + 60_000_000_000;
    When::Range { start_ns, end_ns: start_ns + 3_600_000_000_000, step_ns: 60_000_000_000, interval_ns: 0 }
}

#[tokio::test]
async fn one_request_opens_many() {
    let mut objects = Vec::new();
    let mut outcomes = Vec::new();
    for damage in [Damage::None, Damage::Gone, Damage::Front, Damage::End] {
        let (memory, store, load) = in_memory().await;
        merge(&store, &settings()).await;
        let catalogs = store.day_objects(&tenant(), day()).await.unwrap().catalogs;
        assert_eq!(catalogs.len(), 1);
        damage.apply(&memory, catalogs[0].1.key.as_str()).await;
        let engine = engine(&store);
        let (value, requests) = count(&engine).await;
        objects.push(value);
        outcomes.push(requests);
        assert_eq!(read_with(&engine).await, load.entries(), "{damage:?}");
        assert_eq!(count(&engine).await.1, 1, "then all is kept, and only listed");
    }
    let [whole, gone, front, end] = outcomes[..] else { panic!("four outcomes") };
    println!("requests to count: {whole} with a catalog, {gone} without, {front} and {end} with damaged ones");
    // Each of the six takes two requests or more to open, and its counts one.
    assert!(gone > whole + 6 * 3 - 1 && front > whole && end > whole);
    assert!(objects.windows(2).all(|two| two[0] == two[1]), "the answers are the same");
}

/// What happens to a catalog.
#[derive(Debug, Clone, Copy)]
enum Damage {
    None,
    Gone,
    /// Of the first byte: counts.
    Front,
    /// Of the last byte: a trailer.
    End,
}

impl Damage {
    async fn apply(self, memory: &InMemory, key: &str) {
        let path = object_store::path::Path::parse(key).unwrap();
        let mut bytes = memory.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        match self {
            Damage::None => return,
            Damage::Gone => return memory.delete(&path).await.unwrap(),
            Damage::Front => *bytes.first_mut().unwrap() ^= 1,
            Damage::End => *bytes.last_mut().unwrap() ^= 1,
        }
        memory.put(&path, bytes.into()).await.unwrap();
    }
}
