//! `delete`: takes, lists and cancels delete requests. The paths exist only with `compactor.retention_enabled`, as in Loki.
//!
//! Parameters are those of the URL alone. A request is for one tenant.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::DeleteStatus;
use loki_api::config::DeletionMode;
use loki_api::deletes::{DeleteParams, Listed, NOT_AVAILABLE, NOT_FOUND, REQUEST_ID_HEADER, list as json, too_late};
use loki_api::params::Params;
use loki_api::tenancy::TENANT_HEADER;
use model::TenantId;

use crate::Query;
use crate::error::Refusal;
use crate::request::{now_ns, url_params};

/// Who wants to delete, and with which parameters.
pub(crate) struct Deleting {
    tenant: TenantId,
    params: Params,
}

impl FromRequestParts<Query> for Deleting {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, query: &Query) -> Result<Self, Refusal> {
        let config = &query.0.config;
        let tenant = config.tenant(parts.headers.get_all(TENANT_HEADER).iter().map(HeaderValue::as_bytes))?;
        match config.limits(&tenant).deletion_mode {
            DeletionMode::Disabled => Err(Refusal::new(StatusCode::FORBIDDEN, NOT_AVAILABLE)),
            DeletionMode::FilterOnly | DeletionMode::FilterAndDelete => {
                Ok(Deleting { tenant, params: url_params(&parts.uri) })
            }
        }
    }
}

/// Takes a request. From then on no question shows what it names.
pub(crate) async fn take(State(query): State<Query>, asked: Deleting) -> Result<Response, Refusal> {
    let now_ns = now_ns();
    let wanted = DeleteParams::new(&asked.params, now_ns)?;
    if engine::check_delete(&wanted.query)? {
        wanted.check_interval(query.0.config.compactor.delete_max_interval)?;
    }
    let times = (wanted.start_ns, wanted.end_ns);
    let id = query.0.engine.request_delete(&asked.tenant, &wanted.query, times, now_ns).await?;
    tracing::info!(tenant = %asked.tenant, %id, query = wanted.query, "a delete request was taken");
    Ok((StatusCode::NO_CONTENT, [(REQUEST_ID_HEADER, id)]).into_response())
}

/// All requests that are not cancelled.
pub(crate) async fn list(State(query): State<Query>, asked: Deleting) -> Result<Response, Refusal> {
    let listed = |status: DeleteStatus| Listed {
        request_id: status.request.id(),
        query: status.request.query.clone(),
        start_ns: status.request.start_ns,
        end_ns: status.request.end_ns,
        created_ns: status.request.key.created_ns,
        parts: status.segments,
        parts_done: status.segments_done,
        is_final: status.is_final,
    };
    let requests = query.0.engine.delete_requests(&asked.tenant).await?;
    Ok(super::json(json(&requests.into_iter().map(listed).collect::<Vec<_>>())))
}

/// Cancels a request, as long as it may be; with `force` also later, and then what is deleted already stays so.
pub(crate) async fn cancel(State(query): State<Query>, asked: Deleting) -> Result<Response, Refusal> {
    let (engine, id) = (&query.0.engine, asked.params.get("request_id"));
    let request = engine.delete_request(&asked.tenant, id).await?;
    let request = request.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, NOT_FOUND))?;
    let period = query.0.config.compactor.delete_request_cancel_period;
    let period_ns = i64::try_from(period.as_nanos()).unwrap_or(i64::MAX);
    let is_late = request.key.created_ns.saturating_add(period_ns) < now_ns();
    if is_late && asked.params.get("force") != "true" {
        return Err(Refusal::bad_request(too_late(period)));
    }
    engine.cancel_delete(&asked.tenant, &request).await?;
    tracing::info!(tenant = %asked.tenant, %id, "a delete request was cancelled");
    Ok(StatusCode::NO_CONTENT.into_response())
}
