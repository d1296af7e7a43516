//! The state of rules, of which there are none: an empty answer keeps the alerting pages of Grafana quiet.
//!
//! The paths under which rules are kept do not exist, so that Grafana sees that none can be.

use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use loki_api::response::CONTENT_TYPE;
use serde_json::json;

use crate::error::Refusal;
use crate::request::Asked;

/// No rule groups.
pub(crate) async fn rules(asked: Asked) -> Result<Response, Refusal> {
    match asked.params.get("type") {
        "" | "alert" | "record" => {}
        kind => {
            let error = format!("not supported value {}", model::quote(kind));
            let body = json!({"status": "error", "data": null, "errorType": "bad_data", "error": error});
            let json = [(header::CONTENT_TYPE, CONTENT_TYPE)];
            return Ok((StatusCode::BAD_REQUEST, json, body.to_string()).into_response());
        }
    }
    Ok(nothing("groups"))
}

/// No alerts.
pub(crate) async fn alerts(_: Asked) -> Result<Response, Refusal> {
    Ok(nothing("alerts"))
}

fn nothing(of: &str) -> Response {
    super::json(json!({"status": "success", "data": {of: []}, "errorType": "", "error": ""}).to_string())
}
