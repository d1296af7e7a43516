//! The reads under `/api/prom`: old paths and old shapes, the same answers.

use axum::extract::{Path, State};
use axum::response::Response;
use loki_api::response::legacy;
use model::Value;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

/// The entries of a log query; `regexp` is one more line filter.
pub(crate) async fn entries(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let mut request = super::query::range_request(&asked)?;
    let regexp = asked.params.get("regexp");
    if !regexp.is_empty() {
        request.query = format!("{} |~ {}", request.query, model::quote(regexp));
    }
    let answer = query.0.engine.query(request).await?;
    query.0.metrics.count(&answer.stats);
    match &answer.value {
        Value::Entries(entries) => Ok(super::json(legacy::streams(entries, &answer.stats))),
        _ => Err(Refusal::bad_request("legacy endpoints only support streams result type")),
    }
}

/// The names of all labels.
pub(crate) async fn names(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let request = super::labels::checked_request(&asked)?;
    Ok(super::json(legacy::labels(&query.0.engine.labels(request).await?)))
}

/// The values of one label.
pub(crate) async fn values(
    State(query): State<Query>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, Refusal> {
    let request = super::labels::checked_request(&asked)?;
    Ok(super::json(legacy::labels(&query.0.engine.label_values(&name, request).await?)))
}
