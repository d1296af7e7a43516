//! Accepts pushes, validates and enriches them, packs segments, commits them.
//!
//! In: HTTP requests in the formats of Loki, OpenTelemetry, Elasticsearch and VictoriaLogs, and events of AWS services. Out: one
//! object for each (tenant, day) of a group of pushes, and an answer once it is stored. The modules follow a push: config, push
//! (documents, firehose), body (lz4, buffers), accept (streams, names, level, rates, refusal), batch, commit, pack, live; events,
//! function and merges for AWS; error, metrics.

pub mod config;

mod documents;
mod firehose;
mod push;

mod body;
mod buffers;
mod lz4;

mod accept;
mod level;
mod names;
mod rates;
mod refusal;
mod streams;

mod batch;
mod commit;
mod live;
mod pack;

mod events;
mod function;
mod merges;
mod upkeep;

mod error;
mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use loki_api::config::Config;
use loki_api::push::KnownLabels;
use model::{StoredEntries, TenantId};
use prometheus_client::registry::Registry;
use store::Store;
use tokio::sync::Semaphore;

pub use commit::CommitSettings;
pub use events::{EventFailure, EventSettings, Events};
pub use function::Function;
pub use merges::{MergeFailure, Merges};
pub use push::BATCH_HEADER;
pub use upkeep::{Upkeep, upkeep};

/// What looks after a store by hand: counts, verifies, copies and repairs it.
pub use ::upkeep as care;

use body::BodyBudget;
use buffers::Buffers;
use commit::Committer;
use live::Listener;
use metrics::Metrics;
use rates::Rates;
use streams::KnownStreams;

/// Bodies that are decoded at a time: each may unfold to `max_decompressed_size`, and there are as few cores.
const DECODES_MAX: usize = 2;

/// Everything that a push needs. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    config: Arc<Config>,
    bodies: BodyBudget,
    decode_turns: Arc<Semaphore>,
    buffers: Buffers,
    labels: Arc<KnownLabels>,
    streams: Arc<KnownStreams>,
    rates: Arc<Rates>,
    committer: Committer,
    metrics: Metrics,
    event_settings: Arc<EventSettings>,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Ingest {
    /// Starts nothing and asks the store for nothing.
    pub fn new(store: Store, config: Arc<Config>, commit: CommitSettings) -> Self {
        Ingest {
            config,
            bodies: BodyBudget::new(commit.queue_bytes_max),
            decode_turns: Arc::new(Semaphore::new(DECODES_MAX)),
            buffers: Buffers::default(),
            labels: Arc::default(),
            streams: Arc::default(),
            rates: Arc::default(),
            committer: Committer::new(store, commit),
            metrics: Metrics::default(),
            event_settings: Arc::default(),
            now: Arc::new(config::now_ns),
        }
    }

    /// The same with another clock, nanoseconds since 1970.
    pub fn with_clock(mut self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// The same with settings for what AWS services deliver over HTTP; the tenant is the request's.
    pub fn with_event_settings(mut self, settings: EventSettings) -> Self {
        self.event_settings = Arc::new(settings);
        self
    }

    /// The same with someone who is told of every commit: what was stored, after validation and enrichment, once for each day it
    /// spans, and not for a retry that was stored before. The listener runs on the commit's way, so it must return at once.
    pub fn with_listener(
        self,
        listener: impl Fn(&TenantId, Arc<dyn StoredEntries + Send + Sync>) + Send + Sync + 'static,
    ) -> Self {
        self.committer.listen(Listener::new(listener));
        self
    }

    /// Adds what is counted here to a registry that someone else prints.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Pushes that are judged and not answered yet.
    pub fn pushes_waiting(&self) -> usize {
        self.committer.open()
    }

    /// Answers every push that was accepted. Pushes that come later are still answered, without waiting for others.
    pub async fn shutdown(&self) {
        self.committer.shutdown().await;
    }
}

/// The push endpoints alone, for a server that has `/ready` and `/metrics` of its own.
pub fn api_router(ingest: Ingest) -> Router {
    let config = ingest.config.clone();
    door::guarded(push_router(ingest), &config)
}

/// The push endpoints for whom the caller lets in: nobody is asked to sign in.
pub fn push_router(ingest: Ingest) -> Router {
    Router::new()
        .merge(documents::routes())
        .merge(firehose::routes())
        .route("/loki/api/v1/push", post(push::push))
        .route("/insert/loki/api/v1/push", post(push::push))
        .route("/insert/opentelemetry/v1/logs", post(push::otlp))
        .route("/api/prom/push", post(push::legacy_push))
        .route("/otlp/v1/logs", post(push::otlp))
        .with_state(ingest)
}

/// The whole function: the push endpoints, `/ready` and `/metrics`.
pub fn router(ingest: Ingest) -> Router {
    let mut registry = Registry::default();
    ingest.register_metrics(&mut registry);
    let config = ingest.config.clone();
    door::complete(api_router(ingest), registry, &config)
}
