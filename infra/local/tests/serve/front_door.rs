//! The listener and what stands before the handlers: TLS, signing in, slow and large requests, limits that change.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a change may take to be seen.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
const START_NS: i64 = 1_795_168_800_000_000_000;

/// SHA-256 of `agent-token`, whose tenant is that of the tailed files.
fn signing_in() -> String {
    use sha2::Digest as _;
    let hash: String = sha2::Sha256::digest("agent-token").iter().map(|byte| format!("{byte:02x}")).collect();
    format!("logbarn: {{sign_in: {{bearer_tokens: [{{sha256: {hash}, tenant: fake}}]}}}}")
}

/// Asks with these headers until the answer holds the text.
async fn until_answered(server: &Server, headers: &[(&str, &str)], query: &str, text: &str) {
    let deadline = Instant::now() + ARRIVAL_MAX;
    loop {
        let mut request =
            server.client.get(format!("{}/loki/api/v1/query_range", server.url)).query(&[("query", query)]);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = request.send().await.expect("an answer").text().await.expect("a body");
        if body.contains(text) {
            return;
        }
        assert!(Instant::now() < deadline, "{text} is not in {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn tail_a_file(folder: &Path) {
    std::fs::create_dir(folder.join("logs")).expect("a folder");
    std::fs::write(folder.join("logs/app.log"), "hello from a file\n").expect("a file");
}

/// The collector inside the server gets in, nobody else without a token; `/ready` is for everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_collector_reaches_a_server_that_asks_to_sign_in() {
    let folder = tempfile::tempdir().expect("a folder");
    tail_a_file(folder.path());
    let server = Server::start(folder.path(), &signing_in()).await;
    let status = async |path: &str, token: &str| {
        let request =
            server.client.get(format!("{}{path}", server.url)).header("Authorization", format!("Bearer {token}"));
        request.send().await.expect("an answer").status().as_u16()
    };
    until_answered(&server, &[("Authorization", "Bearer agent-token")], "{job=\"logs\"}", "hello from a file").await;
    for path in ["/metrics", "/loki/api/v1/labels"] {
        assert_eq!((status(path, "agent-token").await, status(path, "other").await), (200, 401), "{path}");
    }
    let push = server.client.post(format!("{}/loki/api/v1/push", server.url)).header("X-Scope-OrgID", "fake");
    assert_eq!(push.body("{}").send().await.expect("an answer").status(), 401);
    assert_eq!(status("/ready", "other").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_certificate_speaks_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    tail_a_file(folder.path());
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/tls");
    let (cert, key) = (files.join("cert.pem"), files.join("key.pem"));
    let config = format!(
        "auth_enabled: false\nserver: {{http_tls_config: {{cert_file: {}, key_file: {}}}}}",
        cert.display(),
        key.display()
    );
    drop(testkit::http::client());
    let trusted = reqwest::Certificate::from_pem(&std::fs::read(&cert).expect("a certificate")).expect("PEM");
    let client = reqwest::Client::builder().tls_certs_only([trusted]).timeout(ARRIVAL_MAX).build().expect("a client");
    let server = Server::start_at(folder.path(), &config, "https", client).await;
    until_answered(&server, &[], "{job=\"logs\"}", "hello from a file").await;
    let plain = testkit::http::client().get(server.url.replace("https", "http")).send().await;
    assert!(plain.is_err(), "plain HTTP is not answered");
}

/// Loki's own limit of an address is far away; ours is that of the HTTP library, 65,534 bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_addresses_pass_and_endless_ones_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), "auth_enabled: false").await;
    let status = async |bytes: usize| {
        let query = format!("{{a=\"{}\"}}", "x".repeat(bytes));
        let request = server.client.get(format!("{}/loki/api/v1/query_range", server.url)).query(&[("query", query)]);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(status(60_000).await, 200);
    // Our own client would not even build this one.
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.expect("a connection");
    let head = format!("GET /ready?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "x".repeat(80_000));
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 414"), "{}", String::from_utf8_lossy(&answer));
    let mut request = server.client.get(format!("{}/ready", server.url));
    for i in 0..1_000 {
        request = request.header(format!("x-{i}"), "1");
    }
    assert_eq!(request.send().await.expect("an answer").status(), 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dawdles_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "auth_enabled: false\nserver: {http_server_read_timeout: 300ms}";
    let server = Server::start(folder.path(), config).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let ends_with = async |head: &str| {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(ARRIVAL_MAX, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the server waits for ever after {head:?}");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let slow_head = ends_with("GET /ready HTTP/1.1\r\nHost: x\r\n").await;
    assert!(!slow_head.contains("200 OK"), "{slow_head}");
    let slow_body = ends_with(
        "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    )
    .await;
    assert!(slow_body.starts_with("HTTP/1.1 408"), "{slow_body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_change_with_their_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = folder.path().join("limits.yaml");
    std::fs::write(&limits, "overrides: {a: {max_line_size: 3B}}").expect("written");
    let config = format!(
        "runtime_config: {{file: {}, period: 50ms}}\nlimits_config: {{reject_old_samples: false}}",
        limits.display()
    );
    let server = Server::start(folder.path(), &config).await;
    let push = async |tenant: &str| {
        let body =
            serde_json::json!({"streams": [{"stream": {"a": "b"}, "values": [[START_NS.to_string(), "a line"]]}]});
        let request = server.client.post(format!("{}/loki/api/v1/push", server.url)).header("X-Scope-OrgID", tenant);
        let request = request.header("Content-Type", "application/json").body(body.to_string());
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((push("a").await, push("b").await), (400, 204));
    // A wrong file changes nothing; what comes after it does.
    std::fs::write(&limits, "overrides: {a: {max_line_sise: 100B}}").expect("written");
    std::fs::write(&limits, "overrides: {b: {max_line_size: 2B}}").expect("written");
    let deadline = Instant::now() + ARRIVAL_MAX;
    while (push("a").await, push("b").await) != (204, 400) {
        assert!(Instant::now() < deadline, "the file was not read again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
