//! A full disk: pushes are refused with an error that says so, what was acknowledged stays, and when there is room again pushes and merges
//! go on.
//!
//! A real small file system if this process may mount one (it says so if not), and in any case a limit on the size of files.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Server, built_binary};

const START_NS: i64 = 1_795_168_800_000_000_000;
const CONFIG: &str = "auth_enabled: false
limits_config: {reject_old_samples: false, creation_grace_period: 100y, ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, max_line_size: 0}
logbarn: {merge_objects_min: 8}
";
/// Pushes that are tried at most until the disk is full.
const PUSHES_MAX: usize = 400;

/// A file system in memory; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: usize) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(at.to_owned()));
        }
        eprintln!("SKIPPED, NOT TESTED: a full file system; this process may not mount one");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Pushes one line of so many bytes that do not compress; gives the status, and what was said.
async fn push(server: &Server, number: usize, bytes: usize) -> (u16, String) {
    let mut state = number as u64 + 1;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from((state >> 33) % 75).expect("small"))
    })
    .map(|c| if c == '\\' { 'x' } else { c })
    .take(bytes)
    .collect();
    let time = (START_NS + number as i64).to_string();
    let body = serde_json::json!({ "streams": [{ "stream": { "job": "full" }, "values": [[time, format!("{number} {noise}")]] }] });
    let request = server.client.post(format!("{}/loki/api/v1/push", server.url));
    let answer =
        request.header("Content-Type", "application/json").body(body.to_string()).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.unwrap_or_default())
}

/// The numbers of the lines that are found, each found once.
async fn found(server: &Server) -> BTreeSet<usize> {
    let lines = server.lines(r#"{job="full"}"#, START_NS - 1, START_NS + 1_000_000_000).await;
    let numbers: Vec<usize> =
        lines.iter().map(|line| line.split(' ').next().expect("a number").parse().expect("digits")).collect();
    let distinct: BTreeSet<usize> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "doubled");
    distinct
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let Some(_disk) = SmallDisk::mount(&data, 6) else { return };
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![1u8; 3 << 20]).expect("room");
    let server = Server::start(folder.path(), CONFIG).await;
    let (mut acknowledged, mut refused) = (BTreeSet::new(), 0);
    for number in 0..PUSHES_MAX {
        match push(&server, number, 40_000).await {
            (204, _) => drop(acknowledged.insert(number)),
            (503, why) => {
                assert!(why.contains("full"), "{why}");
                refused += 1;
            }
            (status, why) => panic!("{status}: {why}"),
        }
        if refused == 20 {
            break;
        }
    }
    assert!(refused == 20 && acknowledged.len() > 10, "{} acknowledged, {refused} refused", acknowledged.len());
    assert!(found(&server).await.is_superset(&acknowledged), "lost while the disk is full");
    // Somebody makes room.
    std::fs::remove_file(&ballast).expect("it is there");
    for number in PUSHES_MAX..PUSHES_MAX + 12 {
        let (status, why) = push(&server, number, 40_000).await;
        assert_eq!(status, 204, "{why}");
        acknowledged.insert(number);
    }
    assert!(found(&server).await.is_superset(&acknowledged), "lost when there is room again");
    server.terminate();
    let server = Server::start(folder.path(), CONFIG).await;
    let read = found(&server).await;
    println!("full disk: {} acknowledged, {refused} refused, {} read, doubled 0", acknowledged.len(), read.len());
    assert!(read.is_superset(&acknowledged), "lost after a start");
    server.terminate();
    let verified =
        Command::new(built_binary()).args(["verify", "--store"]).arg(format!("file://{}", data.display())).output();
    let verified = verified.expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// `RLIMIT_FSIZE`: no file may be larger. The signal that comes with it is ignored, as a container's start often has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_be_written_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let limited = folder.path().join("limited.sh");
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 200\nexec {} \"$@\"\n", built_binary().display());
    std::fs::write(&limited, script).expect("it can be written");
    std::fs::set_permissions(&limited, std::fs::Permissions::from_mode(0o755)).expect("it can be made a program");
    let server = Server::start_as(&limited, folder.path(), CONFIG, "http", testkit::http::client()).await;
    let mut acknowledged = BTreeSet::new();
    for number in 0..30 {
        // Every third is larger than 100 kB once compressed, whatever the unit of `ulimit` is.
        let large = number % 3 == 2;
        let (status, why) = push(&server, number, if large { 600_000 } else { 1_000 }).await;
        assert_eq!(status, if large { 503 } else { 204 }, "{why}");
        assert!(!large || why.contains("full"), "{why}");
        if !large {
            acknowledged.insert(number);
        }
    }
    assert_eq!(found(&server).await, acknowledged);
    server.kill();
    let server = Server::start(folder.path(), CONFIG).await;
    let (status, why) = push(&server, 100, 600_000).await;
    assert_eq!(status, 204, "{why}");
    acknowledged.insert(100);
    assert_eq!(found(&server).await, acknowledged);
    println!("file limit: {} acknowledged = read, 10 refused, doubled 0", acknowledged.len());
}
