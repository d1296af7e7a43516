//! What every question brings: whose logs, which parameters, which encoding.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use loki_api::config::{BlockedQuery, Config, Limits};
use loki_api::narrow::QUERY_LIMITS_HEADER;
use loki_api::params::{Params, query_length_error};
use loki_api::response::{ENCODING_FLAGS_HEADER, Encoding};
use loki_api::tenancy::TENANT_HEADER;
use model::TenantId;

use crate::Query;
use crate::error::Refusal;

/// Largest form body.
const FORM_BYTES_MAX: usize = 10 << 20;
/// With `true` the question goes on without damaged segments, and the answer warns of them.
const SKIP_CORRUPT_HEADER: &str = "X-Logbarn-Skip-Corrupt-Segments";

/// A question, read from URL, form body and headers.
pub(crate) struct Asked {
    /// Whose logs: never none, sorted, each once.
    pub(crate) tenants: Vec<TenantId>,
    /// What they may ask.
    pub(crate) limits: Arc<Limits>,
    /// Decoded parameters: those of the body, then those of the URL.
    pub(crate) params: Params,
    /// How labels are to be told.
    pub(crate) encoding: Encoding,
    /// Whether Logs Drilldown asks: it takes a part of the answer and a warning where others want an error.
    pub(crate) from_drilldown: bool,
    /// Whether it goes on without segments that are damaged.
    pub(crate) skip_corrupt_segments: bool,
    /// Now, in nanoseconds since 1970.
    pub(crate) now_ns: i64,
}

impl FromRequest<Query> for Asked {
    type Rejection = Refusal;

    async fn from_request(request: Request, query: &Query) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let config = &query.0.config;
        let tenants = tenants(&parts.headers, config)?;
        let limits = limits(&parts.headers, config, &tenants)?;
        let encoding = Encoding::from_flags(text(&parts.headers, ENCODING_FLAGS_HEADER));
        let from_drilldown = text(&parts.headers, "X-Query-Tags").contains("Source=grafana-lokiexplore-app");
        let mut pairs = Vec::new();
        if text(&parts.headers, header::CONTENT_TYPE.as_str()).starts_with("application/x-www-form-urlencoded") {
            let body = axum::body::to_bytes(body, FORM_BYTES_MAX)
                .await
                .map_err(|_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large"))?;
            pairs.extend(decode(&body));
        }
        pairs.extend(decode(parts.uri.query().unwrap_or_default().as_bytes()));
        let skip_corrupt_segments = text(&parts.headers, SKIP_CORRUPT_HEADER) == "true";
        let params = Params::new(pairs);
        Ok(Asked { tenants, limits, params, encoding, from_drilldown, skip_corrupt_segments, now_ns: now_ns() })
    }
}

/// Whose logs a question is about.
pub(crate) fn tenants(headers: &HeaderMap, config: &Config) -> Result<Vec<TenantId>, Refusal> {
    Ok(config.tenants(headers.get_all(TENANT_HEADER).iter().map(HeaderValue::as_bytes))?)
}

/// The parameters of a URL alone.
pub(crate) fn url_params(uri: &Uri) -> Params {
    Params::new(decode(uri.query().unwrap_or_default().as_bytes()).collect())
}

/// The limits of all tenants of a question together, narrowed by what the request itself asks.
fn limits(headers: &HeaderMap, config: &Config, tenants: &[TenantId]) -> Result<Arc<Limits>, Refusal> {
    let mut limits = config.limits_of(tenants);
    if let Some(header) = headers.get(QUERY_LIMITS_HEADER).filter(|_| config.querier.per_request_limits_enabled) {
        let own = Arc::make_mut(&mut limits).narrow_by_header(header.as_bytes());
        own.map_err(|why| Refusal::bad_request(format!("could not parse '{QUERY_LIMITS_HEADER}': {why}")))?;
    }
    Ok(limits)
}

impl Asked {
    /// What may be asked, in the engine's own type.
    pub(crate) fn engine_limits(&self) -> engine::Limits {
        let limits = &self.limits;
        engine::Limits {
            max_query_series: limits.max_query_series,
            max_entries_limit_per_query: usize::try_from(limits.max_entries_limit_per_query).unwrap_or(usize::MAX),
            query_timeout: limits.query_timeout,
            split_queries_by_interval: limits.split_queries_by_interval,
            max_query_range: limits.max_query_range,
            max_streams_matchers_per_query: limits.max_streams_matchers_per_query,
            max_query_bytes_read: limits.max_query_bytes_read,
            required_labels: limits.required_labels.clone(),
            minimum_labels_number: limits.minimum_labels_number,
            blocked_queries: limits.blocked_queries.iter().map(blocked).collect(),
            oldest_ns: self.oldest_ns(),
            skip_corrupt_segments: self.skip_corrupt_segments,
        }
    }

    /// The oldest time that may be asked about.
    pub(crate) fn oldest_ns(&self) -> Option<i64> {
        let lookback = self.limits.max_query_lookback;
        let lookback_ns = i64::try_from(lookback.as_nanos()).unwrap_or(i64::MAX);
        (!lookback.is_zero()).then(|| self.now_ns.saturating_sub(lookback_ns))
    }

    /// Refuses a range that is longer than it may be.
    pub(crate) fn check_length(&self, start_ns: i64, end_ns: i64) -> Result<(), Refusal> {
        let start_ns = self.oldest_ns().map_or(start_ns, |oldest_ns| start_ns.max(oldest_ns));
        let length = Duration::from_nanos(u64::try_from(end_ns.saturating_sub(start_ns)).unwrap_or(0));
        match self.limits.max_query_length {
            longest if longest.is_zero() || length <= longest => Ok(()),
            longest => Err(query_length_error(length, longest).into()),
        }
    }

    /// Refuses every query of a tenant whose queries are switched off.
    pub(crate) fn check_enabled(&self) -> Result<(), Refusal> {
        match self.limits.max_query_parallelism {
            0 => Err(Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "querying is disabled, please contact your Loki operator",
            )),
            _ => Ok(()),
        }
    }
}

fn blocked(query: &BlockedQuery) -> engine::Blocked {
    let kinds = query.types.split(',').map(str::trim).filter(|kind| !kind.is_empty());
    engine::Blocked {
        pattern: query.pattern.clone(),
        regex: query.regex,
        kinds: kinds.map(str::to_owned).collect(),
        hash: query.hash,
    }
}

/// A header's value; empty if it is absent or not text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn decode(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(form).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

#[expect(clippy::disallowed_methods, reason = "the edge: a request's `now` is read once, here")]
pub(crate) fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
