//! What needs no data: the printer of queries, and which version this is.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use loki_api::response::{self, BuildInfo, CONTENT_TYPE};

use crate::request::Asked;

/// The version of Loki whose API is answered; clients compare it.
const API_VERSION: &str = "3.6.0";

/// Prints a query in its usual form. Its error alone is JSON.
pub(crate) async fn format_query(asked: Asked) -> Response {
    match engine::format_query(asked.params.get("query")) {
        Ok(text) => super::json(response::formatted(&text)),
        Err(error) => {
            let body = serde_json::json!({"status": "invalid-query", "error": error.to_string()});
            (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, CONTENT_TYPE)], body.to_string()).into_response()
        }
    }
}

/// Which version this is.
pub(crate) async fn build_info() -> Response {
    let info =
        BuildInfo { version: API_VERSION, revision: env!("CARGO_PKG_VERSION"), branch: "main", ..BuildInfo::default() };
    super::json(response::build_info(&info))
}
