//! Reads a segment to its last byte and compares what it says about itself with what it holds.
//!
//! In: all bytes of a segment. Out: its facts, or the first thing that is wrong: a checksum, a length, an order, a time outside of its
//! run, a sum or a count that is not that of the rows. Every part is decoded, so what passes can be queried and merged.

use std::collections::HashMap;

use crate::Error;
use crate::block::BlockMeta;
use crate::column::{ColumnKind, ColumnMeta, decode_lengths, decode_lines, decode_timestamps};
use crate::counts::{LEVEL_NAME, minute_of};
use crate::dictionary::{Dictionary, decode_metadata};
use crate::filter::Filter;
use crate::footer::Footer;
use crate::layout::HEADER;
use crate::reader::{Opened, open_tail, part};

/// Reads all of a segment. Gives its footer.
pub fn check(bytes: &[u8]) -> Result<Footer, Error> {
    if !bytes.starts_with(&HEADER) {
        return Err(Error::Magic { part: "header" });
    }
    let Opened::Footer(footer) = open_tail(bytes, bytes.len() as u64)? else {
        return Err(wrong("footer", "it lies outside of the object"));
    };
    let counts = footer.decode_counts(part(bytes, &footer.counts_range())?)?;
    let mut sums = Sums::default();
    for block in footer.blocks() {
        sums.add(bytes, block)?;
        Filter::decode(&block.filter, part(bytes, &block.filter.range)?)?;
    }
    for slice in footer.slices() {
        Filter::decode(slice, part(bytes, &slice.range)?)?;
    }
    if let Some(section) = footer.grams() {
        footer.decode_grams(part(bytes, &section.range)?)?;
    }
    for (number, stream) in (0u32..).zip(footer.streams()) {
        if sums.streams.get(&number).map(|told| (told.line_bytes, told.metadata_bytes))
            != Some((stream.line_bytes, stream.metadata_bytes))
        {
            return Err(wrong("stream table", "its sums are not those of the rows"));
        }
    }
    for group in &counts.groups {
        let level = match group.level {
            None => None,
            Some(level) => counts.levels.get(level as usize).cloned(),
        };
        for cell in &group.cells {
            let found = sums.cells.remove(&(group.stream, level.clone(), cell.minute));
            if found != Some((cell.rows, cell.line_bytes)) {
                return Err(wrong("counts", "they are not those of the rows"));
            }
        }
    }
    if sums.cells.is_empty() { Ok(footer) } else { Err(wrong("counts", "rows are missing in them")) }
}

fn wrong(part: &'static str, why: &'static str) -> Error {
    Error::Malformed { part, why }
}

/// What the rows amount to.
#[derive(Default)]
struct Sums {
    streams: HashMap<u32, StreamSums>,
    /// Rows and line bytes by stream, level and minute.
    cells: HashMap<(u32, Option<String>, i64), (u64, u64)>,
}

#[derive(Default)]
struct StreamSums {
    line_bytes: u64,
    metadata_bytes: u64,
    last_ts: Option<i64>,
}

impl Sums {
    /// Decodes a block and adds up its rows.
    fn add(&mut self, bytes: &[u8], block: &BlockMeta) -> Result<(), Error> {
        let column = |kind: ColumnKind| {
            block.column(&kind).ok_or(Error::Malformed { part: kind.part(), why: "a block has none" })
        };
        let stored = |column: &ColumnMeta| part(bytes, &column.range);
        let times = column(ColumnKind::Timestamps)?;
        let timestamps = decode_timestamps(times, stored(times)?)?;
        let lengths = column(ColumnKind::LineLengths)?;
        let lengths = decode_lengths(lengths, stored(lengths)?)?;
        let lines = column(ColumnKind::Lines)?;
        check_lines(&decode_lines(lines, stored(lines)?, &timestamps)?, &lengths)?;
        let mut metadata: Vec<(&str, Dictionary)> = Vec::new();
        for column in &block.columns {
            if let ColumnKind::Metadata(name) = &column.kind {
                metadata.push((name, decode_metadata(column, stored(column)?)?));
            }
        }
        let mut rows = timestamps.iter().zip(&lengths).enumerate();
        for run in &block.runs {
            let sums = self.streams.entry(run.stream).or_default();
            let mut first = true;
            for (row, (timestamp, length)) in rows.by_ref().take(run.rows as usize) {
                let starts_wrong = first && *timestamp != run.min_ts;
                if starts_wrong || *timestamp > run.max_ts || sums.last_ts.is_some_and(|last| last > *timestamp) {
                    return Err(wrong("timestamps column", "a time is not where its run says"));
                }
                (first, sums.last_ts) = (false, Some(*timestamp));
                sums.line_bytes += u64::from(*length);
                let mut level = None;
                for (name, values) in &metadata {
                    let Some(value) = values.get(row) else { continue };
                    sums.metadata_bytes += (name.len() + value.len()) as u64;
                    if *name == LEVEL_NAME {
                        level = Some(value.to_owned());
                    }
                }
                let cell = self.cells.entry((run.stream, level, minute_of(*timestamp))).or_default();
                *cell = (cell.0 + 1, cell.1 + u64::from(*length));
            }
            if sums.last_ts != Some(run.max_ts) {
                return Err(wrong("timestamps column", "a run does not end when it says"));
            }
        }
        if rows.next().is_some() { Err(wrong("timestamps column", "there are rows of no run")) } else { Ok(()) }
    }
}

/// Whether the lengths cut the lines into texts.
fn check_lines(lines: &str, lengths: &[u32]) -> Result<(), Error> {
    let mut at = 0usize;
    for length in lengths {
        at = at.saturating_add(*length as usize);
        if !lines.is_char_boundary(at) {
            return Err(wrong("line length column", "a line is no text"));
        }
    }
    if at == lines.len() { Ok(()) } else { Err(wrong("line length column", "the lengths are not those of the lines")) }
}

#[cfg(test)]
mod tests {
    use model::{Entry, Labels};

    use super::*;
    use crate::{Options, Writer};

    fn sample() -> Vec<u8> {
        let entry = |i: i64| Entry {
            timestamp_ns: i * 20_000_000_000,
            line: format!("line ä {i}"),
            metadata: match i % 3 {
                0 => Labels::default(),
                1 => Labels::from_pairs([("detected_level", "info")]),
                _ => Labels::from_pairs([("detected_level", "error"), ("trace", "00ff")]),
            },
        };
        let entries: Vec<Entry> = (0..40).map(entry).collect();
        let streams = ["a", "b"].map(|app| Labels::from_pairs([("app", app)]));
        let mut writer = Writer::new(Options { block_bytes_max: 200, ..Options::default() });
        streams.iter().for_each(|labels| writer.add(labels, &entries));
        writer.finish().expect("rows were added").bytes
    }

    #[test]
    fn what_the_writer_wrote_is_sound() {
        let footer = check(&sample()).expect("sound");
        assert_eq!((footer.rows(), footer.streams().len()), (80, 2));
        assert!(footer.blocks().len() > 2);
    }

    /// No byte of a segment can change unseen.
    #[test]
    fn every_flipped_bit_is_found() {
        let good = sample();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(check(&bad).is_err(), "byte {at} of {}", good.len());
        }
        for cut in 0..good.len() {
            assert!(check(&good[..cut]).is_err(), "cut at {cut}");
        }
    }
}
