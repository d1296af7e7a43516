//! 16: Explore's live view: a WebSocket through Grafana's proxy, with nothing but a query.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::ask::{ANY_AGE, Grafana};

/// How long anything may take before a test gives up; far more than it does.
const WAIT_MAX: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(grafana: &Grafana, query: &str, tenant: Option<&str>) -> Result<Socket, (u16, String)> {
    let url = reqwest::Url::parse_with_params(&format!("{}/loki/api/v1/tail", grafana.server.url), [("query", query)]);
    let url = url.expect("a URL").as_str().replacen("http", "ws", 1);
    let mut request = url.into_client_request().expect("a request");
    if let Some(tenant) = tenant {
        request.headers_mut().insert("X-Scope-OrgID", tenant.parse().expect("a header"));
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
            let body = answer.body().clone().unwrap_or_default();
            Err((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
        }
        Err(other) => panic!("{other}"),
    }
}

/// The next frame of entries, checked as Grafana reads it; `None` when the server closed.
async fn frame(socket: &mut Socket) -> Option<Value> {
    loop {
        let message = tokio::time::timeout(WAIT_MAX, socket.next()).await.expect("a message in time")?;
        let text = match message.expect("a whole message") {
            Message::Text(text) => text,
            Message::Close(_) => return None,
            _ => continue,
        };
        let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
        assert!(frame.get("encodingFlags").is_none(), "a tail is not asked for categories: {frame}");
        for stream in frame["streams"].as_array().into_iter().flatten() {
            assert!(stream["stream"].as_object().expect("labels").values().all(Value::is_string), "{frame}");
            for value in stream["values"].as_array().expect("values") {
                let [time, line] = value.as_array().expect("an entry").as_slice() else { panic!("no pair: {frame}") };
                assert!(time.as_str().is_some_and(|t| t.len() >= 7 && t.parse::<i64>().is_ok()), "{frame}");
                assert!(line.is_string(), "{frame}");
            }
        }
        assert!(matches!(frame["dropped_entries"], Value::Null | Value::Array(_)), "{frame}");
        return Some(frame);
    }
}

/// Labels and lines of a frame.
fn entries(frame: &Value) -> Vec<(Value, String)> {
    let streams = frame["streams"].as_array().into_iter().flatten();
    streams
        .flat_map(|stream| {
            let values = stream["values"].as_array().into_iter().flatten();
            values.map(|v| (stream["stream"].clone(), v[1].as_str().unwrap_or_default().to_owned()))
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "a tail follows what is new")]
fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_nanos()).expect("before 2262")
}

/// Several streams, labels and metadata together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_16_a_tail_tells_what_is_pushed() {
    let grafana = Grafana::start().await;
    let mut tail = open(&grafana, r#"{app="live"} |= "keep""#, None).await.expect("it opens");
    grafana
        .push(json!([
            [{"app": "live", "pod": "a"}, [[now_ns(), "keep a", {"trace_id": "t7"}], [now_ns(), "leave out"]]],
            [{"app": "live", "pod": "b"}, [[now_ns(), "keep b"]]],
            [{"app": "other"}, [[now_ns(), "keep elsewhere"]]]
        ]))
        .await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(entries(&frame(&mut tail).await.expect("it stays open")));
    }
    told.sort_by(|a, b| a.1.cmp(&b.1));
    let labels = |pod: &str| json!({"app": "live", "pod": pod, "service_name": "live", "detected_level": "unknown"});
    let mut first = labels("a");
    first["trace_id"] = json!("t7");
    assert_eq!(told, [(first, "keep a".to_owned()), (labels("b"), "keep b".to_owned())]);
}

/// Who does not read in time is told what was left out, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_16_a_slow_client_loses_entries_and_stays() {
    let limits = "ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB";
    let grafana = Grafana::with_limits(limits).await;
    let mut tail = open(&grafana, r#"{app="flood"}"#, None).await.expect("it opens");
    let line = "x".repeat(100_000);
    // More than the sockets and the server's queue hold.
    for _ in 0..25 {
        let entries: Vec<_> = (0..10).map(|i| json!([now_ns() + i, line])).collect();
        grafana.push(json!([[{"app": "flood"}, entries]])).await;
    }
    let mut dropped = 0;
    while dropped == 0 {
        let frame = frame(&mut tail).await.expect("it stays open");
        dropped += frame["dropped_entries"].as_array().map_or(0, Vec::len);
    }
    grafana.push(json!([[{"app": "flood"}, [[now_ns(), "the last"]]]])).await;
    while !entries(&frame(&mut tail).await.expect("it stays open")).iter().any(|(_, line)| line == "the last") {}
}

/// A syntax error is told before the upgrade; a metric query behind it, by a close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_16_what_a_tail_refuses() {
    let grafana = Grafana::start().await;
    let (status, text) = open(&grafana, r#"{app="#, None).await.expect_err("no LogQL");
    assert_eq!(status, 400);
    assert!(text.starts_with("parse error at line 1, col 6"), "{text}");
    let mut metric = open(&grafana, r#"rate({app="live"}[1m])"#, None).await.expect("it opens first");
    assert_eq!(frame(&mut metric).await, None);
}

/// 20, for tails: live as in history, a tenant hears its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_20_tails_tell_a_tenant_its_own() {
    let grafana = Grafana::with_config(&format!("auth_enabled: true\nlimits_config: {{{ANY_AGE}}}\n")).await;
    let query = r#"{app="same"}"#;
    let push = async |tenant: &str, line: &str| {
        grafana.push_as(&[("X-Scope-OrgID", tenant)], json!([[{"app": "same"}, [[now_ns(), line]]]])).await;
    };
    push("boris", "boris before").await;
    push("anna", "anna before").await;
    let mut tail = open(&grafana, query, Some("anna")).await.expect("it opens");
    push("boris", "boris live").await;
    push("anna", "anna live").await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(entries(&frame(&mut tail).await.expect("it stays open")).into_iter().map(|(_, line)| line));
    }
    assert_eq!(told, ["anna before", "anna live"]);
    assert_eq!(open(&grafana, query, None).await.expect_err("nobody").0, 401);
}
