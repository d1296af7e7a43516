//! What a record of a queue, a topic or a stream holds.
//!
//! In: a record's bytes, unpacked if they were gzip. Out: a CloudWatch message, objects to fetch, a Loki push, or text. A
//! notification may be wrapped: S3 through SNS into SQS is an envelope in an envelope. Whatever is nothing known is a line.

use std::borrow::Cow;

use serde_json::Value;

use super::cloudwatch::CloudWatch;
use super::object::{self, ObjectRef};
use super::{Event, EventError};

/// Envelopes within envelopes that are opened.
const ENVELOPES_MAX: usize = 3;

/// What is in a record.
#[derive(Debug)]
pub enum Content<'a> {
    /// A message of a CloudWatch Logs subscription.
    CloudWatch(CloudWatch),
    /// Objects that were created.
    Objects(Vec<ObjectRef>),
    /// A push in Loki's JSON.
    Push(Cow<'a, [u8]>),
    /// A line.
    Text(Cow<'a, str>),
    /// Nothing to store.
    Nothing,
}

impl<'a> Content<'a> {
    /// Tells what some bytes are.
    pub fn of(data: &'a [u8]) -> Result<Self, EventError> {
        let Some(json) = parsed(data) else {
            return Ok(Content::line(data));
        };
        tell(json, Cow::Borrowed(data), ENVELOPES_MAX)
    }

    /// The same for bytes of a sender who may not choose what this process fetches: what speaks of objects is a line.
    pub fn of_stranger(data: &'a [u8]) -> Result<Self, EventError> {
        Ok(match Content::of(data)? {
            Content::Objects(_) => Content::line(data),
            other => other,
        })
    }

    fn line(data: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(data);
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(['\n', '\r'])),
            Cow::Owned(text) => Cow::Owned(text.trim_end_matches(['\n', '\r']).to_owned()),
        };
        if text.is_empty() { Content::Nothing } else { Content::Text(text) }
    }
}

/// An object, if the bytes are one.
fn parsed(data: &[u8]) -> Option<Value> {
    let starts = data.iter().find(|byte| !byte.is_ascii_whitespace());
    (starts == Some(&b'{')).then(|| serde_json::from_slice(data).ok()).flatten()
}

fn tell<'a>(json: Value, data: Cow<'a, [u8]>, envelopes: usize) -> Result<Content<'a>, EventError> {
    let has = |key: &str| json.get(key).is_some();
    if has("messageType") && has("logEvents") {
        return CloudWatch::decode(&data).map(Content::CloudWatch);
    }
    if json.get("streams").is_some_and(Value::is_array) {
        return Ok(Content::Push(data));
    }
    if has("Type") && has("TopicArn") && envelopes > 0 {
        let message = json["Message"].as_str().unwrap_or_default().as_bytes().to_vec();
        return match parsed(&message) {
            Some(inner) => tell(inner, Cow::Owned(message), envelopes - 1),
            None => Ok(Content::Text(Cow::Owned(String::from_utf8_lossy(&message).into_owned()))),
        };
    }
    if json["Event"].as_str() == Some("s3:TestEvent") {
        return Ok(Content::Nothing);
    }
    if json["Records"][0].get("s3").is_some() {
        return object::from_notification(&json).map(Content::Objects);
    }
    if json["source"].as_str() == Some("aws.s3") {
        return match Event::tell(json)? {
            Event::Objects(objects) => Ok(Content::Objects(objects)),
            _ => Ok(Content::Nothing),
        };
    }
    Ok(match data {
        Cow::Borrowed(data) => Content::line(data),
        Cow::Owned(data) => Content::Text(Cow::Owned(String::from_utf8_lossy(&data).into_owned())),
    })
}
