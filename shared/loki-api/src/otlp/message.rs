//! The messages of OTLP logs, as far as they are kept: protobuf by field number, JSON by name.
//!
//! Only data and its two codecs. Numbers may be strings in JSON, ids are hexadecimal there, unknown fields are skipped.
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{Record, Resource as FlatResource, Scope as FlatScope};

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "4")]
    #[serde(deserialize_with = "number")]
    pub(super) dropped_attributes_count: u32,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LogRecord {
    #[prost(fixed64, tag = "1")]
    #[serde(deserialize_with = "number")]
    pub(super) time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "number")]
    pub(super) severity_number: i32,
    #[prost(string, tag = "3")]
    pub(super) severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub(super) body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "7")]
    #[serde(deserialize_with = "number")]
    pub(super) dropped_attributes_count: u32,
    #[prost(fixed32, tag = "8")]
    #[serde(deserialize_with = "number")]
    pub(super) flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    #[serde(deserialize_with = "hex")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    #[serde(deserialize_with = "hex")]
    pub(super) span_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    #[serde(deserialize_with = "number")]
    pub(super) observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    pub(super) event_name: String,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(from = "JsonValue")]
pub(super) struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Value {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(Array),
    #[prost(message, tag = "6")]
    Map(Map),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
pub(super) struct Array {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
pub(super) struct Map {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<KeyValue>,
}

/// `google.rpc.Status`, of which clients read the message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

impl AnyValue {
    /// The value as a line or a label: strings as they are, everything composite as JSON.
    pub(super) fn to_text(&self) -> String {
        match &self.value {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bytes(bytes)) => STANDARD.encode(bytes),
            // Go escapes what could end a script element; the text is a label, so it has to be the same.
            Some(_) => {
                self.to_json().to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
            }
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match &self.value {
            None => serde_json::Value::Null,
            Some(Value::String(text)) => text.as_str().into(),
            Some(Value::Bool(flag)) => (*flag).into(),
            Some(Value::Int(number)) => (*number).into(),
            // 3.0 is 3, as Go prints it.
            Some(Value::Double(number)) if number.fract() == 0.0 && number.abs() < 1e15 => (*number as i64).into(),
            Some(Value::Double(number)) => (*number).into(),
            Some(Value::Array(array)) => array.values.iter().map(AnyValue::to_json).collect(),
            Some(Value::Map(map)) => {
                let value = |pair: &KeyValue| pair.value.as_ref().map_or(serde_json::Value::Null, AnyValue::to_json);
                map.values.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
            }
            Some(Value::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        }
    }
}

/// A request in JSON. Each record is flattened as soon as it is read.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct JsonRequest {
    pub(super) resource_logs: Vec<FlatResource>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct JsonResourceLogs {
    resource: Resource,
    scope_logs: Vec<FlatScope>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct JsonScopeLogs {
    scope: Scope,
    log_records: Vec<Record>,
}

impl<'de> Deserialize<'de> for FlatResource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let logs = JsonResourceLogs::deserialize(deserializer)?;
        let attributes = super::flat(logs.resource.attributes);
        Ok(FlatResource { attributes, labels: Vec::new(), scopes: logs.scope_logs })
    }
}

impl<'de> Deserialize<'de> for FlatScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let logs = JsonScopeLogs::deserialize(deserializer)?;
        let (attributes, fields) = super::scope_pairs(logs.scope);
        Ok(FlatScope { attributes, fields, records: logs.log_records })
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LogRecord::deserialize(deserializer).map(Record::from)
    }
}

/// A value in JSON: an object with one of these keys.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct JsonValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Number>,
    double_value: Option<f64>,
    array_value: Option<Array>,
    kvlist_value: Option<Map>,
    bytes_value: Option<String>,
}

impl From<JsonValue> for AnyValue {
    fn from(json: JsonValue) -> Self {
        let bytes = |text: String| STANDARD.decode(&text).map_or(Value::String(text), Value::Bytes);
        let value = json.string_value.map(Value::String);
        let value = value.or(json.bool_value.map(Value::Bool));
        let value = value.or(json.int_value.and_then(|number| i64::try_from(number.0).ok()).map(Value::Int));
        let value = value.or(json.double_value.map(Value::Double));
        let value = value.or(json.array_value.map(Value::Array));
        let value = value.or(json.kvlist_value.map(Value::Map));
        AnyValue { value: value.or(json.bytes_value.map(bytes)) }
    }
}

/// An integer that JSON may write as a string.
struct Number(i128);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Signed(i64),
            Unsigned(u64),
            Text(String),
        }
        match Given::deserialize(deserializer).map_err(|_| D::Error::custom("expected an integer"))? {
            Given::Signed(number) => Ok(Number(number.into())),
            Given::Unsigned(number) => Ok(Number(number.into())),
            Given::Text(text) => text.parse().map(Number).map_err(|_| D::Error::custom("expected an integer")),
        }
    }
}

fn number<'de, D: Deserializer<'de>, N: TryFrom<i128>>(deserializer: D) -> Result<N, D::Error> {
    N::try_from(Number::deserialize(deserializer)?.0).map_err(|_| D::Error::custom("number out of range"))
}

fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err(D::Error::custom("expected hexadecimal digits")),
    }
}
