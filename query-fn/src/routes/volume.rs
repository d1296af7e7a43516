//! `index/stats`, `index/volume` and `index/volume_range`: how much there is, from footers and their counts.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use engine::{VolumeBy, VolumeRequest};
use loki_api::params::Params;
use loki_api::response::{self, Encoding};
use serde_json::json;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

/// Series in an answer if the question names no number, or zero.
const SERIES_DEFAULT: usize = 100;
/// The selector of every stream, which other questions may not ask.
const EVERY_STREAM: &str = "{}";

/// What the streams of a selector hold. There is no envelope around it.
pub(crate) async fn stats(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let selector = asked.params.get("query").to_owned();
    engine::check_selector(&selector)?;
    let request = super::labels::request(&asked, vec![selector])?;
    let limits = asked.engine_limits();
    let found = query.0.engine.index_stats(request, &limits).await?;
    let body = json!({
        "streams": found.streams, "chunks": found.chunks, "bytes": found.bytes, "entries": found.entries,
    });
    Ok(super::json(body.to_string()))
}

/// Bytes by label set over the whole range, the largest first.
pub(crate) async fn volume(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    answer(&query, &asked, 0).await
}

/// Bytes by label set and step.
pub(crate) async fn volume_range(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let step_ns = asked.params.checked_step_ns(asked.params.bounds(asked.now_ns)?)?;
    answer(&query, &asked, step_ns).await
}

async fn answer(query: &Query, asked: &Asked, step_ns: i64) -> Result<Response, Refusal> {
    let limits = asked.limits.clone();
    if !limits.volume_enabled {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not found"));
    }
    let (by, limit) = (by(&asked.params)?, limit(&asked.params)?);
    let mut selectors = vec![asked.params.get("query").to_owned()];
    if selectors.iter().any(|selector| selector.trim() == EVERY_STREAM) {
        selectors.clear();
    }
    selectors.iter().try_for_each(|selector| engine::check_selector(selector))?;
    let request = VolumeRequest {
        of: super::labels::request(asked, selectors)?,
        by,
        step_ns,
        limit,
        series_max: limits.volume_max_series,
        limits: asked.engine_limits(),
    };
    let answer = query.0.engine.volume(request).await?;
    query.0.metrics.count(&answer.stats);
    Ok(super::json(response::query(&answer.value, &answer.stats, &answer.warnings, Encoding::Merged)))
}

fn by(params: &Params) -> Result<VolumeBy, Refusal> {
    let targets = params.get("targetLabels").split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    match params.get("aggregateBy") {
        "" | "series" => Ok(VolumeBy::Series(targets)),
        "labels" => Ok(VolumeBy::Labels(targets)),
        _ => Err(Refusal::bad_request("invalid aggregation option")),
    }
}

fn limit(params: &Params) -> Result<usize, Refusal> {
    match params.get("limit") {
        "0" => Ok(SERIES_DEFAULT),
        _ => Ok(params.limit()? as usize),
    }
}
