//! Catalogs: what opens many segments lies side by side, and nothing depends on it.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod support;

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use store::Store;
use store::faulty::Faulty;
use upkeep::{
    CopySettings, Direction, Grace, KeepAll, MergeSettings, Scope, VerifySettings, collect_day, copy, merge_day, verify,
};

use crate::support::{Load, day, read, tenant};

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
