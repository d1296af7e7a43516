//! JSON documents, as Elasticsearch's `_bulk` and VictoriaLogs' `jsonline` bring them, mapped to streams.
//!
//! In: a decompressed body and the names of the fields that matter. Out: a `PushRequest` that borrows from the body, and for each
//! document its place in it or why it has none: nothing is left out in silence. The fields named as stream fields are the labels,
//! the message is the line, the time is the time, everything else is structured metadata. A document without a message is itself
//! the line, and then has no metadata.

mod bulk;
mod flat;
mod time;

use std::borrow::Cow;
use std::collections::HashMap;

use model::Labels;

pub use bulk::{Item, answer, decode_bulk, refusal};

use crate::otlp::label_name;
use crate::push::{Budget, DecodeError, PushEntry, PushRequest, PushStream};

/// The fields that have a meaning. Of several names for one thing the first that a document has counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldNames {
    /// Names of the message.
    pub message: Vec<String>,
    /// Names of the time.
    pub time: Vec<String>,
    /// Names of what becomes labels.
    pub stream: Vec<String>,
    /// Names of what is left out; a star at the end stands for any ending.
    pub ignore: Vec<String>,
    /// Fields that every document gets.
    pub extra: Vec<(String, String)>,
    /// The label `job` of documents without any stream field.
    pub job: &'static str,
}

impl FieldNames {
    /// What holds if a client names nothing.
    pub fn new(job: &'static str) -> Self {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        FieldNames {
            message: names(&["_msg", "message", "log"]),
            time: names(&["_time", "@timestamp"]),
            stream: Vec::new(),
            ignore: Vec::new(),
            extra: Vec::new(),
            job,
        }
    }

    fn ignores(&self, name: &str) -> bool {
        self.ignore.iter().any(|ignored| match ignored.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == ignored,
        })
    }
}

/// Where a document went: its stream, and its entry there.
pub type Place = (usize, usize);

/// The documents of a body, a line each.
#[derive(Debug, Default)]
pub struct Lines<'a> {
    /// What can be stored.
    pub request: PushRequest<'a>,
    /// The other lines: their bytes, and a text that names the line.
    pub refused: Vec<(usize, String)>,
}

/// Reads JSON lines; empty lines are none.
pub fn decode_lines<'a>(body: &'a str, names: &FieldNames) -> Result<Lines<'a>, DecodeError> {
    let mut streams = Streams::new(names);
    let mut refused = Vec::new();
    for (number, line) in (1..).zip(body.split('\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if let Err(why) = streams.add(line)? {
            refused.push((line.len(), format!("line {number}: {why}")));
        }
    }
    Ok(Lines { request: streams.request, refused })
}

/// Sorts documents into streams.
struct Streams<'a, 'n> {
    names: &'n FieldNames,
    request: PushRequest<'a>,
    by_labels: HashMap<Labels, usize>,
    budget: Budget,
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'a, 'n> Streams<'a, 'n> {
    fn new(names: &'n FieldNames) -> Self {
        Streams { names, request: PushRequest::default(), by_labels: HashMap::new(), budget: Budget::new() }
    }

    /// Adds a document, or says why not. A body that unfolds too far ends with the outer error.
    fn add(&mut self, document: &'a str) -> Result<Result<Place, String>, DecodeError> {
        self.budget.take()?;
        let mut fields = match flat::fields(document, &mut self.budget) {
            Ok(fields) => fields,
            Err(flat::Refused::TooMany) => return Err(DecodeError::TooMany),
            Err(flat::Refused::Json(why)) => return Ok(Err(why)),
        };
        let timestamp_ns = match self.take_first(&mut fields, &self.names.time) {
            Some(text) => match time::parse(&text) {
                Ok(time) => time,
                Err(why) => return Ok(Err(why)),
            },
            None => None,
        };
        let message = self.take_first(&mut fields, &self.names.message);
        fields.retain(|(name, _)| !self.names.ignores(name));
        for (name, value) in &self.names.extra {
            self.budget.take()?;
            fields.push((Cow::Owned(name.clone()), Cow::Owned(value.clone())));
        }
        let (labels, others) = self.labels(fields);
        let index = self.stream(labels);
        let Some(stream) = self.request.streams.get_mut(index) else { return Ok(Err(String::new())) };
        let start = stream.metadata.len();
        let line = match message {
            Some(message) => {
                stream.metadata.extend(others);
                message
            }
            None => Cow::Borrowed(document),
        };
        let metadata = start..stream.metadata.len();
        stream.entries.push(PushEntry { timestamp_ns, line, metadata });
        Ok(Ok((index, stream.entries.len() - 1)))
    }

    /// Takes out the value of the first of these names that has one.
    fn take_first(&self, fields: &mut Vec<Pair<'a>>, names: &[String]) -> Option<Cow<'a, str>> {
        let place = names.iter().find_map(|name| fields.iter().position(|(field, _)| field == name))?;
        Some(fields.remove(place).1)
    }

    /// The labels among the fields, and the other fields.
    fn labels(&self, fields: Vec<Pair<'a>>) -> (Labels, Vec<Pair<'a>>) {
        let is_label = |(name, _): &Pair<'a>| self.names.stream.iter().any(|wanted| wanted == name);
        let (labels, others): (Vec<_>, Vec<_>) = fields.into_iter().partition(is_label);
        if labels.is_empty() {
            return ([("job", self.names.job)].into_iter().collect(), others);
        }
        let pair =
            |(name, value): &Pair<'a>| -> (Box<str>, Box<str>) { ((&*label_name(name)).into(), (&**value).into()) };
        (labels.iter().map(pair).collect(), others)
    }

    /// The place of the stream with these labels.
    fn stream(&mut self, labels: Labels) -> usize {
        if let Some(index) = self.by_labels.get(&labels) {
            return *index;
        }
        let index = self.request.streams.len();
        self.request.streams.push(PushStream { labels: labels.clone(), ..PushStream::default() });
        self.by_labels.insert(labels, index);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(stream: &str) -> FieldNames {
        FieldNames { stream: stream.split(',').map(str::to_owned).collect(), ..FieldNames::new("jsonline") }
    }

    /// What a line becomes: labels, time, line and metadata; or why it is refused.
    fn print(line: &str, names: &FieldNames) -> String {
        let lines = decode_lines(line, names).expect("not too much");
        let mut out: Vec<String> = lines.refused.iter().map(|(bytes, why)| format!("{bytes} {why}")).collect();
        for stream in &lines.request.streams {
            for entry in &stream.entries {
                let metadata: Vec<String> = stream.metadata_of(entry).iter().map(|(n, v)| format!("{n}={v}")).collect();
                let (time, line) = (entry.timestamp_ns, &entry.line);
                out.push(format!("{} {time:?} {line} | {}", stream.labels, metadata.join(" ")));
            }
        }
        out.join("\n")
    }

    #[test]
    fn documents_become_entries() {
        let check = |line: &str, want: &str| assert_eq!(print(line, &names("host.name,app")), want, "{line}");
        check(
            r#"{"_msg":"hi","_time":"1","host":{"name":"h","ip":["a",1]},"n":1.50,"t":true,"no":null,"e":""}"#,
            r#"{host_name="h"} Some(1000000000) hi | host.ip=["a",1] n=1.50 t=true"#,
        );
        check(
            r#"{"message":"x\ny","@timestamp":"1970-01-01T00:00:02Z"}"#,
            "{job=\"jsonline\"} Some(2000000000) x\ny | ",
        );
        // The first name that the document has.
        check(r#"{"log":"l","message":"m","app":"a"}"#, r#"{app="a"} None m | log=l"#);
        // Without a message the document is the line.
        check(r#" {"a": 1, "app":"a","_time":0} "#, r#"{app="a"} None {"a": 1, "app":"a","_time":0} | "#);
        check("\n\n", "");
        check("{\"_msg\":\"1\"}\r\n{\"_msg\":\"2\"}", "{job=\"jsonline\"} None 1 | \n{job=\"jsonline\"} None 2 | ");
    }

    #[test]
    fn lines_that_are_no_documents_are_named() {
        let check = |line: &str, want: &str| {
            let told = print(line, &names(""));
            assert!(told.starts_with(want), "{line}: {told}");
        };
        check("{}\n[1]", "3 line 2: invalid type");
        check("{\"a\":1", "6 line 1: EOF while parsing");
        check("{\"a\":1} x", "9 line 1: trailing characters");
        check("5", "1 line 1: invalid type");
        check("{\"_time\":\"yesterday\"}", "21 line 1: cannot parse timestamp \"yesterday\"");
    }

    #[test]
    fn fields_may_be_ignored_and_added() {
        let names = FieldNames {
            ignore: vec!["a".into(), "log.*".into()],
            extra: vec![("env".into(), "prod".into())],
            ..names("env")
        };
        let line = r#"{"_msg":"m","a":1,"ab":2,"log":{"offset":3}}"#;
        assert_eq!(print(line, &names), r#"{env="prod"} None m | ab=2"#);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_stored_or_named(line in r#"[{}\[\]",:a0\\ ]{0,30}"#) {
            let lines = decode_lines(&line, &FieldNames::new("x")).expect("not too much");
            let entries: usize = lines.request.streams.iter().map(|stream| stream.entries.len()).sum();
            proptest::prop_assert_eq!(entries + lines.refused.len(), usize::from(!line.trim_ascii().is_empty()));
        }
    }
}
