//! A door before an HTTP server that a test can shut: one request stays in it, before or behind the server.
//!
//! In: a server's address. Out: an address that answers the same, until a write is stopped in it. What a process does that is killed
//! while it writes can so be tried at the two moments that matter: the write did not happen, or it did and nobody was told.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use tokio::sync::Notify;

/// Bytes of a body that pass.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Where a request is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Before the server has seen it.
    Before,
    /// When the server has answered.
    Behind,
}

/// The door. It stands as long as the runtime of its test.
#[derive(Debug, Clone)]
pub struct Gate {
    endpoint: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    /// The part of a key at which the next PUT is stopped.
    shut: Mutex<Option<(String, Stop)>>,
    stopped: Notify,
}

impl Gate {
    /// A door before `upstream`, such as `http://127.0.0.1:5000`.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn before(upstream: &str) -> Self {
        let client = crate::http::client();
        let (upstream, shut, stopped) = (upstream.to_owned(), Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { upstream, client, shut, stopped });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        tokio::spawn(axum::serve(listener, router).into_future());
        Gate { endpoint, shared }
    }

    /// Its own address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops the next PUT of a key that has this part.
    pub fn stop_next_put(&self, part: &str, stop: Stop) {
        *self.shared.shut() = Some((part.to_owned(), stop));
    }

    /// Waits until that PUT has come. It is never answered.
    pub async fn stopped(&self) {
        self.shared.stopped.notified().await;
    }
}

impl Shared {
    fn shut(&self) -> std::sync::MutexGuard<'_, Option<(String, Stop)>> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where this request is stopped, if it is the one.
    fn stops(&self, request: &Request) -> Option<Stop> {
        let mut shut = self.shut();
        let is_it = |(part, _): &(String, Stop)| request.method() == Method::PUT && request.uri().path().contains(part);
        shut.take_if(|shut| is_it(shut)).map(|(_, stop)| stop)
    }

    async fn stand_still(&self) -> ! {
        self.stopped.notify_one();
        std::future::pending().await
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let stop = shared.stops(&request);
    if stop == Some(Stop::Before) {
        shared.stand_still().await;
    }
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = to_bytes(body, BODY_BYTES_MAX).await.expect("a body of a test");
    let sent = shared.client.request(parts.method, format!("{}{path}", shared.upstream));
    let answer = sent.headers(end_to_end(parts.headers)).body(body).send().await.expect("the server answers");
    if stop == Some(Stop::Behind) {
        shared.stand_still().await;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = end_to_end(answer.headers().clone());
    *response.body_mut() = answer.bytes().await.expect("a whole answer").into();
    response
}

/// Without what belongs to one connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
