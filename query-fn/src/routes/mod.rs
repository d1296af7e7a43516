//! One file for each group of questions, in the order in which Grafana asks them.

pub(crate) mod deletes;
pub(crate) mod detected;
pub(crate) mod explain;
pub(crate) mod labels;
pub(crate) mod legacy;
pub(crate) mod patterns;
pub(crate) mod query;
pub(crate) mod rules;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod volume;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use loki_api::response::CONTENT_TYPE;

/// A JSON answer.
fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}
