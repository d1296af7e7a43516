//! The local folder when things go wrong: killed writers, a full disk, folders removed under it, no right to write.
//!
//! Processes that must die are this test program again, asked for one ignored test.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use model::{Day, TenantId, TimeRange};
use store::{Committed, Error, FreshKey, Key, Manifest, Store, StoreUrl};

const DAY: i64 = 86_400_000_000_000;
/// Names the folder to a process that this test starts.
const FOLDER: &str = "LOGBARN_TEST_FOLDER";
/// The first batch that such a process writes.
const FIRST_BATCH: &str = "LOGBARN_TEST_FIRST_BATCH";
/// Kills of the writer.
const KILLS: u64 = 24;
/// Writers in that process.
const WRITERS: u64 = 4;
/// Large enough that a kill often lands within a write: with a store that writes in place, this test fails.
const BATCH_BYTES: usize = 2_000_000;

fn open(folder: &Path) -> Result<Store, Error> {
    Store::open(&StoreUrl::folder(folder)?, [])
}

fn fresh(batch: u64) -> FreshKey {
    let day = i64::try_from(batch % 3).unwrap() * DAY;
    FreshKey { day: Day::of(day), min_ts: day, max_ts: day, batch_id: batch.into(), rows: 1 }
}

fn content(batch: u64) -> Bytes {
    batch.to_le_bytes().repeat(BATCH_BYTES / 8).into()
}

/// Batches of a thousand go to a tenant of their own.
fn tenant(batch: u64) -> TenantId {
    TenantId::new(&format!("tenant-{}", batch / 1000)).unwrap()
}

async fn put(store: &Store, batch: u64) -> Result<Committed, Error> {
    store.put_fresh(&tenant(batch), fresh(batch), content(batch)).await
}

/// The batches that are visible of a thousand, each checked to be whole.
async fn visible(store: &Store, first: u64) -> BTreeSet<u64> {
    let segments = store.segments(&tenant(first), TimeRange::new(0, 9 * DAY).unwrap()).await.unwrap();
    let mut batches = BTreeSet::new();
    for segment in segments {
        let bytes = store.read(&segment.key).await.unwrap();
        let batch = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(bytes == content(batch), "{} holds {} bytes of {BATCH_BYTES}", segment.key, bytes.len());
        assert!(batches.insert(batch), "{} is there twice", segment.key);
    }
    batches
}

/// Files that are not whole yet.
fn incoming(folder: &Path) -> usize {
    let names = fs::read_dir(folder.join(".incoming")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name != "lock").count()
}

/// This program again, running one of its ignored tests.
fn program(child: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", child, "--ignored", "--nocapture"]).env(FOLDER, folder).stdout(Stdio::piped());
    command
}

#[expect(clippy::disallowed_methods, reason = "a child process is told its task by the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut seen, mut cut) = (0, 0, 0);
    for kill in 0..KILLS {
        let first = 1000 * kill;
        let mut writer = program("child_writes_until_killed", folder.path());
        let mut writer = writer.env(FIRST_BATCH, first.to_string()).spawn().unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        // Killed after a different number of acknowledgements each time; those on their way are counted too.
        let number = |line: String| line.rsplit_once("acknowledged ").map(|(_, batch)| batch.parse::<u64>().unwrap());
        let mut told: BTreeSet<u64> = lines.by_ref().filter_map(number).take(1 + kill as usize % 8).collect();
        writer.kill().unwrap();
        told.extend(lines.filter_map(number));
        writer.wait().unwrap();

        cut += incoming(folder.path());
        let store = open(folder.path()).unwrap();
        assert_eq!(incoming(folder.path()), 0, "leftovers are removed at open");
        let visible = visible(&store, first).await;
        let lost: Vec<_> = told.difference(&visible).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        assert!(!told.is_empty(), "the writer wrote");
        (acknowledged, seen) = (acknowledged + told.len(), seen + visible.len());
    }
    println!("{KILLS} kills, {acknowledged} acknowledged, {seen} visible, {cut} writes cut");
}

/// Writes for ever, each batch twice, and tells what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by a_killed_writer_loses_nothing_and_leaves_nothing"]
async fn child_writes_until_killed() {
    let (Some(folder), Some(first)) = (variable(FOLDER), variable(FIRST_BATCH)) else { return };
    let (store, first) = (open(Path::new(&folder)).unwrap(), first.parse::<u64>().unwrap());
    let writer = async |store: Store, writer: u64| {
        for batch in (first + writer..).step_by(WRITERS as usize) {
            put(&store, batch).await.unwrap();
            put(&store, batch).await.unwrap();
            writeln!(std::io::stdout(), "acknowledged {batch}").unwrap();
        }
    };
    let writers = (0..WRITERS).map(|number| writer(store.clone(), number));
    futures::future::join_all(writers).await;
}

/// A limit on the size of files stands in for a full disk: both make `write` fail half-way.
#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let child = program("child_writes_too_much", folder.path());
    // A part of a batch fits. The signal that goes with the limit would kill the process.
    let limited = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 150; exec \"$0\" \"$@\""])
        .arg(child.get_program())
        .args(child.get_args())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&limited.stdout);
    assert!(limited.status.success(), "{told}{}", String::from_utf8_lossy(&limited.stderr));
    assert!(told.contains("too much was written"), "the child did its work: {told}");
    assert_eq!(incoming(folder.path()), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(visible(&open(folder.path()).unwrap(), 0)), BTreeSet::new());
}

#[tokio::test]
#[ignore = "started by a_full_disk_is_told_and_leaves_nothing"]
async fn child_writes_too_much() {
    let Some(folder) = variable(FOLDER) else { return };
    let store = open(Path::new(&folder)).unwrap();
    for batch in 0..5 {
        let error = put(&store, batch).await.expect_err("it does not fit");
        assert!(matches!(&error, Error::Full { key, .. } if key.starts_with("t/tenant-0/")), "{error:?}");
        assert_eq!(incoming(Path::new(&folder)), 0);
    }
    let segments = store.segments(&tenant(0), TimeRange::new(0, DAY).unwrap()).await;
    assert_eq!(segments, Ok(vec![]), "and nothing is visible");
    let small = store.put_fresh(&TenantId::new("small").unwrap(), fresh(0), Bytes::from_static(b"x")).await;
    assert_eq!(small, Ok(Committed::Created), "what fits is still written");
    println!("too much was written");
}

/// Who asks a folder in which a server is writing must not take away what it has half written.
#[tokio::test]
async fn leftovers_are_left_to_the_last_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path()).unwrap();
    fs::write(folder.path().join(".incoming/1-1"), "half").unwrap();
    let reader = open(folder.path()).unwrap();
    assert_eq!(incoming(folder.path()), 1);
    assert_eq!(put(&server, 0).await, Ok(Committed::Created));
    assert_eq!(visible(&reader, 0).await, [0].into(), "and it is not listed");
    drop((server, reader));
    open(folder.path()).unwrap();
    assert_eq!(incoming(folder.path()), 0);
}

#[tokio::test]
async fn a_folder_that_is_removed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    put(&store, 0).await.unwrap();
    fs::remove_dir_all(folder.path().join("t")).unwrap();
    assert_eq!(put(&store, 0).await, Ok(Committed::Created));
    fs::remove_dir_all(folder.path().join(".incoming")).unwrap();
    assert_eq!(put(&store, 1).await, Ok(Committed::Created));
    assert_eq!(visible(&store, 0).await, [0, 1].into());
}

/// A copy of the bucket is a backup, and a backup may be read where it lies. (Root may write anywhere: then it is no test of that.)
#[cfg(unix)]
#[tokio::test]
async fn a_folder_without_the_right_to_write_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    put(&open(folder.path()).unwrap(), 0).await.unwrap();
    fs::remove_dir_all(folder.path().join(".incoming")).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(visible(&store, 0).await, [0].into());
    if fs::write(folder.path().join("probe"), "").is_err() {
        assert!(matches!(put(&store, 1).await, Err(Error::Invalid { .. })));
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_is_no_folder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = open(&path).expect_err("no folder");
        assert!(matches!(&error, Error::Invalid { why } if why.contains("file")), "{error:?}");
    }
}

/// Old keys are read for ever: this name was written by the first version.
#[tokio::test]
async fn the_names_of_files_never_change() {
    let folder = tempfile::tempdir().unwrap();
    put(&open(folder.path()).unwrap(), 7).await.unwrap();
    let name =
        "t/tenant-0/1970-01-02/l0/0000086400000000000-0000086400000000000-00000000000000000000000000000007-1.seg";
    assert!(folder.path().join(name).is_file());
    assert!(Key::parse(name).is_ok());
}

/// A day is listed by names, unless it holds what pushes and merges do not write: then the listing of all stores decides. What a
/// manifest consumed is not shown while its object lies there.
#[tokio::test]
async fn names_tell_what_a_listing_of_objects_tells() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let (tenant, day) = (TenantId::single(), Day::of(0));
    let key = |batch: u64| FreshKey { day, min_ts: 5, max_ts: 9, batch_id: batch.into(), rows: 1 };
    let range = TimeRange::new(0, DAY).unwrap();
    let check = async |want: usize| {
        let listed = store.current(&tenant, day).await.unwrap();
        let listed: BTreeSet<String> = listed.fresh.iter().map(|(_, s)| format!("{} {}", s.key, s.size)).collect();
        let named = store.segments(&tenant, range).await.unwrap();
        let named: BTreeSet<String> = named.iter().map(|s| format!("{} {}", s.key, s.size)).collect();
        assert_eq!((named.len(), &named), (want, &listed));
    };
    check(0).await;
    for batch in 1..=4 {
        store.put_fresh(&tenant, key(batch), vec![0; batch as usize].into()).await.unwrap();
        check(batch as usize).await;
    }
    let consumed = [(key(1), 1), (key(3), 1)].into();
    let manifest = Manifest { version: 1, consumed, ..Manifest::default() };
    store.commit_manifest(&tenant, day, &manifest).await.unwrap();
    check(2).await;

    let day_folder = folder.path().join("t/fake/1970-01-01");
    fs::create_dir(day_folder.join("abc")).unwrap();
    fs::write(day_folder.join("abc/note"), "not ours").unwrap();
    check(2).await;
    fs::write(day_folder.join("l0/note"), "not ours").unwrap();
    check(2).await;
    fs::remove_file(day_folder.join("l0/note")).unwrap();
    fs::remove_dir_all(day_folder.join("abc")).unwrap();
    fs::write(day_folder.join("l0/1-2-3-4.seg"), "of a newer version, perhaps").unwrap();
    assert!(matches!(store.segments(&tenant, range).await, Err(Error::Corrupt { .. })));
    fs::remove_file(day_folder.join("l0/1-2-3-4.seg")).unwrap();
    let path = day_folder.join("l0/0000000000000000005-0000000000000000009-00000000000000000000000000000002-1.seg");
    fs::remove_file(path).unwrap();
    check(1).await;
}
