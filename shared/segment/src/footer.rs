//! The footer: what a reader knows of a segment before it reads a block.
//!
//! ```text
//! ( kind varint | length varint | payload )*      kinds from 128 up may be skipped, others must be known
//! 1 sections   count, (kind, codec u8, stored, raw, checksum u64)*          the parts between filters and footer
//! 2 names      count, (length, text)*                                       structured-metadata names
//! 3 blocks     count, (runs, (stream step, rows, first time, span)*, columns, column*, filter)*
//! 4 slices     count, filter*                                               the segment's filter
//! ```
//! Offsets are not stored: blocks, filters and sections follow each other, and their lengths must add up to the place
//! where the footer begins.

use std::ops::Range;
use std::sync::Arc;

use model::Labels;

use crate::Error;
use crate::block::{BlockMeta, Run};
use crate::codec::{Codec, unpack};
use crate::column::{COLUMN_RECORD_BYTES_MIN, ColumnKind, put_column, take_column};
use crate::counts::{self, Counts};
use crate::filter::{FILTER_RECORD_BYTES_MIN, FilterMeta, Key, Spread, put_filter, take_filter};
use crate::grams::{GRAM_FILTER_BYTES_MAX, GramFilter};
use crate::interner::Interner;
use crate::layout::{BLOCK_ROWS_MAX, HEADER, SECTION_BYTES_MAX, checksum64};
use crate::streams::StreamInfo;
use crate::wire::{Cursor, put_signed, put_varint};

const SECTIONS: u64 = 1;
const NAMES: u64 = 2;
const BLOCKS: u64 = 3;
const SLICES: u64 = 4;
/// Footer sections and parts of the file from this number on may be skipped by who does not know them.
const SKIPPABLE_MIN: u64 = 128;

/// The part of the file that holds the counts.
pub(crate) const SECTION_COUNTS: u64 = 1;
/// The part of the file that holds the stream table.
pub(crate) const SECTION_STREAMS: u64 = 2;
/// The part of the file that holds the gram filter, if the segment has one.
pub(crate) const SECTION_GRAMS: u64 = SKIPPABLE_MIN;

const PART: &str = "footer";

/// A compressed part of the file between filters and footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionMeta {
    /// Its bytes in the segment.
    pub range: Range<u64>,
    /// How many bytes it takes uncompressed.
    pub raw_len: u64,
    pub(crate) kind: u64,
    pub(crate) codec: Codec,
    pub(crate) checksum: u64,
}

impl SectionMeta {
    pub(crate) fn open(&self, part: &'static str, stored: &[u8]) -> Result<Vec<u8>, Error> {
        self.open_within(part, stored, SECTION_BYTES_MAX)
    }

    fn open_within(&self, part: &'static str, stored: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
        let need = self.range.end.saturating_sub(self.range.start);
        if stored.len() as u64 != need {
            return Err(Error::Truncated { part, need, have: stored.len() as u64 });
        }
        if checksum64(stored) != self.checksum {
            return Err(Error::Checksum { part });
        }
        unpack(part, self.codec, stored, self.raw_len, limit)
    }
}

/// A segment's index: everything but the blocks, the filters' bits and the counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    pub(crate) version: u16,
    pub(crate) streams: Vec<StreamInfo>,
    pub(crate) blocks: Vec<BlockMeta>,
    pub(crate) slices: Vec<FilterMeta>,
    pub(crate) sections: Vec<SectionMeta>,
}

impl Footer {
    /// The streams, labels ascending.
    pub fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    /// Changes the labels of each stream, for a reader that tells several owners' streams apart.
    pub fn map_labels(&mut self, change: impl Fn(&Labels) -> Labels) {
        self.streams.iter_mut().for_each(|stream| stream.labels = change(&stream.labels));
    }

    /// The blocks, in (stream, time) order.
    pub fn blocks(&self) -> &[BlockMeta] {
        &self.blocks
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.rows)).sum()
    }

    /// The earliest time of any row, nanoseconds.
    pub fn min_ts(&self) -> i64 {
        self.blocks.iter().map(|block| block.min_ts).min().unwrap_or(0)
    }

    /// The latest time of any row, nanoseconds.
    pub fn max_ts(&self) -> i64 {
        self.blocks.iter().map(|block| block.max_ts).max().unwrap_or(0)
    }

    /// The filter that answers whether a key can be anywhere in the segment: one slice of the segment's, or the block's
    /// if there is only one block.
    pub fn filter(&self, key: Key) -> Option<&FilterMeta> {
        match self.slices.len() {
            0 => self.blocks.first().map(|block| &block.filter),
            slices => self.slices.get(key.slice(slices)),
        }
    }

    /// The slices of the segment's filter; none if there is only one block.
    pub fn slices(&self) -> &[FilterMeta] {
        &self.slices
    }

    /// Where the filters of all blocks lie; they follow each other in block order.
    pub fn block_filters_range(&self) -> Range<u64> {
        let start = self.blocks.first().map_or(0, |block| block.filter.range.start);
        start..self.blocks.last().map_or(start, |block| block.filter.range.end)
    }

    /// Where the counts lie: right before the stream table, so that the tail already read often holds them.
    pub fn counts_range(&self) -> Range<u64> {
        self.section(SECTION_COUNTS).map_or(0..0, |section| section.range.clone())
    }

    /// What is needed to open the segment and to count its rows: counts and stream table, and the end. The gram filter lies between.
    pub fn index_ranges(&self, object_len: u64) -> [Range<u64>; 2] {
        let streams = self.section(SECTION_STREAMS).map_or(0..0, |section| section.range.clone());
        let end = self.sections.iter().map(|section| section.range.end).max().unwrap_or(object_len);
        [self.counts_range().start.min(streams.start)..streams.end, end..object_len]
    }

    /// Reads the bytes of [`Footer::counts_range`].
    pub fn decode_counts(&self, stored: &[u8]) -> Result<Counts, Error> {
        let section =
            self.section(SECTION_COUNTS).ok_or(Error::Malformed { part: "counts", why: "the segment has none" })?;
        counts::decode(&section.open("counts", stored)?, self.streams.len(), self.rows())
    }

    /// The gram filter's part of the file; none in segments that are too small for one, or older than it.
    pub fn grams(&self) -> Option<&SectionMeta> {
        self.section(SECTION_GRAMS)
    }

    /// Reads the bytes of [`Footer::grams`].
    pub fn decode_grams(&self, stored: &[u8]) -> Result<GramFilter, Error> {
        const PART: &str = "gram filter";
        let section = self.grams().ok_or(Error::Malformed { part: PART, why: "the segment has none" })?;
        GramFilter::new(section.open_within(PART, stored, GRAM_FILTER_BYTES_MAX)?)
    }

    pub(crate) fn section(&self, kind: u64) -> Option<&SectionMeta> {
        self.sections.iter().find(|section| section.kind == kind)
    }

    /// The footer's raw bytes; the streams have their own section.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut names = Interner::default();
        let mut blocks = Vec::new();
        put_varint(&mut blocks, self.blocks.len() as u64);
        let (mut stream, mut time) = (0, 0i64);
        for block in &self.blocks {
            put_varint(&mut blocks, block.runs.len() as u64);
            for run in &block.runs {
                put_varint(&mut blocks, (run.stream - stream).into());
                put_varint(&mut blocks, run.rows.into());
                put_signed(&mut blocks, run.min_ts.wrapping_sub(time));
                put_varint(&mut blocks, run.max_ts.wrapping_sub(run.min_ts).cast_unsigned());
                (stream, time) = (run.stream, run.min_ts);
            }
            put_varint(&mut blocks, block.columns.len() as u64);
            for column in &block.columns {
                put_column(column, |name| names.intern(name), &mut blocks);
            }
            put_filter(&block.filter, &mut blocks);
        }
        let mut sections = Vec::new();
        put_varint(&mut sections, self.sections.len() as u64);
        for section in &self.sections {
            put_varint(&mut sections, section.kind);
            sections.push(section.codec.number());
            put_varint(&mut sections, section.range.end - section.range.start);
            put_varint(&mut sections, section.raw_len);
            sections.extend_from_slice(&section.checksum.to_le_bytes());
        }
        let mut name_list = Vec::new();
        put_varint(&mut name_list, names.len() as u64);
        for name in names.iter() {
            put_varint(&mut name_list, name.len() as u64);
            name_list.extend_from_slice(name.as_bytes());
        }
        let mut slices = Vec::new();
        put_varint(&mut slices, self.slices.len() as u64);
        self.slices.iter().for_each(|slice| put_filter(slice, &mut slices));
        let mut out = Vec::new();
        for (kind, payload) in [(SECTIONS, sections), (NAMES, name_list), (BLOCKS, blocks), (SLICES, slices)] {
            put_varint(&mut out, kind);
            put_varint(&mut out, payload.len() as u64);
            out.extend_from_slice(&payload);
        }
        out
    }

    /// Reads the footer's raw bytes. The streams are empty until the stream table is read; see [`Footer::with_streams`].
    pub(crate) fn decode(raw: &[u8], version: u16, footer_offset: u64) -> Result<Self, Error> {
        let mut parts: [Option<Cursor<'_>>; 4] = [const { None }; 4];
        let mut cursor = Cursor::new(PART, raw);
        while !cursor.is_empty() {
            let kind = cursor.varint()?;
            let length = cursor.length()?;
            let payload = cursor.take(length)?;
            let slot =
                usize::try_from(kind).ok().and_then(|kind| kind.checked_sub(1)).and_then(|index| parts.get_mut(index));
            match slot {
                Some(slot) => *slot = Some(Cursor::new(PART, payload)),
                None if kind >= SKIPPABLE_MIN => {}
                None => return Err(Error::Unknown { part: PART, what: "section", value: kind }),
            }
        }
        let [Some(mut sections), Some(mut names), Some(mut blocks), Some(mut slices)] = parts else {
            return Err(cursor.malformed("a section is missing"));
        };
        let name_count = names.count(1)?;
        let name_list = (0..name_count).map(|_| names.string().map(Arc::from)).collect::<Result<Vec<Arc<str>>, _>>()?;
        let mut offset = HEADER.len() as u64;
        let spread = if version == 1 { Spread::SipHash } else { Spread::Own };
        let mut all = take_blocks(&mut blocks, &name_list, spread, &mut offset)?;
        for (block, filter_len) in all.iter_mut() {
            let start = offset;
            offset =
                start.checked_add(*filter_len).ok_or_else(|| cursor.malformed("a filter ends behind the object"))?;
            block.filter.range = start..offset;
        }
        let slice_count = slices.count(FILTER_RECORD_BYTES_MIN)?;
        let slice_list =
            (0..slice_count).map(|_| take_filter(&mut slices, spread, &mut offset)).collect::<Result<Vec<_>, _>>()?;
        let section_list = take_sections(&mut sections, &mut offset)?;
        if offset != footer_offset {
            return Err(cursor.malformed("the parts do not end where the footer begins"));
        }
        for part in [sections, names, blocks, slices] {
            part.finish()?;
        }
        let blocks = all.into_iter().map(|(block, _)| block).collect();
        Ok(Footer { version, streams: Vec::new(), blocks, slices: slice_list, sections: section_list })
    }

    /// Adds the streams of the stream table, with rows and times from the runs.
    pub(crate) fn with_streams(mut self, mut streams: Vec<StreamInfo>) -> Result<Self, Error> {
        for run in self.blocks.iter().flat_map(|block| &block.runs) {
            let stream = streams
                .get_mut(run.stream as usize)
                .ok_or(Error::Malformed { part: PART, why: "a run has no stream" })?;
            stream.rows += u64::from(run.rows);
            stream.min_ts = stream.min_ts.min(run.min_ts);
            stream.max_ts = stream.max_ts.max(run.max_ts);
        }
        if streams.iter().any(|stream| stream.rows == 0) {
            return Err(Error::Malformed { part: PART, why: "a stream has no rows" });
        }
        self.streams = streams;
        Ok(self)
    }
}

/// Fewest bytes of a block's record: one run, three columns, a filter.
const BLOCK_RECORD_BYTES_MIN: usize =
    1 + RUN_RECORD_BYTES_MIN + 1 + 3 * COLUMN_RECORD_BYTES_MIN + FILTER_RECORD_BYTES_MIN;
const RUN_RECORD_BYTES_MIN: usize = 4;

/// Reads the blocks, each with the length of its filter, which lies behind all blocks.
fn take_blocks(
    cursor: &mut Cursor<'_>,
    names: &[Arc<str>],
    spread: Spread,
    offset: &mut u64,
) -> Result<Vec<(BlockMeta, u64)>, Error> {
    let count = cursor.count(BLOCK_RECORD_BYTES_MIN)?;
    if count == 0 {
        return Err(cursor.malformed("there is no block"));
    }
    let mut blocks = Vec::with_capacity(count);
    let (mut stream, mut time) = (0u32, 0i64);
    for _ in 0..count {
        let runs = take_runs(cursor, &mut stream, &mut time)?;
        let rows = runs.last().map_or(0, |run| run.first_row + run.rows);
        let column_count = cursor.count(COLUMN_RECORD_BYTES_MIN)?;
        let columns =
            (0..column_count).map(|_| take_column(cursor, names, rows, offset)).collect::<Result<Vec<_>, _>>()?;
        for kind in [ColumnKind::Timestamps, ColumnKind::LineLengths, ColumnKind::Lines] {
            if !columns.iter().any(|column| column.kind == kind) {
                return Err(Error::Malformed { part: kind.part(), why: "a block has none" });
            }
        }
        let mut filter_len = 0;
        let filter = take_filter(cursor, spread, &mut filter_len)?;
        let min_ts = runs.iter().map(|run| run.min_ts).min().unwrap_or(0);
        let max_ts = runs.iter().map(|run| run.max_ts).max().unwrap_or(0);
        blocks.push((BlockMeta { rows, min_ts, max_ts, runs, columns, filter }, filter_len));
    }
    Ok(blocks)
}

fn take_runs(cursor: &mut Cursor<'_>, stream: &mut u32, time: &mut i64) -> Result<Vec<Run>, Error> {
    let count = cursor.count(RUN_RECORD_BYTES_MIN)?;
    let mut runs = Vec::with_capacity(count);
    let mut first_row = 0u32;
    for index in 0..count {
        let step = cursor.varint_u32()?;
        let rows = cursor.varint_u32()?;
        let min_ts = time.wrapping_add(cursor.signed()?);
        let max_ts = min_ts.wrapping_add(cursor.varint()?.cast_signed());
        if rows == 0 || max_ts < min_ts || (index > 0 && step == 0) {
            return Err(cursor.malformed("a run is empty, ends before it starts or repeats a stream"));
        }
        *stream = stream.checked_add(step).ok_or_else(|| cursor.malformed("a stream number passes 32 bits"))?;
        *time = min_ts;
        runs.push(Run { stream: *stream, first_row, rows, min_ts, max_ts });
        first_row = first_row.saturating_add(rows);
        if first_row > BLOCK_ROWS_MAX {
            return Err(Error::Limit {
                part: "rows of a block",
                value: first_row.into(),
                limit: BLOCK_ROWS_MAX.into(),
            });
        }
    }
    if runs.is_empty() { Err(cursor.malformed("a block has no rows")) } else { Ok(runs) }
}

fn take_sections(cursor: &mut Cursor<'_>, offset: &mut u64) -> Result<Vec<SectionMeta>, Error> {
    let count = cursor.count(12)?;
    let mut sections = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = cursor.varint()?;
        let codec = Codec::of_column(cursor.u8()?);
        let stored_len = cursor.varint()?;
        let raw_len = cursor.varint()?;
        let checksum = cursor.u64()?;
        let start = *offset;
        *offset = start.checked_add(stored_len).ok_or_else(|| cursor.malformed("a section ends behind the object"))?;
        if !matches!(kind, SECTION_COUNTS | SECTION_STREAMS) && kind < SKIPPABLE_MIN {
            return Err(Error::Unknown { part: PART, what: "part of the file", value: kind });
        }
        sections.push(SectionMeta { range: start..*offset, raw_len, kind, codec, checksum });
    }
    Ok(sections)
}
