//! `index/stats` and `index/volume`: how much there is, from footers alone.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use engine::VolumeBy;
use loki_api::response::{self, Encoding};
use model::{Point, QueryStats, Sample, Value};
use serde_json::json;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

/// What the streams of a selector hold. There is no envelope around it.
pub(crate) async fn stats(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let found = query.0.engine.index_stats(super::labels::request(&asked, "query")?).await?;
    let body = json!({
        "streams": found.streams, "chunks": found.chunks, "bytes": found.bytes, "entries": found.entries,
    });
    Ok(super::json(body.to_string()))
}

/// Bytes by label set, the largest first.
pub(crate) async fn volume(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let limits = query.0.config.limits_of(&asked.tenants);
    if !limits.volume_enabled {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not found"));
    }
    let targets =
        asked.params.get("targetLabels").split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let by = match asked.params.get("aggregateBy") {
        "" | "series" => VolumeBy::Series(targets),
        "labels" => VolumeBy::Labels(targets),
        _ => return Err(Refusal::bad_request("invalid aggregation option")),
    };
    let bounds = asked.params.bounds(asked.now_ns)?;
    let limit = asked.params.limit()? as usize;
    let mut request = super::labels::request(&asked, "query")?;
    request.selectors.retain(|selector| selector.trim() != "{}");
    let mut volumes = query.0.engine.volume(request, &by).await?;
    let most = limits.volume_max_series;
    if most > 0 && volumes.len() > most {
        return Err(Refusal::bad_request(format!(
            "the query hit the max number of series limit (limit: {most} series)"
        )));
    }
    volumes.truncate(limit);
    let timestamp_ms = bounds.end_ns.div_euclid(1_000_000);
    let samples = volumes
        .into_iter()
        .map(|(labels, bytes)| Sample { labels, point: Point { timestamp_ms, value: bytes as f64 } })
        .collect();
    Ok(super::json(response::query(&Value::Vector(samples), &QueryStats::default(), &[], Encoding::Merged)))
}
