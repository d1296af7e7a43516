//! The first JSON push format, still spoken to `/api/prom/push`:
//! `{"streams":[{"labels":"{app=\"api\"}","entries":[{"ts":"2026-11-20T10:00:00Z","line":"x"}]}]}`.
//!
//! In: the body. Out: streams, as from every other format.

use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::{Pairs, Text, array_seed, object_seed, read, take};
use super::labels::parse_labels;
use super::{Budget, DecodeError, PushEntry, PushRequest, PushStream};

/// Decodes a push of the first JSON format.
pub fn decode_legacy_json(body: &[u8]) -> Result<PushRequest<'_>, DecodeError> {
    let mut streams: Vec<(String, PushStream<'_>)> = Vec::new();
    read(body, Request { streams: &mut streams, budget: &mut Budget::new() })?;
    let mut request = PushRequest::default();
    for (text, mut stream) in streams {
        let parsed = parse_labels(&text)?;
        (stream.labels, stream.duplicate_label) = (parsed.labels, parsed.duplicate);
        request.streams.push(stream);
    }
    Ok(request)
}

struct Request<'r, 'a> {
    streams: &'r mut Vec<(String, PushStream<'a>)>,
    budget: &'r mut Budget,
}

struct Streams<'r, 'a> {
    streams: &'r mut Vec<(String, PushStream<'a>)>,
    budget: &'r mut Budget,
}

struct Stream<'r, 'a> {
    stream: &'r mut (String, PushStream<'a>),
    budget: &'r mut Budget,
}

struct Entries<'r, 'a> {
    stream: &'r mut PushStream<'a>,
    budget: &'r mut Budget,
}

struct Entry<'r, 'a> {
    stream: &'r mut PushStream<'a>,
    entry: &'r mut PushEntry<'a>,
    budget: &'r mut Budget,
}

object_seed!(Request, "a push request", |this, key, map| {
    match &*key {
        "streams" => map.next_value_seed(Streams { streams: &mut *this.streams, budget: &mut *this.budget })?,
        _ => drop(map.next_value::<IgnoredAny>()?),
    }
});

array_seed!(Streams, "an array of streams", |this, seq| {
    loop {
        let mut stream = (String::new(), PushStream::default());
        if seq.next_element_seed(Stream { stream: &mut stream, budget: &mut *this.budget })?.is_none() {
            return Ok(());
        }
        take(this.budget)?;
        this.streams.push(stream);
    }
});

object_seed!(Stream, "a stream", |this, key, map| {
    match &*key {
        "labels" => this.stream.0 = map.next_value_seed(Text)?.into_owned(),
        "entries" => map.next_value_seed(Entries { stream: &mut this.stream.1, budget: &mut *this.budget })?,
        _ => drop(map.next_value::<IgnoredAny>()?),
    }
});

array_seed!(Entries, "an array of entries", |this, seq| {
    loop {
        let start = this.stream.metadata.len();
        let mut entry = PushEntry { metadata: start..start, ..PushEntry::default() };
        let seed = Entry { stream: &mut *this.stream, entry: &mut entry, budget: &mut *this.budget };
        if seq.next_element_seed(seed)?.is_none() {
            return Ok(());
        }
        if entry.timestamp_ns.is_none() {
            return Err(A::Error::missing_field("ts"));
        }
        take(this.budget)?;
        entry.metadata.end = this.stream.metadata.len();
        this.stream.entries.push(entry);
    }
});

object_seed!(Entry, "an entry", |this, key, map| {
    match &*key {
        "ts" | "timestamp" => {
            let text = map.next_value_seed(Text)?;
            let time = text.parse::<Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
            let refused = || A::Error::custom(format_args!("timestamp {} is not of RFC 3339", model::quote(&text)));
            this.entry.timestamp_ns = Some(time.ok_or_else(refused)?);
        }
        "line" => this.entry.line = map.next_value_seed(Text)?,
        "structuredMetadata" => {
            map.next_value_seed(Pairs { pairs: &mut this.stream.metadata, budget: &mut *this.budget })?;
        }
        _ => drop(map.next_value::<IgnoredAny>()?),
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_format() {
        let body = br#"{"streams":[{"labels":"{app=\"api\"}","entries":[{"ts":"1970-01-01T00:00:01.5Z","line":"x"},{"line":"y","ts":"1970-01-01T01:00:00+01:00"}]}]}"#;
        let request = decode_legacy_json(body).expect("decodes");
        let stream = &request.streams[0];
        assert_eq!(stream.labels.to_string(), r#"{app="api"}"#);
        let entries: Vec<_> = stream.entries.iter().map(|e| (e.timestamp_ns, &*e.line)).collect();
        assert_eq!(entries, [(Some(1_500_000_000), "x"), (Some(0), "y")]);
    }

    #[test]
    fn refused() {
        for bad in [
            "",
            "{\"streams\":[{}]}",
            r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"line":"x"}]}]}"#,
            r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"x"}]}]}"#,
        ] {
            assert!(decode_legacy_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
