//! A store that fails: nothing is acknowledged that is not stored, nothing is answered that is not whole, and each error tells
//! what to do about it.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use model::{Day, TenantId, TimeRange};
use object_store::memory::InMemory;
use store::faulty::{Fault, Faulty, Operation, Rule};
use store::{Committed, Error, FreshKey, Manifest, Store};

const DAY: i64 = 86_400_000_000_000;

fn faulty() -> (Faulty, Store) {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    (faulty.clone(), Store::new(Arc::new(faulty)))
}

fn fresh(batch_id: u128) -> FreshKey {
    FreshKey { day: Day::of(0), min_ts: 1, max_ts: 2, batch_id, rows: 1 }
}

async fn put(store: &Store, batch_id: u128) -> Result<Committed, Error> {
    store.put_fresh(&TenantId::single(), fresh(batch_id), Bytes::from_static(b"0123456789")).await
}

async fn list(store: &Store, days: i64) -> Result<usize, Error> {
    store.segments(&TenantId::single(), TimeRange::new(0, days * DAY).expect("ordered")).await.map(|s| s.len())
}

/// The kind of an error, and that it names the key.
fn kind(error: &Error) -> &'static str {
    let text = error.to_string();
    assert!(text.contains("t/fake"), "no key in: {text}");
    match error {
        Error::Unavailable { .. } => "unavailable",
        Error::Full { .. } => "full",
        Error::Corrupt { .. } => "corrupt",
        Error::NotFound { .. } => "not found",
        Error::Invalid { .. } => "invalid",
    }
}

#[tokio::test]
async fn a_failed_put_is_told_by_reaction_and_acknowledges_nothing() {
    let check = async |fault, want: &str| {
        let (faulty, store) = faulty();
        faulty.add(Rule::once(Operation::Put, fault));
        let error = put(&store, 1).await.expect_err(want);
        assert_eq!(kind(&error), want, "{fault:?}: {error}");
        assert_eq!(list(&store, 1).await, Ok(0), "{fault:?}");
        assert_eq!(put(&store, 1).await, Ok(Committed::Created), "{fault:?}");
    };
    check(Fault::InternalError, "unavailable").await;
    check(Fault::Unavailable, "unavailable").await;
    check(Fault::Timeout, "unavailable").await;
    check(Fault::Conflict, "unavailable").await;
    check(Fault::Full, "full").await;
    check(Fault::Denied, "invalid").await;
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_stored_once() {
    let (faulty, store) = faulty();
    faulty.add(Rule::once(Operation::Put, Fault::LostResponse));
    assert_eq!(kind(&put(&store, 1).await.expect_err("lost")), "unavailable");
    assert_eq!(put(&store, 1).await, Ok(Committed::Existed));
    assert_eq!(list(&store, 1).await, Ok(1));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_has_won() {
    let (faulty, store) = faulty();
    let manifest = Manifest { version: 1, ..Manifest::default() };
    faulty.add(Rule::once(Operation::Put, Fault::LostResponse).on_keys("/manifest/"));
    let commit = async || store.commit_manifest(&TenantId::single(), Day::of(0), &manifest).await;
    assert_eq!(kind(&commit().await.expect_err("lost")), "unavailable");
    assert_eq!(commit().await, Ok(Committed::Created));
}

/// Half a listing would be an answer with a hole.
#[tokio::test]
async fn a_listing_is_whole_or_an_error() {
    let (faulty, store) = faulty();
    for batch in 0..3 {
        put(&store, batch).await.unwrap();
    }
    for days in [1, 30] {
        for fault in [Fault::Truncated(2), Fault::Timeout, Fault::Unavailable] {
            faulty.add(Rule::once(Operation::List, fault).on_keys("t/fake/1970-01-01"));
            assert_eq!(kind(&list(&store, days).await.expect_err("cut")), "unavailable", "{fault:?}");
        }
        assert_eq!(list(&store, days).await, Ok(3));
    }
    faulty.add(Rule::once(Operation::List, Fault::Timeout));
    assert_eq!(kind(&store.days(&TenantId::single()).await.expect_err("no answer")), "unavailable");
}

/// The newest manifest is found by its place; on a store that lists otherwise an answer would be wrong.
#[tokio::test]
async fn a_store_that_lists_in_another_order_is_refused() {
    let (faulty, store) = faulty();
    for batch in 0..2 {
        put(&store, batch).await.unwrap();
    }
    faulty.add(Rule::once(Operation::List, Fault::Unordered));
    assert!(matches!(list(&store, 1).await, Err(Error::Invalid { why }) if why.contains("byte order")));
}

/// Without the manifest nobody knows which fresh segments still count.
#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_an_error() {
    let check = async |fault, want: &str| {
        let (faulty, store) = faulty();
        put(&store, 1).await.unwrap();
        let manifest = Manifest { version: 1, consumed: [(fresh(1), 1)].into(), ..Manifest::default() };
        store.commit_manifest(&TenantId::single(), Day::of(0), &manifest).await.unwrap();
        faulty.add(Rule::once(Operation::Get, fault));
        let error = list(&store, 1).await.expect_err(want);
        assert_eq!(kind(&error), want, "{fault:?}: {error}");
        assert_eq!(list(&store, 1).await, Ok(0), "{fault:?} is not remembered");
    };
    check(Fault::Timeout, "unavailable").await;
    check(Fault::Missing, "not found").await;
    check(Fault::Truncated(40), "unavailable").await;
}

#[tokio::test]
async fn a_body_that_ends_early_is_never_taken_for_the_whole() {
    let (faulty, store) = faulty();
    put(&store, 1).await.unwrap();
    let segment = store.segments(&TenantId::single(), TimeRange::new(0, DAY).unwrap()).await.unwrap().remove(0);
    for bytes in 0..4 {
        faulty.add(Rule::always(Operation::Get, Fault::Truncated(bytes)).times(3));
        assert_eq!(kind(&store.read_range(&segment, 2..6).await.expect_err("cut")), "unavailable");
        assert_eq!(kind(&store.read_ranges(&segment, &[2..4, 4..6]).await.expect_err("cut")), "unavailable");
        assert_eq!(kind(&store.read(&segment.key).await.expect_err("cut")), "unavailable");
    }
    assert_eq!(store.read_range(&segment, 2..6).await.unwrap(), "2345");
    assert_eq!(faulty.fired(), 12);
}

/// A rule counts the requests that it means, and those only.
#[tokio::test]
async fn rules_count_and_look_at_keys() {
    let (faulty, store) = faulty();
    faulty.add(Rule::always(Operation::Put, Fault::Timeout).on_keys("-7.seg"));
    faulty.add(Rule::always(Operation::Put, Fault::Full).after(2).times(1));
    let outcomes = [
        put(&store, 1).await.is_ok(),
        put(&store, 2).await.is_ok(),
        put(&store, 3).await.is_ok(),
        put(&store, 4).await.is_ok(),
    ];
    assert_eq!(outcomes, [true, true, false, true]);
    let seven = FreshKey { rows: 7, ..fresh(5) };
    assert!(store.put_fresh(&TenantId::single(), seven, Bytes::new()).await.is_err());
    faulty.heal();
    assert!(store.put_fresh(&TenantId::single(), seven, Bytes::new()).await.is_ok());
}

/// Who waits for a store that never answers can stop waiting, and it costs nothing more.
#[tokio::test]
async fn a_request_that_hangs_can_be_dropped() {
    let (faulty, store) = faulty();
    faulty.add(Rule::once(Operation::Put, Fault::Hang));
    {
        let mut waiting = Box::pin(put(&store, 1));
        assert!(matches!(futures::poll!(&mut waiting), Poll::Pending));
    }
    assert_eq!(put(&store, 1).await, Ok(Committed::Created));
}

/// Some servers answer 200 to the second create and overwrite. That is found out, and said at every start.
#[tokio::test]
async fn a_store_that_overwrites_is_found_out() {
    let (faulty, store) = faulty();
    faulty.add(Rule::always(Operation::Put, Fault::Overwrites));
    assert!(!store.probe().await.unwrap().refuses_second_create);
    assert!(!store.probe().await.unwrap().refuses_second_create, "and remembered");
    // A fresh segment is safe there all the same: equal bytes under an equal name.
    assert_eq!(put(&store, 1).await, Ok(Committed::Created));
    assert_eq!(put(&store, 1).await, Ok(Committed::Created));
    assert_eq!(list(&store, 1).await, Ok(1));
}

#[tokio::test]
async fn a_probe_that_was_cut_short_is_made_up_for() {
    let (faulty, store) = faulty();
    faulty.add(Rule::always(Operation::Put, Fault::Timeout).after(4));
    assert!(store.probe().await.is_err());
    faulty.heal();
    assert!(store.probe().await.unwrap().refuses_second_create);
}

/// Each query can be told what it cost, while the store counts everything.
#[tokio::test]
async fn a_metered_store_counts_its_own() {
    let (_, store) = faulty();
    put(&store, 1).await.unwrap();
    let metered = store.metered();
    list(&metered, 1).await.unwrap();
    let (own, all) = (metered.counters().snapshot(), store.counters().snapshot());
    assert_eq!((own.puts, own.lists, own.requests()), (0, 1, 1));
    assert_eq!((all.puts, all.lists, all.requests()), (1, 1, 2));
}

/// A name that a newer version may have written must not be left out silently; what is no segment may lie around.
#[tokio::test]
async fn strange_objects_in_a_day() {
    use object_store::{ObjectStoreExt as _, path::Path};
    let inner = Arc::new(InMemory::new());
    let store = Store::new(inner.clone());
    put(&store, 1).await.unwrap();
    inner.put(&Path::from("t/fake/1970-01-01/.DS_Store"), "x".into()).await.unwrap();
    inner.put(&Path::from("t/fake/1970-01-01/l0/notes.txt"), "x".into()).await.unwrap();
    assert_eq!(list(&store, 1).await, Ok(1));
    inner.put(&Path::from("t/fake/1970-01-01/l0/v2-1.seg"), "x".into()).await.unwrap();
    assert_eq!(kind(&list(&store, 1).await.expect_err("unknown segment")), "corrupt");
}
