//! The columns that every block has: timestamps, line lengths, lines; and what the footer says about any column.
//!
//! In: the values of a block's rows, or a column's stored bytes with its [`ColumnMeta`]. Out: the other.
//! Decoding checks length, checksum, codec, raw length and encoding, in that order, before it looks at a value.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::codec::{Codec, unpack, unpack_into};
use crate::layout::{COLUMN_BYTES_MAX, checksum32};
use crate::lines::Templated;
use crate::wire::{Cursor, put_signed, put_varint, unzigzag, zigzag};
use crate::{Error, integers};

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// Nanoseconds since 1970, one a row.
    Timestamps,
    /// The length of each line in bytes.
    LineLengths,
    /// All lines, one behind the other.
    Lines,
    /// The values of one structured-metadata name.
    Metadata(Arc<str>),
    /// A kind that this build does not know; it can be left alone.
    Unknown(u64),
}

impl ColumnKind {
    /// The part that errors name.
    pub(crate) fn part(&self) -> &'static str {
        match self {
            ColumnKind::Timestamps => "timestamps column",
            ColumnKind::LineLengths => "line length column",
            ColumnKind::Lines => "lines column",
            ColumnKind::Metadata(_) => "metadata column",
            ColumnKind::Unknown(_) => "unknown column",
        }
    }
}

/// Where a column lies and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMeta {
    /// What it holds.
    pub kind: ColumnKind,
    /// Its bytes in the segment.
    pub range: Range<u64>,
    /// How many bytes it takes uncompressed, before decoding: a reader's budget is asked first.
    pub raw_len: u64,
    /// How it is compressed.
    pub codec: Codec,
    /// How the values are laid out; each kind has its own numbers.
    pub encoding: u8,
    /// Checksum of the stored bytes.
    pub checksum: u32,
    /// Rows of the block.
    pub rows: u32,
    /// Distinct values of a metadata column, else 0.
    pub values: u32,
}

impl ColumnMeta {
    /// Stored length in bytes.
    pub fn stored_len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// About the bytes that its values take when they are decoded. Lines by template are longer than their column; by how much, only that says.
    pub fn decoded_bytes_expected(&self) -> u64 {
        if self.kind == ColumnKind::Lines && self.encoding == LINES_TEMPLATED {
            self.raw_len.saturating_mul(TEMPLATED_GROWTH_EXPECTED)
        } else {
            self.raw_len
        }
    }

    /// The raw bytes of the column, checked.
    pub(crate) fn open(&self, stored: &[u8]) -> Result<Vec<u8>, Error> {
        self.check(stored)?;
        unpack(self.kind.part(), self.codec, stored, self.raw_len, COLUMN_BYTES_MAX)
    }

    /// Whether the stored bytes are those that were written.
    fn check(&self, stored: &[u8]) -> Result<(), Error> {
        let part = self.kind.part();
        if stored.len() as u64 != self.stored_len() {
            return Err(Error::Truncated { part, need: self.stored_len(), have: stored.len() as u64 });
        }
        if checksum32(stored) != self.checksum {
            return Err(Error::Checksum { part });
        }
        Ok(())
    }

    pub(crate) fn unknown_encoding(&self) -> Error {
        Error::Unknown { part: self.kind.part(), what: "encoding", value: self.encoding.into() }
    }

    pub(crate) fn row_count(&self) -> usize {
        self.rows as usize
    }
}

/// Timestamps as differences between neighbours.
pub(crate) const TIMESTAMPS_DELTA: u8 = 1;
/// Timestamps as differences between neighbouring differences; shorter where entries come at a steady pace.
pub(crate) const TIMESTAMPS_DELTA_OF_DELTA: u8 = 2;
/// Lengths as a list of integers.
pub(crate) const LENGTHS_PLAIN: u8 = 1;
/// Lines one behind the other.
pub(crate) const LINES_PLAIN: u8 = 1;
/// Lines by template.
pub(crate) const LINES_TEMPLATED: u8 = 2;
/// How many times the raw bytes of their column lines by template and what they are made of take. Of the bench set about four.
const TEMPLATED_GROWTH_EXPECTED: u64 = 4;

/// Powers of ten by which all timestamps of a block may be divisible: clients often send milliseconds or seconds.
const SCALES: [(u8, i64); 3] = [(9, 1_000_000_000), (6, 1_000_000), (3, 1_000)];

/// Appends `| scale u8 | first | integers |` and returns the encoding, the shorter of the two for these timestamps.
///
/// Differences wrap and are zigzagged, so any order of any times is kept exactly: a block of several streams goes
/// back in time where the next stream begins.
pub(crate) fn encode_timestamps(timestamps: &[i64], out: &mut Vec<u8>) -> u8 {
    let scaled = |unit: i64| timestamps.iter().all(|timestamp| timestamp % unit == 0);
    let (scale, unit) = SCALES.into_iter().find(|(_, unit)| scaled(*unit)).unwrap_or((0, 1));
    out.push(scale);
    let units: Cow<'_, [i64]> = match unit {
        1 => timestamps.into(),
        unit => timestamps.iter().map(|timestamp| timestamp / unit).collect(),
    };
    put_signed(out, units.first().copied().unwrap_or(0));
    let deltas: Vec<i64> =
        units.iter().zip(units.iter().skip(1)).map(|(before, after)| after.wrapping_sub(*before)).collect();
    let first = deltas.first().copied().unwrap_or(0);
    let steps: Vec<i64> =
        deltas.iter().zip(deltas.iter().skip(1)).map(|(before, after)| after.wrapping_sub(*before)).collect();
    let bits = |values: &[i64]| values.iter().map(|value| u64::from(64 - zigzag(*value).leading_zeros())).sum::<u64>();
    let zigzags = |values: &[i64]| values.iter().map(|value| zigzag(*value)).collect::<Vec<_>>();
    if bits(&steps) < bits(&deltas) {
        put_signed(out, first);
        integers::encode(&zigzags(&steps), out);
        TIMESTAMPS_DELTA_OF_DELTA
    } else {
        integers::encode(&zigzags(&deltas), out);
        TIMESTAMPS_DELTA
    }
}

/// The timestamps of a block's rows, in nanoseconds.
pub fn decode_timestamps(column: &ColumnMeta, stored: &[u8]) -> Result<Vec<i64>, Error> {
    if column.kind != ColumnKind::Timestamps {
        return Err(Error::Malformed { part: column.kind.part(), why: "it holds no timestamps" });
    }
    let raw = column.open(stored)?;
    let mut cursor = Cursor::new(column.kind.part(), &raw);
    let unit = match cursor.u8()? {
        0 => 1,
        scale => SCALES
            .into_iter()
            .find(|(number, _)| *number == scale)
            .map(|(_, unit)| unit)
            .ok_or(Error::Unknown { part: column.kind.part(), what: "time scale", value: scale.into() })?,
    };
    let rows = column.row_count();
    let mut timestamp = cursor.signed()?;
    let mut timestamps = Vec::with_capacity(rows);
    let mut push = |timestamp: i64| timestamps.push(timestamp.wrapping_mul(unit));
    match column.encoding {
        TIMESTAMPS_DELTA => {
            push(timestamp);
            for delta in integers::decode(&mut cursor, rows.saturating_sub(1))? {
                timestamp = timestamp.wrapping_add(unzigzag(delta));
                push(timestamp);
            }
        }
        TIMESTAMPS_DELTA_OF_DELTA if rows >= 2 => {
            let mut delta = cursor.signed()?;
            push(timestamp);
            timestamp = timestamp.wrapping_add(delta);
            push(timestamp);
            for step in integers::decode(&mut cursor, rows - 2)? {
                delta = delta.wrapping_add(unzigzag(step));
                timestamp = timestamp.wrapping_add(delta);
                push(timestamp);
            }
        }
        _ => return Err(column.unknown_encoding()),
    }
    cursor.finish()?;
    Ok(timestamps)
}

/// Appends the lengths of all lines.
pub(crate) fn encode_lengths(lengths: &[u32], out: &mut Vec<u8>) -> u8 {
    integers::encode(lengths, out);
    LENGTHS_PLAIN
}

/// The length of each line in bytes.
pub fn decode_lengths(column: &ColumnMeta, stored: &[u8]) -> Result<Vec<u32>, Error> {
    if column.kind != ColumnKind::LineLengths {
        return Err(Error::Malformed { part: column.kind.part(), why: "it holds no line lengths" });
    }
    let raw = column.open(stored)?;
    if column.encoding != LENGTHS_PLAIN {
        return Err(column.unknown_encoding());
    }
    let mut cursor = Cursor::new(column.kind.part(), &raw);
    let lengths = integers::decode_u32(&mut cursor, column.row_count())?;
    cursor.finish()?;
    Ok(lengths)
}

/// All lines of a block, one behind the other; [`decode_lengths`] tells where each ends. `timestamps` are the block's, as
/// [`decode_timestamps`] gives them: a line's own time may be stored as its difference to them.
pub fn decode_lines(column: &ColumnMeta, stored: &[u8], timestamps: &[i64]) -> Result<String, Error> {
    let mut lines = String::new();
    decode_lines_into(column, stored, timestamps, &mut lines)?;
    Ok(lines)
}

/// [`decode_lines`] into memory that is used again; what it held is gone, after an error too.
pub fn decode_lines_into(
    column: &ColumnMeta,
    stored: &[u8],
    timestamps: &[i64],
    lines: &mut String,
) -> Result<(), Error> {
    let part = column.kind.part();
    if column.kind != ColumnKind::Lines {
        return Err(Error::Malformed { part, why: "it holds no lines" });
    }
    if column.encoding == LINES_TEMPLATED {
        return open_templated(column, stored, timestamps)?.spell_into(lines);
    }
    column.check(stored)?;
    let mut raw = std::mem::take(lines).into_bytes();
    unpack_into(part, column.codec, stored, column.raw_len, COLUMN_BYTES_MAX, &mut raw)?;
    if column.encoding != LINES_PLAIN {
        return Err(column.unknown_encoding());
    }
    *lines = String::from_utf8(raw).map_err(|_| Error::Malformed { part, why: "text is not UTF-8" })?;
    Ok(())
}

/// The lines of a block, not spelled yet, if they are kept by template. The arguments are those of [`decode_lines`].
pub fn open_lines(column: &ColumnMeta, stored: &[u8], timestamps: &[i64]) -> Result<Option<Templated>, Error> {
    if column.kind == ColumnKind::Lines && column.encoding == LINES_TEMPLATED {
        open_templated(column, stored, timestamps).map(Some)
    } else {
        Ok(None)
    }
}

fn open_templated(column: &ColumnMeta, stored: &[u8], timestamps: &[i64]) -> Result<Templated, Error> {
    if timestamps.len() != column.row_count() {
        return Err(Error::Malformed { part: column.kind.part(), why: "there is not a time for each row" });
    }
    Templated::open(column.open(stored)?, timestamps)
}

/// Appends what the footer keeps of a column. Where it lies follows from the lengths of the columns before it.
pub(crate) fn put_column(column: &ColumnMeta, name: impl FnOnce(&str) -> u32, out: &mut Vec<u8>) {
    let mut extra = Vec::new();
    let kind = match &column.kind {
        ColumnKind::Timestamps => 0,
        ColumnKind::LineLengths => 1,
        ColumnKind::Lines => 2,
        ColumnKind::Metadata(text) => {
            put_varint(&mut extra, name(text).into());
            put_varint(&mut extra, column.values.into());
            3
        }
        ColumnKind::Unknown(number) => *number,
    };
    put_varint(out, kind);
    out.push(column.encoding);
    out.push(column.codec.number());
    put_varint(out, column.stored_len());
    put_varint(out, column.raw_len);
    out.extend_from_slice(&column.checksum.to_le_bytes());
    put_varint(out, extra.len() as u64);
    out.extend_from_slice(&extra);
}

/// Fewest bytes that [`put_column`] writes.
pub(crate) const COLUMN_RECORD_BYTES_MIN: usize = 10;

/// Reads what [`put_column`] wrote. `offset` is where the column begins and moves to its end.
pub(crate) fn take_column(
    cursor: &mut Cursor<'_>,
    names: &[Arc<str>],
    rows: u32,
    offset: &mut u64,
) -> Result<ColumnMeta, Error> {
    let number = cursor.varint()?;
    let encoding = cursor.u8()?;
    let codec = Codec::of_column(cursor.u8()?);
    let stored_len = cursor.varint()?;
    let raw_len = cursor.varint()?;
    let checksum = cursor.u32()?;
    let extra_len = cursor.length()?;
    let mut extra = Cursor::new(cursor.part(), cursor.take(extra_len)?);
    let mut values = 0;
    let kind = match number {
        0 => ColumnKind::Timestamps,
        1 => ColumnKind::LineLengths,
        2 => ColumnKind::Lines,
        3 => {
            let name = usize::try_from(extra.varint()?).ok().and_then(|index| names.get(index));
            values = extra.varint_u32()?;
            ColumnKind::Metadata(Arc::clone(name.ok_or_else(|| cursor.malformed("a column has no name"))?))
        }
        other => ColumnKind::Unknown(other),
    };
    if values > rows {
        return Err(cursor.malformed("a column has more values than rows"));
    }
    if raw_len > COLUMN_BYTES_MAX {
        return Err(Error::Limit { part: kind.part(), value: raw_len, limit: COLUMN_BYTES_MAX });
    }
    let start = *offset;
    *offset = start.checked_add(stored_len).ok_or_else(|| cursor.malformed("a column ends behind the object"))?;
    Ok(ColumnMeta { kind, range: start..*offset, raw_len, codec, encoding, checksum, rows, values })
}
