//! Events of AWS services, told apart: which records they carry, and which objects they speak of.
//!
//! In: the JSON that a Lambda function is invoked with. Out: an `Event`; what its records hold is `content`'s, how objects are
//! read is `object`'s. Never fetches anything. The labels are those of Grafana's lambda-promtail, so that its users' queries work.

pub mod cloudwatch;
pub mod content;
pub mod firehose;
pub mod object;
pub mod own;
mod time;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use object::ObjectRef;

/// The label that says which service an entry came from.
pub const LOG_TYPE: &str = "__aws_log_type";
/// Records and objects that one event may carry; AWS sends at most 10,000.
pub const RECORDS_MAX: usize = 10_000;
/// Of an unknown event, so many keys are told.
const KEYS_TOLD_MAX: usize = 10;

/// What a function was invoked with, other than an HTTP request.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A CloudWatch Logs subscription: gzip of JSON.
    CloudWatch(Vec<u8>),
    /// Records of a queue or a stream, each of which may fail by itself.
    Records(Vec<Record>),
    /// Records of a Firehose stream on their way elsewhere: each one is answered with its data as it was written.
    Transformation(Vec<(Record, String)>),
    /// Objects that were created.
    Objects(Vec<ObjectRef>),
    /// Logbarn's own request.
    Merge(own::MergeRequest),
    /// A schedule of EventBridge: the time has come to look after the days.
    Schedule,
    /// Nothing to store, such as the test that S3 sends when a notification is set up.
    Nothing,
}

/// One record of a queue, a topic or a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What AWS wants to hear if the record failed: a message id or a sequence number.
    pub id: String,
    /// Where it came from.
    pub source: Source,
    /// The ARN of the queue, topic or stream.
    pub source_arn: String,
    /// When it was sent, nanoseconds since 1970: the time of entries that name none.
    pub sent_ns: Option<i64>,
    /// What it holds.
    pub data: Vec<u8>,
}

/// The services that send records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A data stream.
    Kinesis,
    /// A queue.
    Sqs,
    /// A topic.
    Sns,
    /// A delivery stream.
    Firehose,
}

impl Source {
    /// Its name in [`LOG_TYPE`] and in the names of labels.
    pub fn name(self) -> &'static str {
        match self {
            Source::Kinesis => "kinesis",
            Source::Sqs => "sqs",
            Source::Sns => "sns",
            Source::Firehose => "firehose",
        }
    }
}

impl Record {
    /// The labels of an entry that this record holds as plain text.
    pub fn labels(&self) -> Vec<(String, String)> {
        let name = self.source.name();
        vec![
            (LOG_TYPE.to_owned(), name.to_owned()),
            (format!("__aws_{name}_event_source_arn"), self.source_arn.clone()),
        ]
    }
}

/// Why an event cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No event that is known looks like this.
    #[error("an event of an unknown kind, with the keys {0}")]
    Unknown(String),
    /// It looks like an event of this kind, but is none.
    #[error("an event of {kind} that cannot be read: {why}")]
    Malformed {
        /// What it looks like.
        kind: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl EventError {
    /// What an event is told that nothing here takes.
    pub fn unknown(event: &Value) -> Self {
        let keys = |keys: &Map<String, Value>| keys.keys().take(KEYS_TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
        EventError::Unknown(event.as_object().map_or("of no object".to_owned(), keys))
    }
}

/// The key of Logbarn's own requests.
pub const OWN: &str = "logbarn";

impl Event {
    /// Tells what an event is by its shape.
    pub fn tell(event: Value) -> Result<Self, EventError> {
        let Value::Object(mut keys) = event else { return Err(EventError::unknown(&Value::Null)) };
        if let Some(own) = keys.remove(OWN) {
            return own::MergeRequest::read(own).map(Event::Merge);
        }
        if let Some(logs) = keys.get("awslogs") {
            let data = logs.get("data").and_then(Value::as_str).unwrap_or_default();
            return Ok(Event::CloudWatch(base64("CloudWatch Logs", data)?));
        }
        if keys.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
            return Ok(Event::Nothing);
        }
        if keys.contains_key("Records") {
            return records(Value::Object(keys));
        }
        if keys.contains_key("deliveryStreamArn") && keys.contains_key("records") {
            return transformation(Value::Object(keys));
        }
        match keys.get("source").and_then(Value::as_str) {
            Some("aws.s3") => return Ok(Event::Objects(vec![object::from_event_bridge(&Value::Object(keys))?])),
            // A rule, and the scheduler.
            Some("aws.events" | "aws.scheduler") => return Ok(Event::Schedule),
            _ => {}
        }
        Err(EventError::unknown(&Value::Object(keys)))
    }
}

/// The fields of the records of every source; which of them are there depends on it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawRecord {
    #[serde(alias = "EventSource")]
    event_source: String,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: String,
    message_id: String,
    body: String,
    attributes: RawAttributes,
    kinesis: RawKinesis,
    #[serde(rename = "Sns")]
    sns: RawSns,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawAttributes {
    sent_timestamp: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawKinesis {
    data: String,
    sequence_number: String,
    approximate_arrival_timestamp: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawSns {
    message_id: String,
    topic_arn: String,
    message: String,
    timestamp: String,
}

fn records(mut event: Value) -> Result<Event, EventError> {
    let kind = "records";
    let count = event["Records"].as_array().map_or(0, Vec::len);
    if count > RECORDS_MAX {
        return Err(malformed(kind, format!("{count} records, and {RECORDS_MAX} are allowed")));
    }
    let first = &event["Records"][0];
    let source = first.get("eventSource").or_else(|| first.get("EventSource")).and_then(Value::as_str);
    if source.is_some_and(|s| s == "aws:s3") {
        return Ok(Event::Objects(object::from_notification(&event)?));
    }
    let Value::Array(all) = event["Records"].take() else {
        return Err(malformed(kind, "`Records` is no list"));
    };
    let all: Result<Vec<Record>, EventError> = all.into_iter().map(record).collect();
    all.map(Event::Records)
}

fn record(value: Value) -> Result<Record, EventError> {
    let raw: RawRecord = serde_json::from_value(value).map_err(|e| malformed("records", e))?;
    match raw.event_source.as_str() {
        "aws:kinesis" => Ok(Record {
            data: base64("Kinesis", &raw.kinesis.data)?,
            sent_ns: time::from_seconds(raw.kinesis.approximate_arrival_timestamp),
            id: raw.kinesis.sequence_number,
            source: Source::Kinesis,
            source_arn: raw.event_source_arn,
        }),
        "aws:sqs" => Ok(Record {
            id: raw.message_id,
            source: Source::Sqs,
            source_arn: raw.event_source_arn,
            sent_ns: time::from_text(&raw.attributes.sent_timestamp),
            data: raw.body.into_bytes(),
        }),
        "aws:sns" => Ok(Record {
            id: raw.sns.message_id,
            source: Source::Sns,
            source_arn: raw.sns.topic_arn,
            sent_ns: time::from_text(&raw.sns.timestamp),
            data: raw.sns.message.into_bytes(),
        }),
        other => Err(EventError::Unknown(format!("eventSource {other:?}"))),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTransformation {
    delivery_stream_arn: String,
    records: Vec<RawTransformed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTransformed {
    record_id: String,
    #[serde(default)]
    approximate_arrival_timestamp: i64,
    data: String,
}

fn transformation(event: Value) -> Result<Event, EventError> {
    let kind = "Firehose";
    let raw: RawTransformation = serde_json::from_value(event).map_err(|e| malformed(kind, e))?;
    if raw.records.len() > RECORDS_MAX {
        return Err(malformed(kind, format!("{} records, and {RECORDS_MAX} are allowed", raw.records.len())));
    }
    let record = |raw_record: RawTransformed| {
        let record = Record {
            id: raw_record.record_id,
            source: Source::Firehose,
            source_arn: raw.delivery_stream_arn.clone(),
            sent_ns: time::from_milliseconds(raw_record.approximate_arrival_timestamp),
            data: base64(kind, &raw_record.data)?,
        };
        Ok((record, raw_record.data))
    };
    let all: Result<Vec<_>, EventError> = raw.records.into_iter().map(record).collect();
    all.map(Event::Transformation)
}

fn base64(kind: &'static str, text: &str) -> Result<Vec<u8>, EventError> {
    BASE64.decode(text).map_err(|e| malformed(kind, format!("its data is not base64: {e}")))
}

fn malformed(kind: &'static str, why: impl ToString) -> EventError {
    EventError::Malformed { kind, why: why.to_string() }
}

#[cfg(test)]
mod tests;
