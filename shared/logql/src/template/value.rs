//! What a template computes with: Go's basic values, times, and what JSON brings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::Context;
use super::time::{self, Time};

/// A value; text is borrowed from the entry or the template where it can be.
#[derive(Debug, Clone)]
pub(super) enum Value<'r> {
    /// Nothing: a missing key of a JSON object, or `nil`.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'r, str>),
    Time(Time),
    /// Nanoseconds.
    Duration(i64),
    /// Counted from 1.
    Month(i64),
    /// Counted from Sunday, 0.
    Weekday(i64),
    List(Rc<Vec<Value<'r>>>),
    Map(Rc<BTreeMap<String, Value<'r>>>),
    /// The entry's labels: the dot that a template starts with.
    Labels(Entry<'r>),
}

/// The entry, looked at only where a template asks.
#[derive(Clone, Copy)]
pub(super) struct Entry<'r>(pub(super) &'r dyn Context);

impl Entry<'_> {
    /// All labels by name.
    pub(super) fn labels(&self) -> BTreeMap<String, Value<'static>> {
        let mut all = BTreeMap::new();
        self.0.each_label(&mut |name, value| {
            all.insert(name.to_owned(), Value::text(value.to_owned()));
        });
        all
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.labels()).finish()
    }
}

impl<'r> Value<'r> {
    pub(super) fn text(text: impl Into<Cow<'r, str>>) -> Self {
        Value::Text(text.into())
    }

    /// From JSON; numbers become floats, as in Go.
    pub(super) fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Value::text(text),
            serde_json::Value::Array(items) => Value::List(Rc::new(items.into_iter().map(Value::from_json).collect())),
            serde_json::Value::Object(fields) => {
                Value::Map(Rc::new(fields.into_iter().map(|(name, value)| (name, Value::from_json(value))).collect()))
            }
        }
    }

    /// What `if`, `and`, `not` take for true: anything but nothing, zero and empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Duration(value) | Value::Month(value) | Value::Weekday(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Time(_) => true,
            Value::List(items) => !items.is_empty(),
            Value::Map(fields) => !fields.is_empty(),
            Value::Labels(entry) => !entry.labels().is_empty(),
        }
    }

    /// Go's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::Month(_) => "time.Month",
            Value::Weekday(_) => "time.Weekday",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
            Value::Labels(_) => "map[string]string",
        }
    }

    /// The whole number behind any kind of integer.
    pub(super) fn whole(&self) -> Option<i64> {
        match self {
            Value::Int(value) | Value::Duration(value) | Value::Month(value) | Value::Weekday(value) => Some(*value),
            _ => None,
        }
    }

    /// As an action prints it.
    pub(super) fn print(&self, out: &mut String) {
        match self {
            Value::Nil => out.push_str("<no value>"),
            _ => self.print_inside(out),
        }
    }

    /// As `%v` prints it, where nothing is `<nil>`.
    pub(super) fn print_inside(&self, out: &mut String) {
        match self {
            Value::Nil => out.push_str("<nil>"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Float(value) => out.push_str(&super::printf::shortest(*value, 'g')),
            Value::Text(text) => out.push_str(text),
            Value::Time(time) => out.push_str(&time.to_string()),
            Value::Duration(nanos) => out.push_str(&time::duration_text(*nanos)),
            Value::Month(month) => out.push_str(time::month_name(*month)),
            Value::Weekday(day) => out.push_str(time::weekday_name(*day)),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { " " });
                    item.print_inside(out);
                }
                out.push(']');
            }
            Value::Map(fields) => print_map(out, fields.iter().map(|(name, value)| (name.as_str(), value))),
            Value::Labels(entry) => print_map(out, entry.labels().iter().map(|(name, value)| (name.as_str(), value))),
        }
    }
}

fn print_map<'v, 'r: 'v>(out: &mut String, fields: impl Iterator<Item = (&'v str, &'v Value<'r>)>) {
    out.push_str("map[");
    for (i, (name, value)) in fields.enumerate() {
        out.push_str(if i == 0 { "" } else { " " });
        out.push_str(name);
        out.push(':');
        value.print_inside(out);
    }
    out.push(']');
}

/// Bytes as text; each byte that is no UTF-8 becomes U+FFFD, as where Go writes JSON.
pub(super) fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let bytes = error.into_bytes();
        let mut text = String::with_capacity(bytes.len() + 8);
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|_| text.push('\u{fffd}'));
        }
        text
    })
}

/// Go's `%#U`: `U+0025 '%'`.
pub(super) fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}
