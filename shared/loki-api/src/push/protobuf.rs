//! Protobuf pushes, in snappy's block format: what Promtail, Alloy, Vector and our collector send.
//!
//! In: the body. Out: streams whose text borrows from it. The messages are read by hand, field by field, because a derived
//! message would copy every string and refuse a push for one byte that is not UTF-8. Field numbers:
//! `PushRequest{1: streams}`, `Stream{1: labels, 2: entries}`, `Entry{1: time{1: seconds, 2: nanos}, 2: line, 3: metadata}`,
//! `Pair{1: name, 2: value}`.

use std::borrow::Cow;

use model::Stream;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::encode::{encode_entry, encode_stream};
use super::known::KnownLabels;
use super::{Budget, DecodeError, PushEntry, PushRequest, PushStream, text};

/// Nanoseconds in a second.
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// For how many bytes of a stream's body room for an entry and for a metadata pair is made beforehand.
const ENTRY_BYTES_USUAL: usize = 256;
const PAIR_BYTES_USUAL: usize = 64;

/// Undoes snappy's block format, refusing what would grow beyond `bytes_max`.
pub fn unsnap(body: &[u8], bytes_max: u64) -> Result<Vec<u8>, DecodeError> {
    let size = snap::raw::decompress_len(body).map_err(|_| DecodeError::Snappy)? as u64;
    if size > bytes_max {
        return Err(DecodeError::TooLarge { size, max: bytes_max });
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(|_| DecodeError::Snappy)
}

/// Decodes a push that was undone by `unsnap`.
pub fn decode_protobuf(body: &[u8]) -> Result<PushRequest<'_>, DecodeError> {
    decode_known_protobuf(body, &KnownLabels::default())
}

/// [`decode_protobuf`] for who decodes many pushes of the same clients.
pub fn decode_known_protobuf<'a>(body: &'a [u8], known: &KnownLabels) -> Result<PushRequest<'a>, DecodeError> {
    let mut request = PushRequest::default();
    let mut budget = Budget::new();
    fields(body, |number, field| {
        if number == 1 {
            budget.take()?;
            request.streams.push(stream(field.bytes()?, known, &mut budget)?);
        }
        Ok(())
    })?;
    Ok(request)
}

fn stream<'a>(body: &'a [u8], known: &KnownLabels, budget: &mut Budget) -> Result<PushStream<'a>, DecodeError> {
    let mut stream = PushStream {
        entries: Vec::with_capacity(body.len() / ENTRY_BYTES_USUAL),
        metadata: Vec::with_capacity(body.len() / PAIR_BYTES_USUAL),
        ..PushStream::default()
    };
    let mut label_text = Cow::Borrowed("");
    fields(body, |number, field| {
        match number {
            1 => label_text = text(field.bytes()?),
            2 => {
                budget.take()?;
                let entry = entry(field.bytes()?, &mut stream.metadata, budget)?;
                stream.entries.push(entry);
            }
            _ => {}
        }
        Ok(())
    })?;
    let parsed = known.parse(&label_text)?;
    (stream.labels, stream.duplicate_label) = (parsed.labels, parsed.duplicate);
    Ok(stream)
}

fn entry<'a>(
    body: &'a [u8],
    metadata: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
    budget: &mut Budget,
) -> Result<PushEntry<'a>, DecodeError> {
    let start = metadata.len();
    let mut entry = PushEntry { timestamp_ns: Some(0), ..PushEntry::default() };
    let (mut rest, mut tried) = (body, false);
    while !rest.is_empty() {
        // Tried once an entry, or a long one would be read again and again.
        if rest.first() == Some(&PAIR_KEY) && !std::mem::replace(&mut tried, true) {
            if plain_pairs(rest, metadata, budget)? {
                break;
            }
            metadata.truncate(start);
        }
        match next_field(&mut rest)? {
            (1, field) => entry.timestamp_ns = Some(timestamp(field.bytes()?)?),
            (2, field) => entry.line = text(field.bytes()?),
            (3, field) => {
                budget.take()?;
                metadata.push(pair(field.bytes()?)?);
            }
            _ => {}
        }
    }
    entry.metadata = start..metadata.len();
    Ok(entry)
}
/// The keys of a pair in an entry, and of its name and value.
const PAIR_KEY: u8 = 3 << 3 | 2;
const NAME_KEY: u8 = 1 << 3 | 2;
const VALUE_KEY: u8 = 2 << 3 | 2;

/// Reads the rest of an entry as pairs that are short, whole and in order, as nearly all are. Then every byte between the
/// texts is ASCII, so that they are checked all at once. `false`: they have to be read one by one.
fn plain_pairs<'a>(
    body: &'a [u8],
    metadata: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
    budget: &mut Budget,
) -> Result<bool, DecodeError> {
    let Ok(mut rest) = std::str::from_utf8(body) else { return Ok(false) };
    let mut pairs = 0;
    while !rest.is_empty() {
        let Some((name, value, behind)) = plain_pair(rest) else {
            budget.put_back(pairs);
            return Ok(false);
        };
        budget.take()?;
        pairs += 1;
        metadata.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        rest = behind;
    }
    Ok(true)
}

/// Name and value of the pair at the head, and what is behind it.
fn plain_pair(text: &str) -> Option<(&str, &str, &str)> {
    let &[PAIR_KEY, length, NAME_KEY, name_length, ..] = text.as_bytes() else { return None };
    let name_end = 4 + usize::from(name_length);
    let (name, behind) = (text.get(4..name_end)?, text.get(name_end..)?);
    let &[VALUE_KEY, value_length, ..] = behind.as_bytes() else { return None };
    let value_end = 2 + usize::from(value_length);
    let is_whole = usize::from(length) == name_end - 2 + value_end && length < 0x80;
    is_whole.then_some((name, behind.get(2..value_end)?, behind.get(value_end..)?))
}

/// Seconds and nanoseconds; beyond what 64 bits of nanoseconds hold, the nearest they do.
fn timestamp(body: &[u8]) -> Result<i64, DecodeError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    fields(body, |number, field| {
        match number {
            1 => seconds = field.varint()? as i64,
            // An int32: its sign was extended on the wire.
            2 => nanos = i64::from(field.varint()? as i32),
            _ => {}
        }
        Ok(())
    })?;
    Ok(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos))
}

fn pair(body: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), DecodeError> {
    let mut pair = (Cow::Borrowed(""), Cow::Borrowed(""));
    fields(body, |number, field| {
        match number {
            1 => pair.0 = text(field.bytes()?),
            2 => pair.1 = text(field.bytes()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(pair)
}

/// A field's value, as far as its wire type tells.
pub(crate) enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Protobuf("wrong wire type, expected bytes".to_owned())),
        }
    }

    fn varint(&self) -> Result<u64, DecodeError> {
        match self {
            Field::Varint(number) => Ok(*number),
            _ => Err(DecodeError::Protobuf("wrong wire type, expected a number".to_owned())),
        }
    }
}

/// Walks over the fields of a message; unknown ones reach `each` too, and may be ignored.
pub(crate) fn fields<'a>(
    mut body: &'a [u8],
    mut each: impl FnMut(u32, Field<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while !body.is_empty() {
        let (number, field) = next_field(&mut body)?;
        each(number, field)?;
    }
    Ok(())
}

/// Takes the field at the head of a message that is not empty.
#[inline]
fn next_field<'a>(body: &mut &'a [u8]) -> Result<(u32, Field<'a>), DecodeError> {
    if let Some((number, bytes, rest)) = short_field(body) {
        *body = rest;
        return Ok((number, Field::Bytes(bytes)));
    }
    any_field(body)
}

fn any_field<'a>(body: &mut &'a [u8]) -> Result<(u32, Field<'a>), DecodeError> {
    let refused = |e: prost::DecodeError| DecodeError::Protobuf(e.to_string());
    let (number, wire_type) = decode_key(body).map_err(refused)?;
    let field = match wire_type {
        WireType::Varint => Field::Varint(decode_varint(body).map_err(refused)?),
        WireType::LengthDelimited => {
            let length = decode_varint(body).map_err(refused)?;
            let cut = usize::try_from(length).ok().and_then(|length| body.split_at_checked(length));
            let (bytes, rest) = cut.ok_or_else(|| DecodeError::Protobuf("unexpected EOF".to_owned()))?;
            *body = rest;
            Field::Bytes(bytes)
        }
        _ => {
            skip_field(wire_type, number, body, DecodeContext::default()).map_err(refused)?;
            Field::Other
        }
    };
    Ok((number, field))
}

/// The field at the head of a message, if it is bytes with a number and length of one byte each: most fields of a push are.
fn short_field(body: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (&[key, length], rest) = body.split_first_chunk::<2>()?;
    let is_short = key & 0b1000_0111 == WireType::LengthDelimited as u8 && key >= 1 << 3 && length < 0x80;
    let (bytes, rest) = rest.split_at_checked(usize::from(length)).filter(|_| is_short)?;
    Some((u32::from(key >> 3), bytes, rest))
}

/// Encodes streams as a push body, snappy and all.
pub fn encode_protobuf(streams: &[Stream]) -> Vec<u8> {
    let mut body = Vec::new();
    for stream in streams {
        let mut entries = Vec::new();
        for entry in &stream.entries {
            encode_entry(&mut entries, entry.timestamp_ns, &entry.line, entry.metadata.iter());
        }
        encode_stream(&mut body, &stream.labels.to_string(), &entries);
    }
    snap::raw::Encoder::new()
        .compress_vec(&body)
        .expect("snappy takes bodies of up to 4 GB, callers bound theirs far below")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Entry, Labels};
    use proptest::prelude::*;

    const BODY_BYTES_MAX: u64 = 1 << 20;

    /// Decodes and makes it owned.
    fn decode(body: &[u8]) -> Result<Vec<Stream>, DecodeError> {
        let body = unsnap(body, BODY_BYTES_MAX)?;
        let owned = |stream: &PushStream<'_>| Stream {
            labels: stream.labels.clone(),
            entries: stream
                .entries
                .iter()
                .map(|entry| Entry {
                    timestamp_ns: entry.timestamp_ns.expect("protobuf always has a time"),
                    line: entry.line.clone().into_owned(),
                    metadata: stream.metadata_of(entry).iter().map(|(n, v)| (&**n, &**v)).collect(),
                })
                .collect(),
        };
        Ok(decode_protobuf(&body)?.streams.iter().map(owned).collect())
    }

    fn labels() -> impl Strategy<Value = Labels> {
        proptest::collection::vec(("[a-z_]{1,4}", "\\PC{1,6}"), 0..4).prop_map(|pairs| pairs.into_iter().collect())
    }

    fn streams() -> impl Strategy<Value = Vec<Stream>> {
        let entry = (any::<i64>(), ".*", labels()).prop_map(|(timestamp_ns, line, metadata)| Entry {
            timestamp_ns,
            line,
            metadata,
        });
        let stream =
            (labels(), proptest::collection::vec(entry, 0..4)).prop_map(|(labels, entries)| Stream { labels, entries });
        proptest::collection::vec(stream, 0..4)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(streams in streams()) {
            prop_assert_eq!(decode(&encode_protobuf(&streams)).expect("decodes"), streams);
        }

        #[test]
        fn any_bytes_are_refused_or_decoded(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_protobuf(&body);
            let _ = unsnap(&body, BODY_BYTES_MAX);
        }
    }

    #[test]
    fn pairs_come_in_any_shape() {
        let check = |pairs: &[u8], want: &[(&str, &str)]| {
            let mut metadata = Vec::new();
            let read = entry(pairs, &mut metadata, &mut Budget::new()).expect("decodes");
            assert_eq!(metadata.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>(), want, "{pairs:?}");
            assert_eq!(read.metadata, 0..want.len());
        };
        check(b"\x1a\x06\x0a\x01a\x12\x01b\x1a\x06\x0a\x01c\x12\x01d", &[("a", "b"), ("c", "d")]);
        // The second one: value first, no value, a field more, a name twice, something else behind it, not UTF-8.
        let first = b"\x1a\x06\x0a\x01a\x12\x01b".as_slice();
        type Case<'a> = (&'a [u8], &'a [(&'a str, &'a str)]);
        let cases: [Case<'_>; 6] = [
            (b"\x1a\x06\x12\x01d\x0a\x01c", &[("a", "b"), ("c", "d")]),
            (b"\x1a\x03\x0a\x01c", &[("a", "b"), ("c", "")]),
            (b"\x1a\x08\x0a\x01c\x12\x01d\x18\x01", &[("a", "b"), ("c", "d")]),
            (b"\x1a\x09\x0a\x01c\x12\x01d\x0a\x01e", &[("a", "b"), ("e", "d")]),
            (b"\x1a\x06\x0a\x01c\x12\x01d\x12\x01x", &[("a", "b"), ("c", "d")]),
            (b"\x1a\x06\x0a\x01c\x12\x01\xff", &[("a", "b"), ("c", "\u{fffd}")]),
        ];
        for (second, want) in cases {
            check(&[first, second].concat(), want);
        }
    }

    #[test]
    fn lines_that_are_no_text_cost_characters_not_the_push() {
        let body = *b"\x0a\x10\x0a\x07{a=\"b\"}\x12\x05\x12\x03x\xffy";
        let request = decode_protobuf(&body).expect("decodes");
        assert_eq!(request.streams[0].entries[0].line, "x\u{fffd}y");
    }

    #[test]
    fn a_body_that_would_grow_too_far_is_refused_before_it_grows() {
        // The length header says 2 GB.
        let body = [0x80, 0x80, 0x80, 0x80, 0x08, 0];
        assert!(matches!(unsnap(&body, BODY_BYTES_MAX), Err(DecodeError::TooLarge { .. })));
        assert_eq!(unsnap(b"\xff\xfe not snappy", BODY_BYTES_MAX), Err(DecodeError::Snappy));
    }
}
