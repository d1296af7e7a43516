//! Merging keeps every entry, once, within its bounds; garbage goes when it may, and not before.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use engine::{Engine, EngineSettings};
use model::{EntryRef, Labels};
use object_store::memory::InMemory;
use store::faulty::{Fault, Faulty, Operation, Rule};
use store::{Store, Watch};
use tokio::time::Instant;
use upkeep::{
    Grace, Keep, KeepAll, MergeSettings, Merged, Permission, Policy, Upkeep, collect_day, merge_day, tend_day,
};

use crate::support::{Load, day, read, read_with, tenant};

const HOUR: Duration = Duration::from_secs(3600);

fn faulty() -> (Faulty, Store) {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    (faulty.clone(), Store::new(Arc::new(faulty)))
}

async fn merge(store: &Store, settings: &MergeSettings) -> Merged {
    merge_day(store, &tenant(), day(), settings, Arc::new(KeepAll)).await.unwrap()
}

#[tokio::test]
async fn fresh_segments_become_one() {
    let (_, store) = faulty();
    let load = Load::new(5, 500);
    load.put_all(&store).await;
    let before = read(&store).await;
    let merged = merge(&store, &MergeSettings::all()).await;
    assert_eq!((merged.merges, merged.segments_in, merged.segments_out), (1, 5, 1));
    assert!(merged.rows_out < merged.rows_in, "equal entries of two batches are one: {merged:?}");
    let current = store.current(&tenant(), day()).await.unwrap();
    assert_eq!((current.manifest.version, current.fresh.len(), current.consumed.len()), (1, 0, 5));
    assert_eq!(read(&store).await, before);
    assert_eq!(before, load.entries());
    assert_eq!(merge(&store, &MergeSettings::all()).await.merges, 0, "nothing is due any more");
}

/// Outputs are cut, few inputs are taken at a time, and memory stays within its bound.
#[tokio::test]
async fn a_merge_keeps_its_bounds() {
    let (_, store) = faulty();
    let load = Load::new(12, 3_000);
    load.put_all(&store).await;
    let settings =
        MergeSettings { inputs_max: 5, output_bytes: 60_000, memory_bytes_max: 4 << 20, ..MergeSettings::all() };
    let merged = merge(&store, &settings).await;
    assert!(merged.merges > 2 && merged.memory_bytes_peak <= settings.memory_bytes_max, "{merged:?}");
    let current = store.current(&tenant(), day()).await.unwrap();
    let sizes: Vec<u64> = current.manifest.segments.iter().map(|merged| merged.size).collect();
    assert!(sizes.len() > 2 && sizes.iter().filter(|size| **size < settings.output_bytes).count() <= 1, "{sizes:?}");
    assert_eq!(read(&store).await, load.entries());
}

struct NoErrors;

impl Keep for NoErrors {
    fn keeps(&self, _: &Labels, entry: &EntryRef<'_>) -> bool {
        !entry.metadata.contains(&("detected_level", "error"))
    }
}

struct Nothing;

impl Keep for Nothing {
    fn keeps(&self, _: &Labels, _: &EntryRef<'_>) -> bool {
        false
    }
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_gone_for_good() {
    let (_, store) = faulty();
    let load = Load::new(3, 300);
    load.put_all(&store).await;
    let all = read(&store).await;
    let keep = |keep: Arc<dyn Keep>| {
        let store = store.clone();
        async move { merge_day(&store, &tenant(), day(), &MergeSettings::all(), keep).await.unwrap() }
    };
    let merged = keep(Arc::new(NoErrors)).await;
    let mut left = all.clone();
    left.retain(|(_, _, _, metadata), _| !metadata.contains(r#"detected_level="error""#));
    assert!(merged.rows_forgotten > 0 && left.len() < all.len());
    assert_eq!(read(&store).await, left);
    load.put(&store, 0).await.unwrap();
    let (key, bytes) = Load::new(4, 10).segment(3);
    store.put_fresh(&tenant(), key, bytes.into()).await.unwrap();
    let merged = keep(Arc::new(Nothing)).await;
    assert_eq!(merged.rows_out, merged.rows_in - merged.rows_forgotten);
}

/// What a query has listed stays readable until the grace has passed, whatever merges and collections do meanwhile.
#[tokio::test]
async fn garbage_goes_after_its_grace_by_the_clock_of_the_store() {
    let (faulty, store) = faulty();
    let load = Load::new(4, 100);
    load.put_all(&store).await;
    let range = model::TimeRange::new(day().start_ns(), day().start_ns() + 86_400_000_000_000).unwrap();
    let listed = store.segments(&tenant(), range).await.unwrap();
    merge(&store, &MergeSettings::all()).await;
    let collect = async |ahead: Duration| {
        faulty.set_clock(ahead);
        let collected = collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
        assert_eq!(read(&store).await, load.entries());
        (collected.deleted, collected.waiting)
    };
    assert_eq!(collect(Duration::ZERO).await, (0, 4));
    assert_eq!(collect(HOUR - Duration::from_secs(60)).await, (0, 4));
    for segment in &listed {
        assert_eq!(store.read_range(segment, 0..segment.size).await.unwrap().len() as u64, segment.size);
    }
    assert_eq!(collect(HOUR + Duration::from_secs(60)).await, (4, 0));
    assert!(store.read_range(&listed[0], 0..1).await.is_err());
    assert_eq!(collect(30 * HOUR).await, (0, 0), "nothing else is garbage");
}

/// A clock that was ahead and is set back makes garbage stay longer, and never takes what is needed.
#[tokio::test]
async fn a_clock_that_jumps_loses_nothing() {
    let (faulty, store) = faulty();
    let load = Load::new(6, 100);
    let jumps = [240, 0, 100, 3, 500, 1];
    for (batch, hours) in jumps.into_iter().enumerate() {
        faulty.set_clock(hours * HOUR);
        load.put(&store, batch).await.unwrap();
        merge(&store, &MergeSettings::all()).await;
        faulty.set_clock(jumps[(batch + 1) % jumps.len()] * HOUR);
        collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
        assert_eq!(read(&store).await, load.entries_of(0..=batch), "after a jump from {hours} hours");
    }
    faulty.set_clock(2_000 * HOUR);
    collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
    let left = store.day_objects(&tenant(), day()).await.unwrap();
    assert_eq!(
        (left.fresh.len(), left.merged.len(), left.manifests.len()),
        (0, 1, 1),
        "all garbage is gone in the end"
    );
    assert_eq!(read(&store).await, load.entries());
}

/// An output of a merge that died is collected a day later, unless its version is still to come.
#[tokio::test]
async fn orphans_go_once_their_version_has_passed() {
    let (faulty, store) = faulty();
    let load = Load::new(3, 100);
    load.put(&store, 0).await.unwrap();
    load.put(&store, 1).await.unwrap();
    faulty.add(Rule::once(Operation::Put, Fault::Unavailable).on_keys("/manifest/"));
    merge_day(&store, &tenant(), day(), &MergeSettings::all(), Arc::new(KeepAll)).await.expect_err("no manifest");
    faulty.set_clock(48 * HOUR);
    let merged = async || store.day_objects(&tenant(), day()).await.unwrap().merged.len();
    collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
    assert_eq!(merged().await, 1, "version 1 may still take it up");
    load.put(&store, 2).await.unwrap();
    merge(&store, &MergeSettings::all()).await;
    assert_eq!(merged().await, 2);
    collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
    assert_eq!(merged().await, 1);
    assert_eq!(read(&store).await, load.entries());
}

/// Writers, mergers, a collector and readers at once: each query sees what was acknowledged before it, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_right_while_mergers_race() {
    const BATCHES: usize = 60;
    let (_, store) = faulty();
    let load = Arc::new(Load::new(BATCHES, 40));
    let (acknowledged, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let settings = MergeSettings { fresh_count_min: 2, tier_count_min: 2, inputs_max: 4, ..MergeSettings::all() };
    let mut mergers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        // A store of its own: nothing is shared but the objects.
        let (store, settings, done) = (Store::new(Arc::new(Faulty::over(&store))), settings.clone(), done.clone());
        mergers.spawn(async move {
            let (mut merges, mut lost) = (0, 0);
            while !done.load(Ordering::SeqCst) {
                let merged = merge(&store, &settings).await;
                (merges, lost) = (merges + merged.merges, lost + merged.races_lost);
                collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
                tokio::task::yield_now().await;
            }
            (merges, lost)
        });
    }
    let writing = {
        let (load, store, acknowledged) = (load.clone(), store.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for batch in 0..BATCHES {
                load.put(&store, batch).await.unwrap();
                acknowledged.store(batch + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        })
    };
    let engine = Engine::new(store.clone(), EngineSettings::default());
    let mut queries = 0;
    while !writing.is_finished() || queries < 20 {
        let before = load.entries_of(0..acknowledged.load(Ordering::SeqCst));
        let found = read_with(&engine).await;
        assert!(found.values().all(|count| *count == 1), "doubled in query {queries}");
        assert!(before.keys().all(|entry| found.contains_key(entry)), "lost in query {queries}");
        queries += 1;
    }
    writing.await.unwrap();
    done.store(true, Ordering::SeqCst);
    let outcomes = mergers.join_all().await;
    println!("{queries} queries beside mergers (merges, races lost): {outcomes:?}");
    assert_eq!(read(&store).await, load.entries());
}

/// The background task merges what writing makes due and what reading finds, and an idle hour asks the store for nothing.
#[tokio::test(start_paused = true)]
async fn an_idle_hour_costs_nothing() {
    let (_, bare) = faulty();
    let settings = MergeSettings { fresh_count_min: 4, ..MergeSettings::default() };
    let upkeep = Upkeep::new(bare.clone(), settings, Grace::default(), Permission::IfSafe, Policy::default());
    let store = upkeep.watched_store();
    let load = Load::new(11, 50);
    let version = async || bare.current(&tenant(), day()).await.unwrap().manifest.version;
    for batch in 0..3 {
        load.put(&store, batch).await.unwrap();
    }
    upkeep.settled().await;
    assert_eq!(version().await, 0, "three are too few");
    load.put(&store, 3).await.unwrap();
    upkeep.settled().await;
    assert_eq!(version().await, 1, "writing makes a day due");
    for batch in 4..11 {
        // Written by another process: nobody here was told.
        load.put(&bare, batch).await.unwrap();
    }
    upkeep.settled().await;
    assert_eq!(version().await, 1);
    assert_eq!(read(&store).await, load.entries());
    upkeep.settled().await;
    assert_eq!(version().await, 2, "reading finds what is due");
    assert_eq!(read(&store).await, load.entries());
    let before = bare.counters().snapshot();
    tokio::time::sleep(HOUR).await;
    assert_eq!(bare.counters().snapshot().requests() - before.requests(), 0, "requests in an idle hour");
}

/// Where a create overwrites, nothing is merged unless this is the only merger.
#[tokio::test]
async fn a_store_that_overwrites_is_not_merged() {
    for (permission, want) in [(Permission::IfSafe, 0), (Permission::Never, 0), (Permission::OnlyMerger, 1)] {
        let (faulty, bare) = faulty();
        faulty.add(Rule::always(Operation::Put, Fault::Overwrites));
        let upkeep = Upkeep::new(bare.clone(), MergeSettings::all(), Grace::default(), permission, Policy::default());
        let store = upkeep.watched_store();
        Load::new(1, 50).put(&store, 0).await.unwrap();
        upkeep.settled().await;
        assert_eq!(bare.current(&tenant(), day()).await.unwrap().manifest.version, want, "{permission:?}");
    }
}

/// A listener that is told nothing wrong: an error stores nothing.
#[tokio::test]
async fn only_what_is_stored_is_told() {
    struct Count(AtomicUsize);
    impl Watch for Count {
        fn wrote(&self, _: &model::TenantId, _: model::Day, _: u64) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        fn listed(&self, _: &model::TenantId, _: model::Day, _: usize, _: u64) {}
    }
    let (faulty, bare) = faulty();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let store = bare.watched(count.clone());
    let load = Load::new(1, 10);
    faulty.add(Rule::once(Operation::Put, Fault::Unavailable));
    load.put(&store, 0).await.expect_err("unavailable");
    load.put(&store, 0).await.unwrap();
    load.put(&store, 0).await.unwrap();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

/// Without time nothing is begun and the rest is told; with time all is done, as many merges as are allowed at once.
#[tokio::test]
async fn a_day_is_tended_until_the_time_is_up() {
    let (_, store) = faulty();
    let load = Load::new(6, 600);
    load.put_all(&store).await;
    let settings = MergeSettings { inputs_max: 2, ..MergeSettings::all() };
    let tend = async |settings: &MergeSettings, time: Duration| {
        let (tenant, day, keep) = (tenant(), day(), Arc::new(KeepAll));
        let limits = (settings, &Grace::default());
        tend_day(&store, &tenant, day, limits, keep, Instant::now() + time).await.unwrap()
    };
    let none = tend(&settings, Duration::ZERO).await;
    assert_eq!((none.merged.merges, none.more), (0, true));
    let one = tend(&MergeSettings { merges_max: 1, ..settings.clone() }, HOUR).await;
    assert_eq!((one.merged.merges, one.more), (1, true));
    let rest = tend(&settings, HOUR).await;
    assert_eq!((rest.merged.merges > 2, rest.more), (true, false), "{rest:?}");
    assert_eq!(read(&store).await, load.entries());
}
