//! What a question that cannot be answered gets: Loki's status codes, its texts, and plain text around them.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use loki_api::params::ParamError;
use loki_api::tenancy::TenancyError;

/// The content type of every error.
pub(crate) const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const NO_SNIFF: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, PLAIN_TEXT), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];

/// An error as the client sees it.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    /// A question that its asker must change.
    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Refusal { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    /// Any status.
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Refusal { status, text: text.into() }
    }
}

impl From<engine::Error> for Refusal {
    fn from(error: engine::Error) -> Self {
        let status = match &error {
            engine::Error::Invalid(_) | engine::Error::Limit(_) => StatusCode::BAD_REQUEST,
            engine::Error::Unavailable(_) | engine::Error::Gone { .. } => StatusCode::SERVICE_UNAVAILABLE,
            engine::Error::Timeout => StatusCode::GATEWAY_TIMEOUT,
            engine::Error::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            engine::Error::Corrupt { .. } | engine::Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::warn!(%error, "query failed");
        }
        Refusal { status, text: error.to_string() }
    }
}

impl From<ParamError> for Refusal {
    fn from(error: ParamError) -> Self {
        Refusal::bad_request(error.to_string())
    }
}

impl From<TenancyError> for Refusal {
    fn from(error: TenancyError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Refusal { status, text: error.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, NO_SNIFF, self.text).into_response()
    }
}
