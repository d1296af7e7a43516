//! The matrix of a store that forgets: deletes, one of them cancelled, retention, the merge that makes them physical, and collection.
//!
//! At each death: what was acknowledged and is not to be forgotten is read once, what was acknowledged as deleted is not read. At the
//! end what is to be forgotten is stored nowhere.

use std::ops::Range;
use std::time::Duration;

use engine::{Engine, EngineSettings};
use store::faulty::{Fault, Faulty, Operation};
use store::{DeleteRequest, Store, StoreUrl};
use testkit::moto::Moto;
use upkeep::{Deletes, ForgetSettings, Grace, MergeSettings, Policy, collect_day, keep_of, merge_day};

use crate::matrix::{Story, crashes, faults};
use crate::support::{Load, START_NS, Seen, day, read_with, tenant};

const DAY: Duration = Duration::from_secs(86_400);
const DAY_NS: i64 = 86_400_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;
/// Batches that will be past, and batches that will not.
const OLD: usize = 3;
const NEW: usize = 6;
const ENTRIES: usize = 12;
/// When the deletes are taken, and when they are for good and the old batches past.
const EARLY_NS: i64 = START_NS + 60 * MINUTE_NS;
const LATE_NS: i64 = START_NS + 3 * DAY_NS;
/// How far the store's clock is ahead of the machine's when it is late, so that it is never behind the test's.
const AHEAD: Duration = Duration::from_secs(10_000 * 86_400);
/// What is deleted, and what by mistake, until that is cancelled.
const DELETE: &str = r#"{service_name=~".+"} | detected_level="error""#;
const MISTAKE: &str = r#"{service_name=~".+"} |= "took""#;

/// What a client knows of something that it has asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    /// It was sent, and perhaps done.
    Sent,
    Done,
}

/// What is pushed.
struct Loads {
    old: Load,
    new: Load,
}

/// What clients have had acknowledged, and what time it is.
#[derive(Default)]
struct Progress {
    old: usize,
    new: usize,
    delete: Known,
    mistake: Known,
    cancel: Known,
    is_late: bool,
}

/// What came out of all runs.
#[derive(Debug, Default)]
struct Totals {
    points: usize,
    acknowledged: usize,
    forgotten: usize,
    stored: usize,
    read: usize,
    doubled: usize,
    forgotten_read: usize,
}

impl Loads {
    fn new() -> Self {
        let (mut old, new) = (Load::new(OLD, ENTRIES), Load::new(NEW, ENTRIES));
        for entry in old.batches.iter_mut().flatten().flat_map(|stream| &mut stream.entries) {
            entry.timestamp_ns -= 30 * MINUTE_NS;
        }
        Loads { old, new }
    }
}

fn is_deleted(entry: &(String, i64, String, String)) -> bool {
    entry.3.contains(r#"detected_level="error""#)
}

fn is_mistaken(entry: &(String, i64, String, String)) -> bool {
    entry.2.contains("took")
}

fn request(query: &str) -> DeleteRequest {
    DeleteRequest::new(query, START_NS, EARLY_NS, EARLY_NS)
}

fn policy(is_late: bool) -> Policy {
    let period = 3 * DAY + Duration::from_secs(600);
    let settings = ForgetSettings {
        retention_period: period,
        deletes: Deletes::Delete { after: DAY },
        ..ForgetSettings::default()
    };
    Policy::new(move |_| settings.clone(), move || if is_late { LATE_NS } else { EARLY_NS })
}

impl Progress {
    async fn push_old(&mut self, load: &Load, store: &Store) -> Result<(), String> {
        while self.old < OLD {
            load.put(store, self.old).await.map_err(|e| e.to_string())?;
            self.old += 1;
        }
        Ok(())
    }

    async fn push_new(&mut self, load: &Load, store: &Store, to: usize) -> Result<(), String> {
        while self.new < to {
            load.put(store, self.new).await.map_err(|e| e.to_string())?;
            self.new += 1;
        }
        Ok(())
    }

    /// All that was acknowledged and is not to be forgotten, for sure; and all that may be seen.
    fn bounds(&self, loads: &Loads) -> (Seen, Seen) {
        let old = if self.is_late { 0 } else { OLD };
        let with = |old: usize, new: Range<usize>| {
            let mut seen = loads.old.entries_of(0..old);
            seen.extend(loads.new.entries_of(new));
            seen
        };
        let (mut least, mut most) = (with(old.min(self.old), 0..self.new), with(old, 0..NEW));
        let mistake_may_hide = self.mistake != Known::Nothing && self.cancel != Known::Done;
        let mistake_hides = self.mistake == Known::Done && self.cancel == Known::Nothing;
        // Requests begin where the new batches do.
        let may_go = |entry: &(String, i64, String, String)| {
            entry.1 >= START_NS
                && (self.delete != Known::Nothing && is_deleted(entry) || mistake_may_hide && is_mistaken(entry))
        };
        let goes = |entry: &(String, i64, String, String)| {
            entry.1 >= START_NS
                && (self.delete == Known::Done && is_deleted(entry) || mistake_hides && is_mistaken(entry))
        };
        least.retain(|entry, _| !may_go(entry));
        most.retain(|entry, _| !goes(entry));
        (least, most)
    }
}

/// Asks for something until it is known to be done; what was done is not asked for again.
async fn ask(known: &mut Known, work: impl Future<Output = Result<(), store::Error>>) -> Result<(), String> {
    if *known != Known::Done {
        *known = Known::Sent;
        work.await.map_err(|e| e.to_string())?;
        *known = Known::Done;
    }
    Ok(())
}

async fn merge(store: &Store, is_late: bool) -> Result<(), String> {
    // Merged segments stay apart, so that old ones can go by manifest alone.
    let settings = MergeSettings { inputs_max: 4, tier_count_min: 1000, ..MergeSettings::all() };
    let keep = keep_of(store, &tenant(), &policy(is_late)).await.map_err(|e| e.to_string())?;
    merge_day(store, &tenant(), day(), &settings, keep).await.map(drop).map_err(|e| e.to_string())
}

async fn collect(store: &Store) -> Result<(), String> {
    collect_day(store, &tenant(), day(), &Grace::default()).await.map(drop).map_err(|e| e.to_string())
}

impl Story for Loads {
    type Progress = Progress;
    type Totals = Totals;

    async fn run(&self, faulty: &Faulty, store: &Store, progress: &mut Progress) -> Result<(), String> {
        if !progress.is_late {
            progress.push_old(&self.old, store).await?;
            merge(store, false).await?;
            progress.push_new(&self.new, store, 2).await?;
            ask(&mut progress.delete, async { store.put_delete(&tenant(), request(DELETE)).await.map(drop) }).await?;
            ask(&mut progress.mistake, async { store.put_delete(&tenant(), request(MISTAKE)).await.map(drop) }).await?;
            merge(store, false).await?;
            ask(&mut progress.cancel, store.cancel_delete(&tenant(), &request(MISTAKE))).await?;
            progress.push_new(&self.new, store, NEW - 1).await?;
        }
        progress.is_late = true;
        faulty.set_clock(AHEAD);
        merge(store, true).await?;
        faulty.set_clock(AHEAD + 2 * DAY);
        collect(store).await?;
        // A client that never saw the answer sends an old batch again; what is deleted of it must not come back.
        self.new.put(store, 0).await.map_err(|e| e.to_string())?;
        progress.push_new(&self.new, store, NEW).await?;
        merge(store, true).await?;
        faulty.set_clock(AHEAD + 4 * DAY);
        collect(store).await
    }

    async fn check(&self, store: &Store, progress: &Progress, when: &str, totals: Option<&mut Totals>) {
        let engine = |store: &Store| Engine::new(store.clone(), EngineSettings::default());
        let found = read_with(&engine(store).heeding(policy(progress.is_late))).await;
        let (least, most) = progress.bounds(self);
        let lost = least.keys().filter(|entry| !found.contains_key(*entry)).count();
        let doubled = found.values().filter(|count| **count > 1).count();
        let forgotten_read = found.keys().filter(|entry| !most.contains_key(*entry)).count();
        assert_eq!((lost, doubled, forgotten_read), (0, 0, 0), "lost, doubled, forgotten and read: {when}");
        if let Some(totals) = totals {
            let current = store.current(&tenant(), day()).await.expect("lists");
            assert!(current.fresh.is_empty(), "all is merged at the end: {when}");
            let stored = read_with(&engine(store)).await;
            assert_eq!(stored, least, "what is forgotten is stored nowhere: {when}");
            let acknowledged = self.old.entries().len() + self.new.entries().len();
            totals.points += 1;
            totals.acknowledged += acknowledged;
            totals.forgotten += acknowledged - least.len();
            totals.stored += stored.len();
            totals.read += found.values().sum::<usize>();
            totals.doubled += doubled;
            totals.forgotten_read += forgotten_read;
        }
    }
}

impl Totals {
    fn check(&self) {
        assert!(self.forgotten > 0 && self.forgotten < self.acknowledged);
        assert_eq!((self.acknowledged - self.forgotten, self.stored), (self.stored, self.read));
        assert_eq!((self.doubled, self.forgotten_read), (0, 0));
    }
}

/// Crashes at one of `step` requests, over stores that `fresh` makes.
async fn matrix(fresh: impl Fn(usize) -> Store, step: usize) -> Totals {
    let totals = crashes(&Loads::new(), fresh, step).await;
    totals.check();
    totals
}

#[tokio::test]
async fn every_crash_point_on_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let url = |run: usize| StoreUrl::folder(&folder.path().join(run.to_string())).unwrap();
    let totals = matrix(|run| Store::open(&url(run), []).unwrap(), 1).await;
    println!("folder: {totals:?}");
    assert!(totals.points >= 100, "only {} crash points", totals.points);
}

/// Each fourth request, since there are many and each goes over HTTP.
#[tokio::test]
async fn crash_points_on_s3() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("forgetting");
    let open = |run| Store::open(&format!("s3://forgetting/{run}").parse().unwrap(), moto.environment()).unwrap();
    println!("S3 over HTTP: {:?}", matrix(open, 4).await);
}

#[tokio::test]
async fn every_fault_at_every_request() {
    let put = [Fault::Unavailable, Fault::LostResponse, Fault::Conflict, Fault::Full];
    let get = [Fault::Timeout, Fault::Truncated(3)];
    let kinds: [(Operation, &str, &[Fault]); 4] = [
        (Operation::Put, "", &put),
        (Operation::Get, "", &get),
        (Operation::List, "", &get),
        (Operation::Delete, "", &[Fault::Unavailable, Fault::LostResponse]),
    ];
    let totals = faults(&Loads::new(), &kinds).await;
    println!("faults: {totals:?}");
    totals.check();
}
