//! Events of AWS services, stored: what the function does when it is invoked with something other than an HTTP request.
//!
//! In: the event's JSON. Out: what AWS wants to hear. Records that cannot be stored are named one by one, so that only they are
//! sent again (and in the end handed to the failure destination); everything else of the event is stored. Ids are functions of
//! what was sent: AWS may deliver twice, the store keeps it once. Whatever a limit refuses for good is counted and logged, as a
//! client of HTTP would be told. Requests to merge and schedules go on to `merges`.

mod objects;
mod settings;

use std::collections::HashSet;

use bytes::Bytes;
use http::StatusCode;
use loki_api::aws::content::Content;
use loki_api::aws::{Event, EventError, ObjectRef, Record, Source};
use loki_api::push::{self, FlatPush, PushEntry, PushRequest, PushStream};
use model::{Day, Labels};
use serde_json::{Value, json};
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::Ingest;
use crate::accept::Accepted;
use crate::body::Encoding;
use crate::commit::CommitError;
use crate::error::PushError;
use crate::merges::{MergeFailure, Merges};

pub use settings::EventSettings;

/// Takes events. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    ingest: Ingest,
    settings: EventSettings,
    merges: Option<Merges>,
    /// Whether objects are fetched that a record speaks of: only AWS itself may choose what this role reads.
    fetches: bool,
}

/// Why an event, or a record of it, is not stored.
#[derive(Debug, thiserror::Error)]
pub enum EventFailure {
    /// It is not what it looks like.
    #[error(transparent)]
    Event(#[from] EventError),
    /// It could not be taken as a push.
    #[error("{0}")]
    Push(String),
    /// A day could not be merged.
    #[error(transparent)]
    Merge(#[from] MergeFailure),
    /// A request to merge, to somebody who does not.
    #[error("this function does not merge")]
    MergesNothing,
    /// An object could not be read: the text says whether it is missing or forbidden.
    #[error("reading s3://{bucket}/{key}: {why}")]
    Object {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// What the store said.
        why: String,
    },
}

impl From<PushError> for EventFailure {
    fn from(error: PushError) -> Self {
        EventFailure::Push(error.to_string())
    }
}

/// A record that was opened, and what it is called if it fails.
struct OpenRecord {
    record: Record,
    data: Bytes,
}

impl Events {
    /// Takes events for this ingest side.
    pub fn new(ingest: Ingest, settings: EventSettings) -> Self {
        Events { ingest, settings, merges: None, fetches: true }
    }

    /// Takes records that somebody sent who signed in.
    pub(crate) fn of_stranger(ingest: Ingest, settings: EventSettings) -> Self {
        Events { fetches: false, ..Events::new(ingest, settings) }
    }

    /// The same with somebody who merges.
    pub fn with_merges(self, merges: Merges) -> Self {
        Events { merges: Some(merges), ..self }
    }

    /// Asks for the merges that what was stored has made due. To be called before an answer: behind it nothing runs.
    pub(crate) async fn ask_for_merges(&self) {
        if let Some(merges) = &self.merges {
            merges.ask().await;
        }
    }

    /// Does what an event is about, stores what it brings, and gives the answer; an error asks AWS to send the whole event again.
    /// Merges end before `until`.
    pub async fn handle(&self, event: Value, until: Instant) -> Result<Value, EventFailure> {
        match Event::tell(event)? {
            Event::CloudWatch(data) => {
                // As a record of nobody: the subscription carries no labels of its own.
                let record = Record {
                    id: String::new(),
                    source: Source::Kinesis,
                    source_arn: String::new(),
                    sent_ns: None,
                    data,
                };
                let failed = self.store_records(vec![record], false).await?;
                failed.into_iter().next().map_or(Ok(Value::Null), |(_, why)| Err(why))
            }
            Event::Records(records) => self.records(records).await,
            Event::Transformation(records) => self.transformation(records).await,
            Event::Objects(objects) => self.objects(&objects).await.map(|()| Value::Null),
            Event::Merge(request) => Ok(self.merges()?.merge(&request, until).await?),
            Event::Schedule => Ok(self.merges()?.look_after(Day::of((self.ingest.now)())).await?),
            Event::Nothing => Ok(Value::Null),
        }
    }

    fn merges(&self) -> Result<&Merges, EventFailure> {
        self.merges.as_ref().ok_or(EventFailure::MergesNothing)
    }

    /// Queues and streams hear which records failed; a topic can only be told that all did.
    async fn records(&self, records: Vec<Record>) -> Result<Value, EventFailure> {
        let is_topic = records.iter().any(|record| record.source == Source::Sns);
        let failed = self.store_records(records, true).await?;
        if is_topic {
            return failed.into_iter().next().map_or(Ok(Value::Null), |(_, why)| Err(why));
        }
        let items: Vec<Value> = failed.iter().map(|(id, _)| json!({"itemIdentifier": id})).collect();
        Ok(json!({"batchItemFailures": items}))
    }

    /// Firehose gets every record back as it was, and hears which ones could not be stored.
    async fn transformation(&self, records: Vec<(Record, String)>) -> Result<Value, EventFailure> {
        let (records, data): (Vec<Record>, Vec<String>) = records.into_iter().unzip();
        let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
        let failed: HashSet<String> = self.store_records(records, true).await?.into_iter().map(|(id, _)| id).collect();
        let answer = |(id, data): (String, String)| {
            let result = if failed.contains(&id) { "ProcessingFailed" } else { "Ok" };
            json!({"recordId": id, "result": result, "data": data})
        };
        Ok(json!({"records": ids.into_iter().zip(data).map(answer).collect::<Vec<_>>()}))
    }

    /// Stores records side by side; gives those that could not be, each with its reason. An error is everybody's.
    pub(crate) async fn store_records(
        &self,
        records: Vec<Record>,
        carrier_labels: bool,
    ) -> Result<Vec<(String, EventFailure)>, PushError> {
        let bytes_max = self.ingest.config.distributor.max_decompressed_size;
        let mut failed = Vec::new();
        let mut open = Vec::with_capacity(records.len());
        for mut record in records {
            match unpacked(std::mem::take(&mut record.data), bytes_max) {
                Ok(data) => open.push(OpenRecord { record, data }),
                Err(why) => failed.push((record.id, why.into())),
            }
        }
        let this = self.clone();
        let judged = tokio::task::spawn_blocking(move || this.judge_records(&open, carrier_labels)).await;
        let judged = judged.map_err(|e| PushError::Commit(CommitError::Packing(e.to_string())))??;
        failed.extend(judged.failed);
        self.commit(judged.accepted).await?;
        for (id, objects) in judged.objects {
            if let Err(why) = self.objects(&objects).await {
                failed.push((id, why));
            }
        }
        for (id, why) in &failed {
            tracing::error!(record = id, "a record is not stored: {why}");
        }
        Ok(failed)
    }

    /// Reads all records and judges what they hold as one push.
    fn judge_records(&self, open: &[OpenRecord], carrier_labels: bool) -> Result<Judged, PushError> {
        let mut hash = Xxh3::new();
        let mut judged = Judged::default();
        let mut contents = Vec::with_capacity(open.len());
        for one in open {
            let id = one.record.id.clone();
            let content = if self.fetches { Content::of(&one.data) } else { Content::of_stranger(&one.data) };
            match content {
                Ok(Content::Objects(objects)) => judged.objects.push((id, objects)),
                Ok(Content::Nothing) => {}
                Ok(content) => contents.push((&one.record, content)),
                Err(why) => judged.failed.push((id, why.into())),
            }
            hash.update(one.record.id.as_bytes());
            hash.update(&one.data);
        }
        let mut request = PushRequest::default();
        for (record, content) in &contents {
            let carrier = if carrier_labels { record.labels() } else { Vec::new() };
            match self.streams(record, content, &carrier) {
                Ok(streams) => request.streams.extend(streams),
                Err(why) => judged.failed.push((record.id.clone(), why)),
            }
        }
        let bytes = open.iter().map(|one| one.data.len()).sum();
        judged.accepted = self.judge(&request, hash.digest128(), bytes)?;
        Ok(judged)
    }

    fn streams<'a>(
        &self,
        record: &Record,
        content: &'a Content<'_>,
        carrier: &[(String, String)],
    ) -> Result<Vec<PushStream<'a>>, EventFailure> {
        Ok(match content {
            Content::CloudWatch(message) => message
                .stream(carrier, self.settings.keep_stream)
                .map(|stream| PushStream { labels: self.settings.labels(stream.labels.iter()), ..stream })
                .into_iter()
                .collect(),
            Content::Push(body) => push::decode_json(body).map_err(PushError::from)?.streams,
            Content::Text(text) => {
                let labels = self.settings.labels(carrier.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                let entry = PushEntry { timestamp_ns: record.sent_ns, line: text.as_ref().into(), metadata: 0..0 };
                vec![PushStream { labels, entries: vec![entry], ..PushStream::default() }]
            }
            Content::Objects(_) | Content::Nothing => Vec::new(),
        })
    }

    /// Judges streams as a push of the tenant of events.
    fn judge(&self, request: &PushRequest<'_>, id: u128, bytes: usize) -> Result<Accepted, PushError> {
        Ok(self.ingest.judge_streams(&self.settings.tenant, None, id, FlatPush::gather(request, bytes)?))
    }

    /// Stores what was accepted. What was refused for now (a rate, say) is an error; what was refused for good is only told.
    async fn commit(&self, accepted: Accepted) -> Result<(), PushError> {
        let tenant = &self.settings.tenant;
        self.ingest.metrics.count_push(tenant, accepted.lines_received, accepted.bytes_received, &accepted.refusals);
        if accepted.batch.rows() > 0 {
            self.ingest.committer.commit(tenant, accepted.batch).await?;
        }
        match accepted.blocked.or_else(|| accepted.refusals.answer()) {
            Some((StatusCode::TOO_MANY_REQUESTS, text)) => Err(PushError::Refused(StatusCode::TOO_MANY_REQUESTS, text)),
            Some((status, text)) => {
                tracing::warn!(status = status.as_u16(), "entries of an event were refused: {text}");
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn objects(&self, objects: &[ObjectRef]) -> Result<(), EventFailure> {
        for object in objects {
            self.store_object(object).await.map_err(|why| EventFailure::Object {
                bucket: object.bucket.clone(),
                key: object.key.clone(),
                why,
            })?;
        }
        Ok(())
    }
}

/// What reading records gave.
#[derive(Default)]
struct Judged {
    accepted: Accepted,
    objects: Vec<(String, Vec<ObjectRef>)>,
    failed: Vec<(String, EventFailure)>,
}

/// The first two bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Undoes gzip where there is some, up to `bytes_max`.
fn unpacked(data: Vec<u8>, bytes_max: u64) -> Result<Bytes, PushError> {
    let encoding = if data.starts_with(&GZIP) { Encoding::Gzip } else { Encoding::Plain };
    encoding.decode(data.into(), bytes_max)
}

impl EventSettings {
    /// The labels of a stream: those of the event, then the user's, less what the user drops.
    fn labels<'a>(&'a self, event: impl Iterator<Item = (&'a str, &'a str)>) -> Labels {
        let own = self.extra_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let kept = event.chain(own).filter(|(name, _)| !self.drop_labels.iter().any(|dropped| dropped == name));
        Labels::from_pairs(kept)
    }
}
