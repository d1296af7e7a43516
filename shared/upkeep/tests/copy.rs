//! A backup is whole whatever happens to its source meanwhile, and whenever it is killed; what is restored from it is the same.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Engine, EngineSettings};
use object_store::memory::InMemory;
use store::faulty::{Crash, Fault, Faulty, Operation, Rule};
use store::{DeleteRequest, Store, StoreUrl};
use testkit::moto::Moto;
use upkeep::{
    Copied, CopySettings, Deletes, Direction, Error, Finding, FindingKind, ForgetSettings, Grace, KeepAll,
    MergeSettings, Permission, Policy, Progress, Scope, VerifySettings, collect_day, copy, keep_of, merge_day, rebuild,
    verify,
};

use crate::support::{Load, START_NS, Seen, day, read, read_with, tenant};

const DAY: Duration = Duration::from_secs(86_400);

fn memory() -> (Faulty, Store) {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    (faulty.clone(), Store::new(Arc::new(faulty)))
}

fn backup() -> CopySettings {
    CopySettings { direction: Direction::Backup { of: "the source".to_owned(), moved: false }, verify: true }
}

fn restore() -> CopySettings {
    CopySettings { direction: Direction::Restore, verify: true }
}

async fn copied(from: &Store, to: &Store, settings: &CopySettings) -> Result<Copied, Error> {
    copy(from, to, &Scope::default(), settings, &()).await
}

async fn merge(store: &Store) {
    merge_day(store, &tenant(), day(), &MergeSettings::all(), Arc::new(KeepAll)).await.unwrap();
}

/// No entry is lost, none doubled, none foreign; and the store is sound.
async fn check(store: &Store, at_least: &Seen, at_most: &Seen, when: &str) {
    // A process that has just been started knows no manifest.
    let store = Store::new(Arc::new(Faulty::over(store)));
    let found = read(&store).await;
    let lost = at_least.keys().filter(|entry| !found.contains_key(*entry)).count();
    let doubled = found.values().filter(|count| **count > 1).count();
    let foreign = found.keys().filter(|entry| !at_most.contains_key(*entry)).count();
    assert_eq!((lost, doubled, foreign), (0, 0, 0), "lost, doubled, never sent: {when}");
    let settings = VerifySettings { quick: false, now_ms: 0 };
    let verified = verify(&store, &Scope::default(), &settings, &()).await.unwrap();
    assert_eq!(verified.losses, 0, "{verified:?}: {when}");
}

#[tokio::test]
async fn a_second_backup_copies_what_is_new() {
    let ((_, from), (_, to), (_, again)) = (memory(), memory(), memory());
    let load = Load::new(8, 100);
    for batch in 0..4 {
        load.put(&from, batch).await.unwrap();
    }
    let first = copied(&from, &to, &backup()).await.unwrap();
    assert_eq!((first.objects, first.there, first.losses), (4, 0, 0));
    let second = copied(&from, &to, &backup()).await.unwrap();
    assert_eq!((second.objects, second.there, second.losses), (0, 4, 0));
    merge(&from).await;
    load.put(&from, 4).await.unwrap();
    let third = copied(&from, &to, &backup()).await.unwrap();
    assert_eq!((third.objects, third.there, third.losses), (3, 0, 0), "a merged one, a fresh one, the manifest");
    check(&to, &load.entries_of(0..5), &load.entries_of(0..5), "third").await;
    let back = copied(&to, &again, &restore()).await.unwrap();
    assert_eq!((back.objects, back.losses), (3, 0), "what was merged is garbage in the backup, and not restored");
    check(&again, &load.entries_of(0..5), &load.entries_of(0..5), "restored").await;
    // What was restored is used, merged and backed up again: one history.
    for batch in 5..8 {
        load.put(&again, batch).await.unwrap();
    }
    merge(&again).await;
    let moved = CopySettings { direction: Direction::Backup { of: "elsewhere".to_owned(), moved: true }, verify: true };
    assert_eq!(copied(&again, &to, &moved).await.unwrap().losses, 0);
    check(&to, &load.entries(), &load.entries(), "continued").await;
}

/// A copy under way while somebody writes, merges and collects: at each moment the target can be read, and at the end it has all that
/// was acknowledged before the copy began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_may_be_written_merged_and_collected_meanwhile() {
    const BATCHES: usize = 40;
    let ((clock, from), (_, to)) = (memory(), memory());
    let load = Arc::new(Load::new(BATCHES, 30));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (from, load, acknowledged, done) = (from.clone(), load.clone(), acknowledged.clone(), done.clone());
        tokio::spawn(async move {
            for batch in 0..BATCHES {
                load.put(&from, batch).await.unwrap();
                acknowledged.lock().unwrap().push(batch);
                if batch % 3 == 2 {
                    merge(&from).await;
                    // Far beyond any grace: whatever a copier has listed may be gone.
                    clock.set_clock(DAY * 2 * u32::try_from(batch).unwrap());
                    collect_day(&from, &tenant(), day(), &Grace::default()).await.unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        })
    };
    let (mut runs, mut started_over, mut objects) = (0, 0, 0);
    loop {
        let last = done.load(Ordering::SeqCst);
        let before = acknowledged.lock().unwrap().clone();
        let copied = copied(&from, &to, &backup()).await.unwrap();
        assert_eq!(copied.losses, 0, "{copied:?}");
        check(&to, &load.entries_of(before), &load.entries(), "while it is written").await;
        (runs, started_over, objects) = (runs + 1, started_over + copied.started_over, objects + copied.objects);
        if last {
            break;
        }
    }
    writer.await.unwrap();
    let (_, restored) = memory();
    copied(&to, &restored, &restore()).await.unwrap();
    check(&restored, &load.entries(), &load.entries(), "restored").await;
    println!(
        "{runs} backups beside a writer, {objects} objects copied, {started_over} days begun again; acknowledged {} = restored {}",
        load.entries().len(),
        read(&restored).await.len()
    );
}

/// Every object that a listing has shown may be collected before it is read: the day is begun again.
#[tokio::test]
async fn a_segment_that_was_collected_was_merged() {
    let ((faulty, from), (_, to)) = (memory(), memory());
    let load = Load::new(6, 50);
    load.put_all(&from).await;
    faulty.add(Rule::once(Operation::Get, Fault::Missing).on_keys("/l0/").after(3));
    let copied = copied(&from, &to, &backup()).await.unwrap();
    assert_eq!((copied.started_over, copied.losses), (1, 0));
    check(&to, &load.entries(), &load.entries(), "begun again").await;
}

/// Dies before and after each request of either side; each time what is there can be read, and the next run ends it.
#[tokio::test]
async fn a_copy_that_is_killed_goes_on() {
    let (_, from) = memory();
    let load = Load::new(8, 40);
    for batch in 0..6 {
        load.put(&from, batch).await.unwrap();
    }
    merge(&from).await;
    load.put(&from, 6).await.unwrap();
    load.put(&from, 7).await.unwrap();
    let (mut points, mut acknowledged, mut found) = (0, 0, 0);
    for request in 0.. {
        let mut reached = false;
        for crash in [Crash::Before(request), Crash::After(request)] {
            let (faulty, to) = memory();
            faulty.crash(crash);
            if copied(&from, &to, &backup()).await.is_ok() {
                continue;
            }
            reached = true;
            faulty.heal();
            check(&to, &Seen::new(), &load.entries(), &format!("{crash:?}")).await;
            copied(&from, &to, &backup()).await.unwrap();
            check(&to, &load.entries(), &load.entries(), &format!("{crash:?}, at the end")).await;
            (points, acknowledged) = (points + 1, acknowledged + load.entries().len());
            found += read(&to).await.values().sum::<usize>();
        }
        if !reached {
            break;
        }
    }
    println!("killed copies: {points} points, {acknowledged} acknowledged, {found} read, 0 doubled");
    assert!(points >= 16 && acknowledged == found, "{points} points");
}

#[tokio::test]
async fn a_folder_goes_to_s3_and_back() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("backups");
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |folder: &std::path::Path| Store::open(&StoreUrl::folder(folder).unwrap(), []).unwrap();
    let (from, back) = (open(one.path()), open(two.path()));
    let bucket = Store::open(&"s3://backups/a".parse().unwrap(), moto.environment()).unwrap();
    let load = Load::new(6, 100);
    for batch in 0..4 {
        load.put(&from, batch).await.unwrap();
    }
    merge(&from).await;
    load.put(&from, 4).await.unwrap();
    load.put(&from, 5).await.unwrap();
    assert_eq!(copied(&from, &bucket, &backup()).await.unwrap().objects, 4);
    assert_eq!(copied(&bucket, &back, &restore()).await.unwrap().objects, 4);
    check(&back, &load.entries(), &load.entries(), "back from S3").await;
    assert_eq!(copied(&bucket, &back, &restore()).await.unwrap().objects, 0);
}

/// Histories that have parted are not mixed, a backup is not merged, and no store is taken for one.
#[tokio::test]
async fn what_would_lose_entries_is_refused() {
    let ((_, from), (_, to), (_, other)) = (memory(), memory(), memory());
    let load = Load::new(6, 50);
    load.put(&from, 0).await.unwrap();
    copied(&from, &to, &backup()).await.unwrap();
    let of_another =
        CopySettings { direction: Direction::Backup { of: "another".to_owned(), moved: false }, ..backup() };
    for (target, settings) in [(&to, &of_another), (&to, &restore()), (&from, &backup())] {
        let error = copied(&from, target, settings).await.unwrap_err();
        assert!(matches!(error, Error::Store(store::Error::Invalid { .. })), "{error}");
    }
    for permission in [Permission::IfSafe, Permission::OnlyMerger] {
        assert!(!permission.is_given(&to).await.unwrap());
    }
    // The source and what was restored from it merge each for themselves.
    copied(&to, &other, &restore()).await.unwrap();
    for (store, batches) in [(&from, 1..3), (&other, 3..6)] {
        for batch in batches {
            load.put(store, batch).await.unwrap();
        }
        merge(store).await;
    }
    let before = read(&other).await;
    let found = Findings::default();
    let refused = copy(&from, &other, &Scope::default(), &restore(), &found).await.unwrap();
    assert_eq!((refused.losses, refused.objects), (1, 0));
    assert_eq!(found.0.into_inner().unwrap()[0].kind, FindingKind::Foreign);
    assert_eq!(read(&other).await, before);
}

#[derive(Default)]
struct Findings(Mutex<Vec<Finding>>);

impl Progress for Findings {
    fn found(&self, finding: &Finding) {
        self.0.lock().unwrap().push(finding.clone());
    }
}

/// Damage on either side is told, and nothing is overwritten.
#[tokio::test]
async fn damage_is_told() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |folder: &std::path::Path| Store::open(&StoreUrl::folder(folder).unwrap(), []).unwrap();
    let (from, to) = (open(one.path()), open(two.path()));
    let load = Load::new(2, 50);
    load.put_all(&from).await;
    copied(&from, &to, &backup()).await.unwrap();
    let (key, _) = load.segment(1);
    let listed = from.day_objects(&tenant(), day()).await.unwrap();
    let file = two.path().join(listed.fresh.iter().find(|(facts, _)| *facts == key).unwrap().1.key.as_str());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(copied(&from, &to, &CopySettings { verify: false, ..backup() }).await.unwrap().losses, 0, "sizes alone");
    assert_eq!(copied(&from, &to, &backup()).await.unwrap().losses, 1, "differs");
    std::fs::write(&file, b"short").unwrap();
    assert_eq!(copied(&from, &to, &CopySettings { verify: false, ..backup() }).await.unwrap().losses, 1, "too short");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(copied(&from, &to, &backup()).await.unwrap().objects, 1);
    check(&to, &load.entries(), &load.entries(), "put right").await;
}

/// A manifest that the backup has, and that is damaged at the source and rebuilt, is no other history.
#[tokio::test]
async fn a_rebuilt_source_is_backed_up_further() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |folder: &std::path::Path| Store::open(&StoreUrl::folder(folder).unwrap(), []).unwrap();
    let load = Load::new(6, 50);
    for batch in 0..4 {
        load.put(&open(one.path()), batch).await.unwrap();
    }
    merge(&open(one.path())).await;
    assert_eq!(copied(&open(one.path()), &open(two.path()), &backup()).await.unwrap().objects, 2);
    let objects = open(one.path()).day_objects(&tenant(), day()).await.unwrap();
    std::fs::write(one.path().join(objects.manifests[0].1.key.as_str()), "logbarn manifest").unwrap();
    assert_eq!(copied(&open(one.path()), &open(two.path()), &backup()).await.unwrap().losses, 1, "it cannot be read");
    assert_eq!(rebuild(&open(one.path()), &Scope::default(), false, &()).await.unwrap().len(), 1);
    load.put(&open(one.path()), 4).await.unwrap();
    assert_eq!(copied(&open(one.path()), &open(two.path()), &backup()).await.unwrap().losses, 0);
    check(&open(two.path()), &load.entries_of(0..5), &load.entries_of(0..5), "after a rebuild").await;
}

/// What was deleted stays deleted in a backup and in what is restored from it, and what was cancelled stays.
#[tokio::test]
async fn deletes_are_copied() {
    let ((clock, from), (_, to), (again_clock, again)) = (memory(), memory(), memory());
    let ahead = 10_000 * DAY;
    let load = Load::new(6, 100);
    for batch in 0..4 {
        load.put(&from, batch).await.unwrap();
    }
    let (now_ns, day_ns) = (START_NS + 3_600_000_000_000, DAY.as_nanos() as i64);
    let forgetting = ForgetSettings { deletes: Deletes::Delete { after: DAY }, ..ForgetSettings::default() };
    let policy = |now_ns| {
        let forgetting = forgetting.clone();
        Policy::new(move |_| forgetting.clone(), move || now_ns)
    };
    let (early, late) = (policy(now_ns), policy(now_ns + 2 * day_ns));
    let request = |what: &str| DeleteRequest::new(&format!(r#"{{service_name=~".+"}} {what}"#), 0, now_ns, now_ns);
    let delete = async |store: &Store, what: &str| store.put_delete(&tenant(), request(what)).await.map(drop).unwrap();
    let seen = async |store: &Store, policy: &Policy| {
        read_with(&Engine::new(store.clone(), EngineSettings::default()).heeding(policy.clone())).await
    };
    let forget = async |clock: &Faulty, store: &Store| {
        clock.set_clock(ahead);
        let keep = keep_of(store, &tenant(), &late).await.unwrap();
        merge_day(store, &tenant(), day(), &MergeSettings::all(), keep).await.unwrap();
    };

    delete(&from, r#"| detected_level="error""#).await;
    delete(&from, r#"|= "took""#).await;
    copied(&from, &to, &backup()).await.unwrap();
    assert_eq!(seen(&to, &early).await, seen(&from, &early).await, "hidden in the backup too");
    from.cancel_delete(&tenant(), &request(r#"|= "took""#)).await.unwrap();
    forget(&clock, &from).await;
    delete(&from, r#"| detected_level="debug""#).await;
    load.put(&from, 4).await.unwrap();
    assert_eq!(copied(&from, &to, &backup()).await.unwrap().losses, 0);
    assert_eq!(copied(&to, &again, &restore()).await.unwrap().losses, 0);
    let mut left = load.entries_of(0..5);
    left.retain(|(.., metadata), _| !["error", "debug"].iter().any(|level| metadata.contains(level)));
    for (store, name) in [(&from, "the source"), (&to, "the backup"), (&again, "restored")] {
        assert_eq!(seen(store, &early).await, left, "{name}");
    }
    forget(&again_clock, &again).await;
    assert_eq!(read(&again).await, left, "for good");
}
