//! `patterns`: what the lines of some streams look like.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use engine::PatternsRequest;
use model::{NANOS_PER_SECOND, TimeRange};
use serde_json::json;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

/// Loki counts by ten seconds; a shorter step is as long as that.
const STEP_NS_MIN: i64 = 10 * NANOS_PER_SECOND;

/// Patterns with their counts by level and step, those with the most lines first.
pub(crate) async fn patterns(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    if !query.0.config.pattern_ingester.enabled {
        return Err(Refusal::new(StatusCode::NOT_FOUND, ""));
    }
    let bounds = asked.params.bounds(asked.now_ns)?;
    let step_ns = asked.params.checked_step_ns(bounds)?;
    let range = TimeRange::new(bounds.start_ns, bounds.end_ns)
        .map_err(|_| Refusal::bad_request("end timestamp must not be before or equal to start time"))?;
    let request = PatternsRequest {
        tenants: asked.tenants.clone(),
        selector: asked.params.get("query").to_owned(),
        range,
        step_ns: step_ns.max(STEP_NS_MIN),
        limits: asked.engine_limits(),
    };
    let found = query.0.engine.patterns(request).await?;
    query.0.metrics.count(&found.stats);
    let row = |pattern: &engine::Pattern| {
        let samples = pattern.samples.iter().map(|(start_ns, lines)| (start_ns.div_euclid(NANOS_PER_SECOND), *lines));
        json!({"pattern": pattern.text, "level": pattern.level, "samples": samples.collect::<Vec<_>>()})
    };
    let mut body = json!({"status": "success", "data": found.patterns.iter().map(row).collect::<Vec<_>>()});
    if !found.warnings.is_empty() {
        body["warnings"] = json!(found.warnings);
    }
    Ok(super::json(body.to_string()))
}
