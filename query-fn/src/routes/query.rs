//! `query` and `query_range`.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use engine::{Direction, Limits, QueryRequest, When};
use loki_api::params;
use loki_api::response;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

/// Evaluates a metric query at one time.
pub(crate) async fn instant(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let request = instant_request(&query, &asked)?;
    answer(&query, &asked, request).await
}

/// What a question with one time asks the engine.
pub(crate) fn instant_request(query: &Query, asked: &Asked) -> Result<QueryRequest, Refusal> {
    let wanted = asked.params.instant_query(asked.now_ns)?;
    let when = When::Instant { time_ns: wanted.time_ns };
    Ok(request(query, asked, wanted.query, when, wanted.direction, wanted.limit))
}

/// Evaluates a query over a range of time.
pub(crate) async fn range(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let request = range_request(&query, &asked)?;
    answer(&query, &asked, request).await
}

/// What a question with a time range asks the engine.
pub(crate) fn range_request(query: &Query, asked: &Asked) -> Result<QueryRequest, Refusal> {
    let wanted = asked.params.range_query(asked.now_ns)?;
    let length = Duration::from_nanos(wanted.end_ns.abs_diff(wanted.start_ns));
    let longest = query.0.config.limits_of(&asked.tenants).max_query_length;
    if !longest.is_zero() && length > longest {
        return Err(params::query_length_error(length, longest).into());
    }
    let when = When::Range {
        start_ns: wanted.start_ns,
        end_ns: wanted.end_ns,
        step_ns: wanted.step_ns,
        interval_ns: wanted.interval_ns,
    };
    Ok(request(query, asked, wanted.query, when, wanted.direction, wanted.limit))
}

fn request(
    query: &Query,
    asked: &Asked,
    text: String,
    when: When,
    direction: params::Direction,
    limit: u32,
) -> QueryRequest {
    QueryRequest {
        limits: limits(&query.0.config.limits_of(&asked.tenants)),
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

/// What a tenant may ask, in the engine's own type.
pub(crate) fn limits(limits: &loki_api::config::Limits) -> Limits {
    Limits {
        max_query_series: limits.max_query_series,
        max_entries_limit_per_query: usize::try_from(limits.max_entries_limit_per_query).unwrap_or(usize::MAX),
        query_timeout: limits.query_timeout,
        split_queries_by_interval: limits.split_queries_by_interval,
    }
}
