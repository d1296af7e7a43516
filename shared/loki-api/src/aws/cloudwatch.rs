//! What CloudWatch Logs sends to its subscribers.
//!
//! In: the JSON inside a subscription event or a Kinesis record, already unpacked. Out: one stream for each message, with the
//! labels of its log group. The name of the log stream is a label only if the user wants that: it may differ per invocation.

use std::borrow::Cow;

use model::Labels;
use serde::Deserialize;

use super::{EventError, LOG_TYPE, malformed, time};
use crate::push::{PushEntry, PushStream};

/// One message of a subscription.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CloudWatch {
    message_type: String,
    owner: String,
    log_group: String,
    log_stream: String,
    log_events: Vec<LogEvent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogEvent {
    timestamp: i64,
    message: String,
}

impl CloudWatch {
    /// Reads a message.
    pub fn decode(json: &[u8]) -> Result<Self, EventError> {
        serde_json::from_slice(json).map_err(|e| malformed("CloudWatch Logs", e))
    }

    /// Its entries; `None` for the control messages by which AWS tries whether anybody listens. A record that carried the
    /// message adds its own labels.
    pub fn stream(&self, carrier: &[(String, String)], keep_stream: bool) -> Option<PushStream<'_>> {
        if self.message_type != "DATA_MESSAGE" {
            return None;
        }
        let mut labels = vec![
            (LOG_TYPE.to_owned(), "cloudwatch".to_owned()),
            ("__aws_cloudwatch_log_group".to_owned(), self.log_group.clone()),
            ("__aws_cloudwatch_owner".to_owned(), self.owner.clone()),
        ];
        if keep_stream {
            labels.push(("__aws_cloudwatch_log_stream".to_owned(), self.log_stream.clone()));
        }
        // Of two labels with one name the later is kept.
        labels.extend(carrier.iter().cloned());
        labels.retain(|(_, value)| !value.is_empty());
        let entries = self.log_events.iter().map(|event| PushEntry {
            timestamp_ns: time::from_milliseconds(event.timestamp),
            line: Cow::Borrowed(event.message.trim_end_matches('\n')),
            metadata: 0..0,
        });
        Some(PushStream { labels: Labels::from_pairs(labels), entries: entries.collect(), ..PushStream::default() })
    }
}
