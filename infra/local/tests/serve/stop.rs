//! A server that is asked to stop answers what it accepted, then ends well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::Server;

/// Pushes wait this long for others, so that the signal finds some waiting.
const CONFIG: &str = "auth_enabled: false
limits_config: {reject_old_samples: false}
logbarn: {commit_window: 1m}
";
const PUSHES: usize = 8;
const START_NS: i64 = 1_795_168_800_000_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_answers_what_was_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG).await;
    let url = Arc::new(format!("{}/loki/api/v1/push", server.url));
    let pushes: Vec<_> = (0..PUSHES).map(|i| tokio::spawn(push(server.client.clone(), url.clone(), i))).collect();
    // All of them were accepted once the server counts their lines.
    let deadline = Instant::now() + Duration::from_secs(20);
    while received_lines(&server).await < PUSHES {
        assert!(Instant::now() < deadline, "the pushes were not accepted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = tokio::task::spawn_blocking(move || server.terminate()).await.expect("it ends");
    assert!(status.success(), "{status}");
    for push in pushes {
        assert_eq!(push.await.expect("a push ends"), 204);
    }
    let server = Server::start(folder.path(), CONFIG).await;
    assert_eq!(server.lines(r#"{job="stop"}"#, START_NS - 1, START_NS + 1_000).await.len(), PUSHES);
}

async fn push(client: reqwest::Client, url: Arc<String>, i: usize) -> u16 {
    let time = (START_NS + i as i64).to_string();
    let body =
        serde_json::json!({ "streams": [{ "stream": { "job": "stop" }, "values": [[time, format!("line {i}")]] }] });
    let request = client.post(url.as_str()).header("Content-Type", "application/json").body(body.to_string());
    request.send().await.expect("an answer").status().as_u16()
}

async fn received_lines(server: &Server) -> usize {
    let request = server.client.get(format!("{}/metrics", server.url));
    let text = request.send().await.expect("an answer").text().await.expect("text");
    let line = text.lines().find(|line| line.starts_with("loki_distributor_lines_received_total"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}
