//! What is forgotten was never there: every question is answered as by a store that never held it.
//!
//! A store with delete requests and retention is asked everything at each stage of its life: before anything is merged, after some
//! merges, when requests have been cancelled, when the others are for good, and when the last merge has dropped what they name. Each
//! time a store is made of what is to be seen alone (`case` says what that is, entry by entry), and asked the same by an engine that
//! forgets nothing. Leaves of other processes are asked, too. In the end nothing deleted is left in any segment.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod case;
#[cfg(test)]
mod questions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{Engine, EngineSettings, FanOut, FanOutSettings, Leaves, Undone};
use futures::future::{BoxFuture, FutureExt as _};
use model::{Day, Labels, TenantId, Value};
use object_store::memory::InMemory;
use proptest::prelude::*;
use segment::{Options, Writer};
use store::faulty::Faulty;
use store::{FreshKey, Store};
use upkeep::{Grace, MergeSettings, Policy, Scope, Verified, VerifySettings, collect_day, keep_of, merge_day, verify};

use crate::case::{BATCHES, Case, DAY_NS, Event, LATER_NS, NOW_NS, Row, START_NS, case};
use crate::questions::Answers;

/// How far the store's clock is ahead of the machine's, so that it is never behind the test's.
const AHEAD: Duration = Duration::from_secs(10_000 * 86_400);

fn days() -> [Day; 2] {
    [Day::of(START_NS), Day::of(START_NS + DAY_NS)]
}

/// Puts a batch: a segment for each day of which it has entries. Blocks are tiny, so that there are several.
async fn put(store: &Store, rows: &[&Row], batch_id: u128) {
    for day in days() {
        let rows: Vec<_> = rows.iter().filter(|row| Day::of(row.time_ns) == day).collect();
        if rows.is_empty() {
            continue;
        }
        let mut writer = Writer::new(Options { block_bytes_max: 60, block_bytes_min: 30, ..Options::default() });
        let entries: Vec<_> = rows.iter().map(|row| (row.labels(), row.entry())).collect();
        for (labels, entry) in &entries {
            writer.add(labels, std::slice::from_ref(entry));
        }
        let built = writer.finish().unwrap();
        let key = FreshKey { day, min_ts: built.min_ts, max_ts: built.max_ts, batch_id, rows: built.rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.unwrap();
    }
}

async fn put_batches(store: &Store, rows: &[&Row]) {
    for batch in 0..BATCHES {
        let rows: Vec<&Row> = rows.iter().copied().filter(|row| row.batches & (1 << batch) != 0).collect();
        put(store, &rows, batch as u128).await;
    }
}

/// Leaves in the same process.
struct Near(Engine);

impl Leaves for Near {
    fn ask(&self, shard: Bytes) -> BoxFuture<'_, Result<Bytes, Undone>> {
        let answer = async move { self.0.answer_shard(&shard).await.map_err(|error| Undone(error.to_string())) };
        answer.map(|answer| answer.map(Bytes::from)).boxed()
    }
}

fn engine(store: &Store) -> Engine {
    Engine::new(store.clone(), EngineSettings::default())
}

/// A store and those who ask it.
struct World<'c> {
    case: &'c Case,
    faulty: Faulty,
    store: Store,
    now_ns: Arc<AtomicI64>,
    policy: Policy,
    engine: Engine,
    fanned: Engine,
}

impl<'c> World<'c> {
    async fn new(case: &'c Case) -> Self {
        let faulty = Faulty::new(Arc::new(InMemory::new()));
        faulty.set_clock(AHEAD);
        let store = Store::new(Arc::new(faulty.clone()));
        let now_ns = Arc::new(AtomicI64::new(NOW_NS));
        let (settings, clock) = (case.settings(), now_ns.clone());
        let policy = Policy::new(move |_| settings.clone(), move || clock.load(Ordering::Relaxed));
        let engine = engine(&store).heeding(policy.clone());
        let settings = FanOutSettings { shards_max: 6, bytes_per_shard: 600, ..FanOutSettings::default() };
        let fanned = engine.clone().with_fan_out(FanOut { leaves: Arc::new(Near(engine.clone())), settings });
        let world = World { case, faulty, store, now_ns, policy, engine, fanned };
        put_batches(&world.store, &case.rows.iter().collect::<Vec<_>>()).await;
        for request in &case.requests {
            let (tenant, created_ns) = (TenantId::single(), request.created_ns());
            world.engine.request_delete(&tenant, request.query(), request.times, created_ns).await.unwrap();
        }
        world
    }

    async fn merge(&self, day: Day, settings: &MergeSettings) {
        let keep = keep_of(&self.store, &TenantId::single(), &self.policy).await.unwrap();
        merge_day(&self.store, &TenantId::single(), day, settings, keep).await.unwrap();
    }

    async fn go_through(&self, events: &[Event], batch_id: u128) {
        for (event, batch_id) in events.iter().zip(batch_id..) {
            match *event {
                Event::Merge { day, inputs, small } => {
                    let output_bytes = if small { 600 } else { MergeSettings::default().output_bytes };
                    let once =
                        MergeSettings { merges_max: 1, inputs_max: inputs, output_bytes, ..MergeSettings::all() };
                    self.merge(days()[day], &once).await;
                }
                Event::Again { batch } => {
                    let rows = self.case.rows.iter().filter(|row| row.batches & (1 << batch) != 0);
                    put(&self.store, &rows.collect::<Vec<_>>(), batch_id).await;
                }
            }
        }
    }

    /// Cancels what is to be cancelled, and lets a day pass.
    async fn become_late(&self) {
        let (tenant, requests) = (TenantId::single(), &self.case.requests);
        for status in self.engine.delete_requests(&tenant).await.unwrap() {
            let store::DeleteRequest { query, start_ns, end_ns, .. } = &*status.request;
            let of = |request: &&case::Request| request.query() == query && request.times == (*start_ns, *end_ns);
            if requests.iter().find(of).is_some_and(|request| request.is_cancelled) {
                self.engine.cancel_delete(&tenant, &status.request).await.unwrap();
            }
        }
        self.now_ns.store(LATER_NS, Ordering::Relaxed);
    }

    /// The distinct entries of all segments that are current.
    async fn stored(&self) -> BTreeSet<(i64, String)> {
        let answer = engine(&self.store).query(questions::everything()).await.unwrap();
        let Value::Entries(entries) = answer.value else { panic!("entries") };
        entries.into_iter().map(|entry| (entry.timestamp_ns, entry.line)).collect()
    }
}

/// What a store of the visible entries alone answers.
struct Truth {
    logql: Answers,
    rest: Answers,
    within: BTreeSet<Labels>,
    ever: BTreeSet<Labels>,
    rows: BTreeSet<(i64, String)>,
}

impl Truth {
    async fn new(case: &Case, is_late: bool) -> Self {
        let store = Store::new(Arc::new(InMemory::new()));
        let rows: Vec<&Row> = case.rows.iter().filter(|row| case.shows(row, is_late)).collect();
        put_batches(&store, &rows).await;
        let (engine, asking) = (engine(&store), &case.asking);
        let asked = asking.from_ns..asking.to_ns;
        Truth {
            logql: questions::of_logql(&engine, asking).await,
            rest: questions::of_the_rest(&engine, asking).await,
            within: rows.iter().filter(|row| asked.contains(&row.time_ns)).map(|row| row.labels()).collect(),
            ever: rows.iter().map(|row| row.labels()).collect(),
            rows: rows.iter().map(|row| (row.time_ns, row.line())).collect(),
        }
    }

    /// Asks everything; queries every other time by way of leaves.
    async fn check(&self, world: &World<'_>, by_leaves: bool, when: &str) -> Result<(), TestCaseError> {
        let asking = &world.case.asking;
        let engine = if by_leaves { &world.fanned } else { &world.engine };
        compare(&self.logql, &questions::of_logql(engine, asking).await, when)?;
        compare(&self.rest, &questions::of_the_rest(&world.engine, asking).await, when)?;
        let within: BTreeSet<Labels> = questions::series_within(&world.engine, asking).await.into_iter().collect();
        prop_assert!(within.is_superset(&self.within) && within.is_subset(&self.ever), "series {}: {:?}", when, within);
        let stored = world.stored().await;
        prop_assert!(stored.is_superset(&self.rows), "lost {}: {:?}", when, self.rows.difference(&stored));
        Ok(())
    }
}

fn compare(want: &Answers, got: &Answers, when: &str) -> Result<(), TestCaseError> {
    for ((question, want), (_, got)) in want.iter().zip(got) {
        prop_assert!(want == got, "{}, {}\nwithout the entries: {}\nwith them hidden: {}", question, when, want, got);
    }
    Ok(())
}

async fn live_through(case: &Case) -> Result<(), TestCaseError> {
    let (early, late) = (Truth::new(case, false).await, Truth::new(case, true).await);
    let world = World::new(case).await;
    early.check(&world, false, "before any merge").await?;
    world.go_through(&case.early, 100).await;
    early.check(&world, true, "after some merges").await?;
    world.become_late().await;
    late.check(&world, false, "a day later").await?;
    world.go_through(&case.late, 200).await;
    late.check(&world, true, "after some merges of the day after").await?;

    for day in days() {
        world.merge(day, &MergeSettings::all()).await;
    }
    late.check(&world, false, "after the last merge").await?;
    for hours in [48, 96] {
        world.faulty.set_clock(AHEAD + Duration::from_secs(3600 * hours));
        for day in days() {
            collect_day(&world.store, &TenantId::single(), day, &Grace::default()).await.unwrap();
        }
    }
    late.check(&world, true, "after the collection").await?;
    let stored = world.stored().await;
    for row in &case.rows {
        let is_deleted = case.requests.iter().any(|request| !request.is_cancelled && request.deletes(row));
        prop_assert!(!is_deleted || !stored.contains(&(row.time_ns, row.line())), "still stored: {:?}", row);
    }
    let settings = VerifySettings { quick: false, now_ms: world.store.clock_ms().await.unwrap() };
    let verified = verify(&world.store, &Scope::default(), &settings, &()).await.unwrap();
    let Verified { bad, missing, orphans, garbage, unknown, losses, .. } = verified;
    prop_assert_eq!((bad, missing, orphans, garbage, unknown, losses), (0, 0, 0, 0, 0, 0));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Sixteen, unless PROPTEST_CASES says otherwise.
        cases: ProptestConfig::default().cases.div_ceil(16),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_answer_is_that_of_a_store_that_never_held_it(case in case()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(live_through(&case))?;
    }
}
