//! What is deleted is in no byte of the store: every object that is left is decoded, and searched for what nobody may see any more.
//!
//! Lines and metadata hold a text each that no other has and nothing can compress. The only trace that stays is a request's own words.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use model::{Day, Entry, Labels, TenantId};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use segment::{ColumnKind, Options, Writer};
use store::faulty::Faulty;
use store::{DeleteRequest, FreshKey, Store};
use testkit::generate::Numbers;
use upkeep::{
    Deletes, ForgetSettings, Grace, MergeSettings, Policy, Scope, StreamPeriod, Verified, VerifySettings, collect_day,
    keep_of, merge_day, verify,
};

const START_NS: i64 = 1_795_132_800_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);
/// How far the store's clock is ahead of the machine's, so that it is never behind the test's.
const AHEAD: Duration = Duration::from_secs(10_000 * 86_400);
const BATCHES: usize = 12;
const ENTRIES: usize = 60;
/// Letters of a unique text.
const TEXT_LEN: usize = 32;

/// Unique texts of entries, by what becomes of them.
#[derive(Default)]
struct Texts {
    gone: BTreeSet<String>,
    kept: BTreeSet<String>,
}

async fn put_all(store: &Store) -> Texts {
    let (mut numbers, mut texts) = (Numbers::new(5), Texts::default());
    for batch in 0..BATCHES {
        let mut entries = Vec::new();
        for number in 0..ENTRIES {
            let mut text = || format!("{:016x}{:016x}", numbers.draw(), numbers.draw());
            let (app, user, in_line, in_metadata) = (["a", "b", "c"][number % 3], number % 7, text(), text());
            let timestamp_ns = START_NS + (batch * ENTRIES + number) as i64 * SECOND_NS;
            let kind = ["card", "cash"][number / 3 % 2];
            let metadata = Labels::from_pairs([("kind", kind), ("session", in_metadata.as_str())]);
            let entry = Entry { timestamp_ns, line: format!("user={user} paid by {in_line}"), metadata };
            entries.push((Labels::from_pairs([("app", app)]), entry));
            let is_gone = match app {
                "a" => user == 3 || kind == "card",
                "b" => (200..500).contains(&(batch * ENTRIES + number)),
                // Past its retention.
                _ => true,
            };
            if is_gone { &mut texts.gone } else { &mut texts.kept }.extend([in_line, in_metadata]);
        }
        let mut writer = Writer::new(Options { block_bytes_max: 800, block_bytes_min: 400, ..Options::default() });
        entries.iter().for_each(|(labels, entry)| writer.add(labels, std::slice::from_ref(entry)));
        let built = writer.finish().unwrap();
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: batch as u128, rows: built.rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.unwrap();
    }
    texts
}

/// Everything that an object says: a segment's label sets, lines and metadata, any other's text.
fn words(bytes: &[u8]) -> Vec<String> {
    let Ok(footer) = segment::check(bytes) else { return vec![String::from_utf8_lossy(bytes).into_owned()] };
    let mut words: Vec<String> = footer.streams().iter().map(|stream| stream.labels.to_string()).collect();
    for block in footer.blocks() {
        let stored = |range: &std::ops::Range<u64>| &bytes[range.start as usize..range.end as usize];
        let times = block.column(&ColumnKind::Timestamps).unwrap();
        let times = segment::decode_timestamps(times, stored(&times.range)).unwrap();
        for column in &block.columns {
            match &column.kind {
                ColumnKind::Lines => words.push(segment::decode_lines(column, stored(&column.range), &times).unwrap()),
                ColumnKind::Metadata(_) => {
                    words.extend(segment::decode_metadata(column, stored(&column.range)).unwrap().values);
                }
                _ => {}
            }
        }
    }
    words
}

/// Which of some texts are in any object; and how many objects there are.
async fn found(objects: &InMemory, texts: &BTreeSet<String>) -> (usize, usize) {
    let all: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let mut found = BTreeSet::new();
    for meta in &all {
        let bytes = objects.get(&meta.location).await.unwrap().bytes().await.unwrap();
        for words in words(&bytes).iter().map(String::as_bytes).chain([&bytes[..]]) {
            let pieces = words.windows(TEXT_LEN).filter_map(|piece| std::str::from_utf8(piece).ok());
            found.extend(pieces.filter(|piece| texts.contains(*piece)).map(str::to_owned));
        }
    }
    (found.len(), all.len())
}

#[tokio::test]
async fn no_byte_of_a_deleted_entry_is_left() {
    let objects = Arc::new(InMemory::new());
    let faulty = Faulty::new(objects.clone());
    faulty.set_clock(AHEAD);
    let (store, tenant, day) = (Store::new(Arc::new(faulty.clone())), TenantId::single(), Day::of(START_NS));
    let texts = put_all(&store).await;
    let now_ns = START_NS + 2 * DAY.as_nanos() as i64;
    let of_c = StreamPeriod { selector: r#"{app="c"}"#.to_owned(), priority: 1, period: DAY };
    let settings = ForgetSettings {
        retention_streams: vec![of_c],
        deletes: Deletes::Delete { after: DAY },
        ..ForgetSettings::default()
    };
    let policy = |now_ns| {
        let settings = settings.clone();
        Policy::new(move |_| settings.clone(), move || now_ns)
    };
    let at = |second: i64| START_NS + second * SECOND_NS;
    for (query, from, to) in [
        (r#"{app="a"} |= "user=3 ""#, 0, 86_400),
        (r#"{app="a"} | kind="card""#, 0, 86_400),
        (r#"{app="b"}"#, 200, 499),
    ] {
        store.put_delete(&tenant, DeleteRequest::new(query, at(from), at(to), now_ns)).await.unwrap();
    }
    let merge = async |inputs_max: usize, now_ns: i64| {
        let keep = keep_of(&store, &tenant, &policy(now_ns)).await.unwrap();
        let settings = MergeSettings { inputs_max, merges_max: 4, output_bytes: 20_000, ..MergeSettings::all() };
        merge_day(&store, &tenant, day, &settings, keep).await.unwrap()
    };
    let all = (texts.gone.len(), texts.kept.len());
    assert_eq!((found(&objects, &texts.gone).await.0, found(&objects, &texts.kept).await.0), all, "the search finds");
    // Retention goes at once; what can still be cancelled stays, though nobody sees it.
    merge(4, now_ns).await;
    while merge(256, now_ns + DAY.as_nanos() as i64).await.merges > 0 {}
    for days in [2, 4] {
        faulty.set_clock(AHEAD + days * DAY);
        collect_day(&store, &tenant, day, &Grace::default()).await.unwrap();
    }
    let (gone, left) = found(&objects, &texts.gone).await;
    assert_eq!((gone, found(&objects, &texts.kept).await.0), (0, all.1));
    println!("{} texts of deleted and past entries in {left} objects: {gone}; of others {}", all.0, all.1);

    let settings = VerifySettings { quick: false, now_ms: store.clock_ms().await.unwrap() };
    let verified = verify(&store, &Scope::default(), &settings, &()).await.unwrap();
    let Verified { bad, missing, orphans, garbage, unknown, losses, entries, .. } = verified;
    assert_eq!((bad, missing, orphans, garbage, unknown, losses), (0, 0, 0, 0, 0, 0), "{verified:?}");
    assert_eq!(entries as usize, texts.kept.len() / 2);
}
