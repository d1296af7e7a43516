//! A server that takes pushes and remembers them, and misbehaves on request.
//!
//! In: push requests. Out: batches by id, entries with their labels; every attempt counts. Nothing here waits for time to
//! pass: tests wait for a condition, up to a deadline.

// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use loki_api::push::{decode_protobuf, unsnap};

/// How long a condition may take to come true.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How an attempt is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Stored, 204.
    Store,
    /// Not stored, this status.
    Refuse(u16),
    /// Stored, but the client sees a 500.
    StoreAndFail,
    /// Stored, but never answered.
    StoreAndHang,
}

/// One entry as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Got {
    pub labels: String,
    pub timestamp_ns: i64,
    pub line: String,
    pub metadata: Vec<(String, String)>,
}

#[derive(Debug, Default)]
pub struct Recorded {
    /// Batches that were stored, in the order of their first arrival.
    pub batches: Vec<(String, Vec<Got>)>,
    /// Batches that arrived again under the same id.
    pub repeated: usize,
    /// All attempts.
    pub attempts: usize,
    /// Attempts that broke the promise: one id, two contents.
    pub broken: Vec<String>,
    /// Headers of the last attempt.
    pub headers: HeaderMap,
    bodies: BTreeMap<String, Bytes>,
    script: VecDeque<Answer>,
    otherwise: Option<Answer>,
}

#[derive(Clone)]
pub struct Server {
    pub url: String,
    recorded: Arc<Mutex<Recorded>>,
}

impl Server {
    /// Starts on a free port, on the current runtime.
    pub async fn start() -> Self {
        let recorded = Arc::new(Mutex::new(Recorded::default()));
        let router = axum::Router::new().route("/loki/api/v1/push", post(push)).with_state(Arc::clone(&recorded));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/loki/api/v1/push", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Server { url, recorded }
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Recorded) -> T) -> T {
        look(&mut self.recorded.lock().unwrap())
    }

    /// The next attempts are answered so, one each.
    pub fn script(&self, answers: &[Answer]) {
        self.with(|recorded| recorded.script.extend(answers));
    }

    /// Attempts beyond the script are answered so.
    pub fn otherwise(&self, answer: Answer) {
        self.with(|recorded| recorded.otherwise = Some(answer));
    }

    /// All entries, batches that arrived twice counted once.
    pub fn entries(&self) -> Vec<Got> {
        self.with(|recorded| recorded.batches.iter().flat_map(|(_, entries)| entries.clone()).collect())
    }

    pub fn lines(&self) -> Vec<String> {
        self.entries().into_iter().map(|entry| entry.line).collect()
    }

    /// Waits until so many entries are there, and gives them.
    pub async fn wait_for(&self, count: usize) -> Vec<Got> {
        wait_until(&format!("{count} entries"), || self.entries().len() >= count).await;
        self.entries()
    }
}

/// Waits until a condition holds.
pub async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn push(
    State(recorded): State<Arc<Mutex<Recorded>>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let answer = {
        let mut recorded = recorded.lock().unwrap();
        recorded.attempts += 1;
        let answer = recorded.script.pop_front().or(recorded.otherwise).unwrap_or(Answer::Store);
        if !matches!(answer, Answer::Refuse(_)) {
            store(&mut recorded, &headers, &body);
        }
        recorded.headers = headers;
        answer
    };
    match answer {
        Answer::Store => (StatusCode::NO_CONTENT, ""),
        Answer::Refuse(status) => (StatusCode::from_u16(status).unwrap(), "refused by the test"),
        Answer::StoreAndFail => (StatusCode::INTERNAL_SERVER_ERROR, "stored, but who knows"),
        Answer::StoreAndHang => std::future::pending().await,
    }
}

fn store(recorded: &mut Recorded, headers: &HeaderMap, body: &Bytes) {
    let id = headers.get("x-logbarn-batch").unwrap().to_str().unwrap().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    if let Some(known) = recorded.bodies.get(&id) {
        recorded.repeated += 1;
        if known != body {
            recorded.broken.push(id);
        }
        return;
    }
    recorded.bodies.insert(id.clone(), body.clone());
    recorded.batches.push((id, decode(body)));
}

fn decode(body: &[u8]) -> Vec<Got> {
    let request = unsnap(body, 1 << 30).unwrap();
    let mut entries = Vec::new();
    for stream in decode_protobuf(&request).unwrap().streams {
        for entry in &stream.entries {
            entries.push(Got {
                labels: stream.labels.to_string(),
                timestamp_ns: entry.timestamp_ns.unwrap(),
                line: entry.line.to_string(),
                metadata: stream.metadata_of(entry).iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            });
        }
    }
    entries
}

/// A configuration that reads a folder's `*.log` with the given stages.
pub fn config(folder: &Path, url: &str, stages: &str) -> String {
    let folder = folder.display();
    format!(
        "
clients:
  - url: {url}
    batchwait: 20ms
    timeout: 1s
    backoff_config: {{min_period: 1ms, max_period: 20ms}}
positions: {{filename: {folder}/positions.yaml, sync_period: 50ms}}
target_config: {{sync_period: 10ms}}
scrape_configs:
  - job_name: test
    static_configs:
      - targets: [localhost]
        labels: {{job: test, __path__: '{folder}/*.log'}}
    pipeline_stages: {stages}
"
    )
}

/// A collector that runs until it is stopped.
pub struct Running {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
    pub metrics: Arc<collector::Metrics>,
}

impl Running {
    pub fn start(yaml: &str) -> Self {
        let config = collector::Config::parse(yaml).unwrap();
        let metrics = Arc::new(collector::Metrics::default());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(collector::run_counted(config, Arc::clone(&metrics), shutdown));
        Running { stop, task, metrics }
    }

    /// Ends it as SIGTERM would.
    pub async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
    }

    /// Ends it as nothing in a process ends: everything stops where it is.
    pub async fn abort(self) {
        self.task.abort();
        drop(self.task.await);
    }
}
