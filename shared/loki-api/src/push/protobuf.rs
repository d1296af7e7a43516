//! Protobuf pushes, in snappy's block format: what Promtail, Alloy, Vector and our collector send.
//!
//! In: the body. Out: a push that owns it, its texts being places in it. The messages are read by hand, field by field, because
//! a derived message would copy every string and refuse a push for one byte that is not UTF-8. Field numbers:
//! `PushRequest{1: streams}`, `Stream{1: labels, 2: entries}`, `Entry{1: time{1: seconds, 2: nanos}, 2: line, 3: metadata}`,
//! `Pair{1: name, 2: value}`.

use model::Stream;

use super::cursor::Cursor;
use super::encode::{encode_entry, encode_stream};
use super::flat::{FlatEntry, FlatPush, FlatStream, SPARE_BYTES, Span};
use super::known::KnownLabels;
use super::name_lists::NameLists;
use super::{Budget, DecodeError, PushRequest, text};

/// Nanoseconds in a second.
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// For how many bytes of a body room for an entry and for a metadata pair is made beforehand.
const ENTRY_BYTES_USUAL: usize = 256;
const PAIR_BYTES_USUAL: usize = 64;

/// Undoes snappy's block format, refusing what would grow beyond `bytes_max`.
pub fn unsnap(body: &[u8], bytes_max: u64) -> Result<Vec<u8>, DecodeError> {
    unsnap_into(body, bytes_max, |_| Vec::new())
}

/// [`unsnap`] into a buffer, which is asked for so many bytes; what it holds is written over.
pub fn unsnap_into(body: &[u8], bytes_max: u64, buffer: impl FnOnce(usize) -> Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    let length = snap::raw::decompress_len(body).map_err(|_| DecodeError::Snappy)?;
    let size = length as u64;
    if size > bytes_max {
        return Err(DecodeError::TooLarge { size, max: bytes_max });
    }
    let room = length.saturating_add(SPARE_BYTES);
    let mut plain = buffer(room);
    if plain.capacity() < room {
        plain = Vec::with_capacity(room);
    }
    plain.resize(length, 0);
    let written = snap::raw::Decoder::new().decompress(body, &mut plain).map_err(|_| DecodeError::Snappy)?;
    plain.truncate(written);
    Ok(plain)
}

/// Decodes a push that was undone by `unsnap`.
pub fn decode_protobuf(body: &[u8]) -> Result<PushRequest<'static>, DecodeError> {
    Ok(decode_known_protobuf(body.to_vec(), &KnownLabels::default())?.to_request())
}

/// Decodes a push that was undone by `unsnap`, for who decodes many pushes of the same clients.
pub fn decode_known_protobuf(body: Vec<u8>, known: &KnownLabels) -> Result<FlatPush, DecodeError> {
    let end = body.len();
    if end > Span::END_MAX {
        return Err(DecodeError::TooLarge { size: end as u64, max: Span::END_MAX as u64 });
    }
    let push = FlatPush {
        entries: Vec::with_capacity(end / ENTRY_BYTES_USUAL),
        values: Vec::with_capacity(end / PAIR_BYTES_USUAL),
        ..FlatPush::default()
    };
    let mut reader = Reader { cursor: Cursor::new(body), known, budget: Budget::new(), push };
    reader.request(end)?;
    let Reader { cursor, push, .. } = reader;
    match String::from_utf8(cursor.into_bytes()) {
        Ok(text) => Ok(FlatPush { text, ..push }),
        Err(e) => push.with_lossy_text(e.as_bytes()),
    }
}

/// Reads a body message by message; each method reads one up to its end.
struct Reader<'k> {
    cursor: Cursor,
    known: &'k KnownLabels,
    budget: Budget,
    push: FlatPush,
}

impl Reader<'_> {
    fn request(&mut self, end: usize) -> Result<(), DecodeError> {
        while self.cursor.is_before(end) {
            match self.cursor.field(end)? {
                (1, field) => {
                    self.budget.take()?;
                    self.stream(field.bytes_end()?)?;
                }
                (_, field) => self.cursor.leave(field),
            }
        }
        Ok(())
    }

    fn stream(&mut self, end: usize) -> Result<(), DecodeError> {
        let start = self.push.entries.len();
        let mut label_text = Span::default();
        while self.cursor.is_before(end) {
            match self.cursor.field(end)? {
                (1, field) => label_text = self.cursor.text(field.bytes_end()?),
                (2, field) => {
                    self.budget.take()?;
                    self.entry(field.bytes_end()?)?;
                }
                (_, field) => self.cursor.leave(field),
            }
        }
        let parsed = self.known.parse(&text(label_text.of_bytes(self.cursor.bytes())))?;
        let entries = start..self.push.entries.len();
        self.push.streams.push(FlatStream { labels: parsed.labels, duplicate_label: parsed.duplicate, entries });
        Ok(())
    }

    fn entry(&mut self, end: usize) -> Result<(), DecodeError> {
        let mut entry = FlatEntry {
            timestamp_ns: Some(0),
            line: Span::default(),
            names: NameLists::EMPTY,
            values: self.push.values.len() as u32,
        };
        while self.cursor.is_before(end) {
            if self.cursor.is_at_pair()
                && let Some(list) = self.short_pairs(entry.names, end)?
            {
                entry.names = list;
                continue;
            }
            match self.cursor.field(end)? {
                (1, field) => entry.timestamp_ns = Some(self.timestamp(field.bytes_end()?)?),
                (2, field) => entry.line = self.cursor.text(field.bytes_end()?),
                (3, field) => {
                    self.budget.take()?;
                    let (name, value) = self.pair(field.bytes_end()?)?;
                    entry.names = self.with_pair(entry.names, name, value, Span::default());
                }
                (_, field) => self.cursor.leave(field),
            }
        }
        self.push.entries.push(entry);
        Ok(())
    }

    /// Takes pairs that are written as nearly all are; gives the list of names that ends with the last of them.
    #[inline]
    fn short_pairs(&mut self, names: u32, end: usize) -> Result<Option<u32>, DecodeError> {
        let FlatPush { names: lists, values, .. } = &mut self.push;
        let known = values.len();
        if let Some(list) = self.cursor.likely_pairs(end, lists, names, values).filter(|list| *list != names) {
            self.budget.take_many(values.len() - known)?;
            return Ok(Some(list));
        }
        let Some(pair) = self.cursor.short_pair(end) else { return Ok(None) };
        self.budget.take()?;
        Ok(Some(self.with_pair(names, pair.name, pair.value, pair.written)))
    }

    /// Keeps a value; gives the list of names that ends with its name.
    fn with_pair(&mut self, names: u32, name: Span, value: Span, written: Span) -> u32 {
        self.push.values.push(value);
        let bytes = self.cursor.bytes();
        match self.push.names.find(bytes, names, name.of_bytes(bytes)) {
            Some(list) => list,
            None => self.push.names.add(names, name, written),
        }
    }

    /// Seconds and nanoseconds; beyond what 64 bits of nanoseconds hold, the nearest they do.
    fn timestamp(&mut self, end: usize) -> Result<i64, DecodeError> {
        let (mut seconds, mut nanos) = (0_i64, 0_i64);
        while self.cursor.is_before(end) {
            match self.cursor.field(end)? {
                (1, field) => seconds = field.number()? as i64,
                // An int32: its sign was extended on the wire.
                (2, field) => nanos = i64::from(field.number()? as i32),
                (_, field) => self.cursor.leave(field),
            }
        }
        Ok(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos))
    }

    fn pair(&mut self, end: usize) -> Result<(Span, Span), DecodeError> {
        let (mut name, mut value) = (Span::default(), Span::default());
        while self.cursor.is_before(end) {
            match self.cursor.field(end)? {
                (1, field) => name = self.cursor.text(field.bytes_end()?),
                (2, field) => value = self.cursor.text(field.bytes_end()?),
                (_, field) => self.cursor.leave(field),
            }
        }
        Ok((name, value))
    }
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
    use super::super::PushStream;
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

    fn field(key: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![key];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend_from_slice(bytes);
        out
    }

    proptest! {
        /// Bytes that are no text, beginnings and ends of characters among them, spoil nothing but the text that they are in.
        #[test]
        fn texts_are_mended_one_by_one(texts in proptest::collection::vec("[a\u{e9}\u{20ac}]{0,3}", 0..12), cuts in any::<u64>()) {
            let cut = |(place, text): (usize, &String)| {
                let bytes = text.as_bytes();
                match cuts >> (place * 4) & 0b11 {
                    0b01 => bytes.get(1..).unwrap_or_default().to_vec(),
                    0b10 => bytes.get(..bytes.len().saturating_sub(1)).unwrap_or_default().to_vec(),
                    _ => bytes.to_vec(),
                }
            };
            let texts: Vec<Vec<u8>> = texts.iter().enumerate().map(cut).collect();
            let mut stream = field(0x0a, b"{a=\"b\"}");
            for texts in texts.chunks(3) {
                let pair = texts.windows(2).flat_map(|pair| field(0x1a, &[field(0x0a, &pair[0]), field(0x12, &pair[1])].concat()));
                let entry = [field(0x12, &texts[0]), pair.collect()].concat();
                stream.extend(field(0x12, &entry));
            }
            let request = decode_protobuf(&field(0x0a, &stream)).expect("decodes");
            let mended = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
            for (entry, texts) in request.streams[0].entries.iter().zip(texts.chunks(3)) {
                prop_assert_eq!(&*entry.line, mended(&texts[0]));
                let read = request.streams[0].metadata_of(entry).iter().map(|(n, v)| (n.to_string(), v.to_string()));
                let want: Vec<_> = texts.windows(2).map(|pair| (mended(&pair[0]), mended(&pair[1]))).collect();
                prop_assert_eq!(read.collect::<Vec<_>>(), want);
            }
        }
    }

    #[test]
    fn pairs_come_in_any_shape() {
        let check = |pairs: &[u8], want: &[(&str, &str)]| {
            let lengths = [pairs.len() as u8 + 2, pairs.len() as u8];
            let body = [&b"\x0a"[..], &lengths[..1], b"\x12", &lengths[1..], pairs].concat();
            // The label string is the last thing looked at.
            let refused = decode_protobuf(&body).expect_err("no labels");
            assert!(matches!(refused, DecodeError::Labels(_)), "{pairs:?}");
            let body = [&b"\x0a"[..], &[lengths[0] + 9], b"\x12", &lengths[1..], pairs, b"\x0a\x07{a=\"b\"}"].concat();
            let request = decode_protobuf(&body).expect("decodes");
            let stream = &request.streams[0];
            let read: Vec<_> = stream.metadata.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!((read.as_slice(), stream.entries.len()), (want, 1), "{pairs:?}");
            assert_eq!(stream.entries[0].metadata, 0..want.len());
        };
        check(b"\x1a\x06\x0a\x01a\x12\x01b\x1a\x06\x0a\x01c\x12\x01d", &[("a", "b"), ("c", "d")]);
        // The second one: value first, no value, a field more, a name twice, a value twice, not UTF-8, fields of other kinds
        // whose bytes are no text, a length that is longer than it needs to be.
        let first = b"\x1a\x06\x0a\x01a\x12\x01b".as_slice();
        type Case<'a> = (&'a [u8], &'a [(&'a str, &'a str)]);
        let cases: [Case<'_>; 10] = [
            (b"\x1a\x06\x12\x01d\x0a\x01c", &[("a", "b"), ("c", "d")]),
            (b"\x1a\x03\x0a\x01c", &[("a", "b"), ("c", "")]),
            (b"\x1a\x08\x0a\x01c\x12\x01d\x18\x01", &[("a", "b"), ("c", "d")]),
            (b"\x1a\x09\x0a\x01c\x12\x01d\x0a\x01e", &[("a", "b"), ("e", "d")]),
            (b"\x1a\x09\x0a\x01c\x12\x01d\x12\x01x", &[("a", "b"), ("c", "x")]),
            (b"\x1a\x06\x0a\x01c\x12\x01d\x12\x01x", &[("a", "b"), ("c", "d")]),
            (b"\x1a\x06\x0a\x01c\x12\x01\xff", &[("a", "b"), ("c", "\u{fffd}")]),
            (b"\x1a\x06\x0a\x01\xff\x12\x01d\x1a\x02\x0a\x00", &[("a", "b"), ("\u{fffd}", "d"), ("", "")]),
            (b"\x1a\x0c\x0a\x02\xc3\xa9\x12\x01d\x1d\xff\xff\xff\xff", &[("a", "b"), ("é", "d")]),
            (b"\x9a\x00\x0c\x0a\x81\x00c\x92\x01\x02\xff\xff\x12\x01d", &[("a", "b"), ("c", "d")]),
        ];
        for (second, want) in cases {
            check(&[first, second].concat(), want);
        }
    }

    /// Nothing between the texts is taken for text, and no text for what is between.
    #[test]
    fn a_push_with_odd_fields_everywhere_keeps_its_text() {
        let odd = b"\xfa\x01\x02\xc3\x28\x31\xff\xff\xff\xff\xff\xff\xff\xff";
        let message = |key: u8, parts: &[&[u8]]| {
            let inner = parts.concat();
            [&[key, inner.len() as u8 | 0x80, 0][..], &*inner].concat()
        };
        let time = message(0x0a, &[b"\x08\xac\x02", odd, b"\x10\x05"]);
        let entry =
            message(0x12, &[odd, &time, b"\x12\x03\xe2\x82\xac", odd, b"\x1a\x07\x0a\x02\xc3\xa9\x12\x01v", odd]);
        let stream = message(0x0a, &[b"\x0a\x07{a=\"b\"}", odd, &entry, odd]);
        let push = decode_known_protobuf([&odd[..], &*stream, odd].concat(), &KnownLabels::default()).expect("decodes");
        // The body itself, not a copy without what is no text.
        assert_eq!(push.text.len(), 2 * odd.len() + stream.len());
        let request = push.to_request();
        let stream = &request.streams[0];
        assert_eq!((stream.entries[0].timestamp_ns, &*stream.entries[0].line), (Some(300_000_000_005), "€"));
        assert_eq!(stream.metadata, [("é".into(), "v".into())]);
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

    /// A buffer that held something else, longer or shorter, or too short to be of use.
    #[test]
    fn nothing_of_what_a_buffer_held_is_left() {
        let text = b"abcabcabcabcabcabcabc".repeat(50);
        let body = snap::raw::Encoder::new().compress_vec(&text).expect("short");
        for (held, capacity) in [(0, 0), (10, 10), (10, 9000), (text.len(), 9000), (8999, 9000)] {
            let mut buffer = Vec::with_capacity(capacity);
            buffer.resize(held, b'x');
            assert_eq!(unsnap_into(&body, BODY_BYTES_MAX, |_| buffer), Ok(text.clone()), "{held} {capacity}");
        }
        let cut = &body[..body.len() - 1];
        assert_eq!(unsnap_into(cut, BODY_BYTES_MAX, |_| vec![b'x'; 9000]), Err(DecodeError::Snappy));
    }
}
