//! Objects that AWS services write: which kind a key tells of, and what time a line of it has.
//!
//! In: a notification of a created object; its key; its lines. Out: the labels of the stream, and each line's time. Knows load
//! balancers, CloudFront, VPC flow logs, CloudTrail, WAF, GuardDuty, MSK and S3's access logs by their keys; everything else is
//! plain text or JSON, line by line.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{EventError, LOG_TYPE, malformed, time};

/// An object that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its bucket.
    pub bucket: String,
    /// Its key, no longer escaped.
    pub key: String,
    /// What tells this content from what the key held before.
    pub etag: String,
    /// Bytes, as the notification says.
    pub size: u64,
    /// When it was created, nanoseconds since 1970: the time of lines that have none.
    pub created_ns: Option<i64>,
}

/// What an object's lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Access logs of load balancers.
    LoadBalancer,
    /// Access logs of CloudFront.
    CloudFront,
    /// Flow logs of networks.
    VpcFlow,
    /// Calls of AWS's API: one JSON document with a list of records.
    CloudTrail,
    /// Decisions of the web firewall.
    Waf,
    /// Findings.
    GuardDuty,
    /// Logs of Kafka brokers.
    Msk,
    /// Access logs of buckets.
    Access,
    /// Anything else.
    Plain,
}

impl Kind {
    /// Its name in labels.
    pub fn name(self) -> &'static str {
        match self {
            Kind::LoadBalancer => "s3_lb",
            Kind::CloudFront => "s3_cloudfront",
            Kind::VpcFlow => "s3_vpc_flow",
            Kind::CloudTrail => "s3_cloudtrail",
            Kind::Waf => "s3_waf",
            Kind::GuardDuty => "s3_guardduty",
            Kind::Msk => "s3_msk",
            Kind::Access => "s3_access",
            Kind::Plain => "s3_object",
        }
    }
}

/// What a key tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The kind of log.
    pub kind: Kind,
    /// The labels of its stream.
    pub labels: Vec<(String, String)>,
}

impl ObjectRef {
    /// What the key tells of the content. A file name's parts are joined by `_` in most services.
    pub fn tell(&self) -> Told {
        let file = self.key.rsplit('/').next().unwrap_or_default();
        let parts: Vec<&str> = file.split('_').collect();
        let (kind, source, owner) = match parts.as_slice() {
            [owner, "elasticloadbalancing", _, balancer, ..] => (Kind::LoadBalancer, balancer_name(balancer), *owner),
            [owner, "vpcflowlogs", _, flow, ..] => (Kind::VpcFlow, *flow, *owner),
            [owner, "CloudTrail" | "CloudTrail-Digest" | "CloudTrail-Insight", ..] => {
                (Kind::CloudTrail, *owner, *owner)
            }
            [owner, "waflogs", _, acl, ..] => (Kind::Waf, *acl, *owner),
            _ => self.tell_by_folder(file),
        };
        let name = kind.name();
        let mut labels = vec![(LOG_TYPE.to_owned(), name.to_owned())];
        labels.push((format!("__aws_{name}"), source.to_owned()));
        labels.push((format!("__aws_{name}_owner"), owner.to_owned()));
        labels.retain(|(_, value)| !value.is_empty());
        Told { kind, labels }
    }

    fn tell_by_folder<'a>(&'a self, file: &'a str) -> (Kind, &'a str, &'a str) {
        let folders: Vec<&str> = self.key.split('/').collect();
        let behind = |name: &str, steps: usize| {
            folders.iter().position(|f| *f == name).and_then(|at| folders.get(at + steps)).copied().unwrap_or_default()
        };
        let account = behind("AWSLogs", 1);
        if folders.contains(&"GuardDuty") {
            return (Kind::GuardDuty, account, account);
        }
        if folders.contains(&"KafkaBrokerLogs") {
            return (Kind::Msk, behind("KafkaBrokerLogs", 2), account);
        }
        if let Some(distribution) = cloud_front(file) {
            return (Kind::CloudFront, distribution, account);
        }
        if is_access_log(file) {
            return (Kind::Access, &self.bucket, account);
        }
        (Kind::Plain, &self.bucket, account)
    }

    /// Whether the content is packed, as its name says.
    pub fn is_gzip(&self) -> bool {
        self.key.ends_with(".gz")
    }
}

/// `app.name.id`, `net.name.id`, or a classic balancer's bare name.
fn balancer_name(text: &str) -> &str {
    let mut parts = text.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("app" | "net" | "gwy"), Some(name), Some(_)) => name,
        _ => text,
    }
}

/// The distribution in `E2K2LNL5N3WR51.2022-02-01-15.d9f2a1.gz`.
fn cloud_front(file: &str) -> Option<&str> {
    let mut parts = file.split('.');
    let (distribution, hour) = (parts.next()?, parts.next()?);
    let shape = |text: &str| text.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b }).collect::<Vec<u8>>();
    let upper = !distribution.is_empty() && distribution.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    (upper && shape(hour) == b"0000-00-00-00").then_some(distribution)
}

/// `2019-02-06-00-02-11-1B2C3D4E5F6A7B8C`: a time to the second and sixteen hexadecimal digits.
fn is_access_log(file: &str) -> bool {
    let parts: Vec<&str> = file.split('-').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.as_slice(), [y, .., id] if parts.len() == 7 && y.len() == 4 && id.len() == 16
        && parts.iter().take(6).all(digits) && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Reads the lines of one object, in order: what a header said is remembered for the lines behind it.
#[derive(Debug)]
pub struct Lines {
    kind: Kind,
    created_ns: Option<i64>,
    /// Which field of a flow log holds its start.
    start_field: usize,
}

/// Where `start` stands in a flow log of the default format.
const START_FIELD_DEFAULT: usize = 10;

impl Lines {
    /// Begins at the first line.
    pub fn new(kind: Kind, created_ns: Option<i64>) -> Self {
        Lines { kind, created_ns, start_field: START_FIELD_DEFAULT }
    }

    /// A line's time; `None` if the line is a header or empty, and not an entry.
    pub fn entry(&mut self, line: &str) -> Option<Option<i64>> {
        if line.is_empty() || self.is_header(line) {
            return None;
        }
        Some(self.time(line).or(self.created_ns))
    }

    fn is_header(&mut self, line: &str) -> bool {
        match self.kind {
            Kind::CloudFront => line.starts_with('#'),
            Kind::VpcFlow if line.starts_with("version ") || line.split(' ').any(|field| field == "start") => {
                self.start_field = line.split(' ').position(|field| field == "start").unwrap_or(START_FIELD_DEFAULT);
                true
            }
            _ => false,
        }
    }

    fn time(&self, line: &str) -> Option<i64> {
        match self.kind {
            // The kinds of balancer have it in different places; no other field looks like a time.
            Kind::LoadBalancer => line.split(' ').take(3).find_map(rfc3339),
            Kind::CloudFront => {
                let mut fields = line.split('\t');
                rfc3339(&format!("{}T{}", fields.next()?, fields.next()?))
            }
            Kind::VpcFlow => time::from_text(line.split(' ').nth(self.start_field)?),
            Kind::Access => time::from_access_log(line.split_once('[')?.1.split_once(']')?.0),
            Kind::Msk => {
                let (date, rest) = line.strip_prefix('[')?.split_once(' ')?;
                rfc3339(&format!("{date}T{}", rest.split_once(']')?.0.replace(',', ".")))
            }
            Kind::CloudTrail | Kind::Waf | Kind::GuardDuty | Kind::Plain => {
                json_time(line).or_else(|| leading_time(line))
            }
        }
    }
}

/// Not a bare number: an id could be one.
fn rfc3339(text: &str) -> Option<i64> {
    text.contains('T').then(|| time::from_text(text)).flatten()
}

/// A plain line may begin with its time.
fn leading_time(line: &str) -> Option<i64> {
    rfc3339(line.split_ascii_whitespace().next()?)
}

/// The fields of a JSON line that say when it happened, in the order in which they are trusted.
const TIME_KEYS: [&str; 8] =
    ["eventTime", "timestamp", "@timestamp", "time", "ts", "updatedAt", "createdAt", "datetime"];

fn json_time(line: &str) -> Option<i64> {
    if !line.starts_with('{') {
        return None;
    }
    let object: std::collections::HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(line).ok()?;
    TIME_KEYS.iter().find_map(|key| {
        let value: Value = serde_json::from_str(object.get(*key)?.get()).ok()?;
        match value {
            Value::String(text) => time::from_text(&text),
            Value::Number(number) => match number.as_i64() {
                Some(number) => time::from_number(number),
                None => time::from_seconds(number.as_f64()?),
            },
            _ => None,
        }
    })
}

/// The records of a CloudTrail document, each as it stands there.
pub fn cloud_trail_records(document: &str) -> Result<Vec<&str>, EventError> {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(rename = "Records", borrow, default)]
        records: Vec<&'a RawValue>,
    }
    let document: Document<'_> = serde_json::from_str(document).map_err(|e| malformed("CloudTrail", e))?;
    Ok(document.records.into_iter().map(RawValue::get).collect())
}

/// The objects of a notification of S3.
pub(super) fn from_notification(event: &Value) -> Result<Vec<ObjectRef>, EventError> {
    let records = event["Records"].as_array().ok_or_else(|| malformed("S3", "`Records` is no list"))?;
    let created = records.iter().filter(|record| {
        record["eventName"].as_str().is_some_and(|name| name.trim_start_matches("s3:").starts_with("ObjectCreated"))
    });
    created
        .map(|record| {
            let object = &record["s3"]["object"];
            let key = object["key"].as_str().ok_or_else(|| malformed("S3", "an object without a key"))?;
            Ok(ObjectRef {
                bucket: bucket(&record["s3"]["bucket"])?,
                // Escaped as in a form: a space is a plus.
                key: unescaped(key),
                etag: object["eTag"].as_str().unwrap_or_default().to_owned(),
                size: object["size"].as_u64().unwrap_or_default(),
                created_ns: time::from_text(record["eventTime"].as_str().unwrap_or_default()),
            })
        })
        .collect()
}

/// The object of an EventBridge event of S3, whose key is not escaped.
pub(super) fn from_event_bridge(event: &Value) -> Result<ObjectRef, EventError> {
    let detail = &event["detail"];
    let key = detail["object"]["key"].as_str().ok_or_else(|| malformed("EventBridge", "an object without a key"))?;
    Ok(ObjectRef {
        bucket: bucket(&detail["bucket"])?,
        key: key.to_owned(),
        etag: detail["object"]["etag"].as_str().unwrap_or_default().to_owned(),
        size: detail["object"]["size"].as_u64().unwrap_or_default(),
        created_ns: time::from_text(event["time"].as_str().unwrap_or_default()),
    })
}

fn bucket(value: &Value) -> Result<String, EventError> {
    let name = value["name"].as_str().ok_or_else(|| malformed("S3", "an object without a bucket"))?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > 63 || !name.bytes().all(allowed) {
        return Err(malformed("S3", format!("no name of a bucket: {}", model::quote(name))));
    }
    Ok(name.to_owned())
}

fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = tail.get(2..).unwrap_or_default();
                continue;
            }
            _ => bytes.push(byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
