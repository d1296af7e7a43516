//! OpenTelemetry's logs over HTTP, mapped to streams as Loki maps them.
//!
//! In: a decompressed body, protobuf or JSON. Out: `Logs`, whose resources, scopes and records are already flat names and
//! values; with a `Mapping` they become `MappedLogs`, and from those a `PushRequest` borrows: a few attributes become stream
//! labels, some nothing, everything else structured metadata. Records are unfolded one by one, so that a body cannot grow
//! far beyond its own size.

mod attributes;
mod message;

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem::take;

use model::Labels;
use prost::Message as _;

use crate::push::{Budget, Field, fields};
use crate::push::{DecodeError, PushEntry, PushRequest, PushStream};
pub use attributes::{
    Action, AttributeRule, INDEX_ATTRIBUTES, Mapping, NameRegex, OtlpConfig, OtlpDefaults, ResourceAttributes,
};
use message::{AnyValue, KeyValue};

/// The resource attribute that names a service.
const SERVICE_ATTRIBUTE: &str = "service.name";
const SERVICE_LABEL: &str = "service_name";
const SEVERITY_TEXT: &str = "severity_text";

type Pairs = Vec<(String, String)>;

/// The logs of a request, flattened.
#[derive(Debug, Default)]
pub struct Logs {
    resources: Vec<Resource>,
}

/// Logs of which every attribute has found its place.
#[derive(Debug, Default)]
pub struct MappedLogs(Logs);

/// Holds `attributes` as sent until it is mapped; then those that are labels are in `labels`, and dropped ones are gone.
#[derive(Debug, Default)]
struct Resource {
    attributes: Vec<Attribute>,
    labels: Pairs,
    scopes: Vec<Scope>,
}

#[derive(Debug, Default)]
struct Scope {
    attributes: Vec<Attribute>,
    fields: Pairs,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    timestamp_ns: Option<i64>,
    line: String,
    attributes: Vec<Attribute>,
    labels: Pairs,
    fields: Pairs,
}

/// A leaf of an attribute.
#[derive(Debug)]
struct Attribute {
    /// The keys down to the leaf, joined by `_`; once mapped, as a label name.
    name: String,
    /// How much of the name is the attribute's own key, which decides what becomes of it.
    key_bytes: usize,
    value: String,
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

    /// Gives every attribute its place.
    pub fn map(mut self, mapping: &Mapping<'_>) -> MappedLogs {
        for resource in &mut self.resources {
            let named = resource.attributes.iter().any(|a| a.name == SERVICE_ATTRIBUTE && !a.value.is_empty());
            resource.labels = place(&mut resource.attributes, |name| mapping.resource(name));
            // In the order of the attributes, unlike the service of other formats.
            let service = resource.labels.iter().find(|(name, _)| mapping.discover_service_name.contains(name));
            if let Some((_, service)) = service.filter(|_| !named) {
                let service = service.clone();
                resource.labels.push((SERVICE_LABEL.to_owned(), service));
            }
            for scope in &mut resource.scopes {
                place(&mut scope.attributes, |name| mapping.scope(name));
                for record in &mut scope.records {
                    record.labels = place(&mut record.attributes, |name| mapping.record(name));
                    let severity = record.fields.iter().find(|(name, _)| name == SEVERITY_TEXT);
                    if let Some(severity) = severity.filter(|_| mapping.config.severity_text_as_label) {
                        record.labels.push(severity.clone());
                    }
                }
            }
        }
        MappedLogs(self)
    }
}

impl MappedLogs {
    /// The streams that these logs are: one a resource, and others for records with labels of their own.
    pub fn streams(&self) -> Result<PushRequest<'_>, DecodeError> {
        let mut budget = Budget::new();
        let mut request = PushRequest::default();
        let mut scopes = self.0.resources.iter().flat_map(|resource| &resource.scopes);
        if scopes.all(|scope| scope.records.is_empty()) {
            return Ok(request);
        }
        for resource in &self.0.resources {
            let labels = labels(&resource.labels);
            let own = request.streams.len();
            request.streams.push(PushStream { labels: labels.clone(), ..PushStream::default() });
            let mut others: HashMap<&Pairs, usize> = HashMap::new();
            for scope in &resource.scopes {
                for record in &scope.records {
                    budget.take()?;
                    let stream = match record.labels.is_empty() {
                        true => own,
                        false => *others.entry(&record.labels).or_insert_with(|| {
                            let all = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
                            let labels = self::labels(&all.chain(record.labels.iter().cloned()).collect());
                            request.streams.push(PushStream { labels, ..PushStream::default() });
                            request.streams.len() - 1
                        }),
                    };
                    if let Some(stream) = request.streams.get_mut(stream) {
                        record.add_to(stream, resource, scope, &mut budget)?;
                    }
                }
            }
        }
        Ok(request)
    }
}

impl Record {
    /// Adds this record, with what its resource and its scope say, to a stream.
    fn add_to<'a>(
        &'a self,
        stream: &mut PushStream<'a>,
        resource: &'a Resource,
        scope: &'a Scope,
        budget: &mut Budget,
    ) -> Result<(), DecodeError> {
        let start = stream.metadata.len();
        let attribute = |a: &'a Attribute| (a.name.as_str(), a.value.as_str());
        let pair = |(name, value): &'a (String, String)| (name.as_str(), value.as_str());
        let own = self.attributes.iter().map(attribute).chain(self.fields.iter().map(pair));
        let shared = resource.attributes.iter().chain(&scope.attributes).map(attribute);
        for (name, value) in own.chain(shared).chain(scope.fields.iter().map(pair)) {
            budget.take()?;
            stream.metadata.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        }
        stream.entries.push(PushEntry {
            timestamp_ns: self.timestamp_ns,
            line: Cow::Borrowed(&self.line),
            metadata: start..stream.metadata.len(),
        });
        Ok(())
    }
}

/// Takes out what is dropped or becomes a label; the rest gets names that queries can use.
fn place(attributes: &mut Vec<Attribute>, action: impl Fn(&str) -> Action) -> Pairs {
    let mut labels = Pairs::new();
    attributes.retain_mut(|attribute| {
        let action = action(attribute.name.get(..attribute.key_bytes).unwrap_or_default());
        if let Cow::Owned(name) = label_name(&attribute.name) {
            attribute.name = name;
        }
        if action == Action::IndexLabel {
            labels.push((take(&mut attribute.name), take(&mut attribute.value)));
        }
        action == Action::StructuredMetadata
    });
    labels
}

/// A label set; empty names and values are none.
fn labels(pairs: &Pairs) -> Labels {
    let pairs = pairs.iter().filter(|(name, value)| !name.is_empty() && !value.is_empty());
    pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect()
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
                out.attributes = flat(resource.attributes);
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
            1 => (out.attributes, out.fields) = scope_pairs(decode(&field)?),
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

/// A scope's attributes, and what else it says.
fn scope_pairs(scope: message::Scope) -> (Vec<Attribute>, Pairs) {
    let mut pairs = Pairs::new();
    push_some(&mut pairs, "scope_name", scope.name);
    push_some(&mut pairs, "scope_version", scope.version);
    push_number(&mut pairs, "scope_dropped_attributes_count", scope.dropped_attributes_count);
    (flat(scope.attributes), pairs)
}

impl From<message::LogRecord> for Record {
    fn from(record: message::LogRecord) -> Self {
        let mut fields = Pairs::new();
        if record.time_unix_nano != 0 && record.observed_time_unix_nano != 0 {
            fields.push(("observed_timestamp".to_owned(), record.observed_time_unix_nano.to_string()));
        }
        push_number(&mut fields, "severity_number", record.severity_number);
        push_some(&mut fields, SEVERITY_TEXT, record.severity_text);
        push_number(&mut fields, "dropped_attributes_count", record.dropped_attributes_count);
        push_number(&mut fields, "flags", record.flags);
        push_some(&mut fields, "trace_id", hex(&record.trace_id));
        push_some(&mut fields, "span_id", hex(&record.span_id));
        push_some(&mut fields, "event_name", record.event_name);
        let time = [record.time_unix_nano, record.observed_time_unix_nano].into_iter().find(|time| *time != 0);
        Record {
            timestamp_ns: time.map(|time| i64::try_from(time).unwrap_or(i64::MAX)),
            line: record.body.unwrap_or_default().to_text(),
            attributes: flat(record.attributes),
            labels: Pairs::new(),
            fields,
        }
    }
}

/// Attributes, one a leaf.
fn flat(attributes: Vec<KeyValue>) -> Vec<Attribute> {
    let mut leaves = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let key_bytes = attribute.key.len();
        flatten(attribute.key, key_bytes, attribute.value.unwrap_or_default(), &mut leaves);
    }
    leaves
}

/// A map becomes one leaf a value, their keys joined by `_`.
fn flatten(name: String, key_bytes: usize, value: AnyValue, leaves: &mut Vec<Attribute>) {
    match value {
        AnyValue { value: Some(message::Value::Map(map)) } => {
            for inner in map.values {
                flatten(format!("{name}_{}", inner.key), key_bytes, inner.value.unwrap_or_default(), leaves);
            }
        }
        value => leaves.push(Attribute { name, key_bytes, value: value.to_text() }),
    }
}

/// The bytes that a name may have.
const NAME_BYTES: [bool; 256] = {
    let mut all = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        all[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    all
};

/// A name as Prometheus allows it: everything but ASCII letters and digits becomes `_`, and it begins with a letter or `__`.
pub fn label_name(name: &str) -> Cow<'_, str> {
    let bytes = name.as_bytes();
    let begins_well = match bytes {
        [first, ..] if first.is_ascii_alphabetic() => true,
        [b'_', b'_', ..] | [] => true,
        _ => false,
    };
    if begins_well && bytes.iter().all(|b| NAME_BYTES[usize::from(*b)]) {
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
    fn print(logs: Logs, config: &str) -> String {
        let (config, defaults) = (serde_yaml_ng::from_str(config).expect("a configuration"), OtlpDefaults::default());
        let discover = ["k8s_job_name".to_owned(), "container_name".to_owned()];
        let logs = logs.map(&Mapping { config: &config, defaults: &defaults, discover_service_name: &discover });
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
        assert_eq!(print(Logs::decode_json(BODY.as_bytes()).expect("decodes"), "{}"), want);
    }

    #[test]
    fn a_tenant_may_want_it_otherwise() {
        let config = "
resource_attributes: {ignore_defaults: true, attributes_config: [{action: index_label, regex: host.*}]}
scope_attributes: [{action: drop, attributes: [s]}]
log_attributes: [{action: drop, attributes: [list]}, {action: index_label, attributes: [a]}]
severity_text_as_label: true";
        let want = r#"{host_name="h1"}
  Some(7) {"m":"t","n":3} | service_name=api scope_name=lib
  None AQI= | service_name=api scope_name=lib
  None  | service_name=api scope_name=lib
{a_b_c="1.5", host_name="h1", severity_text="ERROR"}
  Some(5) failed | observed_timestamp=6 severity_number=17 severity_text=ERROR flags=1 trace_id=0aff service_name=api scope_name=lib
"#;
        assert_eq!(print(Logs::decode_json(BODY.as_bytes()).expect("decodes"), config), want);
    }

    #[test]
    fn the_first_label_that_may_names_the_service() {
        let attribute = |key: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{key}"}}}}"#);
        let body = format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{},{}]}},"scopeLogs":[{{"logRecords":[{{}}]}}]}},{{"scopeLogs":[{{}}]}}]}}"#,
            attribute("container.name"),
            attribute("k8s.job.name")
        );
        let want = "{container_name=\"container.name\", k8s_job_name=\"k8s.job.name\", service_name=\"container.name\"}\n  None  | \n{}\n";
        assert_eq!(print(Logs::decode_json(body.as_bytes()).expect("decodes"), "{}"), want);
        assert_eq!(print(Logs::decode_json(br#"{"resourceLogs":[{"scopeLogs":[{}]}]}"#).expect("decodes"), "{}"), "");
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
        assert_eq!(print(Logs::decode_protobuf(&body).expect("decodes"), "{}"), want);
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
