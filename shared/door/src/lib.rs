//! What both functions have before their routers: who may come in, and what is seen of each request.
//!
//! In: the API of one side or of several. Out: a whole server: who signed in is let in, each request has a trace id, a line in the
//! log and a place in Loki's metric, and `/metrics` prints what was counted. What a configuration says to both is read here, too.

pub mod config;
mod exposition;
pub mod invocation;
pub mod merger;
mod observe;
mod sign_in;
pub mod upkeep;

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use loki_api::config::Config;
use prometheus_client::registry::Registry;

use exposition::exposition;
use observe::Observer;

pub use sign_in::{for_token, guarded};

/// A whole server: an API, `/ready` for everybody, `/metrics` for whom the configuration lets in, and each request seen.
pub fn complete(api: Router, mut registry: Registry, config: &Arc<Config>) -> Router {
    let observer = Observer::default();
    observer.register(&mut registry);
    let registry = Arc::new(registry);
    let metrics = get(move |headers: HeaderMap| async move { exposition(&registry, &headers) });
    let metrics = guarded(Router::new().route("/metrics", metrics), config);
    let whole = api.merge(metrics).route("/ready", get(|| async { "ready\n" })).fallback(not_found);
    observer.watch(whole)
}

/// What an unknown path is answered.
async fn not_found() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain; charset=utf-8")], "404 page not found\n")
}
