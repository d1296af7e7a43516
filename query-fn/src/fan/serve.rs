//! The other side of `http`: a server that answers shards.
//!
//! In: a shard from whoever has the token; who that is, the door decides. Out: an answer, or 400 for what is no shard of this version.
//! Without a token in the configuration there is no such path.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use loki_api::config::Config;

use super::MESSAGE_BYTES_MAX;
use super::http::{MESSAGE_TYPE, PATH};
use crate::Query;
use crate::error::Refusal;

/// The path, for those who have the token.
pub(crate) fn router(query: Query, config: &Arc<Config>) -> Router {
    let token = config.logbarn.fan_out.token.clone();
    let router = Router::new().route(PATH, post(answer)).layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
    door::for_token(router.with_state(query), token)
}

async fn answer(State(query): State<Query>, shard: Bytes) -> Result<Response, Refusal> {
    let answer = query.0.engine.answer_shard(&shard).await?;
    query.0.metrics.count_shard();
    Ok(([(CONTENT_TYPE, MESSAGE_TYPE)], answer).into_response())
}
