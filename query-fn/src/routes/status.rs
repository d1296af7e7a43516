//! What needs no data: the printer of queries, and which version this is.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use loki_api::response::{self, BuildInfo, CONTENT_TYPE};

use crate::request::Asked;

/// The version of Loki whose API is answered; clients compare it.
pub(crate) const API_VERSION: &str = "3.6.0";

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

/// Which version this is. The facts of a release build come from the environment in which it is compiled.
pub(crate) async fn build_info() -> Response {
    let info = BuildInfo {
        version: API_VERSION,
        revision: option_env!("LOGBARN_BUILD_REVISION").unwrap_or(env!("CARGO_PKG_VERSION")),
        branch: option_env!("LOGBARN_BUILD_BRANCH").unwrap_or("main"),
        build_user: option_env!("LOGBARN_BUILD_USER").unwrap_or_default(),
        build_date: option_env!("LOGBARN_BUILD_DATE").unwrap_or_default(),
        ..BuildInfo::default()
    };
    super::json(response::build_info(&info))
}
