//! Answers LogQL over the Loki HTTP API.
//!
//! `router` is all that a server or a function needs: requests in, Loki's JSON or Loki's plain-text errors out. What a
//! query means is the engine's; how its answer looks is `loki_api`'s; here are paths, headers and status codes.

pub mod config;
mod error;
mod fan;
mod function;
mod merges;
mod metrics;
mod price;
mod request;
mod routes;
mod tail;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use engine::{Engine, EngineSettings};
use loki_api::config::Config;
use store::Store;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};

use tail::{Hub, Poller};

pub use door::complete;
pub use engine::check_retention_selector;
pub use fan::FanOutError;
pub use function::{Function, Parts};
pub use invoke::Signer;
pub use loki_api::params::parse_timestamp;
pub use loki_api::units::parse_duration;
pub use merges::Merges;
pub use prometheus_client::registry::Registry;
pub use tail::Feed;

/// The query side of one process. Cloning copies a pointer.
#[derive(Clone)]
pub struct Query(Arc<Inner>);

struct Inner {
    engine: Engine,
    config: Arc<Config>,
    metrics: metrics::Metrics,
    tail_metrics: metrics::TailMetrics,
    hub: Hub,
    poller: Poller,
    /// Set once: this process hears of commits, so that its tails need not ask the store.
    fed: AtomicBool,
}

impl Inner {
    /// Who asks the store for tails, if nobody tells them.
    fn poller(&self) -> Option<&Poller> {
        (!self.fed.load(Ordering::Relaxed)).then_some(&self.poller)
    }
}

impl Query {
    /// Answers from this store, within the limits of this configuration, and without the help of leaves.
    pub fn new(store: Store, config: Arc<Config>) -> Self {
        Self::with(store, config, None)
    }

    /// The same with the leaves that the configuration names; the `AWS_*` variables say how functions are reached.
    pub fn open(
        store: Store,
        config: Arc<Config>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, FanOutError> {
        let environment: HashMap<String, String> = environment.into_iter().collect();
        let fan_out = fan::fan_out(&config.logbarn.fan_out, &environment)?;
        Ok(Self::with(store, config, fan_out))
    }

    fn with(store: Store, config: Arc<Config>, fan_out: Option<engine::FanOut>) -> Self {
        let logbarn = &config.logbarn;
        let cache_bytes = usize::try_from(logbarn.cache_memory_max).unwrap_or(usize::MAX);
        let settings = EngineSettings {
            query_memory_bytes_max: usize::try_from(logbarn.query_memory_max).unwrap_or(usize::MAX),
            footer_cache_bytes_max: cache_bytes / 2,
            block_cache_memory_bytes_max: cache_bytes / 2,
            block_cache_directory: Some(&logbarn.block_cache_directory).filter(|name| !name.is_empty()).map(Into::into),
            block_cache_disk_bytes_max: logbarn.block_cache_bytes_max,
            skip_corrupt_segments: logbarn.skip_corrupt_segments,
            ..EngineSettings::default()
        };
        let engine = Engine::new(store.clone(), settings).heeding(door::upkeep::policy(&config, request::now_ns));
        let engine = match fan_out {
            Some(fan_out) => engine.with_fan_out(fan_out),
            None => engine,
        };
        let tail_metrics = metrics::TailMetrics::default();
        let hub = Hub::new(engine.clone(), tail_metrics.clone());
        let poller = Poller::new(store, engine.clone(), hub.clone());
        let (metrics, fed) = (metrics::Metrics::default(), AtomicBool::new(false));
        Query(Arc::new(Inner { engine, config, metrics, tail_metrics, hub, poller, fed }))
    }

    /// Where to tell what was stored, for tails. Whoever asks for it tells everything that is stored; without it tails ask the store,
    /// while there are any.
    pub fn feed(&self) -> Feed {
        self.0.fed.store(true, Ordering::Relaxed);
        Feed::new(self.0.hub.clone())
    }

    /// Ends all tails, and waits until they have ended. Other requests are not touched.
    pub async fn shutdown(&self) {
        self.0.hub.stop().await;
    }

    /// Adds this side's metrics to a registry; whoever serves several sides from one process has one registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
        self.0.tail_metrics.register(registry);
        registry.register_collector(Box::new(metrics::EngineMetrics(self.0.engine.clone())));
    }
}

/// Everything that a query function serves on its own: the API, `/ready` and `/metrics`.
pub fn router(query: Query) -> Router {
    let mut registry = Registry::default();
    query.register_metrics(&mut registry);
    let config = query.0.config.clone();
    complete(api_router(query), registry, &config)
}

/// The Loki read API alone, for a process that serves other sides too.
pub fn api_router(query: Query) -> Router {
    let config = query.0.config.clone();
    let router = Router::new()
        .route("/loki/api/v1/query", asked(routes::query::instant))
        .route("/loki/api/v1/query_range", asked(routes::query::range))
        .route("/loki/api/v1/labels", asked(routes::labels::names))
        .route("/loki/api/v1/label", asked(routes::labels::names))
        .route("/loki/api/v1/label/{name}/values", asked(routes::labels::values))
        .route("/loki/api/v1/series", asked(routes::labels::series))
        .route("/loki/api/v1/index/stats", asked(routes::volume::stats))
        .route("/loki/api/v1/index/volume", asked(routes::volume::volume))
        .route("/loki/api/v1/index/volume_range", asked(routes::volume::volume_range))
        .route("/loki/api/v1/patterns", asked(routes::patterns::patterns))
        .route("/loki/api/v1/detected_labels", asked(routes::detected::labels))
        .route("/loki/api/v1/detected_fields", asked(routes::detected::fields))
        .route("/loki/api/v1/detected_field/{name}/values", asked(routes::detected::values))
        .route("/loki/api/v1/tail", get(tail::tail))
        .route("/api/prom/tail", get(tail::legacy_tail))
        .route("/logbarn/api/v1/explain", asked(routes::explain::explain))
        .route("/loki/api/v1/format_query", asked(routes::status::format_query))
        .route("/loki/api/v1/status/buildinfo", get(routes::status::build_info))
        .route("/loki/api/v1/drilldown-limits", get(routes::settings::drilldown))
        .route("/config/tenant/v1/limits", get(routes::settings::tenant_limits))
        .route("/config", get(routes::settings::config))
        .route("/prometheus/api/v1/rules", get(routes::rules::rules))
        .route("/prometheus/api/v1/alerts", get(routes::rules::alerts))
        .route("/api/prom/query", asked(routes::legacy::entries))
        .route("/api/prom/label", asked(routes::legacy::names))
        .route("/api/prom/label/{name}/values", asked(routes::legacy::values))
        .route("/api/prom/series", asked(routes::labels::series))
        .merge(deletes(&config))
        .layer(middleware::from_fn_with_state(query.clone(), deadline))
        // The fastest level: answers are read once, and the next one waits for this processor.
        .layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Fastest)
                .compress_when(SizeAbove::new(COMPRESS_BYTES_MIN).and(is_success)),
        )
        .with_state(query.clone());
    door::guarded(router, &config).merge(fan::serve::router(query, &config))
}

/// The paths of delete requests, which exist only where deletes do.
fn deletes(config: &Config) -> Router<Query> {
    let path = "/loki/api/v1/delete";
    let take = MethodFilter::POST.or(MethodFilter::PUT);
    match config.compactor.retention_enabled {
        true => Router::new()
            .route(path, on(take, routes::deletes::take).get(routes::deletes::list).delete(routes::deletes::cancel)),
        false => Router::new(),
    }
}

/// Ends a question of any kind when its tenant's time is up.
async fn deadline(State(query): State<Query>, request: Request, next: Next) -> Response {
    let config = &query.0.config;
    // A request without a tenant is refused behind this.
    let tenants = request::tenants(request.headers(), config).unwrap_or_default();
    let timeout = config.limits_of(&tenants).query_timeout;
    match timeout.is_zero() {
        true => next.run(request).await,
        false => match tokio::time::timeout(timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => error::Refusal::from(engine::Error::Timeout).into_response(),
        },
    }
}

/// Smaller answers are sent as they are.
const COMPRESS_BYTES_MIN: u64 = 512;

/// Loki takes each question as GET and as POST.
fn asked<H, T>(handler: H) -> MethodRouter<Query>
where
    H: axum::handler::Handler<T, Query> + Clone,
    T: 'static,
{
    on(MethodFilter::GET.or(MethodFilter::POST), handler)
}

/// Grafana replaces the body of an error but keeps its headers, so errors are never compressed.
fn is_success(
    status: StatusCode,
    _: axum::http::Version,
    _: &axum::http::HeaderMap,
    _: &axum::http::Extensions,
) -> bool {
    status.is_success()
}
