//! The stream table: the label sets of a segment in ascending order, and what each stream amounts to.
//!
//! ```text
//! | strings: count, (length, text)* | streams: count, (labels, (name, value)*)* | line bytes, metadata bytes: integers |
//! ```
//! Names and values are numbers of strings, which are listed once, in the order of their first appearance. Rows and times
//! are not stored: they follow from the runs in the footer.

use model::Labels;

use crate::interner::Interner;
use crate::wire::{Cursor, put_varint};
use crate::{Error, integers};

/// One stream of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its labels.
    pub labels: Labels,
    /// Its entries in this segment.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of their structured metadata, names and values.
    pub metadata_bytes: u64,
    /// Time of the first entry, nanoseconds.
    pub min_ts: i64,
    /// Time of the last entry, nanoseconds.
    pub max_ts: i64,
}

/// The table's raw bytes.
pub(crate) fn encode(streams: &[StreamInfo]) -> Vec<u8> {
    let mut strings = Interner::default();
    let mut table = Vec::new();
    put_varint(&mut table, streams.len() as u64);
    // The strings of the stream before, with their numbers: in order, neighbours have most of them in common.
    let mut known: Vec<(&str, u32)> = Vec::new();
    for stream in streams {
        put_varint(&mut table, stream.labels.len() as u64);
        for (place, text) in stream.labels.iter().flat_map(|(name, value)| [name, value]).enumerate() {
            let number = match known.get(place) {
                Some((before, number)) if *before == text => *number,
                _ => strings.intern(text),
            };
            put_varint(&mut table, number.into());
            match known.get_mut(place) {
                Some(known) => *known = (text, number),
                None => known.push((text, number)),
            }
        }
    }
    let mut out = Vec::with_capacity(strings.byte_len() + table.len());
    put_varint(&mut out, strings.len() as u64);
    for text in strings.iter() {
        put_varint(&mut out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(&table);
    integers::encode(&streams.iter().map(|stream| stream.line_bytes).collect::<Vec<_>>(), &mut out);
    integers::encode(&streams.iter().map(|stream| stream.metadata_bytes).collect::<Vec<_>>(), &mut out);
    out
}

/// Reads the table; rows are 0 and times at their extremes until runs are added.
pub(crate) fn decode(raw: &[u8]) -> Result<Vec<StreamInfo>, Error> {
    let mut cursor = Cursor::new("stream table", raw);
    let strings = (0..cursor.count(1)?).map(|_| cursor.string()).collect::<Result<Vec<_>, _>>()?;
    let count = cursor.count(1)?;
    let mut all: Vec<Labels> = Vec::with_capacity(count);
    for _ in 0..count {
        let labels = take_labels(&mut cursor, &strings)?;
        if all.last().is_some_and(|before| *before >= labels) {
            return Err(cursor.malformed("streams are out of order"));
        }
        all.push(labels);
    }
    let line_bytes = integers::decode(&mut cursor, count)?;
    let metadata_bytes = integers::decode(&mut cursor, count)?;
    cursor.finish()?;
    let sums = line_bytes.into_iter().zip(metadata_bytes);
    let stream = |(labels, (line_bytes, metadata_bytes))| StreamInfo {
        labels,
        rows: 0,
        line_bytes,
        metadata_bytes,
        min_ts: i64::MAX,
        max_ts: i64::MIN,
    };
    Ok(all.into_iter().zip(sums).map(stream).collect())
}

fn take_labels(cursor: &mut Cursor<'_>, strings: &[&str]) -> Result<Labels, Error> {
    let count = cursor.count(2)?;
    let mut text = || -> Result<&str, Error> {
        let index = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX);
        strings.get(index).copied().ok_or_else(|| cursor.malformed("a label has no text"))
    };
    let pairs = (0..count).map(|_| Ok((text()?, text()?))).collect::<Result<Vec<_>, Error>>()?;
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(cursor.malformed("labels are out of order"));
    }
    Ok(Labels::from_pairs(pairs))
}
