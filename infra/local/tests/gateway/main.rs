//! `logbarn gateway` as it stands beside Grafana: the built binary in front of a server, or of one that judges its signatures.

#[path = "../serve/support.rs"]
#[expect(dead_code, reason = "the other test program needs the rest of it")]
mod support;

mod signature;

use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use support::Server;
use tokio_tungstenite::tungstenite::Message;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(20);
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

struct Gateway {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    async fn start(to: &str, options: &[&str]) -> Gateway {
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
        let listen = format!("127.0.0.1:{port}");
        let child = Command::new(support::built_binary())
            .args(["gateway", "--listen", &listen, "--to", to, "--tail-every", "100ms"])
            .args(options)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_SESSION_TOKEN", "of-the-session")
            .env("AWS_REGION", "eu-west-1")
            .spawn()
            .expect("the binary starts");
        let gateway = Gateway { child, url: format!("http://{listen}"), client: testkit::http::client() };
        let ready = async {
            while gateway.client.get(format!("{}/ready", gateway.url)).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, ready).await.expect("the gateway starts");
        gateway
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }
}

async fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), "auth_enabled: false").await;
    (folder, server)
}

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("our times")
}

async fn push(server: &Server, entries: &[(i64, &str)]) {
    let values: Vec<Value> = entries.iter().map(|(time_ns, line)| json!([time_ns.to_string(), line])).collect();
    let body = json!({"streams": [{"stream": {"app": "x"}, "values": values}]});
    let request =
        server.client.post(format!("{}/loki/api/v1/push", server.url)).header("content-type", "application/json");
    assert_eq!(request.body(body.to_string()).send().await.expect("an answer").status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_the_server() {
    let (_folder, server) = server().await;
    let now = now_ns();
    push(&server, &[(now - 3, "one"), (now - 2, "two"), (now - 1, "three")]).await;
    let gateway = Gateway::start(&server.url, &[]).await;
    let without_stats = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap_or(Value::String(text.to_owned()));
        value.as_object_mut().and_then(|value| value.get_mut("data")?.as_object_mut()?.remove("stats"));
        value
    };
    let paths = [
        "/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D%20%7C%3D%20%22o%22",
        "/loki/api/v1/query?query=count_over_time(%7Bapp%3D%22x%22%7D%5B1h%5D)&time=1",
        "/loki/api/v1/labels",
        "/loki/api/v1/query_range?query=%7Bapp",
        "/nowhere",
    ];
    for path in paths {
        let direct = server.client.get(format!("{}{path}", server.url)).send().await.expect("an answer");
        let direct = (direct.status().as_u16(), direct.text().await.expect("a body"));
        let got = gateway.get(path).await;
        assert_eq!((got.0, without_stats(&got.1)), (direct.0, without_stats(&direct.1)), "{path}");
    }
    let form = gateway.client.post(format!("{}/loki/api/v1/query_range", gateway.url));
    let form = form.header("content-type", "application/x-www-form-urlencoded").body("query=%7Bapp%3D%22x%22%7D");
    assert!(form.send().await.expect("an answer").text().await.expect("a body").contains("three"));
    let large = gateway.client.post(format!("{}/loki/api/v1/query_range", gateway.url)).body(vec![b'x'; 7 << 20]);
    assert_eq!(large.send().await.expect("an answer").status(), StatusCode::PAYLOAD_TOO_LARGE);
}

/// The next lines of a tail, in the order told.
async fn lines(
    socket: &mut (impl Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin),
    count: usize,
) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let message = tokio::time::timeout(SOON, socket.next()).await.expect("a message in time");
        let Message::Text(text) = message.expect("an open socket").expect("a message") else { continue };
        let told: Value = serde_json::from_str(&text).expect("JSON");
        for stream in told["streams"].as_array().expect("streams") {
            assert_eq!(stream["stream"]["app"], "x");
            all.extend(
                stream["values"].as_array().expect("values").iter().map(|v| v[1].as_str().expect("a line").to_owned()),
            );
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_tells_each_entry_once() {
    let (_folder, server) = server().await;
    let second = 1_000_000_000;
    push(&server, &[(now_ns() - 60 * second, "old"), (now_ns() - 50 * second, "older than the end")]).await;
    let gateway = Gateway::start(&server.url, &[]).await;
    let url = format!("{}/loki/api/v1/tail?query=%7Bapp%3D%22x%22%7D&limit=10", gateway.url.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a tail");
    assert_eq!(lines(&mut socket, 2).await, ["old", "older than the end"]);
    for round in 0..5 {
        let now = now_ns();
        let (new, late) = (format!("new {round}"), format!("late {round}"));
        push(&server, &[(now, &new)]).await;
        assert_eq!(lines(&mut socket, 1).await, [new]);
        push(&server, &[(now - 10 * second, &late)]).await;
        assert_eq!(lines(&mut socket, 1).await, [late]);
    }
    let refused = format!("{}/loki/api/v1/tail?query=%7Bapp", gateway.url.replace("http", "ws"));
    let refused = tokio_tungstenite::connect_async(refused).await.expect_err("not LogQL").to_string();
    assert!(refused.contains("400"), "{refused}");
    let metric = "/loki/api/v1/tail?query=count_over_time(%7Bapp%3D%22x%22%7D%5B1m%5D)";
    let metric = tokio_tungstenite::connect_async(format!("{}{metric}", gateway.url.replace("http", "ws"))).await;
    assert!(metric.expect_err("no logs").to_string().contains("400"));
}

/// What the judging server saw.
type Verdicts = Arc<Mutex<Vec<String>>>;

async fn judge(State(verdicts): State<Verdicts>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .collect();
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let authorization = header("authorization").unwrap_or_default();
    let seen = signature::Seen {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: headers.clone(),
        body: &body,
    };
    let want = signature::expected(&seen, &authorization, SECRET);
    let right = authorization.ends_with(&format!("Signature={want}"))
        && authorization.contains("/eu-west-1/lambda/aws4_request")
        && authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token")
        && header("x-amz-security-token").as_deref() == Some("of-the-session");
    let tenant = header("x-scope-orgid").unwrap_or_default();
    verdicts.lock().expect("a lock").push(format!("{} {} {right} {tenant}", parts.method, parts.uri.path()));
    if parts.uri.path() == "/breaks" {
        // More than any buffer holds, so that the head is on its way when the end is not.
        let parts = [Ok(Bytes::from(vec![b'x'; 8 << 20])), Err(std::io::Error::other("gone"))];
        return Body::from_stream(stream::iter(parts)).into_response();
    }
    if right {
        StatusCode::NO_CONTENT.into_response()
    } else {
        (StatusCode::FORBIDDEN, "The signature").into_response()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_signed_and_nothing_else_is_told() {
    let verdicts = Verdicts::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let to = format!("http://{}", listener.local_addr().expect("an address"));
    let app = Router::new().fallback(judge).with_state(verdicts.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let gateway = Gateway::start(&to, &["--sign", "always"]).await;

    let path = "/loki/api/v1/query_range?query=%7Bapp%3D~%22a%2Bb%7C%C3%A9%22%7D%20%7C%3D%20%22x%26y%22&limit=5&a";
    let request = gateway.client.get(format!("{}{path}", gateway.url)).header("x-scope-orgid", "t");
    let request = request.header("authorization", "Basic Z3JhZmFuYTpzZWNyZXQ=");
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::NO_CONTENT);
    let form = gateway.client.post(format!("{}/loki/api/v1/query", gateway.url)).body("query=1%2B1&time=5");
    assert_eq!(form.send().await.expect("an answer").status(), StatusCode::NO_CONTENT);
    let values = gateway.client.get(format!("{}/loki/api/v1/label/a%20b/values", gateway.url));
    assert_eq!(values.send().await.expect("an answer").status(), StatusCode::NO_CONTENT);
    let breaks = gateway.client.get(format!("{}/breaks", gateway.url)).send().await.expect("a head");
    assert!(breaks.status() == StatusCode::OK && breaks.bytes().await.is_err(), "half an answer must not look whole");
    let seen = verdicts.lock().expect("a lock").clone();
    let want = [
        "GET /loki/api/v1/query_range true t",
        "POST /loki/api/v1/query true ",
        "GET /loki/api/v1/label/a%20b/values true ",
        "GET /breaks true ",
    ];
    assert_eq!(seen, want);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_behind_it_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
    let gateway = Gateway::start(&format!("http://127.0.0.1:{port}"), &[]).await;
    let (status, text) = gateway.get("/loki/api/v1/labels").await;
    assert_eq!(status, 502);
    assert!(text.starts_with("the function does not answer"), "{text}");
    assert!(!text.contains(SECRET) && !text.contains("AKIDEXAMPLE"));
}
