//! `POST /insert/jsonline` and Elasticsearch's `_bulk`, with what its clients ask before they send.
//!
//! In: HTTP requests as VictoriaLogs takes them. Out: `_bulk`'s item by item answer, or a status and a text. The way of a body is
//! that of every push. <https://docs.victoriametrics.com/victorialogs/data-ingestion/>

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use loki_api::documents::FieldNames;

use crate::Ingest;
use crate::body::Encoding;
use crate::error::PushError;
use crate::push::{Format, Wire, header, receive};

/// Where Elasticsearch's API stands: our own place, and that of VictoriaLogs.
const ELASTIC_PREFIXES: [&str; 2] = ["/elasticsearch", "/insert/elasticsearch"];
/// The version that clients are told; they refuse to talk to much older or newer servers.
const ELASTIC_VERSION: &str = "8.19.0";
/// What clients set up before they send: accepted, and without effect here.
const ELASTIC_SETUP: [&str; 10] = [
    "_ilm",
    "_index_template",
    "_component_template",
    "_template",
    "_ingest",
    "_nodes",
    "_cluster",
    "_xpack",
    "_logstash",
    "logstash",
];

/// The routes of documents.
pub(crate) fn routes() -> Router<Ingest> {
    let mut elastic = Router::new();
    for prefix in ELASTIC_PREFIXES {
        elastic = elastic
            .route(prefix, get(version))
            .route(&format!("{prefix}/"), get(version))
            .route(&format!("{prefix}/_license"), get(license))
            .route(&format!("{prefix}/_bulk"), post(bulk).put(bulk))
            .route(&format!("{prefix}/{{index}}/_bulk"), post(index_bulk).put(index_bulk));
        for setup in ELASTIC_SETUP {
            elastic = elastic
                .route(&format!("{prefix}/{setup}"), any(nothing))
                .route(&format!("{prefix}/{setup}/{{*rest}}"), any(nothing));
        }
    }
    elastic.layer(middleware::map_response(as_elastic)).route("/insert/jsonline", post(json_lines))
}

/// Every answer of Elasticsearch is JSON and says who it is of: Logstash and others insist on that.
async fn as_elastic(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("x-elastic-product"), HeaderValue::from_static("Elasticsearch"));
    response
}

async fn version() -> String {
    format!(
        r#"{{"cluster_name":"logbarn","version":{{"number":"{ELASTIC_VERSION}"}},"tagline":"You Know, for Search"}}"#
    )
}

async fn license() -> &'static str {
    r#"{"license":{"type":"oss","status":"active","expiry_date_in_millis":4000000000000}}"#
}

async fn nothing() -> &'static str {
    "{}"
}

async fn bulk(State(ingest): State<Ingest>, request: Request) -> Response {
    answer_bulk(&ingest, String::new(), request).await
}

async fn index_bulk(State(ingest): State<Ingest>, Path(index): Path<String>, request: Request) -> Response {
    answer_bulk(&ingest, index, request).await
}

async fn answer_bulk(ingest: &Ingest, index: String, request: Request) -> Response {
    let mut told = String::new();
    let status = async {
        let (parts, body) = request.into_parts();
        let wire = |headers: &HeaderMap| wire(headers, &parts.uri, "bulk", |names| Format::Bulk(names, index));
        let received = receive(ingest, &parts.headers, body, wire).await?;
        match (received.answer, received.refusal) {
            (Some(answer), _) => told = answer,
            // Not one document is stored, nor was any looked at.
            (None, Some((status, text))) if status != StatusCode::OK => return Err(PushError::Refused(status, text)),
            (None, _) => {}
        }
        Ok(StatusCode::OK)
    };
    match status.await {
        Ok(status) => (status, told).into_response(),
        Err(error) => error.into_elastic_response(),
    }
}

/// A document a line. What was refused is told with its line's number; everything else is stored.
async fn json_lines(State(ingest): State<Ingest>, request: Request) -> Response {
    let answer = async {
        let (parts, body) = request.into_parts();
        let wire = |headers: &HeaderMap| wire(headers, &parts.uri, "jsonline", Format::JsonLines);
        match receive(&ingest, &parts.headers, body, wire).await?.refusal {
            Some((status, text)) if status != StatusCode::OK => Err(PushError::Refused(status, text)),
            _ => Ok(StatusCode::OK),
        }
    };
    answer.await.map_or_else(PushError::into_response, IntoResponse::into_response)
}

fn wire(
    headers: &HeaderMap,
    uri: &Uri,
    job: &'static str,
    format: impl FnOnce(Arc<FieldNames>) -> Format,
) -> Result<Wire, PushError> {
    let encoding = header(headers, CONTENT_ENCODING);
    let told = || PushError::Header(format!("Content-Encoding {} not supported", model::quote(encoding)));
    let encoding = Encoding::of_documents(encoding).ok_or_else(told)?;
    Ok(Wire { format: format(Arc::new(field_names(headers, uri, job)?)), encoding, batch_id: None, backfill: None })
}

/// The names of fields: a parameter of the URL first, else the header, else what holds without.
fn field_names(headers: &HeaderMap, uri: &Uri, job: &'static str) -> Result<FieldNames, PushError> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|e| PushError::Header(e.body_text()))?;
    let given = |parameter: &str, name: &str| {
        let value = query.iter().find(|(key, _)| key == parameter).map(|(_, value)| value.as_str());
        let value = value.filter(|value| !value.is_empty()).unwrap_or_else(|| header(headers, name));
        let list = value.split(',').map(str::trim).filter(|name| !name.is_empty());
        list.map(str::to_owned).collect::<Vec<String>>()
    };
    let mut names = FieldNames::new(job);
    for (parameter, header, list) in [
        ("_msg_field", "vl-msg-field", &mut names.message),
        ("_time_field", "vl-time-field", &mut names.time),
        ("_stream_fields", "vl-stream-fields", &mut names.stream),
        ("ignore_fields", "vl-ignore-fields", &mut names.ignore),
    ] {
        let given = given(parameter, header);
        if !given.is_empty() {
            *list = given;
        }
    }
    for field in given("extra_fields", "vl-extra-fields") {
        let told = || PushError::Header(format!("extra field {} is not name=value", model::quote(&field)));
        let (name, value) = field.split_once('=').ok_or_else(told)?;
        names.extra.push((name.to_owned(), value.to_owned()));
    }
    Ok(names)
}
