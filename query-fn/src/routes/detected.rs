//! `detected_labels`, `detected_fields` and the values of a field: what Logs Drilldown builds its pages from.

use axum::extract::{Path, State};
use axum::response::Response;
use engine::{DetectedField, Direction, QueryRequest, When};
use serde_json::json;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

/// Entries that are looked at if the question names no number.
const LINES_DEFAULT: usize = 100;
/// Fields, or values, in an answer if the question names no number.
const FIELDS_DEFAULT: usize = 1000;

/// The labels that are worth showing.
pub(crate) async fn labels(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let request = super::labels::checked_request(&asked)?;
    let labels = query.0.engine.detected_labels(request).await?;
    let rows: Vec<_> =
        labels.iter().map(|found| json!({"label": found.label, "cardinality": found.cardinality})).collect();
    Ok(super::json(json!({"detectedLabels": rows}).to_string()))
}

/// The fields of the newest lines.
pub(crate) async fn fields(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let (fields, limit) = detect(&query, asked).await?;
    if fields.is_empty() {
        return Ok(super::json("{}".to_owned()));
    }
    let rows: Vec<_> = fields.iter().map(row).collect();
    Ok(super::json(json!({"fields": rows, "limit": limit}).to_string()))
}

/// The values of one field in the newest lines.
pub(crate) async fn values(
    State(query): State<Query>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, Refusal> {
    let (fields, limit) = detect(&query, asked).await?;
    let field = fields.into_iter().find(|field| field.label == name);
    let values: Vec<String> = field.into_iter().flat_map(|field| field.values).take(limit).collect();
    Ok(super::json(json!({"values": values, "limit": limit}).to_string()))
}

/// Structured metadata has `null` for parsers: Drilldown tells by it that no parser is needed.
fn row(field: &DetectedField) -> serde_json::Value {
    let parsers = if field.parsers.is_empty() { json!(null) } else { json!(field.parsers) };
    let mut row = json!({
        "label": field.label,
        "type": field.kind,
        "cardinality": field.values.len(),
        "parsers": parsers,
    });
    if !field.json_path.is_empty() {
        row["jsonPath"] = json!(field.json_path);
    }
    row
}

async fn detect(query: &Query, asked: Asked) -> Result<(Vec<DetectedField>, usize), Refusal> {
    let bounds = asked.params.bounds(asked.now_ns)?;
    let lines = number(&asked, &["line_limit"], LINES_DEFAULT)?;
    let limit = number(&asked, &["limit", "field_limit"], FIELDS_DEFAULT)?;
    let request = QueryRequest {
        tenants: asked.tenants.clone(),
        query: asked.params.get("query").to_owned(),
        when: When::Range { start_ns: bounds.start_ns, end_ns: bounds.end_ns, step_ns: 1, interval_ns: 0 },
        direction: Direction::Backward,
        limit: lines,
        limits: asked.engine_limits(),
        partial_series: false,
    };
    Ok((query.0.engine.detected_fields(request, limit).await?, limit))
}

/// The first of some parameters that is given; it must be above zero.
fn number(asked: &Asked, names: &[&str], default: usize) -> Result<usize, Refusal> {
    let Some(text) = names.iter().map(|name| asked.params.get(name)).find(|text| !text.is_empty()) else {
        return Ok(default);
    };
    match text.parse::<i64>() {
        Ok(number) if number <= 0 => Err(Refusal::bad_request("limit must be a positive value")),
        Ok(number) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
        Err(_) => Err(Refusal::bad_request(format!("strconv.Atoi: parsing {}: invalid syntax", model::quote(text)))),
    }
}
