//! A block in the making: rows go in, compressed columns, a filter's keys and a footer's record come out.
//!
//! Knows nothing of order or of duplicates; [`crate::SortedWriter`] decides what is put in and when the block is full.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use model::{EntryRef, Labels};
use xxhash_rust::xxh3::Xxh3;

use crate::Error;
use crate::codec::Packer;
use crate::column::{self, ColumnKind, ColumnMeta};
use crate::dictionary;
use crate::filter::{FilterMeta, Key, KeySet, Spread};
use crate::grams::{GRAM_BYTES, GramSet};
use crate::interner::Interner;
use crate::layout::checksum32;
use crate::recent::Recent;
use crate::tokens::{PADDING_BYTES, each_piece};

/// Neighbouring rows of one stream in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Number of the stream in the segment.
    pub stream: u32,
    /// Its first row in the block.
    pub first_row: u32,
    /// How many rows.
    pub rows: u32,
    /// Time of the first row, nanoseconds.
    pub min_ts: i64,
    /// Time of the last row, nanoseconds.
    pub max_ts: i64,
}

/// What the footer keeps of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMeta {
    /// Its rows.
    pub rows: u32,
    /// Earliest time of any row, nanoseconds.
    pub min_ts: i64,
    /// Latest time of any row, nanoseconds.
    pub max_ts: i64,
    /// Its streams, in row order.
    pub runs: Vec<Run>,
    /// Its columns: timestamps, line lengths, lines, then metadata by name.
    pub columns: Vec<ColumnMeta>,
    /// The filter over its labels, metadata and tokens.
    pub filter: FilterMeta,
}

impl BlockMeta {
    /// The bytes of all its columns, which lie together.
    pub fn range(&self) -> Range<u64> {
        let start = self.columns.first().map_or(0, |column| column.range.start);
        start..self.columns.last().map_or(start, |column| column.range.end)
    }

    /// The column of that kind, if the block has one.
    pub fn column(&self, kind: &ColumnKind) -> Option<&ColumnMeta> {
        self.columns.iter().find(|column| column.kind == *kind)
    }

    /// The column of that metadata name; without one, no row of the block has that name.
    pub fn metadata(&self, name: &str) -> Option<&ColumnMeta> {
        self.columns.iter().find(|column| matches!(&column.kind, ColumnKind::Metadata(text) if **text == *name))
    }
}

/// One metadata name of the block in the making.
#[derive(Debug)]
struct MetadataColumn {
    name: Arc<str>,
    values: Interner,
    /// Shorter than the rows while the last ones lack the name.
    codes: Vec<u32>,
}

impl MetadataColumn {
    /// The value of the last row that has a code.
    fn last(&self) -> Option<&str> {
        let code = self.codes.last()?.checked_sub(1)?;
        Some(self.values.get(code as usize))
    }
}

/// Rows that will be a block.
pub(crate) struct BlockBuilder {
    timestamps: Vec<i64>,
    lengths: Vec<u32>,
    lines: Vec<u8>,
    metadata: Vec<MetadataColumn>,
    by_name: HashMap<Arc<str>, usize>,
    /// The columns of the row before, in its order: the next row mostly has the same names.
    row_columns: Vec<usize>,
    metadata_bytes: usize,
    runs: Vec<Run>,
    keys: KeySet,
    recent: Recent,
}

impl BlockBuilder {
    pub(crate) fn new() -> Self {
        BlockBuilder {
            timestamps: Vec::new(),
            lengths: Vec::new(),
            lines: Vec::new(),
            metadata: Vec::new(),
            by_name: HashMap::new(),
            row_columns: Vec::new(),
            metadata_bytes: 0,
            runs: Vec::new(),
            keys: KeySet::new(),
            recent: Recent::new(),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.timestamps.len()
    }

    pub(crate) fn line_bytes(&self) -> usize {
        self.lines.len()
    }

    /// Bytes of all metadata pairs, repeats included.
    pub(crate) fn metadata_bytes(&self) -> usize {
        self.metadata_bytes
    }

    pub(crate) fn names(&self) -> usize {
        self.metadata.len()
    }

    /// Appends a row. The caller has checked that the line's length fits.
    pub(crate) fn push(&mut self, stream: u32, labels: &Labels, entry: &EntryRef<'_>, grams: &mut GramSet) {
        let row = u32::try_from(self.rows()).expect("the writer ends a block before 2^20 rows");
        match self.runs.last_mut() {
            Some(run) if run.stream == stream => {
                run.rows += 1;
                run.max_ts = entry.timestamp_ns;
            }
            _ => {
                let (min_ts, max_ts) = (entry.timestamp_ns, entry.timestamp_ns);
                self.runs.push(Run { stream, first_row: row, rows: 1, min_ts, max_ts });
                labels.iter().for_each(|(name, value)| self.keys.insert(Key::label(name, value)));
            }
        }
        self.timestamps.push(entry.timestamp_ns);
        self.lengths.push(u32::try_from(entry.line.len()).expect("the writer refuses lines over 32 MiB"));
        self.push_line(entry.line.as_bytes(), grams);
        for (position, (name, value)) in entry.metadata.iter().enumerate() {
            self.metadata_bytes += name.len() + value.len();
            let index = self.metadata_column(position, name);
            let Some(column) = self.metadata.get_mut(index) else { continue };
            let code = match column.codes.last() {
                Some(code) if column.last() == Some(value) => *code,
                _ => column.values.intern(value) + 1,
            };
            column.codes.resize(row as usize, 0);
            column.codes.push(code);
        }
    }

    /// Appends a line; its tokens become keys, its grams go to `grams`. A piece that was met a moment ago has nothing new.
    fn push_line(&mut self, line: &[u8], grams: &mut GramSet) {
        let start = self.lines.len();
        self.lines.extend_from_slice(line);
        self.lines.extend_from_slice(&[0; PADDING_BYTES]);
        let BlockBuilder { lines, keys, recent, .. } = self;
        let text = lines.get(start..).unwrap_or_default();
        grams.start_line(line);
        each_piece(text, line.len(), GRAM_BYTES - 1, |from, token_end, to| {
            let piece = text.get(from..).unwrap_or_default();
            if token_end == from {
                grams.add(from, to);
            } else if recent.is_new(piece, to - from) {
                keys.insert(Key::token_bytes(piece.get(..token_end - from).unwrap_or_default()));
                grams.add(from, to);
            }
        });
        lines.truncate(start + line.len());
    }

    /// The column of a name that is the row's `position`-th.
    fn metadata_column(&mut self, position: usize, name: &str) -> usize {
        if let Some(&guess) = self.row_columns.get(position)
            && self.metadata.get(guess).is_some_and(|column| *column.name == *name)
        {
            return guess;
        }
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => {
                let name: Arc<str> = name.into();
                self.by_name.insert(Arc::clone(&name), self.metadata.len());
                self.metadata.push(MetadataColumn { name, values: Interner::default(), codes: Vec::new() });
                self.metadata.len() - 1
            }
        };
        self.row_columns.resize(self.row_columns.len().max(position + 1), usize::MAX);
        if let Some(guess) = self.row_columns.get_mut(position) {
            *guess = index;
        }
        index
    }

    /// [`row_digest`] of the last row, if there is one.
    pub(crate) fn last_digest(&self) -> Option<u128> {
        let line_start = self.lines.len() - *self.lengths.last()? as usize;
        let in_row = self.metadata.iter().filter(|column| column.codes.len() == self.rows());
        let mut metadata: Vec<(&str, &str)> =
            in_row.filter_map(|column| Some((&*column.name, column.last()?))).collect();
        metadata.sort_unstable();
        Some(row_digest(self.lines.get(line_start..).unwrap_or_default(), &metadata))
    }

    /// Ends the block: appends its columns to `out`, whose first byte lies at `offset` in the segment, and starts anew.
    /// The keys stay until they are taken; the filter's record is the caller's to fill.
    pub(crate) fn seal(&mut self, packer: &mut Packer, offset: u64, out: &mut Vec<u8>) -> Result<BlockMeta, Error> {
        let rows = u32::try_from(self.rows()).expect("the writer ends a block before 2^20 rows");
        let mut columns = Vec::with_capacity(3 + self.metadata.len());
        let mut put = |kind: ColumnKind, encoding: u8, raw: &[u8], values: u32| -> Result<(), Error> {
            let start = out.len();
            let codec = packer.pack(kind.part(), raw, out)?;
            let checksum = checksum32(out.get(start..).unwrap_or_default());
            let range = offset + start as u64..offset + out.len() as u64;
            columns.push(ColumnMeta {
                kind,
                range,
                raw_len: raw.len() as u64,
                codec,
                encoding,
                checksum,
                rows,
                values,
            });
            Ok(())
        };
        let mut raw = Vec::new();
        let encoding = column::encode_timestamps(&self.timestamps, &mut raw);
        put(ColumnKind::Timestamps, encoding, &raw, 0)?;
        raw.clear();
        let encoding = column::encode_lengths(&self.lengths, &mut raw);
        put(ColumnKind::LineLengths, encoding, &raw, 0)?;
        put(ColumnKind::Lines, column::LINES_PLAIN, &self.lines, 0)?;
        self.metadata.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for column in &mut self.metadata {
            column.codes.resize(rows as usize, 0);
            raw.clear();
            let encoding = dictionary::encode(&column.values, &column.codes, &mut raw);
            let values = u32::try_from(column.values.len()).expect("a row brings at most one value a name");
            put(ColumnKind::Metadata(Arc::clone(&column.name)), encoding, &raw, values)?;
            for value in column.values.iter() {
                self.keys.insert(Key::metadata(&column.name, value));
            }
        }
        let min_ts = self.runs.iter().map(|run| run.min_ts).min().unwrap_or(0);
        let max_ts = self.runs.iter().map(|run| run.max_ts).max().unwrap_or(0);
        let runs = std::mem::take(&mut self.runs);
        self.timestamps.clear();
        self.lengths.clear();
        self.lines.clear();
        self.metadata.clear();
        self.by_name.clear();
        self.row_columns.clear();
        self.recent.clear();
        self.metadata_bytes = 0;
        let filter = FilterMeta { range: 0..0, hashes: 0, checksum: 0, spread: Spread::Own };
        Ok(BlockMeta { rows, min_ts, max_ts, runs, columns, filter })
    }

    /// The keys of the sealed block, to be cleared before the next row.
    pub(crate) fn keys(&mut self) -> &mut KeySet {
        &mut self.keys
    }
}

/// Line and metadata of a row as one number. 0xff is never part of UTF-8, so no two rows are spelled alike.
pub(crate) fn row_digest(line: &[u8], metadata: &[(&str, &str)]) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(line);
    for text in metadata.iter().flat_map(|(name, value)| [name, value]) {
        hasher.update(&[0xff]);
        hasher.update(text.as_bytes());
    }
    hasher.digest128()
}
