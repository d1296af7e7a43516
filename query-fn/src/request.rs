//! What every question brings: whose logs, which parameters, which encoding.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use loki_api::config::Config;
use loki_api::params::Params;
use loki_api::response::{ENCODING_FLAGS_HEADER, Encoding};
use model::TenantId;

use crate::Query;
use crate::error::Refusal;

/// Largest form body.
const FORM_BYTES_MAX: usize = 10 << 20;

/// A question, read from URL, form body and headers.
pub(crate) struct Asked {
    /// Whose logs: never none, sorted, each once.
    pub(crate) tenants: Vec<TenantId>,
    /// Decoded parameters: those of the body, then those of the URL.
    pub(crate) params: Params,
    /// How labels are to be told.
    pub(crate) encoding: Encoding,
    /// Whether Logs Drilldown asks: it takes a part of the answer and a warning where others want an error.
    pub(crate) from_drilldown: bool,
    /// Now, in nanoseconds since 1970.
    pub(crate) now_ns: i64,
}

impl FromRequest<Query> for Asked {
    type Rejection = Refusal;

    async fn from_request(request: Request, query: &Query) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let tenants = tenants(&parts.headers, &query.0.config)?;
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
        Ok(Asked { tenants, params: Params::new(pairs), encoding, from_drilldown, now_ns: now_ns() })
    }
}

pub(crate) fn tenants(headers: &HeaderMap, config: &Config) -> Result<Vec<TenantId>, Refusal> {
    if !config.auth_enabled {
        return Ok(vec![TenantId::single()]);
    }
    let id = text(headers, "X-Scope-OrgID");
    if id.contains('|') {
        return Err(Refusal::bad_request("multiple org IDs present"));
    }
    Ok(vec![TenantId::new(id)?])
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
