//! `query` and `query_range`.

use axum::extract::State;
use axum::response::Response;
use engine::{Direction, QueryRequest, When};
use loki_api::params;
use loki_api::response;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

/// Evaluates a metric query at one time.
pub(crate) async fn instant(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let request = instant_request(&asked)?;
    answer(&query, &asked, request).await
}

/// What a question with one time asks the engine.
pub(crate) fn instant_request(asked: &Asked) -> Result<QueryRequest, Refusal> {
    asked.check_enabled()?;
    let wanted = asked.params.instant_query(asked.now_ns)?;
    let when = When::Instant { time_ns: wanted.time_ns };
    Ok(request(asked, wanted.query, when, wanted.direction, wanted.limit))
}

/// Evaluates a query over a range of time.
pub(crate) async fn range(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let request = range_request(&asked)?;
    answer(&query, &asked, request).await
}

/// What a question with a time range asks the engine.
pub(crate) fn range_request(asked: &Asked) -> Result<QueryRequest, Refusal> {
    asked.check_enabled()?;
    let wanted = asked.params.range_query(asked.now_ns)?;
    asked.check_length(wanted.start_ns, wanted.end_ns)?;
    let when = When::Range {
        start_ns: wanted.start_ns,
        end_ns: wanted.end_ns,
        step_ns: wanted.step_ns,
        interval_ns: wanted.interval_ns,
    };
    Ok(request(asked, wanted.query, when, wanted.direction, wanted.limit))
}

fn request(asked: &Asked, text: String, when: When, direction: params::Direction, limit: u32) -> QueryRequest {
    QueryRequest {
        limits: asked.engine_limits(),
        tenants: asked.tenants.clone(),
        query: text,
        when,
        direction: match direction {
            params::Direction::Forward => Direction::Forward,
            params::Direction::Backward => Direction::Backward,
        },
        limit: limit as usize,
        partial_series: asked.from_drilldown,
    }
}

async fn answer(query: &Query, asked: &Asked, request: QueryRequest) -> Result<Response, Refusal> {
    let answer = query.0.engine.query(request).await?;
    query.0.metrics.count(&answer.stats);
    Ok(super::json(response::query(&answer.value, &answer.stats, &answer.warnings, asked.encoding)))
}
