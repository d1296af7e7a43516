//! `kill -9` under load: what was acknowledged is there, and nothing is there twice.
//!
//! Writers push numbered lines and, like a real client, send the same body again until it is acknowledged. The server is
//! killed and started again, over and over, while it merges every four segments. Counts are printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::Server;

const KILLS: usize = 20;
const WRITERS: usize = 4;
const LINES_A_PUSH: u64 = 5;
/// Acknowledged pushes between two kills.
const PUSHES_BETWEEN_KILLS: u64 = 25;
const START_NS: i64 = 1_795_168_800_000_000_000;
const CONFIG: &str = "auth_enabled: false
limits_config: {reject_old_samples: false, creation_grace_period: 100y, ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000}
logbarn: {merge_objects_min: 4}
";

#[derive(Default)]
struct Load {
    /// Where the server answers now.
    url: Mutex<String>,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    sent_again: AtomicU64,
    lines: Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_entries_survive_kill_nine() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = Arc::new(Load::default());
    let mut server = Server::start(folder.path(), CONFIG).await;
    *load.url.lock().expect("no writer panicked") = server.url.clone();
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(load.clone(), writer))).collect();

    for kill in 1..=KILLS as u64 {
        while load.acknowledged.load(Ordering::SeqCst) < kill * PUSHES_BETWEEN_KILLS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        server = Server::start(folder.path(), CONFIG).await;
        *load.url.lock().expect("no writer panicked") = server.url.clone();
    }
    load.stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.expect("a writer ends");
    }

    let acknowledged = std::mem::take(&mut *load.lines.lock().expect("no writer panicked"));
    let mut found = BTreeMap::<String, usize>::new();
    for line in server.lines(r#"{job="kill"}"#, START_NS - 1, START_NS + 1_000_000_000_000_000).await {
        *found.entry(line).or_default() += 1;
    }
    let lost: Vec<_> = acknowledged.iter().filter(|line| !found.contains_key(*line)).collect();
    let doubled: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    println!(
        "{KILLS} kills, {} merges: {} entries acknowledged, {} stored, {} pushes sent again, lost {}, doubled {}",
        merges(folder.path()),
        acknowledged.len(),
        found.len(),
        load.sent_again.load(Ordering::SeqCst),
        lost.len(),
        doubled.len()
    );
    assert!(merges(folder.path()) > KILLS / 2, "it was killed while merging");
    assert!(lost.is_empty() && doubled.is_empty(), "lost {lost:?}, doubled {doubled:?}");
    assert_eq!(found.len(), acknowledged.len(), "every push was sent until it was acknowledged");
}

/// How many versions of manifests lie in the store.
fn merges(folder: &Path) -> usize {
    let files = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files(&folder.join("data/t/fake")).map(|day| files(&day.join("manifest")).count()).sum()
}

/// Pushes batches until told to stop; each until it is acknowledged.
async fn write(load: Arc<Load>, writer: usize) {
    let client = testkit::http::client();
    for push in 0.. {
        if load.stop.load(Ordering::SeqCst) {
            return;
        }
        let lines: Vec<String> =
            (0..LINES_A_PUSH).map(|line| format!("writer={writer} push={push} line={line}")).collect();
        let time = |line: u64| (START_NS + (push * LINES_A_PUSH + line) as i64 * 1_000_000).to_string();
        let values: Vec<_> = lines.iter().zip(0..).map(|(line, i)| serde_json::json!([time(i), line])).collect();
        let labels = serde_json::json!({ "job": "kill", "writer": writer.to_string() });
        let body = serde_json::json!({ "streams": [{ "stream": labels, "values": values }] }).to_string();
        while !acknowledged(&client, &load, &body).await {
            load.sent_again.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        load.lines.lock().expect("no writer panicked").extend(lines);
        load.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

async fn acknowledged(client: &reqwest::Client, load: &Load, body: &str) -> bool {
    let url = format!("{}/loki/api/v1/push", load.url.lock().expect("no writer panicked"));
    let request = client.post(url).header("Content-Type", "application/json").body(body.to_owned());
    match request.send().await {
        Ok(answer) if answer.status().as_u16() == 204 => true,
        Ok(answer) => panic!("a good push was answered {}", answer.status()),
        Err(_) => false,
    }
}
