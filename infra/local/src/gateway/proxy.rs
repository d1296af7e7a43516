//! Requests handed on, answers handed back.
//!
//! In: any request but a tail. Out: the function's answer, each part sent on when it comes; a client that reads slowly slows the
//! function down and fills no memory here. The body of a request is gathered first, since the signature holds its hash; it may be as
//! large as Lambda takes. An answer that breaks off breaks off the client's connection too, so that it never looks whole.

use std::sync::Arc;

use anyhow::Error;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream;

use super::Gateway;
use super::upstream::passed_on;

/// What Lambda takes as a request.
const BODY_BYTES_MAX: usize = 6 << 20;

/// Hands a request on.
pub(super) async fn pass(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, format!("the function takes {BODY_BYTES_MAX} bytes at most"));
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    match gateway.upstream.send(parts.method, path, &parts.headers, body).await {
        Ok(answer) => handed_back(answer),
        Err(error) => unreachable(&error),
    }
}

/// An answer as it comes.
pub(super) fn handed_back(answer: reqwest::Response) -> Response {
    let (status, headers) = (answer.status(), passed_on(answer.headers()));
    let parts = stream::try_unfold(answer, |mut answer| async move {
        let part: Option<Bytes> = answer.chunk().await?;
        Ok::<_, reqwest::Error>(part.map(|part| (part, answer)))
    });
    (status, headers, Body::from_stream(parts)).into_response()
}

/// What a client is told when nobody answers.
pub(super) fn unreachable(error: &Error) -> Response {
    tracing::warn!("the function does not answer: {error:#}");
    refusal(StatusCode::BAD_GATEWAY, format!("the function does not answer: {error}"))
}

pub(super) fn refusal(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
