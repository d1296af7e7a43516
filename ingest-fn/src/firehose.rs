//! Deliveries of Firehose over HTTP: a stream's records as a push.
//!
//! In: a request of an HTTP endpoint destination, its access key already checked by the door. Out: 200 once everything is stored, or an
//! error in the form that Firehose shows to the user; it then sends the delivery again, and in the end writes it to its backup bucket.
//! The id of a batch is a function of the delivery's own, so that a second try stores nothing twice.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use loki_api::aws::firehose::{self, Delivery};
use loki_api::aws::{EventError, Record, Source};

use crate::body::Encoding;
use crate::commit::CommitError;
use crate::error::PushError;
use crate::events::Events;
use crate::push::header;
use crate::{EventSettings, Ingest};

/// The routes of deliveries.
pub(crate) fn routes() -> Router<Ingest> {
    firehose::PATHS.iter().fold(Router::new(), |router, path| router.route(path, post(deliver)))
}

async fn deliver(State(ingest): State<Ingest>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let taken = take(&ingest, &parts.headers, body).await;
    let (status, error) = match taken {
        Ok(()) => (StatusCode::OK, None),
        Err(error) => (error.status(), Some(error.to_string())),
    };
    let now_ms = (ingest.now)() / 1_000_000;
    let answer = firehose::answer(header(&parts.headers, firehose::REQUEST_ID), now_ms, error.as_deref());
    (status, [(CONTENT_TYPE, "application/json")], answer).into_response()
}

/// Stores a delivery. Records that cannot be read fail it, after the rest of it is stored.
async fn take(ingest: &Ingest, headers: &HeaderMap, body: Body) -> Result<(), PushError> {
    let tenant = ingest.tenant(headers)?;
    let encoding = header(headers, CONTENT_ENCODING);
    let told = || PushError::Header(format!("Content-Encoding {} not supported", model::quote(encoding)));
    let encoding = Encoding::of(encoding).ok_or_else(told)?;
    let labels = firehose::labels(header(headers, firehose::COMMON_ATTRIBUTES)).map_err(unreadable)?;
    let source_arn = header(headers, firehose::SOURCE_ARN).to_owned();
    let bytes_max = ingest.config.distributor.max_decompressed_size;
    let body = ingest.bodies.read(body, ingest.config.distributor.max_recv_msg_size).await?;
    let bytes = body.bytes.clone();
    let decoded = tokio::task::spawn_blocking(move || records(encoding.decode(bytes, bytes_max)?, &source_arn)).await;
    let records = decoded.map_err(|why| PushError::Commit(CommitError::Packing(why.to_string())))??;
    let settings = (*ingest.event_settings).clone();
    let extra_labels = settings.extra_labels.into_iter().chain(labels).collect();
    let settings = EventSettings { tenant, extra_labels, ..settings };
    let failed = Events::of_stranger(ingest.clone(), settings).store_records(records, true).await?;
    match failed.into_iter().next() {
        None => Ok(()),
        Some((record, why)) => Err(PushError::Refused(StatusCode::BAD_REQUEST, format!("record {record}: {why}"))),
    }
}

fn records(body: Bytes, source_arn: &str) -> Result<Vec<Record>, PushError> {
    let Delivery { request_id, sent_ns, records } = Delivery::decode(&body).map_err(unreadable)?;
    let record = |(number, data)| Record {
        id: format!("{request_id}/{number}"),
        source: Source::Firehose,
        source_arn: source_arn.to_owned(),
        sent_ns,
        data,
    };
    Ok(records.into_iter().enumerate().map(record).collect())
}

fn unreadable(why: EventError) -> PushError {
    PushError::Refused(StatusCode::BAD_REQUEST, why.to_string())
}
