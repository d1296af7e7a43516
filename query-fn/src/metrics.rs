//! What the query side counts: requests and their durations, and what queries cost the store.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::QueryStats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Query;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of the durations, in seconds.
const DURATION_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// The status of a request whose client did not wait, as Loki's gateway has it.
const CLIENT_GONE: u16 = 499;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status_code: u16,
}

/// All metrics of the query side.
pub(crate) struct Metrics {
    durations: Family<Answered, Histogram, fn() -> Histogram>,
    store_requests: Counter<u64, AtomicU64>,
    store_bytes: Counter<u64, AtomicU64>,
    cache_hits: Counter<u64, AtomicU64>,
    blocks_read: Counter<u64, AtomicU64>,
    blocks_skipped: Counter<u64, AtomicU64>,
    line_bytes: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS)),
            store_requests: Counter::default(),
            store_bytes: Counter::default(),
            cache_hits: Counter::default(),
            blocks_read: Counter::default(),
            blocks_skipped: Counter::default(),
            line_bytes: Counter::default(),
        }
    }
}

/// What tails count.
#[derive(Clone, Default)]
pub(crate) struct TailMetrics {
    /// Tails that are open.
    pub(crate) active: Gauge,
    /// Bytes of messages.
    pub(crate) bytes: Counter,
    /// Entries that were left out, because a client was slow or too many came at once.
    pub(crate) dropped: Counter,
}

impl TailMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("loki_querier_tail_active", "Tails that are open", self.active.clone());
        registry.register("loki_querier_tail_bytes", "Bytes sent to tails", self.bytes.clone());
        let help = "Entries that tails left out and reported as dropped";
        registry.register("logbarn_query_tail_dropped_entries", help, self.dropped.clone());
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("logbarn_query");
        registry.register("request_duration_seconds", "Time to answer a request", self.durations.clone());
        let counters = [
            ("store_requests", "Requests that queries made to the store", &self.store_requests),
            ("store_bytes", "Bytes that queries read from the store", &self.store_bytes),
            ("cache_hits", "Reads that a cache answered", &self.cache_hits),
            ("blocks_read", "Blocks of which columns were read", &self.blocks_read),
            ("blocks_skipped", "Blocks that the filters proved empty of matches", &self.blocks_skipped),
            ("line_bytes", "Bytes of lines that were looked at, uncompressed", &self.line_bytes),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }

    /// Adds what one query cost.
    pub(crate) fn count(&self, stats: &QueryStats) {
        self.store_requests.inc_by(stats.store_requests);
        self.store_bytes.inc_by(stats.store_bytes);
        self.cache_hits.inc_by(stats.cache_hits);
        self.blocks_read.inc_by(stats.blocks_read);
        self.blocks_skipped.inc_by(stats.blocks_skipped);
        self.line_bytes.inc_by(stats.line_bytes);
    }
}

/// Times a request under its route's name, so that label names in paths make no series. A request whose client went away before
/// its answer is dropped where it stands, and counts as 499.
pub(crate) async fn measure(State(query): State<Query>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let mut timed = Timed { query, route, started: Instant::now(), status_code: CLIENT_GONE };
    let response = next.run(request).await;
    timed.status_code = response.status().as_u16();
    response
}

/// A request under way; counted when it is dropped.
struct Timed {
    query: Query,
    route: String,
    started: Instant,
    status_code: u16,
}

impl Drop for Timed {
    fn drop(&mut self) {
        let labels = Answered { route: std::mem::take(&mut self.route), status_code: self.status_code };
        self.query.0.metrics.durations.get_or_create(&labels).observe(self.started.elapsed().as_secs_f64());
    }
}

/// The text that Prometheus scrapes.
pub fn exposition(registry: &Arc<Registry>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            crate::error::Refusal::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
