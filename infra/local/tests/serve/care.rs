//! The commands that look after a store, as a user runs them: exit status and report.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Server, built_binary};

const START_NS: i64 = 1_795_168_800_000_000_000;
const CONFIG: &str = "auth_enabled: false
limits_config: {reject_old_samples: false, creation_grace_period: 100y}
logbarn: {merge_objects_min: 4}
";

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new(built_binary()).args(arguments).output().expect("it runs");
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

async fn push(server: &Server, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let value = serde_json::json!([(START_NS + number).to_string(), format!("line {number}")]);
        let body = serde_json::json!({ "streams": [{ "stream": { "job": "care" }, "values": [value] }] }).to_string();
        let request = server.client.post(format!("{}/loki/api/v1/push", server.url));
        let answer = request.header("Content-Type", "application/json").body(body).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 204);
    }
}

async fn lines(server: &Server) -> usize {
    server.lines(r#"{job="care"}"#, START_NS - 1, START_NS + 1_000_000_000).await.len()
}

/// A server is backed up while it runs, killed, its store damaged and repaired, and restored elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_counted_verified_copied_and_repaired() {
    let (one, two, backup) =
        (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"), tempfile::tempdir().expect("c"));
    let (data, restored) = (one.path().join("data"), two.path().join("data"));
    let server = Server::start(one.path(), CONFIG).await;
    push(&server, 0..10).await;
    let (code, text) = run(&["backup", &url(&data), &url(backup.path()), "--verify"]);
    assert_eq!(code, Some(0), "{text}");
    push(&server, 10..13).await;
    server.kill();
    let (code, text) = run(&["verify", "--store", &url(&data)]);
    assert_eq!((code, text.contains("nothing is lost")), (Some(0), true), "{text}");
    let (code, text) = run(&["stats", "--store", &url(&data), "--format", "json"]);
    let total: Value = serde_json::from_str(text.lines().nth(1).expect("a day, a tenant, a store")).expect("JSON");
    assert_eq!((code, &total["streams"], &total["tenant"]), (Some(0), &1.into(), &"fake".into()), "{text}");
    let (code, text) = run(&["stats", "--store", &url(&data)]);
    assert!(code == Some(0) && text.contains("kept for a month: $"), "{text}");

    let day = data.join("t/fake/2026-11-20");
    let manifests: Vec<_> = std::fs::read_dir(day.join("manifest")).expect("merged").flatten().collect();
    let newest = manifests.iter().map(std::fs::DirEntry::path).min().expect("one");
    std::fs::write(&newest, "logbarn manifest").expect("damaged");
    let (code, text) = run(&["verify", "--store", &url(&data), "--format", "json"]);
    assert!(code == Some(1) && text.contains(r#""finding":"bad""#) && text.contains("manifest"), "{text}");
    let (code, text) = run(&["rebuild", "--store", &url(&data), "--dry-run"]);
    assert!(text.contains("1 days would be rebuilt"), "{code:?} {text}");
    let (_, text) = run(&["rebuild", "--store", &url(&data)]);
    assert!(text.contains("rebuilt t/fake/2026-11-20"), "{text}");
    let (code, text) = run(&["rebuild", "--store", &url(&data)]);
    assert!(code == Some(0) && text.contains("0 days rebuilt"), "{text}");
    let server = Server::start(one.path(), CONFIG).await;
    assert_eq!(lines(&server).await, 13);
    server.kill();

    let (code, text) = run(&["backup", &url(&data), &url(backup.path())]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&["restore", &url(backup.path()), &url(&restored), "--verify"]);
    assert_eq!(code, Some(0), "{text}");
    let server = Server::start(two.path(), CONFIG).await;
    assert_eq!(lines(&server).await, 13);
    server.kill();
    for refused in [
        vec!["restore", &url(&data), &url(backup.path())],
        vec!["backup", &url(&data), &url(&data)],
        vec!["verify", "--store", "ftp://x"],
        vec!["stats", "--store", "file:///no/such/folder"],
        vec!["verify", "--store", &url(&data), "--from", "yesterday"],
    ] {
        let (code, text) = run(&refused);
        assert!(code == Some(2) && text.contains("error: "), "{refused:?}: {code:?} {text}");
    }
}
