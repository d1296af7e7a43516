//! The crash and fault matrix: whatever dies or fails when, every acknowledged entry is read back exactly once.
//!
//! A scenario commits batches, merges them, merges merged segments, lets two days pass, collects garbage and sends an old batch again.
//! It is run once to count its requests to the store; then once for each request and for both sides of its effect, dying there. After
//! each death a new process reads (all that was acknowledged must be there once, nothing twice), then goes on to the end and reads
//! again. Totals are printed. A second story has deletes and retention in it.

#[cfg(test)]
mod forgetting;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use store::faulty::{Crash, Fault, Faulty, Operation, Rule};
use store::{Store, StoreUrl};
use testkit::moto::Moto;
use upkeep::{Grace, KeepAll, MergeSettings, collect_day, merge_day};

use crate::support::{Load, day, read, tenant};

const BATCHES: usize = 16;
const ENTRIES: usize = 24;
const DAY: Duration = Duration::from_secs(86_400);

/// What came out of all runs.
#[derive(Debug, Default)]
struct Totals {
    points: usize,
    acknowledged: usize,
    stored: usize,
    read: usize,
    doubled: usize,
}

/// What a client has had acknowledged.
#[derive(Default)]
struct Progress {
    acknowledged: Vec<usize>,
}

impl Progress {
    async fn push(&mut self, load: &Load, store: &Store, batches: std::ops::Range<usize>) -> Result<(), String> {
        for batch in batches {
            if !self.acknowledged.contains(&batch) {
                load.put(store, batch).await.map_err(|e| e.to_string())?;
                self.acknowledged.push(batch);
            }
        }
        Ok(())
    }
}

async fn merge(store: &Store) -> Result<(), String> {
    let settings = MergeSettings { inputs_max: 6, ..MergeSettings::all() };
    merge_day(store, &tenant(), day(), &settings, Arc::new(KeepAll)).await.map(drop).map_err(|e| e.to_string())
}

async fn collect(store: &Store) -> Result<(), String> {
    collect_day(store, &tenant(), day(), &Grace::default()).await.map(drop).map_err(|e| e.to_string())
}

/// All that a store goes through, until it fails.
async fn scenario(load: &Load, faulty: &Faulty, store: &Store, progress: &mut Progress) -> Result<(), String> {
    progress.push(load, store, 0..BATCHES / 2).await?;
    merge(store).await?;
    progress.push(load, store, BATCHES / 2..BATCHES - 1).await?;
    merge(store).await?;
    faulty.set_clock(2 * DAY);
    collect(store).await?;
    // A client that never saw the answer sends an old batch again, whose object is collected by now.
    load.put(store, 0).await.map_err(|e| e.to_string())?;
    progress.push(load, store, BATCHES - 1..BATCHES).await?;
    merge(store).await?;
    faulty.set_clock(4 * DAY);
    collect(store).await
}

/// Dies at one point, comes back, reads, goes on to the end, reads.
async fn die_and_come_back(load: &Load, faulty: &Faulty, crash: Crash, totals: &mut Totals) {
    faulty.set_clock(Duration::ZERO);
    let mut progress = Progress::default();
    faulty.crash(crash);
    let died = scenario(load, faulty, &Store::new(Arc::new(faulty.clone())), &mut progress).await;
    assert!(died.is_err(), "{crash:?} was not reached");
    faulty.heal();
    let store = Store::new(Arc::new(faulty.clone()));
    check(load, &store, &progress, &format!("{crash:?}, after the restart"), None).await;
    scenario(load, faulty, &store, &mut progress).await.expect("nothing fails any more");
    check(load, &store, &progress, &format!("{crash:?}, at the end"), Some(totals)).await;
}

/// Reads all: what was acknowledged is there, each entry once, and no other.
async fn check(load: &Load, store: &Store, progress: &Progress, when: &str, totals: Option<&mut Totals>) {
    let found = read(store).await;
    let acknowledged = load.entries_of(progress.acknowledged.iter().copied());
    let sent = load.entries();
    let lost = acknowledged.keys().filter(|entry| !found.contains_key(*entry)).count();
    let doubled = found.values().filter(|count| **count > 1).count();
    let foreign = found.keys().filter(|entry| !sent.contains_key(*entry)).count();
    assert_eq!((lost, doubled, foreign), (0, 0, 0), "lost, doubled, never sent: {when}");
    if let Some(totals) = totals {
        let current = store.current(&tenant(), day()).await.expect("lists");
        let rows: u64 = current.manifest.segments.iter().map(|merged| merged.rows).sum();
        assert!(current.fresh.is_empty(), "all is merged at the end: {when}");
        totals.points += 1;
        totals.acknowledged += acknowledged.len();
        totals.stored += rows as usize;
        totals.read += found.values().sum::<usize>();
        totals.doubled += doubled;
    }
}

/// The matrix over stores that `fresh` makes.
async fn matrix(fresh: impl Fn(usize) -> Store) -> Totals {
    let load = Load::new(BATCHES, ENTRIES);
    let faulty = Faulty::over(&fresh(0));
    faulty.heal();
    let (store, mut progress) = (Store::new(Arc::new(faulty.clone())), Progress::default());
    scenario(&load, &faulty, &store, &mut progress).await.expect("nothing fails");
    let requests = faulty.requests();
    check(&load, &store, &progress, "without a crash", None).await;

    let mut totals = Totals::default();
    for request in 0..requests {
        for (side, crash) in [Crash::Before(request), Crash::After(request)].into_iter().enumerate() {
            let faulty = Faulty::over(&fresh(1 + 2 * request + side));
            die_and_come_back(&load, &faulty, crash, &mut totals).await;
        }
    }
    assert!(totals.points >= 200, "only {} crash points", totals.points);
    assert_eq!((totals.acknowledged, totals.doubled), (totals.stored, 0));
    assert_eq!(totals.stored, totals.read);
    totals
}

#[tokio::test]
async fn every_crash_point_on_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let url = |run: usize| StoreUrl::folder(&folder.path().join(run.to_string())).unwrap();
    println!("folder: {:?}", matrix(|run| Store::open(&url(run), []).unwrap()).await);
}

#[tokio::test]
async fn every_crash_point_on_s3() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("logs");
    let open = |run| Store::open(&format!("s3://logs/{run}").parse().unwrap(), moto.environment()).unwrap();
    println!("S3 over HTTP: {:?}", matrix(open).await);
}

/// Every request fails once in every way; what failed is tried again, as a client and the next trigger would.
#[tokio::test]
async fn every_fault_at_every_request() {
    let load = Load::new(BATCHES, ENTRIES);
    let put =
        [Fault::InternalError, Fault::Unavailable, Fault::Timeout, Fault::LostResponse, Fault::Conflict, Fault::Full];
    let get = [Fault::InternalError, Fault::Unavailable, Fault::Timeout, Fault::Truncated(3)];
    let kinds: [(Operation, &str, &[Fault]); 6] = [
        (Operation::Put, "", &put),
        (Operation::Put, "/manifest/", &[Fault::Exists]),
        (Operation::Get, "", &get),
        (Operation::List, "", &get),
        (Operation::Delete, "", &[Fault::Unavailable, Fault::LostResponse]),
        (Operation::Head, "", &[Fault::Timeout]),
    ];
    let mut totals = Totals::default();
    for (operation, key_part, faults) in kinds {
        for fault in faults {
            for skip in 0.. {
                let faulty = Faulty::new(Arc::new(InMemory::new()));
                let store = Store::new(Arc::new(faulty.clone()));
                faulty.add(Rule::once(operation, *fault).on_keys(key_part).after(skip));
                let mut progress = Progress::default();
                let mut tries = 0;
                while let Err(error) = scenario(&load, &faulty, &store, &mut progress).await {
                    tries += 1;
                    assert!(tries < 3, "{fault:?} at {operation:?} {skip}: {error}");
                }
                if faulty.fired() == 0 {
                    break;
                }
                check(&load, &store, &progress, &format!("{fault:?} at {operation:?} {skip}"), Some(&mut totals)).await;
            }
        }
    }
    println!("faults: {totals:?}");
    assert_eq!((totals.acknowledged, totals.doubled), (totals.stored, 0));
    assert_eq!(totals.stored, totals.read);
}
