//! Label names, label values and series: answered from footers alone.

use axum::extract::{Path, State};
use axum::response::Response;
use engine::LabelsRequest;
use loki_api::response;
use model::TimeRange;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

/// The names of all labels.
pub(crate) async fn names(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let request = request(&asked, "query")?;
    Ok(super::json(response::labels(&query.0.engine.labels(request).await?)))
}

/// The values of one label.
pub(crate) async fn values(
    State(query): State<Query>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, Refusal> {
    let request = request(&asked, "query")?;
    Ok(super::json(response::labels(&query.0.engine.label_values(&name, request).await?)))
}

/// The label sets of all streams.
pub(crate) async fn series(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let mut request = request(&asked, "match[]")?;
    request.selectors.extend(asked.params.all("match").map(str::to_owned));
    let empty = |selector: &String| selector.split_whitespace().collect::<String>() == "{}";
    if request.selectors.len() > 1 && request.selectors.iter().any(empty) {
        return Err(Refusal::bad_request("0 matchers in group: {}"));
    }
    Ok(super::json(response::series(&query.0.engine.series(request).await?)))
}

/// The time range and the selectors of a question; an empty selector asks for everything.
pub(crate) fn request(asked: &Asked, selectors: &str) -> Result<LabelsRequest, Refusal> {
    let bounds = asked.params.bounds(asked.now_ns)?;
    let range = TimeRange::new(bounds.start_ns, bounds.end_ns.saturating_add(1))
        .map_err(|_| Refusal::bad_request("end timestamp must not be before or equal to start time"))?;
    let selectors = asked.params.all(selectors).filter(|text| !text.is_empty()).map(str::to_owned).collect();
    Ok(LabelsRequest { tenants: asked.tenants.clone(), range, selectors })
}
