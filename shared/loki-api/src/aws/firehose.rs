//! What Firehose sends to an HTTP endpoint, and what it wants to hear.
//!
//! In: the body of a delivery and the header with the stream's common attributes. Out: its records, labels, and the answer's JSON.
//! The attributes that become labels are those that Grafana's receivers take: `lbl_team` gives the label `team`.
//! <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>

use serde::Deserialize;
use serde_json::{Value, json};

use super::{EventError, RECORDS_MAX, base64, malformed, time};
use crate::otlp::label_name;

/// Where Grafana Alloy takes deliveries, and our own place.
pub const PATHS: [&str; 2] = ["/awsfirehose/api/v1/push", "/aws/firehose"];
/// Names the delivery; the same for a second try.
pub const REQUEST_ID: &str = "x-amz-firehose-request-id";
/// The ARN of the stream.
pub const SOURCE_ARN: &str = "x-amz-firehose-source-arn";
/// The attributes that the user gave the stream.
pub const COMMON_ATTRIBUTES: &str = "x-amz-firehose-common-attributes";

const KIND: &str = "Firehose";
/// What the names of attributes begin with that are to be labels.
const LABEL_PREFIX: &str = "lbl_";
/// Bytes of an error that Firehose reads.
const ERROR_BYTES_MAX: usize = 8192;

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, as in the header.
    pub request_id: String,
    /// When it was sent, nanoseconds since 1970: the time of entries that name none.
    pub sent_ns: Option<i64>,
    /// What the records hold.
    pub records: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDelivery {
    request_id: String,
    timestamp: i64,
    records: Vec<RawRecord>,
}

#[derive(Deserialize)]
struct RawRecord {
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAttributes {
    common_attributes: std::collections::BTreeMap<String, String>,
}

impl Delivery {
    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Self, EventError> {
        let RawDelivery { request_id, timestamp, records } =
            serde_json::from_slice(body).map_err(|why| malformed(KIND, why))?;
        if records.len() > RECORDS_MAX {
            return Err(malformed(KIND, format!("{} records, and {RECORDS_MAX} are allowed", records.len())));
        }
        let records: Result<_, _> = records.iter().map(|record| base64(KIND, &record.data)).collect();
        Ok(Delivery { request_id, sent_ns: time::from_milliseconds(timestamp), records: records? })
    }
}

/// The labels that a stream's common attributes give; a stream without attributes has no header.
pub fn labels(attributes: &str) -> Result<Vec<(String, String)>, EventError> {
    if attributes.is_empty() {
        return Ok(Vec::new());
    }
    let unread = |why| malformed(KIND, format!("its common attributes: {why}"));
    let RawAttributes { common_attributes } = serde_json::from_str(attributes).map_err(unread)?;
    let label = |(name, value): (String, String)| Some((label_name(name.strip_prefix(LABEL_PREFIX)?).into(), value));
    Ok(common_attributes.into_iter().filter_map(label).collect())
}

/// The answer to a delivery; Firehose sends again what is not answered with its own id.
pub fn answer(request_id: &str, now_ms: i64, error: Option<&str>) -> String {
    let mut answer = json!({"requestId": request_id, "timestamp": now_ms});
    if let Some(error) = error {
        let end = error.floor_char_boundary(ERROR_BYTES_MAX);
        answer["errorMessage"] = Value::from(&error[..end]);
    }
    answer.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_read_and_answered() {
        let body = br#"{"requestId":"r","timestamp":1578090901599,"records":[{"data":"aGVsbG8="},{"data":""}]}"#;
        let sent_ns = Some(1_578_090_901_599_000_000);
        let records = vec![b"hello".to_vec(), Vec::new()];
        assert_eq!(Delivery::decode(body), Ok(Delivery { request_id: "r".into(), sent_ns, records }));
        assert_eq!(answer("r", 7, None), r#"{"requestId":"r","timestamp":7}"#);
        let long = answer("r", 7, Some(&"ä".repeat(ERROR_BYTES_MAX)));
        assert!(long.len() < ERROR_BYTES_MAX + 100);
        for bad in ["", "{}", r#"{"requestId":"r","timestamp":1,"records":[{"data":"?"}]}"#] {
            assert!(Delivery::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes_with_the_prefix_become_labels() {
        let check = |attributes: &str, want: &[(&str, &str)]| {
            let labels = labels(attributes).expect("attributes");
            let got: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(got, want, "{attributes}");
        };
        check("", &[]);
        check(r#"{"commonAttributes":{}}"#, &[]);
        check(r#"{"commonAttributes":{"lbl_team":"a","team":"b","lbl_x-y":"c"}}"#, &[("team", "a"), ("x_y", "c")]);
        assert!(labels("{").is_err());
    }
}
