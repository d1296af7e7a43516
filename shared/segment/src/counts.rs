//! Rows and bytes per stream, minute and detected level, so that volumes and rates on whole minutes need no block.
//!
//! Minute `m` holds the times `((m - 1) min, m min]` since 1970, open on the left and closed on the right as LogQL's
//! windows are: an entry at exactly 12:05:00.000000000 belongs to the minute that ends then.
//!
//! ```text
//! | levels: count, (length, text)* | groups: count, (stream step, level, cells, first minute)* |
//! | minute steps: integers | rows - 1: integers | bytes: integers |
//! ```

use crate::interner::Interner;
use crate::wire::{Cursor, put_signed, put_varint};
use crate::{Error, integers};

/// The structured-metadata name whose values are the levels.
pub const LEVEL_NAME: &str = "detected_level";
const NANOS_PER_MINUTE: i64 = 60_000_000_000;
const PART: &str = "counts";

/// The minute in which a time lies, named by its end: minutes since 1970, rounded up.
pub fn minute_of(timestamp_ns: i64) -> i64 {
    let minute = timestamp_ns.div_euclid(NANOS_PER_MINUTE);
    if timestamp_ns.rem_euclid(NANOS_PER_MINUTE) == 0 { minute } else { minute + 1 }
}

/// Whether a time lies in a minute: [`minute_of`] without a division.
fn is_in_minute(timestamp_ns: i64, minute: i64) -> bool {
    let until_end = i128::from(minute) * i128::from(NANOS_PER_MINUTE) - i128::from(timestamp_ns);
    (0..i128::from(NANOS_PER_MINUTE)).contains(&until_end)
}

/// Rows and line bytes of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// See [`minute_of`].
    pub minute: i64,
    /// Entries.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
}

/// The cells of one stream and level, minutes ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelCounts {
    /// Number of the stream in the segment.
    pub stream: u32,
    /// Index into [`Counts::levels`]; nothing for entries without a detected level.
    pub level: Option<u32>,
    /// Minutes with at least one entry.
    pub cells: Vec<Cell>,
}

/// The counts of a segment, streams ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Every level that occurs.
    pub levels: Vec<String>,
    /// One for each stream and level that occur together.
    pub groups: Vec<LevelCounts>,
}

/// Counts rows as they are written, stream by stream, each in time order.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    levels: Interner,
    /// The cells of the current stream: first without a level, then by level.
    current: Vec<Vec<Cell>>,
    stream: u32,
    group_stream: u32,
    group_count: u64,
    groups: Vec<u8>,
    minutes: Vec<u64>,
    rows: Vec<u64>,
    bytes: Vec<u64>,
}

impl Counter {
    /// The memory that it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let columns = self.minutes.capacity() + self.rows.capacity() + self.bytes.capacity();
        columns * size_of::<u64>() + self.groups.capacity()
    }

    pub(crate) fn add(&mut self, timestamp_ns: i64, level: Option<&str>, line_bytes: u64) {
        let index = level.map_or(0, |level| self.levels.intern(level) as usize + 1);
        if index >= self.current.len() {
            self.current.resize_with(index + 1, Vec::new);
        }
        let Some(cells) = self.current.get_mut(index) else { return };
        match cells.last_mut() {
            Some(cell) if is_in_minute(timestamp_ns, cell.minute) => {
                cell.rows += 1;
                cell.line_bytes += line_bytes;
            }
            _ => cells.push(Cell { minute: minute_of(timestamp_ns), rows: 1, line_bytes }),
        }
    }

    /// The rows of the next stream follow.
    pub(crate) fn end_stream(&mut self) {
        for (level, cells) in (0u64..).zip(&mut self.current) {
            let Some(first) = cells.first() else { continue };
            put_varint(&mut self.groups, (self.stream - self.group_stream).into());
            put_varint(&mut self.groups, level);
            put_varint(&mut self.groups, cells.len() as u64);
            put_signed(&mut self.groups, first.minute);
            self.group_stream = self.stream;
            self.group_count += 1;
            let following = cells.iter().skip(1);
            self.minutes.extend(cells.iter().zip(following).map(|(a, b)| (b.minute - a.minute - 1).unsigned_abs()));
            self.rows.extend(cells.iter().map(|cell| cell.rows - 1));
            self.bytes.extend(cells.iter().map(|cell| cell.line_bytes));
            cells.clear();
        }
        self.stream += 1;
    }

    /// The section's raw bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.levels.len() as u64);
        for level in self.levels.iter() {
            put_varint(&mut out, level.len() as u64);
            out.extend_from_slice(level.as_bytes());
        }
        put_varint(&mut out, self.group_count);
        out.extend_from_slice(&self.groups);
        integers::encode(&self.minutes, &mut out);
        integers::encode(&self.rows, &mut out);
        integers::encode(&self.bytes, &mut out);
        out
    }
}

/// Reads the section's raw bytes. `streams` and `rows` are the segment's, and bound what is allocated.
pub(crate) fn decode(raw: &[u8], streams: usize, rows: u64) -> Result<Counts, Error> {
    let mut cursor = Cursor::new(PART, raw);
    let levels = (0..cursor.count(1)?).map(|_| cursor.string().map(str::to_owned)).collect::<Result<Vec<_>, _>>()?;
    let group_count = cursor.count(4)?;
    let mut heads = Vec::with_capacity(group_count);
    let (mut stream, mut cell_count) = (0u32, 0u64);
    for _ in 0..group_count {
        stream = stream.saturating_add(cursor.varint_u32()?);
        let level = cursor.varint_u32()?;
        let cells = cursor.varint()?;
        let first = cursor.signed()?;
        if stream as usize >= streams || level as usize > levels.len() {
            return Err(cursor.malformed("a group has no stream or level"));
        }
        cell_count = cell_count.saturating_add(cells);
        if cells == 0 || cell_count > rows {
            return Err(cursor.malformed("cells and rows do not match"));
        }
        heads.push((stream, level.checked_sub(1), cells, first));
    }
    let cell_count = usize::try_from(cell_count).map_err(|_| cursor.malformed("too many cells"))?;
    let mut minutes = integers::decode(&mut cursor, cell_count - heads.len())?.into_iter();
    let mut cell_rows = integers::decode(&mut cursor, cell_count)?.into_iter();
    let mut cell_bytes = integers::decode(&mut cursor, cell_count)?.into_iter();
    cursor.finish()?;
    let mut group = |(stream, level, cells, first): (u32, Option<u32>, u64, i64)| {
        let mut minute = first;
        let cell = |index: u64| {
            if index > 0 {
                minute = minute.wrapping_add(minutes.next().unwrap_or(0).cast_signed()).wrapping_add(1);
            }
            let rows = cell_rows.next().unwrap_or(0).saturating_add(1);
            Cell { minute, rows, line_bytes: cell_bytes.next().unwrap_or(0) }
        };
        LevelCounts { stream, level, cells: (0..cells).map(cell).collect() }
    };
    let groups = heads.into_iter().map(&mut group).collect();
    Ok(Counts { levels, groups })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_minute_knows_its_times(one: i64, near in -2 * NANOS_PER_MINUTE..2 * NANOS_PER_MINUTE) {
            for start in [one, 0, i64::MIN, i64::MAX] {
                for other in [start.saturating_add(near), one, minute_of(start).wrapping_mul(NANOS_PER_MINUTE)] {
                    prop_assert_eq!(is_in_minute(other, minute_of(start)), minute_of(other) == minute_of(start));
                }
            }
        }
    }
}
