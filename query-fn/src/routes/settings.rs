//! What a server may tell about its settings: the configuration, a tenant's limits, what Logs Drilldown needs to know.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use loki_api::pages::{self, Mode};

use crate::Query;
use crate::error::{PLAIN_TEXT, Refusal};
use crate::request::Asked;

/// The whole configuration, without its secrets; `mode` chooses the defaults or what differs from them.
pub(crate) async fn config(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let mode = match asked.params.get("mode") {
        "diff" | "diffs" => Mode::Differences,
        "defaults" => Mode::Defaults,
        _ => Mode::All,
    };
    Ok(text(pages::config(&query.0.config, mode)))
}

/// The limits of the tenant who asks.
pub(crate) async fn tenant_limits(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    Ok(text(pages::limits(&query.0.config.limits_of(&asked.tenants))))
}

/// The limits that Logs Drilldown looks at.
pub(crate) async fn drilldown(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let limits = query.0.config.limits_of(&asked.tenants);
    let patterns = query.0.config.pattern_ingester.enabled;
    Ok(super::json(pages::drilldown_limits(&limits, patterns, super::status::API_VERSION)))
}

fn text(body: String) -> Response {
    ([(header::CONTENT_TYPE, PLAIN_TEXT)], body).into_response()
}
