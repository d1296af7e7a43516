//! `POST /loki/api/v1/push` and its two siblings: one request from headers to answer.
//!
//! In: an HTTP request. Out: 204 once everything accepted is stored, or Loki's status and text. Decoding and packing run on
//! blocking threads, a few at a time.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use loki_api::documents::{self, FieldNames};
use loki_api::otlp::{Logs, Mapping};
use loki_api::push::{self, FlatPush, FlatStream, PushRequest};
use loki_api::tenancy::TENANT_HEADER;
use model::TenantId;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

use crate::Ingest;
use crate::accept::{Accepted, Judge};
use crate::body::Encoding;
use crate::commit::CommitError;
use crate::error::PushError;
use crate::streams::BACKFILL_LABELS;

/// The header by which the collector names a batch: 32 hexadecimal digits, a function of agent, file and offsets.
pub const BATCH_HEADER: &str = "x-logbarn-batch";

/// The header that marks a push as old data, and names its shard.
const BACKFILL_HEADER: &str = "x-loki-backfill-shard";
const BACKFILL_BYTES_MAX: usize = 128;

/// The shape of a body.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    Json,
    LegacyJson,
    Protobuf,
    OtlpJson,
    OtlpProtobuf,
    /// Elasticsearch's, with the index that the path names.
    Bulk(Arc<FieldNames>, String),
    JsonLines(Arc<FieldNames>),
}

/// What the headers say of a body.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
    /// The collector's name for the batch.
    pub(crate) batch_id: Option<u128>,
    /// The shard of a backfill.
    pub(crate) backfill: Option<String>,
}

impl Wire {
    /// What a batch of this body is called.
    fn id_of(&self, body: &[u8]) -> u128 {
        self.batch_id.unwrap_or_else(|| xxh3_128(body))
    }
}

/// What became of a push: nothing of it waits any more.
#[derive(Debug)]
pub(crate) struct Received {
    /// Status and text if something was refused.
    pub(crate) refusal: Option<(StatusCode, String)>,
    /// What `_bulk` is answered.
    pub(crate) answer: Option<String>,
}

/// JSON of today, or protobuf.
pub(crate) async fn push(State(ingest): State<Ingest>, request: Request) -> Response {
    let answer = handle(&ingest, request, |headers| wire(headers, Format::Json));
    answer.await.map_or_else(PushError::into_response, IntoResponse::into_response)
}

/// JSON of the first days, or protobuf.
pub(crate) async fn legacy_push(State(ingest): State<Ingest>, request: Request) -> Response {
    let answer = handle(&ingest, request, |headers| wire(headers, Format::LegacyJson));
    answer.await.map_or_else(PushError::into_response, IntoResponse::into_response)
}

/// OpenTelemetry's logs.
pub(crate) async fn otlp(State(ingest): State<Ingest>, request: Request) -> Response {
    let answer = handle(&ingest, request, otlp_wire);
    answer.await.map_or_else(PushError::into_otlp_response, IntoResponse::into_response)
}

async fn handle(
    ingest: &Ingest,
    request: Request,
    wire: impl FnOnce(&HeaderMap) -> Result<Wire, PushError>,
) -> Result<StatusCode, PushError> {
    let (parts, body) = request.into_parts();
    let received = receive(ingest, &parts.headers, body, wire).await?;
    match received.refusal {
        Some((StatusCode::OK, _)) => Ok(StatusCode::OK),
        Some((status, text)) => Err(PushError::Refused(status, text)),
        None => Ok(StatusCode::NO_CONTENT),
    }
}

/// Reads, judges and stores a body.
pub(crate) async fn receive(
    ingest: &Ingest,
    headers: &HeaderMap,
    body: Body,
    wire: impl FnOnce(&HeaderMap) -> Result<Wire, PushError>,
) -> Result<Received, PushError> {
    let tenant = ingest.tenant(headers)?;
    let wire = wire(headers)?;
    let body = ingest.bodies.read(body, ingest.config.distributor.max_recv_msg_size).await?;
    let mut accepted = ingest.judge(&tenant, wire, body.bytes.clone()).await?;
    drop(body);
    ingest.metrics.count_push(&tenant, accepted.lines_received, accepted.bytes_received, &accepted.refusals);
    if accepted.batch.rows() > 0 {
        ingest.committer.commit(&tenant, std::mem::take(&mut accepted.batch)).await?;
    }
    Ok(Received { refusal: accepted.blocked.or_else(|| accepted.refusals.answer()), answer: accepted.answer })
}

impl Ingest {
    /// The tenant of a request.
    pub(crate) fn tenant(&self, headers: &HeaderMap) -> Result<TenantId, PushError> {
        Ok(self.config.tenant(headers.get_all(TENANT_HEADER).iter().map(HeaderValue::as_bytes))?)
    }

    /// Decodes and judges a body on a blocking thread, when it is its turn.
    async fn judge(&self, tenant: &TenantId, wire: Wire, body: Bytes) -> Result<Accepted, PushError> {
        let died = |why: String| PushError::Commit(CommitError::Packing(why));
        let turn = Arc::clone(&self.decode_turns).acquire_owned().await.map_err(|e| died(e.to_string()))?;
        let (ingest, tenant) = (self.clone(), tenant.clone());
        let judged = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ingest.judge_body(&tenant, wire, body)
        });
        judged.await.map_err(|e| died(e.to_string()))?
    }

    fn judge_body(&self, tenant: &TenantId, wire: Wire, body: Bytes) -> Result<Accepted, PushError> {
        let bytes_max = self.config.distributor.max_decompressed_size;
        let body = wire.encoding.decode(body, bytes_max)?;
        match &wire.format {
            Format::Json => self.judge_request(tenant, &wire, &body, &push::decode_json(&body)?),
            Format::LegacyJson => self.judge_request(tenant, &wire, &body, &push::decode_legacy_json(&body)?),
            Format::Protobuf => {
                let body = push::unsnap_into(&body, bytes_max, |bytes| self.buffers.take(bytes))?;
                let id = wire.id_of(&body);
                self.judge_push(tenant, &wire, id, push::decode_known_protobuf(body, &self.labels)?)
            }
            Format::OtlpJson => self.judge_otlp(tenant, &wire, &body, Logs::decode_json(&body)?),
            Format::OtlpProtobuf => self.judge_otlp(tenant, &wire, &body, Logs::decode_protobuf(&body)?),
            Format::Bulk(names, index) => self.judge_bulk(tenant, &wire, &body, names, index),
            Format::JsonLines(names) => self.judge_lines(tenant, &wire, &body, names),
        }
    }

    fn judge_bulk(
        &self,
        tenant: &TenantId,
        wire: &Wire,
        body: &[u8],
        names: &FieldNames,
        index: &str,
    ) -> Result<Accepted, PushError> {
        let start = Instant::now();
        let text = String::from_utf8_lossy(body);
        let (request, items) = documents::decode_bulk(&text, index, names)?;
        let mut accepted = self.judge_documents(tenant, wire, body, &request)?;
        let answer = documents::answer(&items, start.elapsed().as_millis(), |place| accepted.refusal(place));
        for item in items {
            if let Err(why) = item.place {
                accepted.refuse_document(why, item.bytes);
            }
        }
        accepted.answer = Some(answer).filter(|_| accepted.blocked.is_none());
        Ok(accepted)
    }

    fn judge_lines(
        &self,
        tenant: &TenantId,
        wire: &Wire,
        body: &[u8],
        names: &FieldNames,
    ) -> Result<Accepted, PushError> {
        let text = String::from_utf8_lossy(body);
        let lines = documents::decode_lines(&text, names)?;
        let mut accepted = self.judge_documents(tenant, wire, body, &lines.request)?;
        for (bytes, why) in lines.refused {
            accepted.refuse_document(why, bytes);
        }
        Ok(accepted)
    }

    /// Documents may all be refused, or none sent: that is no error of its own.
    fn judge_documents(
        &self,
        tenant: &TenantId,
        wire: &Wire,
        body: &[u8],
        request: &PushRequest<'_>,
    ) -> Result<Accepted, PushError> {
        match request.streams.is_empty() {
            true => Ok(Accepted::default()),
            false => self.judge_request(tenant, wire, body, request),
        }
    }

    fn judge_otlp(&self, tenant: &TenantId, wire: &Wire, body: &[u8], logs: Logs) -> Result<Accepted, PushError> {
        let limits = self.config.limits(tenant);
        let mapping = Mapping {
            config: &limits.otlp_config,
            defaults: &self.config.distributor.otlp_config,
            discover_service_name: &limits.discover_service_name,
        };
        self.judge_request(tenant, wire, body, &logs.map(&mapping).streams()?)
    }

    fn judge_request(
        &self,
        tenant: &TenantId,
        wire: &Wire,
        body: &[u8],
        request: &PushRequest<'_>,
    ) -> Result<Accepted, PushError> {
        self.judge_push(tenant, wire, wire.id_of(body), FlatPush::gather(request, body.len())?)
    }

    fn judge_push(&self, tenant: &TenantId, wire: &Wire, id: u128, push: FlatPush) -> Result<Accepted, PushError> {
        if push.streams.is_empty() {
            return Err(PushError::Nothing);
        }
        let reserved = |stream: &FlatStream| stream.labels.iter().any(|(name, _)| BACKFILL_LABELS.contains(&name));
        if push.streams.iter().any(reserved) {
            let [flag, shard] = BACKFILL_LABELS;
            return Err(PushError::Header(format!("labels {flag} and {shard} are reserved")));
        }
        Ok(self.judge_streams(tenant, wire.backfill.as_deref(), id, push))
    }

    /// Judges decoded streams of a tenant. `id` names the batch.
    pub(crate) fn judge_streams(
        &self,
        tenant: &TenantId,
        backfill: Option<&str>,
        id: u128,
        push: FlatPush,
    ) -> Accepted {
        if let Some(blocked) = self.blocked(tenant) {
            return Accepted::blocked(&push, blocked);
        }
        let limits = self.config.limits(tenant);
        let judge = Judge {
            tenant,
            limits: &limits,
            streams: &self.streams,
            buffers: &self.buffers,
            now_ns: (self.now)(),
            backfill,
        };
        let rates = self.rates.of(tenant, judge.limits, judge.now_ns);
        judge.judge(push, id, &rates)
    }

    /// Whether the tenant may not push at all for now.
    fn blocked(&self, tenant: &TenantId) -> Option<(StatusCode, String)> {
        let limits = self.config.limits(tenant);
        let until: jiff::Timestamp = limits.block_ingestion_until.parse().ok()?;
        let status = limits.block_ingestion_status_code;
        let text = || format!("ingestion blocked for user '{tenant}' until '{until}' with status code '{status}'");
        (i128::from((self.now)()) < until.as_nanosecond())
            .then(|| (StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN), text()))
    }
}

/// A header's value; an absent or unreadable one is empty.
pub(crate) fn header(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

/// Loki's rule: JSON is JSON, every other type is snappy protobuf, no type at all is an error.
fn wire(headers: &HeaderMap, json: Format) -> Result<Wire, PushError> {
    let content_type = header(headers, CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let format = match content_type {
        "" => return Err(PushError::Header("mime: no media type".to_owned())),
        text if text.eq_ignore_ascii_case("application/json") => json,
        _ => Format::Protobuf,
    };
    let encoding = header(headers, CONTENT_ENCODING);
    let not_supported = || PushError::Header(format!("Content-Encoding {} not supported", model::quote(encoding)));
    let encoding = Encoding::of(encoding).ok_or_else(not_supported)?;
    Ok(Wire { format, encoding, batch_id: batch_id(headers), backfill: backfill(headers)? })
}

/// OTLP's rule: the type is exactly one of two.
fn otlp_wire(headers: &HeaderMap) -> Result<Wire, PushError> {
    let format = match header(headers, CONTENT_TYPE) {
        "application/json" => Format::OtlpJson,
        "application/x-protobuf" => Format::OtlpProtobuf,
        other => return Err(PushError::Header(format!("content type: {other} is not supported"))),
    };
    let encoding = header(headers, CONTENT_ENCODING);
    let told =
        || PushError::Header(format!("unsupported content encoding {encoding}: only gzip, lz4 and zstd are supported"));
    let encoding = Encoding::of_otlp(encoding).ok_or_else(told)?;
    Ok(Wire { format, encoding, batch_id: batch_id(headers), backfill: backfill(headers)? })
}

/// The collector's name for the batch, if it is one.
fn batch_id(headers: &HeaderMap) -> Option<u128> {
    let text = header(headers, BATCH_HEADER);
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The shard of a backfill, if the header names one.
fn backfill(headers: &HeaderMap) -> Result<Option<String>, PushError> {
    let Some(value) = headers.get(BACKFILL_HEADER).filter(|value| !value.is_empty()) else { return Ok(None) };
    let told = |why: String| PushError::Header(format!("invalid X-Loki-Backfill-Shard header{why}"));
    if value.len() > BACKFILL_BYTES_MAX {
        return Err(told(format!(": value length {} exceeds limit of {BACKFILL_BYTES_MAX}", value.len())));
    }
    match std::str::from_utf8(value.as_bytes()) {
        Ok(shard) => Ok(Some(shard.to_owned())),
        Err(_) => {
            let shown = model::quote(&String::from_utf8_lossy(value.as_bytes()));
            Err(told(format!(" {shown}: must be a valid label value")))
        }
    }
}
