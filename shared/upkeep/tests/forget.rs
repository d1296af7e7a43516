//! What is forgotten is gone for good: in no answer, and after a merge and a collection in no object.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod support;

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, EngineSettings};
use model::{Day, Entry, Labels};
use object_store::memory::InMemory;
use segment::{Options, Writer};
use store::faulty::Faulty;
use store::{FreshKey, Store};
use upkeep::{
    Deletes, ForgetSettings, Grace, MergeSettings, Permission, Policy, StreamPeriod, Upkeep, collect_day, keep_of,
    merge_day,
};

use crate::support::{Load, START_NS, Seen, day, read_with, tenant};

const DAY: Duration = Duration::from_secs(86_400);
const DAY_NS: i64 = 86_400_000_000_000;
/// How far the store's clock is ahead of the machine's, so that it is never behind the test's.
const AHEAD: Duration = Duration::from_secs(10_000 * 86_400);

/// A store whose clock is far ahead.
fn memory() -> (Faulty, Store) {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    faulty.set_clock(AHEAD);
    (faulty.clone(), Store::new(Arc::new(faulty)))
}

fn settings(deletes: Deletes) -> ForgetSettings {
    ForgetSettings { deletes, ..ForgetSettings::default() }
}

fn policy(settings: ForgetSettings, now_ns: i64) -> Policy {
    Policy::new(move |_| settings.clone(), move || now_ns)
}

fn engine(store: &Store, policy: &Policy) -> Engine {
    Engine::new(store.clone(), EngineSettings::default()).heeding(policy.clone())
}

async fn merge(store: &Store, policy: &Policy) -> upkeep::Merged {
    let keep = keep_of(store, &tenant(), policy).await.unwrap();
    merge_day(store, &tenant(), day(), &MergeSettings { fresh_count_min: 1000, ..MergeSettings::all() }, keep)
        .await
        .unwrap()
}

/// How many entries of all objects of the day, merged or not, a plain read finds.
async fn stored(store: &Store) -> Seen {
    read_with(&Engine::new(store.clone(), EngineSettings::default())).await
}

#[tokio::test]
async fn a_deleted_entry_is_in_no_object_any_more() {
    let (faulty, store) = memory();
    let load = Load::new(6, 300);
    load.put_all(&store).await;
    let all = load.entries();
    let now = START_NS + DAY_NS;
    let later = policy(settings(Deletes::Delete { after: DAY }), now + DAY_NS);
    let early = policy(settings(Deletes::Delete { after: DAY }), now);
    let query = r#"{service_name=~".+"} | detected_level="error""#;
    engine(&store, &early).request_delete(&tenant(), query, (START_NS, now), now).await.unwrap();
    let mut left = all.clone();
    left.retain(|(_, _, _, metadata), _| !metadata.contains(r#"detected_level="error""#));
    assert!(left.len() < all.len());

    // Hidden at once; not deleted as long as it can be cancelled.
    assert_eq!(read_with(&engine(&store, &early)).await, left);
    assert_eq!(merge(&store, &early).await.rows_forgotten, 0);
    assert_eq!(stored(&store).await, all);
    let status = engine(&store, &early).delete_requests(&tenant()).await.unwrap();
    assert!(!status[0].is_final && status[0].segments > 0 && status[0].segments_done == 0);

    let merged = merge(&store, &later).await;
    assert!(merged.rows_forgotten > 0, "{merged:?}");
    assert_eq!(stored(&store).await, left, "it is in no segment that a manifest names");
    assert_eq!(merge(&store, &later).await.merges, 0, "nothing is left to do");
    let status = engine(&store, &later).delete_requests(&tenant()).await.unwrap();
    assert!(status[0].is_final && status[0].segments == status[0].segments_done);

    // A batch that is sent again is hidden, and goes with the next merge.
    faulty.set_clock(AHEAD + 3 * DAY);
    collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
    load.put(&store, 0).await.unwrap();
    assert_eq!(read_with(&engine(&store, &later)).await, left);
    merge(&store, &later).await;
    assert_eq!(stored(&store).await, left);

    // The bytes themselves: no object of the day holds a deleted entry.
    faulty.set_clock(AHEAD + 6 * DAY);
    collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
    let objects = store.day_objects(&tenant(), day()).await.unwrap();
    let current = store.current(&tenant(), day()).await.unwrap();
    assert_eq!((objects.fresh.len(), objects.merged.len()), (0, current.manifest.segments.len()));
    for (_, listed) in &objects.merged {
        let footer = store.read(&listed.key).await.unwrap();
        assert!(segment::describe(&footer).unwrap().len() > 1);
        assert!(!segment::describe(&footer).unwrap().contains("error"), "its dictionaries know the level no more");
    }
}

#[tokio::test]
async fn past_segments_go_without_being_read() {
    let (faulty, store) = memory();
    let load = Load::new(4, 100);
    load.put_all(&store).await;
    let month = ForgetSettings { retention_period: 30 * DAY, ..ForgetSettings::default() };
    let merged = merge(&store, &policy(month, START_NS + 31 * DAY_NS)).await;
    assert_eq!((merged.merges, merged.segments_in, merged.segments_out), (1, 4, 0));
    assert!(stored(&store).await.is_empty());
    faulty.set_clock(AHEAD + 2 * DAY);
    collect_day(&store, &tenant(), day(), &Grace::default()).await.unwrap();
    let objects = store.day_objects(&tenant(), day()).await.unwrap();
    assert_eq!((objects.fresh.len(), objects.merged.len(), objects.manifests.len()), (0, 0, 1));
}

/// A shorter period of one level: segments are rewritten once, when all of them has passed it.
#[tokio::test]
async fn a_level_goes_earlier() {
    let (_, store) = memory();
    let load = Load::new(4, 100);
    load.put_all(&store).await;
    let rule = StreamPeriod { selector: r#"{detected_level="error"}"#.to_owned(), priority: 1, period: DAY };
    let levels = ForgetSettings { retention_streams: vec![rule], ..ForgetSettings::default() };
    let mut left = load.entries();
    left.retain(|(_, _, _, metadata), _| !metadata.contains(r#"detected_level="error""#));
    let later = policy(levels, START_NS + 3 * DAY_NS);
    assert_eq!(read_with(&engine(&store, &later)).await, left);
    assert_eq!(merge(&store, &later).await.merges, 1);
    assert_eq!(stored(&store).await, left);
    assert_eq!(merge(&store, &later).await.merges, 0);
}

/// A question that meets what should be gone makes its day due.
#[tokio::test]
async fn a_question_makes_a_day_due() {
    let (_, bare) = memory();
    let load = Load::new(2, 100);
    load.put_all(&bare).await;
    let at_once = policy(settings(Deletes::Delete { after: Duration::ZERO }), START_NS + DAY_NS);
    let upkeep =
        Upkeep::new(bare.clone(), MergeSettings::default(), Grace::default(), Permission::OnlyMerger, at_once.clone());
    let asking = engine(&upkeep.watched_store(), &at_once);
    asking
        .request_delete(&tenant(), r#"{service_name=~".+"}"#, (START_NS, START_NS + DAY_NS), START_NS + DAY_NS)
        .await
        .unwrap();
    assert!(read_with(&asking).await.is_empty());
    upkeep.settled().await;
    assert!(stored(&bare).await.is_empty());
}

/// A day that is wholly past goes although nobody asks for it or writes to it: a write to another day is occasion enough.
#[tokio::test]
async fn a_past_day_goes_by_the_way() {
    let (_, bare) = memory();
    Load::new(3, 100).put_all(&bare).await;
    let month = ForgetSettings { retention_period: 30 * DAY, ..ForgetSettings::default() };
    let late = policy(month, START_NS + 40 * DAY_NS);
    let upkeep = Upkeep::new(bare.clone(), MergeSettings::default(), Grace::default(), Permission::OnlyMerger, late);
    let young_ns = START_NS + 39 * DAY_NS;
    let (labels, line) = (Labels::from_iter([("app", "young")]), "young".to_owned());
    let entries = [Entry { timestamp_ns: young_ns, line, metadata: Labels::default() }];
    let mut writer = Writer::new(Options::default());
    writer.add(&labels, &entries);
    let segment = writer.finish().unwrap();
    let key = FreshKey { day: Day::of(young_ns), min_ts: young_ns, max_ts: young_ns, batch_id: 99, rows: 1 };
    upkeep.watched_store().put_fresh(&tenant(), key, segment.bytes.into()).await.unwrap();
    upkeep.settled().await;
    assert!(bare.current(&tenant(), day()).await.unwrap().fresh.is_empty());
    assert_eq!(bare.current(&tenant(), Day::of(young_ns)).await.unwrap().fresh.len(), 1, "what is young stays");
}

/// A process whose clock has jumped ahead, as far as it likes, hides what it takes for past and deletes nothing: the store's clock
/// says what time it is. One whose clock is behind hides and deletes later.
#[tokio::test]
async fn a_clock_that_jumps_deletes_nothing() {
    // The store's clock is the machine's: the entries are as young as can be.
    let store = Store::new(Arc::new(InMemory::new()));
    let now_ns = store.clock_ms().await.unwrap() * 1_000_000;
    let start_ns = now_ns - 120_000_000_000;
    let tenant = tenant();
    let labels = Labels::from_iter([("service_name", "young")]);
    let mut days = std::collections::BTreeSet::new();
    for number in 0..50i64 {
        let timestamp_ns = start_ns + number * 1_000_000_000;
        let entries = [Entry { timestamp_ns, line: format!("line {number}"), metadata: Labels::default() }];
        let mut writer = Writer::new(Options::default());
        writer.add(&labels, &entries);
        let (day, segment) = (Day::of(timestamp_ns), writer.finish().unwrap());
        let key = FreshKey { day, min_ts: timestamp_ns, max_ts: timestamp_ns, batch_id: number as u128, rows: 1 };
        store.put_fresh(&tenant, key, segment.bytes.into()).await.unwrap();
        days.insert(day);
    }
    let week = ForgetSettings { retention_period: 7 * DAY, ..settings(Deletes::Delete { after: DAY }) };
    let right = policy(week.clone(), now_ns);
    engine(&store, &right).request_delete(&tenant, r#"{service_name="young"}"#, (0, now_ns), now_ns).await.unwrap();
    for jump_days in [8, 400, 30_000, -8, -400] {
        let wrong = policy(week.clone(), now_ns + jump_days * DAY_NS);
        for day in &days {
            let keep = keep_of(&store, &tenant, &wrong).await.unwrap();
            let merged = merge_day(&store, &tenant, *day, &MergeSettings::all(), keep).await.unwrap();
            assert_eq!(merged.rows_forgotten, 0, "{jump_days}");
            // No clock of ours has a say in what is garbage.
            collect_day(&store, &tenant, *day, &Grace::default()).await.unwrap();
        }
        let mut rows = 0;
        for day in &days {
            let current = store.current(&tenant, *day).await.unwrap();
            rows += current.manifest.segments.iter().map(|merged| merged.rows).sum::<u64>();
        }
        assert_eq!(rows, 50, "{jump_days}");
    }
    // Cancelled in time, the mistake has cost nothing.
    let request = store.deletes(&tenant).await.unwrap().remove(0);
    engine(&store, &right).cancel_delete(&tenant, &request).await.unwrap();
    let mut everything = support::everything();
    everything.when = engine::When::Range { start_ns, end_ns: now_ns, step_ns: 1_000_000_000, interval_ns: 0 };
    let answer = engine(&store, &right).query(everything).await.unwrap();
    assert_eq!(answer.stats.entries_returned, 50);
}
