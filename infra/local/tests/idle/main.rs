//! An idle hour costs nothing: zero requests to the store, counted, on a folder and on S3 over HTTP.
//!
//! All that `logbarn serve` runs is there: both routers behind a listener, a collector that tails a folder, merging in the background,
//! garbage that comes of age. Then nobody writes or asks, and the runtime's clock goes on by an hour: every timer of the process fires,
//! as often as it would.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ingest_fn::config::{Config, Store};
use ingest_fn::{CommitSettings, Ingest};
use query_fn::Query;
use tempfile::TempDir;
use testkit::moto::Moto;
use tokio::net::TcpListener;

const CONFIG: &str = "auth_enabled: false
logbarn: {merge_objects_min: 4}
";
/// Enough pushes for a merge, and some more that stay fresh.
const PUSHES: usize = 6;
const HOUR: Duration = Duration::from_secs(3600);
/// How long a line may take from its file to an answer, and how often it is asked for.
const ARRIVAL_MAX: Duration = Duration::from_secs(20);
const ARRIVAL_ASKED_EVERY: Duration = Duration::from_millis(50);

#[tokio::test]
async fn an_idle_hour_on_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", folder.path().join("data").display());
    idle_hour("folder", &url, HashMap::new(), false).await;
}

#[tokio::test]
async fn an_idle_hour_on_a_bucket() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("idle");
    idle_hour("S3", "s3://idle/logs", moto.environment().into_iter().collect(), true).await;
}

#[expect(clippy::print_stdout, reason = "the figure that the test is about")]
async fn idle_hour(name: &str, url: &str, environment: HashMap<String, String>, is_bucket: bool) {
    let store = Store::open(&url.parse().expect("a store's URL"), environment).expect("a store");
    store.probe().await.expect("a store that answers");
    let counted = store.clone();
    let server = Server::start(store, is_bucket).await;
    let logs = tempfile::tempdir().expect("a folder of logs");
    let _collector = server.tail(&logs);

    for number in 0..PUSHES {
        server.push(&format!("line {number}")).await;
    }
    std::fs::write(logs.path().join("app.log"), "from a file\n").expect("a log can be written");
    server.arrived(r#"{job=~".+"}"#, PUSHES + 1).await;
    server.upkeep.settled().await;

    let busy = counted.counters().snapshot();
    tokio::time::pause();
    tokio::time::sleep(HOUR).await;
    tokio::time::resume();
    let idle = counted.counters().snapshot() - busy;
    println!(
        "{name}: {} requests while busy ({} objects written); in an idle hour {} ({} on the wire)",
        busy.requests(),
        busy.puts,
        idle.requests(),
        idle.wire_requests
    );
    assert_eq!((idle.requests(), idle.wire_requests), (0, 0), "{idle:?}");
    assert!(busy.puts > PUSHES as u64, "there was a merge, or the hour proves less than it says: {busy:?}");

    // It slept, it did not die; and what counts still counts.
    server.arrived(r#"{job=~".+"}"#, PUSHES + 1).await;
    assert!((counted.counters().snapshot() - busy).requests() > 0);
}

/// Both functions in this process, as `logbarn serve` joins them.
struct Server {
    url: String,
    client: reqwest::Client,
    upkeep: ingest_fn::Upkeep,
}

impl Server {
    async fn start(store: Store, is_bucket: bool) -> Server {
        let config = Arc::new(Config::from_yaml(CONFIG).expect("a configuration"));
        let upkeep = ingest_fn::upkeep(store, &config);
        let store = upkeep.watched_store();
        let query = Query::new(store.clone(), config.clone());
        let ingest = Ingest::new(store, config.clone(), CommitSettings::new(&config, is_bucket));
        let app = ingest_fn::api_router(ingest).merge(query_fn::api_router(query));
        let app = query_fn::complete(app, query_fn::Registry::default(), &config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Server { url, client: testkit::http::client(), upkeep }
    }

    /// Ships a folder's files here. Ends with the runtime.
    fn tail(&self, logs: &TempDir) -> tokio::task::JoinHandle<anyhow::Result<()>> {
        let (folder, positions): (&Path, _) = (logs.path(), logs.path().join("positions.yaml"));
        let push_url = format!("{}/loki/api/v1/push", self.url);
        let config = collector::Config::for_folder(folder, &push_url, &positions).expect("a collector's configuration");
        tokio::spawn(collector::run(config, std::future::pending()))
    }

    async fn push(&self, line: &str) {
        let now_ns = std::time::UNIX_EPOCH.elapsed().expect("a clock behind 1970").as_nanos();
        let body = format!(r#"{{"streams":[{{"stream":{{"job":"idle"}},"values":[["{now_ns}","{line}"]]}}]}}"#);
        let request = self.client.post(format!("{}/loki/api/v1/push", self.url)).body(body);
        let answer = request.header("content-type", "application/json").send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
    }

    /// Waits until a query finds so many entries.
    async fn arrived(&self, query: &str, want: usize) {
        let mut found = 0;
        for _ in 0..ARRIVAL_MAX.as_millis() / ARRIVAL_ASKED_EVERY.as_millis() {
            found = self.count(query).await;
            if found >= want {
                break;
            }
            tokio::time::sleep(ARRIVAL_ASKED_EVERY).await;
        }
        assert_eq!(found, want, "entries of {query}");
    }

    async fn count(&self, query: &str) -> usize {
        let request = self.client.get(format!("{}/loki/api/v1/query_range", self.url)).query(&[("query", query)]);
        let text = request.send().await.expect("an answer").text().await.expect("a body");
        let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let streams = answer["data"]["result"].as_array().expect("streams");
        streams.iter().map(|stream| stream["values"].as_array().map_or(0, Vec::len)).sum()
    }
}
