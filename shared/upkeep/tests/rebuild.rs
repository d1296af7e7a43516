//! Whatever is lost of the manifests, the segments tell it again.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{Store, StoreUrl};
use upkeep::{KeepAll, MergeSettings, Rebuilt, Scope, VerifySettings, merge_day, rebuild, verify};

use crate::support::{Load, day, read, tenant};

fn open(folder: &Path) -> Store {
    Store::open(&StoreUrl::folder(folder).unwrap(), []).unwrap()
}

async fn merge(folder: &Path, inputs_max: usize) {
    let settings = MergeSettings { inputs_max, ..MergeSettings::all() };
    merge_day(&open(folder), &tenant(), day(), &settings, Arc::new(KeepAll)).await.unwrap();
}

/// Some versions of a manifest, merged segments that others have replaced, a fresh segment besides.
async fn folder(load: &Load) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for batch in 0..4 {
        load.put(&store, batch).await.unwrap();
    }
    merge(folder.path(), 2).await;
    for batch in 4..6 {
        load.put(&store, batch).await.unwrap();
    }
    merge(folder.path(), 6).await;
    load.put(&store, 6).await.unwrap();
    folder
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let folder = folder.join(format!("t/{}/{}/{kind}", tenant(), day()));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn remove(files: &[PathBuf]) {
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

async fn rebuilt(folder: &Path, dry: bool) -> Vec<Rebuilt> {
    rebuild(&open(folder), &Scope::default(), dry, &()).await.unwrap()
}

/// What is left behind, and whether everything can still be had.
#[tokio::test]
async fn every_loss_of_manifests_is_made_good() {
    type Loss = fn(&Path);
    let consumed = |f: &Path| {
        let fresh = files(f, "l0");
        remove(&fresh[..fresh.len() - 1]);
    };
    let collected: Loss = consumed;
    let cases: [(&str, Loss); 6] = [
        ("all manifests, before anything was collected", |f| remove(&files(f, "manifest"))),
        ("the newest manifest is damaged", |f| flip(&files(f, "manifest")[0])),
        ("the newest manifest is gone", |f| remove(&files(f, "manifest")[..1])),
        ("all manifests are damaged", |f| files(f, "manifest").iter().for_each(|file| flip(file))),
        ("the newest but one is all that can be read", |f| {
            remove(&files(f, "manifest")[2..]);
            flip(&files(f, "manifest")[0]);
        }),
        ("nothing", |_| {}),
    ];
    let load = Load::new(8, 100);
    for (name, loss) in cases {
        for collect in [false, true] {
            let folder = folder(&load).await;
            let before = read(&open(folder.path())).await;
            assert_eq!(before, load.entries_of(0..7));
            loss(folder.path());
            if collect {
                collected(folder.path());
            }
            let planned = rebuilt(folder.path(), true).await;
            let rebuilt = rebuilt(folder.path(), false).await;
            assert_eq!(planned, rebuilt, "{name}");
            // Without its newest version a day is as it was before that merge; whether that is enough depends on what is still there.
            let may_be_sound = name == "nothing" || name == "the newest manifest is gone";
            assert!(may_be_sound || rebuilt.len() == 1, "{name}, collected {collect}: {rebuilt:?}");
            assert!(name != "nothing" || rebuilt.is_empty(), "{rebuilt:?}");
            assert_eq!(read(&open(folder.path())).await, before, "{name}, collected {collect}: {rebuilt:?}");
            let settings = VerifySettings { quick: false, now_ms: 0 };
            let verified = verify(&open(folder.path()), &Scope::default(), &settings, &()).await.unwrap();
            assert_eq!(verified.losses, 0, "{name}: {verified:?}");
            // And it goes on: another push, another merge.
            load.put(&open(folder.path()), 7).await.unwrap();
            merge(folder.path(), 100).await;
            assert_eq!(read(&open(folder.path())).await, load.entries(), "{name}, collected {collect}, merged");
        }
    }
}

/// Merging over a lost manifest would make garbage of what it named: it is refused until somebody rebuilds.
#[tokio::test]
async fn a_day_whose_manifest_is_lost_is_not_merged() {
    let load = Load::new(8, 100);
    let folder = folder(&load).await;
    remove(&files(folder.path(), "manifest"));
    let settings = MergeSettings::all();
    let error = merge_day(&open(folder.path()), &tenant(), day(), &settings, Arc::new(KeepAll)).await.unwrap_err();
    assert!(error.to_string().contains("logbarn rebuild"), "{error}");
}

/// What cannot be had again is left out, so that the rest of the day can be read; what it was made of is used if it is there.
#[tokio::test]
async fn a_lost_segment_is_left_out() {
    let load = Load::new(8, 100);
    let folder = folder(&load).await;
    let before = read(&open(folder.path())).await;
    let newest = open(folder.path()).current(&tenant(), day()).await.unwrap().manifest;
    let [merged] = newest.segments.as_slice() else { panic!("one merged segment: {newest:?}") };
    std::fs::remove_file(folder.path().join(merged.segment(&tenant(), day()).key.as_str())).unwrap();
    let done = rebuilt(folder.path(), false).await;
    assert!(done[0].why.contains("not there") && done[0].taken_up > 0, "{done:?}");
    assert_eq!(read(&open(folder.path())).await, before, "its sources have not been collected yet");
    assert!(rebuilt(folder.path(), false).await.is_empty());
}
