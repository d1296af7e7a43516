//! What a push is answered if it is not stored as a whole: the one place that decides statuses.
//!
//! In: an error of any step. Out: status and text as Loki gives them: plain text with a newline, or for OTLP a
//! `google.rpc.Status`. Never says more than the client may know.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use loki_api::documents::refusal;
use loki_api::otlp::status;
use loki_api::push::DecodeError;
use loki_api::tenancy::TenancyError;

use crate::commit::CommitError;

/// Seconds after which a client may try again when the queue is full.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Why a push is not answered 204.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// `X-Scope-OrgID` is missing or no tenant's.
    #[error(transparent)]
    Tenant(#[from] TenancyError),
    /// A header that makes the body unreadable.
    #[error("{0}")]
    Header(String),
    /// The connection broke, or the body is not what its encoding says.
    #[error("{0}")]
    Body(String),
    /// The body holds something else than it must.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A body without a single stream.
    #[error("error at least one valid stream is required for ingestion")]
    Nothing,
    /// Limits; valid entries of the same push are stored.
    #[error("{1}")]
    Refused(StatusCode, String),
    /// Nothing was stored.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl PushError {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            PushError::Tenant(error) => StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            PushError::Decode(DecodeError::TooLarge { .. } | DecodeError::TooMany) => StatusCode::PAYLOAD_TOO_LARGE,
            PushError::Header(_) | PushError::Body(_) | PushError::Decode(_) => StatusCode::BAD_REQUEST,
            PushError::Nothing => StatusCode::UNPROCESSABLE_ENTITY,
            PushError::Refused(status, _) => *status,
            // Whatever the cause, the client is to keep the push and send it again.
            PushError::Commit(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn headers(&self, content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
        if matches!(self, PushError::Commit(CommitError::Busy(_))) {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        headers
    }

    /// The answer to an OTLP client.
    pub(crate) fn into_otlp_response(self) -> Response {
        let headers = self.headers("application/x-protobuf");
        (self.status(), headers, status(&self.to_string())).into_response()
    }

    /// The answer to a client of Elasticsearch.
    pub(crate) fn into_elastic_response(self) -> Response {
        let (status, headers) = (self.status(), self.headers("application/json"));
        (status, headers, refusal(status.as_u16(), &self.to_string())).into_response()
    }
}

impl IntoResponse for PushError {
    fn into_response(self) -> Response {
        let headers = self.headers("text/plain; charset=utf-8");
        (self.status(), headers, format!("{self}\n")).into_response()
    }
}
