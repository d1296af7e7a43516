//! A server that is asked to stop answers what it accepted, then ends well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

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

/// What ends within a grace ends much sooner than this, whatever else the machine does.
const END_MAX: Duration = Duration::from_secs(120);
/// Lines of an answer that does not fit in the buffers between a server and a client who does not read.
const LARGE_LINES: usize = 128;
const LARGE_LINE_BYTES: usize = 200_000;

type Tail = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A server with an open tail, and the connection of a query whose answer has begun and cannot end before it is read.
async fn busy(folder: &std::path::Path, grace: &str) -> (Server, Tail, TcpStream) {
    let config = format!(
        "auth_enabled: false
server: {{graceful_shutdown_timeout: {grace}}}
limits_config: {{reject_old_samples: false, ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB}}
"
    );
    let server = Server::start(folder, &config).await;
    let line = "x".repeat(LARGE_LINE_BYTES);
    let values: Vec<_> = (0..LARGE_LINES).map(|i| [(START_NS + i as i64).to_string(), line.clone()]).collect();
    let body = serde_json::json!({ "streams": [{ "stream": { "job": "large" }, "values": values }] }).to_string();
    let push =
        server.client.post(format!("{}/loki/api/v1/push", server.url)).header("Content-Type", "application/json");
    assert_eq!(push.body(body).send().await.expect("an answer").status(), 204);

    let ws = server.url.replacen("http", "ws", 1);
    let tail = format!("{ws}/loki/api/v1/tail?query=%7Bjob%3D%22small%22%7D");
    let (mut tail, _) = tokio_tungstenite::connect_async(tail).await.expect("a tail");
    assert!(matches!(tail.next().await, Some(Ok(Message::Ping(_)))), "it is live once it pings");

    let address = server.url.strip_prefix("http://").expect("a URL");
    let mut query = TcpStream::connect(address).await.expect("connects");
    let path = format!(
        "/loki/api/v1/query_range?query=%7Bjob%3D%22large%22%7D&limit=5000&start={START_NS}&end={}",
        START_NS + 1_000_000_000
    );
    let request = format!("GET {path} HTTP/1.1\r\nHost: logbarn\r\nConnection: close\r\n\r\n");
    query.write_all(request.as_bytes()).await.expect("sent");
    let mut first = [0; 15];
    query.read_exact(&mut first).await.expect("an answer begins");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    (server, tail, query)
}

/// Reads a tail up to its end: nothing but pings come.
async fn until_the_end(tail: &mut Tail) {
    while let Some(Ok(message)) = tail.next().await {
        assert!(matches!(message, Message::Ping(_) | Message::Close(_)), "{message:?}");
    }
}

/// The query's client never reads: the server waits for it as long as its grace, and ends well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_within_the_grace() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, mut tail, query) = busy(folder.path(), "1s").await;
    let ended = tokio::task::spawn_blocking(move || server.terminate());
    let status = tokio::time::timeout(END_MAX, ended).await.expect("it ends within its grace").expect("it ends");
    assert!(status.success(), "{status}");
    until_the_end(&mut tail).await;
    drop(query);
}

/// The query's client reads on: it gets the whole answer, and the server ends without waiting for the rest of an hour's grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_a_query_come_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, mut tail, mut query) = busy(folder.path(), "1h").await;
    let ended = tokio::task::spawn_blocking(move || server.terminate());
    // The tail ends once the server stops; the answer has not been read by then.
    tokio::time::timeout(END_MAX, until_the_end(&mut tail)).await.expect("the tail ends");
    let mut rest = Vec::new();
    tokio::time::timeout(END_MAX, query.read_to_end(&mut rest))
        .await
        .expect("the answer ends")
        .expect("a whole answer");
    assert!(rest.len() > LARGE_LINES * LARGE_LINE_BYTES, "{} bytes", rest.len());
    let status = tokio::time::timeout(END_MAX, ended).await.expect("it ends").expect("it ends");
    assert!(status.success(), "{status}");
}
