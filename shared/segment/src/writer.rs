//! Entries in any order become a segment: sorted by (labels, time), stably, equal ones dropped.
//!
//! In: borrowed entries of any streams. Out: the segment's bytes. The same entries in the same order give the same bytes.

use std::collections::BTreeMap;

use model::{Entry, EntryRef, Labels};

use crate::Error;
use crate::layout::{BLOCK_ROWS_MAX, COLUMN_BYTES_MAX};
use crate::sorted::SortedWriter;

/// How a segment is written. Every choice is recorded in the segment; readers need none of this.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// zstd level.
    pub level: i32,
    /// Bytes of lines that a block holds at most, unless a single line is longer.
    pub block_bytes_max: usize,
    /// Where a new stream begins, a block with at least this many bytes of lines ends; 0 gives each stream its own blocks.
    pub block_bytes_min: usize,
    /// Whether lines are kept by template where that pays.
    pub lines_by_template: bool,
    /// Rows that a block holds at most.
    pub block_rows_max: u32,
    /// Share of absent keys for which a block's filter says "perhaps".
    pub block_filter_error_rate: f64,
    /// The same for the segment's filter.
    pub segment_filter_error_rate: f64,
    /// Keys of a slice of the segment's filter; decides how many bytes one answer costs.
    pub slice_keys_max: usize,
    /// Bits of the gram filter for each distinct gram, before compression.
    pub gram_bits: u32,
    /// Bytes of lines for which the gram filter may have a byte; what is too small for that has none.
    pub gram_line_bytes_min: u64,
}

impl Default for Options {
    /// For fresh segments: fast.
    fn default() -> Self {
        Options {
            level: 1,
            block_bytes_max: 1 << 20,
            block_bytes_min: 1 << 19,
            lines_by_template: false,
            block_rows_max: 1 << 16,
            block_filter_error_rate: 0.01,
            segment_filter_error_rate: 0.01,
            slice_keys_max: 1 << 15,
            gram_bits: 6,
            gram_line_bytes_min: 64,
        }
    }
}

impl Options {
    /// For merged segments: small, and a stream of any size has blocks of its own.
    pub fn merged() -> Self {
        Options {
            level: 6,
            lines_by_template: true,
            block_bytes_min: 1 << 17,
            block_filter_error_rate: 0.03,
            gram_bits: 12,
            gram_line_bytes_min: 256,
            ..Options::default()
        }
    }

    /// The same, each value moved into the range that the format allows.
    pub(crate) fn within_limits(mut self) -> Self {
        let column_bytes_max = usize::try_from(COLUMN_BYTES_MAX).unwrap_or(usize::MAX);
        self.block_bytes_max = self.block_bytes_max.clamp(1, column_bytes_max / 4);
        self.block_rows_max = self.block_rows_max.clamp(1, BLOCK_ROWS_MAX);
        self.block_filter_error_rate = self.block_filter_error_rate.clamp(1e-6, 0.5);
        self.segment_filter_error_rate = self.segment_filter_error_rate.clamp(1e-6, 0.5);
        self.slice_keys_max = self.slice_keys_max.max(1);
        self
    }
}

/// A finished segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its bytes; for a [`SortedWriter`], those behind what was drained.
    pub bytes: Vec<u8>,
    /// Length of the whole segment.
    pub object_len: u64,
    /// Earliest time, nanoseconds.
    pub min_ts: i64,
    /// Latest time, nanoseconds.
    pub max_ts: i64,
    /// Rows stored.
    pub rows: u64,
    /// Rows dropped because an equal one was stored.
    pub rows_dropped: u64,
    /// Bytes of all lines stored.
    pub line_bytes: u64,
    /// Bytes of all structured metadata stored, names and values.
    pub metadata_bytes: u64,
}

/// Collects entries and writes them as one segment. Borrows them, so that a batch is copied only into its blocks.
#[derive(Debug)]
pub struct Writer<'a> {
    options: Options,
    streams: BTreeMap<&'a Labels, Vec<&'a Entry>>,
}

impl<'a> Writer<'a> {
    /// Starts a segment.
    pub fn new(options: Options) -> Self {
        Writer { options, streams: BTreeMap::new() }
    }

    /// Adds entries of a stream, which may come in several parts and in any order.
    pub fn add(&mut self, stream: &'a Labels, entries: impl IntoIterator<Item = &'a Entry>) {
        self.streams.entry(stream).or_default().extend(entries);
    }

    /// Sorts and writes.
    pub fn finish(self) -> Result<Segment, Error> {
        let mut writer = SortedWriter::new(self.options)?;
        let mut metadata: Vec<(&str, &str)> = Vec::new();
        for (labels, mut entries) in self.streams {
            if entries.is_empty() {
                continue;
            }
            entries.sort_by_key(|entry| entry.timestamp_ns);
            writer.start_stream(labels)?;
            for entry in entries {
                metadata.clear();
                metadata.extend(entry.metadata.iter());
                writer.push(EntryRef { timestamp_ns: entry.timestamp_ns, line: &entry.line, metadata: &metadata })?;
            }
        }
        writer.finish()
    }
}
