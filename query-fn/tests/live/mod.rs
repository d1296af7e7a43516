//! A server with both sides on a real socket over one store in memory, and WebSocket clients of its tails.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::StreamExt as _;
use ingest_fn::{CommitSettings, Ingest};
use loki_api::config::Config;
use object_store::memory::InMemory;
use query_fn::Query;
use serde_json::{Value, json};
use store::{Store, faulty::Faulty};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tower::ServiceExt as _;

/// What a test waits for comes much sooner, or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// How entries come live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Commits tell.
    Feed,
    /// The store is asked.
    Store,
}

/// A server.
#[derive(Clone)]
pub struct World {
    pub address: SocketAddr,
    pub query: Query,
    pub store: Store,
    pub faulty: Faulty,
    ingest: axum::Router,
    read: axum::Router,
    clock: Arc<AtomicI64>,
}

impl World {
    pub async fn start(source: Source, yaml: &str) -> World {
        let faulty = Faulty::new(Arc::new(InMemory::new()));
        let store = Store::new(Arc::new(faulty.clone()));
        let yaml = if yaml.contains("auth_enabled") { yaml.to_owned() } else { format!("auth_enabled: false\n{yaml}") };
        let config = Arc::new(Config::from_yaml(&yaml).expect("a configuration"));
        let query = Query::new(store.clone(), config.clone());
        let mut ingest = Ingest::new(store.clone(), config.clone(), CommitSettings::new(&config, false));
        if source == Source::Feed {
            let feed = query.feed();
            ingest = ingest.with_listener(move |tenant, stored| feed.tell(tenant, stored));
        }
        let read = query_fn::router(query.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(axum::serve(listener, read.clone()).into_future());
        let clock = Arc::new(AtomicI64::new(now_ns()));
        World { address, query, store, faulty, ingest: ingest_fn::router(ingest), read, clock }
    }

    /// A push of one stream, each line a nanosecond after the one before.
    pub fn body(&self, app: &str, lines: &[&str]) -> String {
        let values = lines.iter().map(|line| json!([self.clock.fetch_add(1, Ordering::Relaxed).to_string(), line]));
        json!({"streams": [{"stream": {"app": app}, "values": values.collect::<Vec<_>>()}]}).to_string()
    }

    pub async fn push(&self, app: &str, lines: &[&str]) {
        self.push_body(&self.body(app, lines)).await;
    }

    pub async fn push_as(&self, tenant: &str, app: &str, lines: &[&str]) {
        self.send(tenant, self.body(app, lines)).await;
    }

    pub async fn push_body(&self, body: &str) {
        self.send("", body.to_owned()).await;
    }

    async fn send(&self, tenant: &str, body: String) {
        let mut request = Request::post("/loki/api/v1/push").header("Content-Type", "application/json");
        if !tenant.is_empty() {
            request = request.header("X-Scope-OrgID", tenant);
        }
        let request = request.body(Body::from(body)).expect("a request");
        let response = self.ingest.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let request = Request::get(path).header("X-Scope-OrgID", "t").body(Body::empty()).expect("a request");
        let response = self.read.clone().oneshot(request).await.expect("infallible");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// The sum of a metric's values over the label sets that hold a text.
    pub async fn metric(&self, name: &str) -> i64 {
        let text = self.get("/metrics").await.1;
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum()
    }

    /// Waits until the lines of a metric that hold a text sum up to a value.
    pub async fn until_sum(&self, name: &str, part: &str, wanted: i64) {
        let reached = async {
            loop {
                let text = self.get("/metrics").await.1;
                let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(part));
                if lines.filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum::<i64>() == wanted {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{name} {part} never came there"));
    }

    /// Waits until a metric is as wanted.
    pub async fn until(&self, name: &str, wanted: impl Fn(i64) -> bool) {
        let reached = async {
            while !wanted(self.metric(name).await) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{name} never came there"));
    }

    pub async fn tail(&self, query: &str, rest: &str) -> Tail {
        self.try_tail("", "/loki/api/v1/tail", query, rest).await.unwrap_or_else(|e| panic!("{query}: {e:?}"))
    }

    /// Opens a tail, or gives the status and the text of the refusal.
    pub async fn try_tail(&self, tenant: &str, path: &str, query: &str, rest: &str) -> Result<Tail, (u16, String)> {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let url = format!("ws://{}{path}?query={query}{rest}", self.address);
        let mut request = url.into_client_request().expect("a request");
        if !tenant.is_empty() {
            request.headers_mut().insert("X-Scope-OrgID", tenant.parse().expect("a header"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Tail { socket }),
            Err(Error::Http(response)) => {
                let text = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8_lossy(&text).into_owned()))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A client of a tail.
pub struct Tail {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Tail {
    /// The next frame of any kind; none at the end.
    pub async fn frame(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a frame, or the end");
        next.and_then(Result::ok)
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some(Message::Text(text)) => return serde_json::from_str(&text).expect("JSON"),
                Some(Message::Ping(_)) => {}
                other => panic!("{other:?} where a message was expected"),
            }
        }
    }

    /// So many lines, in the order in which they come.
    pub async fn lines(&mut self, count: usize) -> Vec<String> {
        let lines = self.lines_at_least(count).await;
        assert_eq!(lines.len(), count, "{lines:?}");
        lines
    }

    /// So many lines, or as many more as their last message has.
    pub async fn lines_at_least(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let message = self.message().await;
            assert!(message.get("dropped_entries").is_none(), "{message}");
            for stream in message["streams"].as_array().expect("streams") {
                lines.push(stream["values"][0][1].as_str().expect("a line").to_owned());
            }
        }
        lines
    }

    /// Waits until the history is over: pings come from then on.
    pub async fn is_live(&mut self, world: &World) {
        world.until("loki_querier_tail_active", |open| open > 0).await;
        assert!(matches!(self.frame().await, Some(Message::Ping(_))));
    }

    /// The code and the reason of the close; none if the connection just ends.
    pub async fn closed(&mut self) -> Option<(u16, String)> {
        loop {
            match self.frame().await? {
                Message::Close(frame) => return frame.map(|frame| (frame.code.into(), frame.reason.to_string())),
                Message::Ping(_) => {}
                other => panic!("{other:?} where the end was expected"),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: tests push entries of now")]
pub fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_nanos()).expect("before 2262")
}
