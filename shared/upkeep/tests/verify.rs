//! Damage is found and named; what merges and collections leave, do and have done is none.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod support;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use store::{Store, StoreUrl};
use upkeep::{
    Finding, FindingKind, KeepAll, MergeSettings, Progress, Scope, Verified, VerifySettings, merge_day, stats, verify,
};

use crate::support::{Load, day, read, tenant};

const BATCHES: usize = 6;

/// Remembers what was found.
#[derive(Default)]
struct Found(Mutex<Vec<Finding>>);

impl Progress for Found {
    fn found(&self, finding: &Finding) {
        self.0.lock().unwrap().push(finding.clone());
    }
}

/// A folder with some merged and some fresh segments.
async fn folder() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreUrl::folder(folder.path()).unwrap(), []).unwrap();
    let load = Load::new(BATCHES, 200);
    for batch in 0..BATCHES - 2 {
        load.put(&store, batch).await.unwrap();
    }
    merge_day(&store, &tenant(), day(), &MergeSettings::all(), Arc::new(KeepAll)).await.unwrap();
    load.put(&store, BATCHES - 2).await.unwrap();
    load.put(&store, BATCHES - 1).await.unwrap();
    (folder, store)
}

/// Verifies as a process does that has just been started.
async fn verified(folder: &Path, quick: bool, now_ms: i64) -> (Verified, Vec<Finding>) {
    let store = Store::open(&StoreUrl::folder(folder).unwrap(), []).unwrap();
    let found = Found::default();
    let verified = verify(&store, &Scope::default(), &VerifySettings { quick, now_ms }, &found).await.unwrap();
    (verified, found.0.into_inner().unwrap())
}

fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.join("t")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.retain(|file| file.to_str().unwrap().contains(part));
    files.sort();
    files
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_sound_store_is_said_to_be_sound() {
    let (folder, store) = folder().await;
    for quick in [true, false] {
        let (totals, findings) = verified(folder.path(), quick, 0).await;
        assert_eq!((totals.losses, totals.days, totals.garbage), (0, 1, 4), "{findings:?}");
        assert_eq!(findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [FindingKind::Garbage]);
        assert_eq!(totals.objects, 8, "six fresh, a merged one, a manifest");
    }
    let counted = stats(&store, &Scope::default(), &()).await.unwrap();
    let [(_, of_tenant)] = counted.as_slice() else { panic!("one tenant: {counted:?}") };
    let total = of_tenant.total;
    let piles = [total.fresh, total.merged, total.manifests, total.garbage].map(|pile| pile.objects);
    assert_eq!((piles, total.all().objects, total.streams), ([2, 1, 1, 4], 8, 6));
    let bytes: u64 = files(folder.path(), "").iter().map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!(total.all().bytes, bytes);
    let (totals, _) = verified(folder.path(), false, 0).await;
    assert_eq!(total.entries, totals.entries);
    assert!(total.raw_bytes > 0 && total.ratio().unwrap() > 0.0);
    assert_eq!(read(&store).await, Load::new(BATCHES, 200).entries());
}

/// Each kind of damage: what is found, and whether it loses entries.
#[tokio::test]
async fn each_damage_has_its_finding() {
    use FindingKind::{Bad, Missing, Orphan, Unknown};
    type Damage = fn(&Path);
    type Case = (&'static str, Damage, &'static [(FindingKind, bool)]);
    let cases: &[Case] = &[
        ("a bit of a fresh segment", |f| flip(&files(f, "/l0/").pop().unwrap(), 30), &[(Bad, true)]),
        ("a bit of a merged one", |f| flip(&files(f, "/seg/")[0], 1000), &[(Bad, true)]),
        ("a bit of garbage", |f| flip(&files(f, "/l0/")[0], 30), &[(Bad, false)]),
        ("the manifest", |f| flip(&files(f, "/manifest/")[0], 70), &[(Bad, true)]),
        ("a merged segment gone", |f| std::fs::remove_file(&files(f, "/seg/")[0]).unwrap(), &[(Missing, true)]),
        ("a merged segment cut", |f| std::fs::write(&files(f, "/seg/")[0], b"LOGBARN").unwrap(), &[(Bad, true)]),
        ("something of somebody", |f| std::fs::write(f.join("t/fake/notes.txt"), b"x").unwrap(), &[(Unknown, false)]),
        (
            "a delete request that cannot be read",
            |f| {
                std::fs::create_dir(f.join("t/fake/deletes")).unwrap();
                std::fs::write(f.join("t/fake/deletes/1-2.json"), b"{}").unwrap();
            },
            &[(Bad, true)],
        ),
        (
            "a segment that a newer version wrote",
            |f| std::fs::write(files(f, "/l0/")[0].with_file_name("9-x.seg"), b"x").unwrap(),
            &[(Unknown, true)],
        ),
        (
            "facts of a name that are not those of the content",
            |f| {
                let file = files(f, "/l0/").pop().unwrap();
                let name = file.file_name().unwrap().to_str().unwrap();
                let (start, _) = name.rsplit_once('-').unwrap();
                std::fs::rename(&file, file.with_file_name(format!("{start}-7.seg"))).unwrap();
            },
            &[(Bad, true)],
        ),
        (
            "all manifests lost, with what was merged",
            |f| {
                files(f, "/manifest/").iter().for_each(|file| std::fs::remove_file(file).unwrap());
                files(f, "/l0/").iter().for_each(|file| std::fs::remove_file(file).unwrap());
            },
            &[(Orphan, true)],
        ),
        (
            "a merge that died before its manifest",
            |f| files(f, "/manifest/").iter().for_each(|file| std::fs::remove_file(file).unwrap()),
            &[(Orphan, false)],
        ),
    ];
    for (name, damage, want) in cases {
        let (folder, _) = folder().await;
        damage(folder.path());
        let (totals, findings) = verified(folder.path(), false, i64::MAX / 2).await;
        let mut found: Vec<(FindingKind, bool)> = findings.iter().map(|f| (f.kind, f.loses)).collect();
        found.retain(|(kind, _)| *kind != FindingKind::Garbage);
        assert_eq!(found, *want, "{name}: {findings:?}");
        assert_eq!(totals.losses, want.iter().filter(|(_, loses)| *loses).count() as u64, "{name}");
    }
}
