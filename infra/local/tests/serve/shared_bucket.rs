//! Two servers on one bucket, behind S3's own protocol: what one is asked to delete, the other shows no more.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use testkit::moto::Moto;

use crate::support::{Server, built_binary};

const START_NS: i64 = 1_795_168_800_000_000_000;
const CONFIG: &str = "auth_enabled: false
limits_config: {reject_old_samples: false, creation_grace_period: 100y, max_query_lookback: 0s}
compactor: {retention_enabled: true}
logbarn: {merge: false}
";

async fn push(server: &Server, lines: &[&str]) {
    let values: Vec<_> =
        lines.iter().zip(START_NS..).map(|(line, time)| serde_json::json!([time.to_string(), line])).collect();
    let body = serde_json::json!({ "streams": [{ "stream": { "job": "shared" }, "values": values }] }).to_string();
    let request = server.client.post(format!("{}/loki/api/v1/push", server.url));
    let answer = request.header("Content-Type", "application/json").body(body).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 204);
}

async fn lines(server: &Server) -> Vec<String> {
    server.lines(r#"{job="shared"}"#, START_NS - 1, START_NS + 1_000_000_000).await
}

async fn counted(server: &Server) -> Value {
    let time = ((START_NS / 1_000_000_000) + 60).to_string();
    let query = r#"sum(count_over_time({job="shared"}[5m]))"#;
    let answer = server.get("/loki/api/v1/query", &[("query", query), ("time", &time)]).await;
    answer["data"]["result"][0]["value"][1].clone()
}

async fn delete(server: &Server, method: reqwest::Method, parameters: &[(&str, &str)]) -> (u16, String) {
    let request = server.client.request(method, format!("{}/loki/api/v1/delete", server.url)).query(parameters);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// Requests are taken, listed and cancelled by any process, and hold for all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_hold_for_every_process_at_once() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("shared");
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let one = Server::start_on(&moto, "s3://shared/logs", folders[0].path(), CONFIG).await;
    let other = Server::start_on(&moto, "s3://shared/logs", folders[1].path(), CONFIG).await;
    push(&one, &["keep 1", "drop 2", "keep 3", "drop 4"]).await;
    assert_eq!((lines(&other).await.len(), counted(&other).await), (4, "4".into()));

    let (start, end) = ((START_NS / 1_000_000_000 - 60).to_string(), (START_NS / 1_000_000_000 + 60).to_string());
    let wanted = [("query", r#"{job="shared"} |= "drop""#), ("start", start.as_str()), ("end", end.as_str())];
    assert_eq!(delete(&one, reqwest::Method::POST, &wanted).await, (204, String::new()));
    for server in [&one, &other] {
        assert_eq!(lines(server).await, ["keep 1", "keep 3"]);
        assert_eq!(counted(server).await, "2");
    }

    let (status, listed) = delete(&other, reqwest::Method::GET, &[]).await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((status, listed.as_array().map(Vec::len)), (200, Some(1)), "{listed}");
    let id = listed[0]["request_id"].as_str().expect("an id");
    assert_eq!(delete(&other, reqwest::Method::DELETE, &[("request_id", id)]).await, (204, String::new()));
    for server in [&one, &other] {
        assert_eq!((lines(server).await.len(), counted(server).await), (4, "4".into()));
    }
}

fn backup(folder: &Path, to: &str) -> Child {
    let from = format!("file://{}", folder.display());
    let mut command = Command::new(built_binary());
    command
        .args(["backup", &from, to, "--verify"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs")
}

/// A copier that is killed leaves a backup that the next one completes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_killed_goes_on() {
    const ENTRIES: usize = 300;
    let (one, target, two) =
        (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"), tempfile::tempdir().expect("c"));
    let server = Server::start(one.path(), CONFIG).await;
    for number in 0..ENTRIES {
        let line = format!("line {number}");
        push(&server, &[&line]).await;
    }
    server.kill();
    let (data, to) = (one.path().join("data"), format!("file://{}", target.path().display()));
    let copied = || walk(target.path());
    let mut kills = 0;
    loop {
        let (before, mut child) = (copied(), backup(&data, &to));
        // Killed as soon as it has copied something more, unless it is done before.
        let status = loop {
            match child.try_wait().expect("a child") {
                Some(status) => break Some(status),
                None if copied() > before + ENTRIES / 20 => break None,
                None => tokio::task::yield_now().await,
            }
        };
        match status {
            Some(status) => {
                assert!(status.success(), "{status}");
                break;
            }
            None => child.kill().expect("it can be killed"),
        }
        child.wait().expect("it ends");
        kills += 1;
    }
    let restored = format!("file://{}", two.path().join("data").display());
    let status =
        Command::new(built_binary()).args(["restore", &to, &restored, "--verify"]).output().expect("it runs").status;
    assert!(status.success());
    let server = Server::start(two.path(), CONFIG).await;
    let found = lines(&server).await.len();
    println!("backup killed {kills} times: {ENTRIES} entries, {found} restored");
    assert!(kills > 0 && found == ENTRIES);
}

/// How many files lie below a folder.
fn walk(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}
