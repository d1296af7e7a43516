//! JSON pushes: `{"streams":[{"stream":{"app":"api"},"values":[["<ns>","line",{"trace_id":"x"}]]}]}`.
//!
//! In: the body. Out: streams; lines without escapes borrow from the body. Read in one pass, no tree is built. Keys that
//! nobody knows are skipped; a time that is not a string of digits, or metadata that is not flat, refuses the push.

use std::borrow::Cow;
use std::fmt;

use model::Labels;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::labels::{is_label_name, parse_labels};
use super::{Budget, DecodeError, PushEntry, PushRequest, PushStream, text};

/// Decodes a JSON push. Bytes behind the first JSON value are not looked at, as in Loki.
pub fn decode_json(body: &[u8]) -> Result<PushRequest<'_>, DecodeError> {
    let mut request = PushRequest::default();
    let into = Request { streams: &mut request.streams, budget: &mut Budget::new() };
    read(body, into)?;
    for stream in &request.streams {
        check_names(&stream.labels)?;
    }
    Ok(request)
}

/// Reads one JSON value into a seed; an empty body is told as Loki tells it.
pub(super) fn read<'a, S: DeserializeSeed<'a>>(body: &'a [u8], seed: S) -> Result<S::Value, DecodeError> {
    if body.trim_ascii().is_empty() {
        return Err(DecodeError::Empty);
    }
    seed.deserialize(&mut serde_json::Deserializer::from_slice(body)).map_err(|e| match e.to_string() {
        why if why.starts_with(TOO_MANY) => DecodeError::TooMany,
        why => DecodeError::Json(why),
    })
}

const TOO_MANY: &str = "too many items";

/// Refuses names that a label string could not hold, with the error that parsing that string gives.
fn check_names(labels: &Labels) -> Result<(), DecodeError> {
    if labels.iter().all(|(name, _)| is_label_name(name)) {
        return Ok(());
    }
    parse_labels(&labels.to_string())?;
    Err(DecodeError::Json("a label name is empty".to_owned()))
}

/// Implements a seed that reads one JSON object, key by key.
macro_rules! object_seed {
    ($name:ident, $expecting:literal, |$this:ident, $key:ident, $map:ident| $body:block) => {
        impl<'de> DeserializeSeed<'de> for $name<'_, 'de> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_map(self)
            }
        }
        impl<'de> Visitor<'de> for $name<'_, 'de> {
            type Value = ();
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<(), A::Error> {
                let $this = self;
                while let Some(key) = $map.next_key_seed(Text)? {
                    let $key = key;
                    $body
                }
                Ok(())
            }
        }
    };
}

/// Implements a seed that reads one JSON array, item by item.
macro_rules! array_seed {
    ($name:ident, $expecting:literal, |$this:ident, $seq:ident| $body:block) => {
        impl<'de> DeserializeSeed<'de> for $name<'_, 'de> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_seq(self)
            }
        }
        impl<'de> Visitor<'de> for $name<'_, 'de> {
            type Value = ();
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut $seq: A) -> Result<(), A::Error> {
                let $this = self;
                $body
            }
        }
    };
}
pub(super) use {array_seed, object_seed};

struct Request<'r, 'a> {
    streams: &'r mut Vec<PushStream<'a>>,
    budget: &'r mut Budget,
}

struct Streams<'r, 'a> {
    streams: &'r mut Vec<PushStream<'a>>,
    budget: &'r mut Budget,
}

struct Stream<'r, 'a> {
    stream: &'r mut PushStream<'a>,
    budget: &'r mut Budget,
}

struct Values<'r, 'a> {
    stream: &'r mut PushStream<'a>,
    budget: &'r mut Budget,
}

struct Value<'r, 'a> {
    stream: &'r mut PushStream<'a>,
    budget: &'r mut Budget,
}

/// Pairs of a flat object of strings.
pub(super) struct Pairs<'r, 'a> {
    pub(super) pairs: &'r mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) budget: &'r mut Budget,
}

object_seed!(Request, "a push request", |this, key, map| {
    match &*key {
        "streams" => map.next_value_seed(Streams { streams: &mut *this.streams, budget: &mut *this.budget })?,
        _ => drop(map.next_value::<IgnoredAny>()?),
    }
});

array_seed!(Streams, "an array of streams", |this, seq| {
    loop {
        let mut stream = PushStream::default();
        if seq.next_element_seed(Stream { stream: &mut stream, budget: &mut *this.budget })?.is_none() {
            return Ok(());
        }
        take(this.budget)?;
        this.streams.push(stream);
    }
});

object_seed!(Stream, "a stream", |this, key, map| {
    match &*key {
        "stream" => {
            let mut pairs = Vec::new();
            map.next_value_seed(Pairs { pairs: &mut pairs, budget: &mut *this.budget })?;
            // Of a name given twice the last value counts, empty or not; then the empty ones go.
            let all: Labels = pairs.into_iter().collect();
            let empty = all.iter().any(|(_, value)| value.is_empty());
            this.stream.labels = if empty { all.iter().filter(|(_, value)| !value.is_empty()).collect() } else { all };
        }
        "values" => map.next_value_seed(Values { stream: &mut *this.stream, budget: &mut *this.budget })?,
        _ => drop(map.next_value::<IgnoredAny>()?),
    }
});

array_seed!(Values, "an array of entries", |this, seq| {
    while seq.next_element_seed(Value { stream: &mut *this.stream, budget: &mut *this.budget })?.is_some() {
        take(this.budget)?;
    }
    Ok(())
});

array_seed!(Value, "an entry: [\"<nanoseconds>\", \"<line>\", {<metadata>}]", |this, seq| {
    let short = |n: usize| A::Error::invalid_length(n, &"an entry of time and line");
    let time = seq.next_element_seed(Text)?.ok_or_else(|| short(0))?;
    let timestamp_ns: i64 = time.parse().map_err(|_| {
        A::Error::custom(format_args!("timestamp {} is not a number of nanoseconds", model::quote(&time)))
    })?;
    let line = seq.next_element_seed(Text)?.ok_or_else(|| short(1))?;
    let start = this.stream.metadata.len();
    let pairs = Pairs { pairs: &mut this.stream.metadata, budget: &mut *this.budget };
    if seq.next_element_seed(pairs)?.is_some() {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
    }
    let metadata = start..this.stream.metadata.len();
    this.stream.entries.push(PushEntry { timestamp_ns: Some(timestamp_ns), line, metadata });
    Ok(())
});

object_seed!(Pairs, "a flat object of strings", |this, key, map| {
    take(this.budget)?;
    let value = map.next_value_seed(Text)?;
    this.pairs.push((key, value));
});

pub(super) fn take<E: serde::de::Error>(budget: &mut Budget) -> Result<(), E> {
    budget.take().map_err(|_| E::custom(TOO_MANY))
}

/// A JSON string, borrowed unless it has escapes. Read as bytes, so that a lone surrogate or invalid UTF-8 costs one
/// character and not the push.
pub(crate) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Cow<'de, str>, E> {
        Ok(text(bytes))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text(bytes).into_owned()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_borrow_from_the_body() {
        let body = br#"{"x":[1,{}],"streams":[{"values":[["1","plain"],["2","a\n\"b\"",{"k":"v","n":""}, 5]],"stream":{"b":"2","a":"1","e":""}}]} trailing"#;
        let request = decode_json(body).expect("decodes");
        let stream = &request.streams[0];
        assert_eq!(stream.labels.to_string(), r#"{a="1", b="2"}"#);
        assert!(matches!(stream.entries[0].line, Cow::Borrowed("plain")));
        assert_eq!((stream.entries[1].timestamp_ns, &*stream.entries[1].line), (Some(2), "a\n\"b\""));
        assert_eq!(stream.metadata_of(&stream.entries[1]), [("k".into(), "v".into()), ("n".into(), "".into())]);
        assert!(stream.metadata_of(&stream.entries[0]).is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let body = b"{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\xffy\"],[\"2\",\"\\ud800z\"]]}]}";
        let request = decode_json(body).expect("decodes");
        assert_eq!(request.streams[0].entries[0].line, "x\u{fffd}y");
        assert!(request.streams[0].entries[1].line.ends_with('z'));
    }

    #[test]
    fn refused() {
        let check = |body: &str, want: &str| {
            let error = decode_json(body.as_bytes()).expect_err(body).to_string();
            assert!(error.contains(want), "{body}: {error}");
        };
        check("", "EOF");
        check(r#"{"streams": ["#, "EOF while parsing");
        check(r#"{"streams":[{"stream":{"a":"b"},"values":[["x","line"]]}]}"#, r#"timestamp "x" is not a number"#);
        check(r#"{"streams":[{"stream":{"a":"b"},"values":[[1,"line"]]}]}"#, "expected a string");
        check(r#"{"streams":[{"stream":{"a":"b"},"values":[["1",5]]}]}"#, "expected a string");
        check(r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x",{"n":1}]]}]}"#, "expected a string");
        check(r#"{"streams":[{"stream":{"a":"b"},"values":[["1","x",{"n":{}}]]}]}"#, "expected a string");
        check(r#"{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}"#, "invalid length 1");
        check(
            r#"{"streams":[{"stream":{"bad-name":"x"}}]}"#,
            "couldn't parse labels: 1:5: parse error: unexpected character inside braces: '-'",
        );
        check(
            r#"{"streams":[{"stream":{"1a":"x","b":"y"}}]}"#,
            "couldn't parse labels: 1:2: parse error: unexpected character inside braces: '1'",
        );
        check(r#"{"streams":[{"stream":{"":"x"}}]}"#, "couldn't parse labels: 1:2");
        check("[]", "expected a push request");
        assert!(decode_json(format!("{{\"x\":{}", "[".repeat(100_000)).as_bytes()).is_err());
    }
}
