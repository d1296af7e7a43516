//! Writes Loki's push protobuf piece by piece, so that a sender never holds a tree of messages.
//!
//! In: entries, then their stream's labels. Out: the bytes of a `PushRequest`, not yet compressed (the wire wants snappy's
//! block format). `protobuf` reads them. Field numbers are those of Loki's `push.proto`:
//!
//! ```text
//! PushRequest { 1: StreamAdapter* }   StreamAdapter { 1: labels, 2: EntryAdapter* }
//! EntryAdapter { 1: Timestamp { 1: seconds, 2: nanos }, 2: line, 3: LabelPair { 1: name, 2: value }* }
//! ```

use model::NANOS_PER_SECOND;
use prost::encoding::{encode_varint, encoded_len_varint};

/// Keys of a protobuf field: the field's number and its wire type (0 = varint, 2 = length and bytes).
const FIELD_1_VARINT: u8 = 1 << 3;
const FIELD_2_VARINT: u8 = 2 << 3;
const FIELD_1_BYTES: u8 = 1 << 3 | 2;
const FIELD_2_BYTES: u8 = 2 << 3 | 2;
const FIELD_3_BYTES: u8 = 3 << 3 | 2;

/// Appends one entry, as a field of the stream that it belongs to.
pub fn encode_entry<'a>(
    out: &mut Vec<u8>,
    timestamp_ns: i64,
    line: &str,
    metadata: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) {
    let seconds = timestamp_ns.div_euclid(NANOS_PER_SECOND).cast_unsigned();
    let nanos = timestamp_ns.rem_euclid(NANOS_PER_SECOND).cast_unsigned();
    let timestamp_len = 1 + encoded_len_varint(seconds) + if nanos == 0 { 0 } else { 1 + encoded_len_varint(nanos) };
    let metadata_len: usize = metadata.clone().map(|(name, value)| bytes_field_len(pair_len(name, value))).sum();
    encode_key(out, FIELD_2_BYTES, bytes_field_len(timestamp_len) + bytes_field_len(line.len()) + metadata_len);

    encode_key(out, FIELD_1_BYTES, timestamp_len);
    out.push(FIELD_1_VARINT);
    encode_varint(seconds, out);
    if nanos != 0 {
        out.push(FIELD_2_VARINT);
        encode_varint(nanos, out);
    }
    encode_bytes(out, FIELD_2_BYTES, line.as_bytes());
    for (name, value) in metadata {
        encode_key(out, FIELD_3_BYTES, pair_len(name, value));
        encode_bytes(out, FIELD_1_BYTES, name.as_bytes());
        encode_bytes(out, FIELD_2_BYTES, value.as_bytes());
    }
}

/// Appends one stream, as a field of the request: its labels in Loki's text form and its entries as `encode_entry` wrote them.
pub fn encode_stream(out: &mut Vec<u8>, labels: &str, entries: &[u8]) {
    encode_key(out, FIELD_1_BYTES, bytes_field_len(labels.len()) + entries.len());
    encode_bytes(out, FIELD_1_BYTES, labels.as_bytes());
    out.extend_from_slice(entries);
}

fn encode_key(out: &mut Vec<u8>, key: u8, len: usize) {
    out.push(key);
    encode_varint(len as u64, out);
}

fn encode_bytes(out: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    encode_key(out, key, bytes.len());
    out.extend_from_slice(bytes);
}

fn bytes_field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn pair_len(name: &str, value: &str) -> usize {
    bytes_field_len(name.len()) + bytes_field_len(value.len())
}
