//! The promises of design §3.1 and §3.2 that a store must keep, whatever is underneath, each with what it may cost.

use bytes::Bytes;
use futures::future::join_all;
use model::{Day, NANOS_PER_SECOND, TenantId, TimeRange};
use store::{Committed, Counts, Current, Error, FreshKey, Manifest, SegmentRef, Store};

const DAY: i64 = 86_400 * NANOS_PER_SECOND;
const HOUR: i64 = DAY / 24;

/// Runs all of it. Each part uses a tenant of its own, so that an S3 bucket may be shared.
pub(crate) async fn run(store: &Store) {
    a_put_is_one_request_and_visible_at_once(store).await;
    a_second_put_is_a_no_op(store).await;
    racing_puts_have_one_winner(store).await;
    keys_prune_by_time_and_day(store).await;
    long_ranges_cost_little(store).await;
    a_day_of_more_than_one_page_is_whole(store).await;
    reads_give_exactly_what_is_asked(store).await;
    a_merge_is_seen_exactly_once(store).await;
    a_manifest_version_has_one_winner(store).await;
    tenants_do_not_see_each_other(store).await;
    the_probe_is_remembered(store).await;
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant id")
}

fn fresh(min_ts: i64, max_ts: i64, batch_id: u128) -> FreshKey {
    FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id, rows: 1 }
}

fn range(start_ns: i64, end_ns: i64) -> TimeRange {
    TimeRange::new(start_ns, end_ns).expect("ordered")
}

async fn ids(store: &Store, tenant: &TenantId, range: TimeRange) -> Vec<(i64, i64, bool)> {
    let segments = store.segments(tenant, range).await.expect("lists");
    segments.iter().map(|s| (s.min_ts, s.max_ts, s.fresh)).collect()
}

/// What a piece of work costs; HTTP requests are left to the caller of the suite.
async fn cost<T>(store: &Store, work: impl AsyncFnOnce(&Store) -> T) -> (T, Counts) {
    let before = store.counters().snapshot();
    let result = work(store).await;
    let counts = store.counters().snapshot() - before;
    (result, Counts { wire_requests: 0, ..counts })
}

async fn a_put_is_one_request_and_visible_at_once(store: &Store) {
    let tenant = tenant("one-put");
    let (put, counts) =
        cost(store, async |s| s.put_fresh(&tenant, fresh(5, 9, 1), Bytes::from_static(b"hello")).await).await;
    assert_eq!(put, Ok(Committed::Created));
    assert_eq!(counts, Counts { puts: 1, bytes_out: 5, ..Counts::default() });

    let (segments, counts) = cost(store, async |s| s.segments(&tenant, range(0, DAY)).await.unwrap()).await;
    assert_eq!(counts, Counts { lists: 1, ..Counts::default() });
    let [SegmentRef { key, size: 5, min_ts: 5, max_ts: 9, rows: 1, fresh: true, .. }] = &segments[..] else {
        panic!("{segments:?}")
    };
    assert!(key.as_str().starts_with("t/one-put/1970-01-01/l0/"), "{key}");
}

async fn a_second_put_is_a_no_op(store: &Store) {
    let tenant = tenant("twice");
    let put = async |s: &Store| s.put_fresh(&tenant, fresh(5, 9, 1), Bytes::from_static(b"same bytes")).await;
    assert_eq!(put(store).await, Ok(Committed::Created));
    let (second, counts) = cost(store, put).await;
    assert_eq!(second, Ok(Committed::Existed));
    assert_eq!(counts.requests(), 1);
    let segments = store.segments(&tenant, range(0, DAY)).await.unwrap();
    assert_eq!(segments.len(), 1);
    assert_eq!(store.read(&segments[0].key).await.unwrap(), "same bytes");
}

async fn racing_puts_have_one_winner(store: &Store) {
    let tenant = tenant("race");
    for batch in 0..5 {
        let puts = (0..16).map(|_| store.put_fresh(&tenant, fresh(1, 1, batch), Bytes::from_static(b"x")));
        let created = join_all(puts).await.into_iter().filter(|put| *put == Ok(Committed::Created)).count();
        assert_eq!(created, 1);
    }
    assert_eq!(store.segments(&tenant, range(0, DAY)).await.unwrap().len(), 5);
}

async fn keys_prune_by_time_and_day(store: &Store) {
    let tenant = tenant("team!-_.*'()");
    for (min, max) in [(HOUR, 2 * HOUR), (3 * HOUR, 4 * HOUR), (DAY + HOUR, DAY + 2 * HOUR), (2 * DAY, 2 * DAY)] {
        store.put_fresh(&tenant, fresh(min, max, 1), Bytes::from_static(b"x")).await.unwrap();
    }
    let check = async |start, end, want: &[i64]| {
        let got = ids(store, &tenant, range(start, end)).await;
        let want: Vec<_> =
            want.iter().map(|min| got.iter().copied().find(|s| s.0 == *min).unwrap_or_default()).collect();
        assert_eq!(got, want, "{start}..{end}");
    };
    check(0, HOUR, &[]).await;
    check(0, HOUR + 1, &[HOUR]).await;
    check(2 * HOUR, 3 * HOUR, &[HOUR]).await;
    check(2 * HOUR + 1, 3 * HOUR, &[]).await;
    check(0, DAY, &[HOUR, 3 * HOUR]).await;
    check(4 * HOUR, 2 * DAY, &[3 * HOUR, DAY + HOUR]).await;
    check(-DAY, 30 * DAY, &[HOUR, 3 * HOUR, DAY + HOUR, 2 * DAY]).await;
    check(2 * DAY, 2 * DAY, &[]).await;
}

async fn long_ranges_cost_little(store: &Store) {
    let tenant = tenant("month");
    for day in [3, 17] {
        store.put_fresh(&tenant, fresh(day * DAY, day * DAY, 1), Bytes::from_static(b"x")).await.unwrap();
    }
    let (segments, counts) = cost(store, async |s| s.segments(&tenant, range(0, 30 * DAY)).await.unwrap()).await;
    assert_eq!(segments.len(), 2);
    assert_eq!(counts.requests(), 3, "one LIST for the days, one for each that exists");
    assert_eq!(store.days(&tenant).await.unwrap(), [Day::of(3 * DAY), Day::of(17 * DAY)]);
}

async fn a_day_of_more_than_one_page_is_whole(store: &Store) {
    const OBJECTS: i64 = 1_050;
    let tenant = tenant("pages");
    for chunk in (0..OBJECTS).collect::<Vec<_>>().chunks(50) {
        let puts = chunk.iter().map(|i| store.put_fresh(&tenant, fresh(*i, *i, 1), Bytes::from_static(b"x")));
        join_all(puts).await.into_iter().for_each(|put| assert_eq!(put, Ok(Committed::Created)));
    }
    let (segments, counts) = cost(store, async |s| s.segments(&tenant, range(0, DAY)).await.unwrap()).await;
    assert_eq!(segments.iter().map(|s| s.min_ts).collect::<Vec<_>>(), (0..OBJECTS).collect::<Vec<_>>());
    assert_eq!(counts.lists, 2);
}

async fn reads_give_exactly_what_is_asked(store: &Store) {
    let tenant = tenant("reads");
    let bytes: Vec<u8> = (0..2_000_000_u32).map(|i| (i % 251) as u8).collect();
    store.put_fresh(&tenant, fresh(1, 1, 1), bytes.clone().into()).await.unwrap();
    let segment = store.segments(&tenant, range(0, DAY)).await.unwrap().remove(0);

    let (tail, counts) = cost(store, async |s| s.read_tail(&segment, 100).await.unwrap()).await;
    assert_eq!(tail, bytes[bytes.len() - 100..]);
    assert_eq!(counts, Counts { gets: 1, bytes_in: 100, ..Counts::default() });
    assert_eq!(store.read_tail(&segment, u64::MAX).await.unwrap(), bytes);
    assert_eq!(store.read_range(&segment, 5..9).await.unwrap(), bytes[5..9]);
    assert_eq!(store.read_range(&segment, 5..5).await.unwrap(), b""[..]);

    // The first two lie near each other and share a request; order and overlap are the caller's business.
    let ranges = [1_000_000..1_000_010, 20..30, 0..10, 25..40];
    let (parts, counts) = cost(store, async |s| s.read_ranges(&segment, &ranges).await.unwrap()).await;
    for (range, part) in ranges.iter().zip(&parts) {
        assert_eq!(part, &bytes[range.start as usize..range.end as usize]);
    }
    assert_eq!(counts, Counts { gets: 2, bytes_in: 50, ..Counts::default() });

    let end = segment.size;
    assert!(matches!(store.read_range(&segment, end - 1..end + 1).await, Err(Error::Corrupt { .. })));
    let longer = SegmentRef { size: end + 7, ..segment.clone() };
    assert!(matches!(store.read_range(&longer, 0..10).await, Err(Error::Corrupt { .. })), "listed longer than it is");
    let absent = store::Key::parse(&segment.key.as_str().replace("reads", "nobody")).unwrap();
    assert!(matches!(store.read(&absent).await, Err(Error::NotFound { .. })));
    let absent = SegmentRef { key: absent, ..segment };
    assert!(matches!(store.read_tail(&absent, 8).await, Err(Error::NotFound { .. })));
}

async fn a_merge_is_seen_exactly_once(store: &Store) {
    let tenant = tenant("merge");
    let day = Day::of(0);
    for batch in 1..=3 {
        store.put_fresh(&tenant, fresh(10 * batch, 10 * batch + 5, 1), Bytes::from_static(b"x")).await.unwrap();
    }
    let current = async || {
        let Current { manifest, fresh, .. } = store.current(&tenant, day).await.unwrap();
        (manifest.version, fresh.into_iter().map(|(facts, _)| facts).collect::<Vec<_>>())
    };
    let (none, inputs) = current().await;
    assert_eq!((none, inputs.len()), (0, 3));

    let merged = store.put_merged(&tenant, day, 1, 2, (10, 25), Bytes::from_static(b"merged")).await.unwrap();
    assert_eq!(ids(store, &tenant, range(0, DAY)).await.len(), 3, "an output that no manifest names does not count");
    let manifest = Manifest {
        version: 1,
        segments: vec![merged.clone()],
        consumed: inputs[..2].iter().map(|fresh| (*fresh, 1)).collect(),
        ..Manifest::default()
    };
    assert_eq!(store.commit_manifest(&tenant, day, &manifest).await, Ok(Committed::Created));
    // The names of ten versions and more must still sort newest first.
    for version in 2..=11 {
        let manifest = Manifest { version, ..manifest.clone() };
        assert_eq!(store.commit_manifest(&tenant, day, &manifest).await, Ok(Committed::Created));
    }

    let (segments, counts) = cost(store, async |s| ids(s, &tenant, range(0, DAY)).await).await;
    assert_eq!(segments, [(10, 25, false), (30, 35, true)]);
    assert_eq!((counts.lists, counts.gets), (1, 1));
    let (segments, counts) = cost(store, async |s| ids(s, &tenant, range(26, DAY)).await).await;
    assert_eq!(segments, [(30, 35, true)]);
    assert_eq!((counts.lists, counts.gets), (1, 0), "a manifest that is known is not read again");

    assert_eq!(current().await, (11, inputs[2..].to_vec()));
    let segment = merged.segment(&tenant, day);
    assert_eq!(store.read_tail(&segment, 100).await.unwrap(), "merged");
}

async fn a_manifest_version_has_one_winner(store: &Store) {
    let (tenant, day) = (tenant("mergers"), Day::of(0));
    let planned = |batch| Manifest {
        version: 1,
        segments: vec![],
        consumed: [(fresh(1, 1, batch), 1)].into(),
        ..Manifest::default()
    };
    let commits = (0..8).map(|batch| {
        let (tenant, manifest) = (&tenant, planned(batch));
        async move { store.commit_manifest(tenant, day, &manifest).await.map(|committed| (batch, committed)) }
    });
    let outcomes: Vec<_> = join_all(commits).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<_> = outcomes.iter().filter(|(_, committed)| *committed == Committed::Created).collect();
    let [(winner, _)] = winners[..] else { panic!("{outcomes:?}") };
    assert_eq!(*store.current(&tenant, day).await.unwrap().manifest, planned(*winner));
    // Whose answer was lost finds its own bytes, and has won.
    assert_eq!(store.commit_manifest(&tenant, day, &planned(*winner)).await, Ok(Committed::Created));
}

async fn tenants_do_not_see_each_other(store: &Store) {
    for name in ["neighbour", "neighbour2"] {
        store.put_fresh(&tenant(name), fresh(1, 1, 1), Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(store.segments(&tenant("neighbour"), range(0, DAY)).await.unwrap().len(), 1);
    assert_eq!(store.segments(&tenant("neighbour"), range(0, 30 * DAY)).await.unwrap().len(), 1);
    assert_eq!(store.segments(&tenant("neighbou"), range(0, DAY)).await.unwrap(), []);
    assert_eq!(store.segments(&tenant("neighbou"), range(0, 30 * DAY)).await.unwrap(), []);
}

async fn the_probe_is_remembered(store: &Store) {
    assert!(store.probe().await.unwrap().refuses_second_create);
    let (probe, counts) = cost(store, async |s| s.probe().await.unwrap()).await;
    assert!(probe.refuses_second_create);
    assert_eq!((counts.requests(), counts.gets), (1, 1));
}
