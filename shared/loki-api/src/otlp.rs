//! OpenTelemetry's logs over HTTP, mapped to streams as Loki maps them.
//!
//! In: a decompressed body, protobuf or JSON. Out: `Logs`, whose resources, scopes and records are already flat names and
//! values, and from it a `PushRequest` that borrows: a few resource attributes become stream labels, everything else
//! becomes structured metadata. Records are unfolded one by one, so that a body cannot grow far beyond its own size.

mod message;

use std::borrow::Cow;

use prost::Message as _;

use crate::push::{Budget, Field, fields};
use crate::push::{DecodeError, PushEntry, PushRequest, PushStream};
use message::{AnyValue, KeyValue};

/// Resource attributes that become stream labels, as in Loki's default `otlp_config`.
const INDEX_ATTRIBUTES: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

type Pairs = Vec<(String, String)>;

/// The logs of a request, flattened.
#[derive(Debug, Default)]
pub struct Logs {
    resources: Vec<Resource>,
}

#[derive(Debug, Default)]
struct Resource {
    labels: Pairs,
    metadata: Pairs,
    scopes: Vec<Scope>,
}

#[derive(Debug, Default)]
struct Scope {
    metadata: Pairs,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    timestamp_ns: Option<i64>,
    line: String,
    metadata: Pairs,
}

impl Logs {
    /// Decodes an `ExportLogsServiceRequest`.
    pub fn decode_protobuf(body: &[u8]) -> Result<Self, DecodeError> {
        let mut logs = Logs::default();
        let mut budget = Budget::new();
        fields(body, |number, field| {
            if number == 1 {
                logs.resources.push(resource(field.bytes()?, &mut budget)?);
            }
            Ok(())
        })?;
        Ok(logs)
    }

    /// Decodes the same in JSON.
    pub fn decode_json(body: &[u8]) -> Result<Self, DecodeError> {
        // Every object of the tree begins with a brace; braces inside strings only make the count higher.
        if body.iter().filter(|byte| **byte == b'{').count() > crate::push::ITEMS_MAX {
            return Err(DecodeError::TooMany);
        }
        let request: message::JsonRequest =
            serde_json::from_slice(body).map_err(|e| DecodeError::Json(e.to_string()))?;
        Ok(Logs { resources: request.resource_logs })
    }

    /// The streams that these logs are: one a resource.
    pub fn streams(&self) -> Result<PushRequest<'_>, DecodeError> {
        let mut budget = Budget::new();
        let mut request = PushRequest::default();
        for resource in &self.resources {
            let labels = resource.labels.iter().filter(|(_, value)| !value.is_empty());
            let labels = labels.map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut stream = PushStream { labels, ..PushStream::default() };
            for scope in &resource.scopes {
                for record in &scope.records {
                    budget.take()?;
                    let start = stream.metadata.len();
                    for (name, value) in record.metadata.iter().chain(&resource.metadata).chain(&scope.metadata) {
                        budget.take()?;
                        stream.metadata.push((Cow::Borrowed(name), Cow::Borrowed(value)));
                    }
                    stream.entries.push(PushEntry {
                        timestamp_ns: record.timestamp_ns,
                        line: Cow::Borrowed(&record.line),
                        metadata: start..stream.metadata.len(),
                    });
                }
            }
            request.streams.push(stream);
        }
        Ok(request)
    }
}

/// The body of an error: `google.rpc.Status` with nothing but its message.
pub fn status(text: &str) -> Vec<u8> {
    message::Status { message: text.to_owned() }.encode_to_vec()
}

fn resource(body: &[u8], budget: &mut Budget) -> Result<Resource, DecodeError> {
    let mut out = Resource::default();
    budget.take()?;
    fields(body, |number, field| {
        match number {
            1 => {
                let resource = decode::<message::Resource>(&field)?;
                (out.labels, out.metadata) = resource_pairs(resource);
            }
            2 => out.scopes.push(scope(field.bytes()?, budget)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn scope(body: &[u8], budget: &mut Budget) -> Result<Scope, DecodeError> {
    let mut out = Scope::default();
    budget.take()?;
    fields(body, |number, field| {
        match number {
            1 => out.metadata = scope_pairs(decode(&field)?),
            2 => {
                budget.take()?;
                out.records.push(decode::<message::LogRecord>(&field)?.into());
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn decode<M: prost::Message + Default>(field: &Field<'_>) -> Result<M, DecodeError> {
    M::decode(field.bytes()?).map_err(|e| DecodeError::Protobuf(e.to_string()))
}

/// Stream labels and structured metadata of a resource.
fn resource_pairs(resource: message::Resource) -> (Pairs, Pairs) {
    let (mut labels, mut metadata) = (Pairs::new(), Pairs::new());
    for attribute in resource.attributes {
        if INDEX_ATTRIBUTES.contains(&attribute.key.as_str()) {
            labels.push((label_name(&attribute.key).into_owned(), attribute.value.unwrap_or_default().to_text()));
        } else {
            flatten("", attribute, &mut metadata);
        }
    }
    (labels, metadata)
}

fn scope_pairs(scope: message::Scope) -> Pairs {
    let mut pairs = Pairs::new();
    for attribute in scope.attributes {
        flatten("", attribute, &mut pairs);
    }
    push_some(&mut pairs, "scope_name", scope.name);
    push_some(&mut pairs, "scope_version", scope.version);
    push_number(&mut pairs, "scope_dropped_attributes_count", scope.dropped_attributes_count);
    pairs
}

impl From<message::LogRecord> for Record {
    fn from(record: message::LogRecord) -> Self {
        let mut metadata = Pairs::new();
        for attribute in record.attributes {
            flatten("", attribute, &mut metadata);
        }
        if record.time_unix_nano != 0 && record.observed_time_unix_nano != 0 {
            metadata.push(("observed_timestamp".to_owned(), record.observed_time_unix_nano.to_string()));
        }
        push_number(&mut metadata, "severity_number", record.severity_number);
        push_some(&mut metadata, "severity_text", record.severity_text);
        push_number(&mut metadata, "dropped_attributes_count", record.dropped_attributes_count);
        push_number(&mut metadata, "flags", record.flags);
        push_some(&mut metadata, "trace_id", hex(&record.trace_id));
        push_some(&mut metadata, "span_id", hex(&record.span_id));
        push_some(&mut metadata, "event_name", record.event_name);
        let time = [record.time_unix_nano, record.observed_time_unix_nano].into_iter().find(|time| *time != 0);
        Record {
            timestamp_ns: time.map(|time| i64::try_from(time).unwrap_or(i64::MAX)),
            line: record.body.unwrap_or_default().to_text(),
            metadata,
        }
    }
}

/// An attribute as pairs: maps become one pair a leaf, their keys joined by `_`.
fn flatten(prefix: &str, attribute: KeyValue, pairs: &mut Pairs) {
    let name = if prefix.is_empty() { attribute.key } else { format!("{prefix}_{}", attribute.key) };
    match attribute.value.unwrap_or_default() {
        AnyValue { value: Some(message::Value::Map(map)) } => {
            for inner in map.values {
                flatten(&name, inner, pairs);
            }
        }
        value => pairs.push((label_name(&name).into_owned(), value.to_text())),
    }
}

/// A name as Prometheus allows it: everything but ASCII letters and digits becomes `_`, and it begins with a letter or `__`.
pub fn label_name(name: &str) -> Cow<'_, str> {
    let bytes = name.as_bytes();
    let begins_well = match bytes {
        [first, ..] if first.is_ascii_alphabetic() => true,
        [b'_', b'_', ..] | [] => true,
        _ => false,
    };
    if begins_well && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') {
        return Cow::Borrowed(name);
    }
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Cow::Owned(match clean.as_bytes() {
        [first, ..] if first.is_ascii_digit() => format!("key_{clean}"),
        [b'_', second, ..] if *second != b'_' => format!("key{clean}"),
        [b'_'] => format!("key{clean}"),
        _ => clean,
    })
}

fn push_some(pairs: &mut Pairs, name: &str, value: String) {
    if !value.is_empty() {
        pairs.push((name.to_owned(), value));
    }
}

fn push_number<N: Into<i64>>(pairs: &mut Pairs, name: &str, number: N) {
    let number: i64 = number.into();
    if number != 0 {
        pairs.push((name.to_owned(), number.to_string()));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Streams as text: labels, then each entry's time, line and metadata.
    fn print(logs: &Logs) -> String {
        let mut out = String::new();
        for stream in logs.streams().expect("few").streams {
            out += &format!("{}\n", stream.labels);
            for entry in &stream.entries {
                let metadata: Vec<String> = stream.metadata_of(entry).iter().map(|(n, v)| format!("{n}={v}")).collect();
                out += &format!("  {:?} {} | {}\n", entry.timestamp_ns, entry.line, metadata.join(" "));
            }
        }
        out
    }

    const BODY: &str = r#"{"resourceLogs":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"api"}},{"key":"host.name","value":{"stringValue":"h1"}}]},
      "scopeLogs":[{"scope":{"name":"lib","attributes":[{"key":"s","value":{"boolValue":true}}]},"logRecords":[
        {"timeUnixNano":"5","observedTimeUnixNano":6,"severityNumber":17,"severityText":"ERROR","traceId":"0AFF","flags":1,
         "body":{"stringValue":"failed"},"attributes":[{"key":"a","value":{"kvlistValue":{"values":[{"key":"b.c","value":{"doubleValue":1.5}}]}}},
         {"key":"list","value":{"arrayValue":{"values":[{"stringValue":"x<y"},{"intValue":"2"}]}}}]},
        {"observedTimeUnixNano":"7","body":{"kvlistValue":{"values":[{"key":"n","value":{"intValue":3}},{"key":"m","value":{"stringValue":"t"}}]}}},
        {"body":{"bytesValue":"AQI="}},
        {}]}]}]}"#;

    #[test]
    fn json_is_mapped_as_loki_maps_it() {
        let want = r#"{service_name="api"}
  Some(5) failed | a_b_c=1.5 list=["x\u003cy",2] observed_timestamp=6 severity_number=17 severity_text=ERROR flags=1 trace_id=0aff host_name=h1 s=true scope_name=lib
  Some(7) {"m":"t","n":3} | host_name=h1 s=true scope_name=lib
  None AQI= | host_name=h1 s=true scope_name=lib
  None  | host_name=h1 s=true scope_name=lib
"#;
        assert_eq!(print(&Logs::decode_json(BODY.as_bytes()).expect("decodes")), want);
    }

    #[test]
    fn protobuf_gives_the_same() {
        let text = |s: &str| Some(AnyValue { value: Some(message::Value::String(s.into())) });
        let attribute = |key: &str, value: &str| KeyValue { key: key.into(), value: text(value) };
        let record = message::LogRecord {
            time_unix_nano: 5,
            severity_number: 9,
            body: text("hi"),
            attributes: vec![attribute("k", "v")],
            span_id: vec![1, 0xab],
            ..Default::default()
        };
        let resource = message::Resource { attributes: vec![attribute("k8s.pod.name", "p"), attribute("x.y", "z")] };
        let put = |out: &mut Vec<u8>, number: u32, bytes: &[u8]| {
            prost::encoding::bytes::encode(number, &bytes.to_vec(), out);
        };
        let (mut scope_logs, mut resource_logs, mut body) = (Vec::new(), Vec::new(), Vec::new());
        put(&mut scope_logs, 2, &record.encode_to_vec());
        put(&mut resource_logs, 2, &scope_logs);
        put(&mut resource_logs, 1, &resource.encode_to_vec());
        put(&mut body, 1, &resource_logs);
        let want = "{k8s_pod_name=\"p\"}\n  Some(5) hi | k=v severity_number=9 span_id=01ab x_y=z\n";
        assert_eq!(print(&Logs::decode_protobuf(&body).expect("decodes")), want);
        for cut in 0..body.len() {
            let _ = Logs::decode_protobuf(&body[..cut]);
        }
    }

    #[test]
    fn names() {
        let check = |name: &str, want: &str| assert_eq!(label_name(name), want);
        check("user-agent", "user_agent");
        check("sp ace", "sp_ace");
        check("1a", "key_1a");
        check("_a", "key_a");
        check("__a", "__a");
        check("é.x", "__x");
        check("ok_1", "ok_1");
        check("", "");
    }

    #[test]
    fn refused() {
        for bad in
            ["", "{\"resourceLogs\": 5}", r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"x"}]}]}]}"#]
        {
            assert!(Logs::decode_json(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Logs::decode_protobuf(b"\x0a\x05x").is_err());
        assert_eq!(status("no"), b"\x12\x02no");
    }
}
