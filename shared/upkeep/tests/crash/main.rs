//! The crash and fault matrix: whatever dies or fails when, every acknowledged entry is read back exactly once.
//!
//! A story commits batches, merges them, merges merged segments, lets two days pass, collects garbage and sends an old batch again. It
//! breaks off wherever it can; all that was acknowledged must be there once, nothing twice. Totals are printed. A second story has
//! deletes and retention in it.

#[cfg(test)]
mod forgetting;
#[cfg(test)]
mod matrix;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use store::faulty::{Fault, Faulty, Operation};
use store::{Store, StoreUrl};
use testkit::moto::Moto;
use upkeep::{Grace, KeepAll, MergeSettings, collect_day, merge_day};

use crate::matrix::{Story, crashes, faults};
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

impl Story for Load {
    type Progress = Progress;
    type Totals = Totals;

    async fn run(&self, faulty: &Faulty, store: &Store, progress: &mut Progress) -> Result<(), String> {
        progress.push(self, store, 0..BATCHES / 2).await?;
        merge(store).await?;
        progress.push(self, store, BATCHES / 2..BATCHES - 1).await?;
        merge(store).await?;
        faulty.set_clock(2 * DAY);
        collect(store).await?;
        // A client that never saw the answer sends an old batch again, whose object is collected by now.
        self.put(store, 0).await.map_err(|e| e.to_string())?;
        progress.push(self, store, BATCHES - 1..BATCHES).await?;
        merge(store).await?;
        faulty.set_clock(4 * DAY);
        collect(store).await
    }

    /// What was acknowledged is there, each entry once, and no other.
    async fn check(&self, store: &Store, progress: &Progress, when: &str, totals: Option<&mut Totals>) {
        let found = read(store).await;
        let acknowledged = self.entries_of(progress.acknowledged.iter().copied());
        let sent = self.entries();
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
}

impl Totals {
    fn check(&self) {
        assert_eq!((self.acknowledged, self.doubled), (self.stored, 0));
        assert_eq!(self.stored, self.read);
    }
}

/// Every crash over stores that `fresh` makes.
async fn matrix(fresh: impl Fn(usize) -> Store) -> Totals {
    let totals = crashes(&Load::new(BATCHES, ENTRIES), fresh, 1).await;
    assert!(totals.points >= 200, "only {} crash points", totals.points);
    totals.check();
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

#[tokio::test]
async fn every_fault_at_every_request() {
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
    let totals = faults(&Load::new(BATCHES, ENTRIES), &kinds).await;
    println!("faults: {totals:?}");
    totals.check();
}
