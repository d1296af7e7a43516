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
    let request = checked_request(&asked)?;
    Ok(super::json(response::labels(&query.0.engine.labels(request).await?)))
}

/// The values of one label.
pub(crate) async fn values(
    State(query): State<Query>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Response, Refusal> {
    let request = checked_request(&asked)?;
    Ok(super::json(response::labels(&query.0.engine.label_values(&name, request).await?)))
}

/// The label sets of all streams.
pub(crate) async fn series(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let selectors = asked.params.all("match[]").chain(asked.params.all("match"));
    let selectors: Vec<String> = selectors.filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let empty = |selector: &String| selector.split_whitespace().collect::<String>() == "{}";
    if selectors.len() > 1 && selectors.iter().any(empty) {
        return Err(Refusal::bad_request("0 matchers in group: {}"));
    }
    let request = request(&asked, selectors)?;
    Ok(super::json(response::series(&query.0.engine.series(request).await?)))
}

/// What a question about labels asks: all streams, or those of a selector that does not choose all of them.
pub(crate) fn checked_request(asked: &Asked) -> Result<LabelsRequest, Refusal> {
    let selectors: Vec<String> =
        asked.params.all("query").take(1).filter(|text| !text.is_empty()).map(str::to_owned).collect();
    selectors.iter().try_for_each(|selector| engine::check_selector(selector))?;
    request(asked, selectors)
}

/// The time range of a question, with its end, and selectors; none asks for every stream.
pub(crate) fn request(asked: &Asked, selectors: Vec<String>) -> Result<LabelsRequest, Refusal> {
    let bounds = asked.params.bounds(asked.now_ns)?;
    asked.check_length(bounds.start_ns, bounds.end_ns)?;
    // What lies too far back is cut off; if nothing is left, an empty range has an empty answer.
    let oldest_ns = asked.oldest_ns().unwrap_or(i64::MIN);
    let cut = |range: TimeRange| {
        TimeRange::new(range.start_ns().max(oldest_ns), range.end_ns().saturating_add(1).max(oldest_ns))
    };
    let range = TimeRange::new(bounds.start_ns, bounds.end_ns)
        .and_then(cut)
        .map_err(|_| Refusal::bad_request("end timestamp must not be before or equal to start time"))?;
    Ok(LabelsRequest { tenants: asked.tenants.clone(), range, selectors })
}
