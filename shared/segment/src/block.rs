//! A block in the making: rows go in, compressed columns, a filter's keys and a footer's record come out.
//!
//! Knows nothing of order or of duplicates; [`crate::SortedWriter`] decides what is put in and when the block is full.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::Labels;
use xxhash_rust::xxh3::Xxh3;

use crate::Error;
use crate::codec::{Codec, Packer};
use crate::column::{self, ColumnKind, ColumnMeta};
use crate::dictionary;
use crate::filter::{FilterMeta, Key, KeySet, Spread};
use crate::grams::GramSet;
use crate::interner::Interner;
use crate::layout::checksum32;
use crate::lines;
use crate::names::{Names, NamesId};
use crate::novelty::{History, Visitor};

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
    fn push(&mut self, row: usize, value: &str) {
        if self.codes.len() < row {
            self.skip_to(row);
        }
        self.codes.push(self.values.intern(value) + 1);
    }

    /// The rows before that one lack the name.
    #[cold]
    fn skip_to(&mut self, row: usize) {
        self.codes.resize(row, 0);
    }

    /// The value of the last row that has a code.
    fn last(&self) -> Option<&str> {
        let code = self.codes.last()?.checked_sub(1)?;
        Some(self.values.get(code as usize))
    }

    fn clear(&mut self) {
        self.values.clear();
        self.codes.clear();
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.values.memory_bytes() + self.codes.capacity() * size_of::<u32>()
    }
}

/// A row as it comes in, a value for each name.
pub(crate) struct Row<'a, V> {
    pub(crate) timestamp_ns: i64,
    pub(crate) line: &'a str,
    pub(crate) names_id: NamesId,
    pub(crate) names: &'a Names,
    pub(crate) values: V,
}

/// Where the new tokens and grams of a line go.
struct NewInLine<'b> {
    keys: &'b mut KeySet,
    grams: &'b mut GramSet,
}

impl Visitor for NewInLine<'_> {
    #[inline]
    fn token(&mut self, token: &[u8]) {
        self.keys.insert(Key::token_bytes(token));
    }

    #[inline]
    fn grams(&mut self, begins: Range<usize>) {
        self.grams.add(begins);
    }
}

/// A column before compression.
enum Raw<'a> {
    One(&'a [u8]),
    Parts(&'a [Vec<u8>]),
}

/// Rows that will be a block.
pub(crate) struct BlockBuilder {
    timestamps: Vec<i64>,
    lengths: Vec<u32>,
    lines: Vec<u8>,
    metadata: Vec<MetadataColumn>,
    /// Cleared columns of blocks before, for their memory.
    spare: Vec<MetadataColumn>,
    by_name: HashMap<Arc<str>, usize, RandomState>,
    /// For each list of names its columns, once a row has them.
    columns_of: Vec<Vec<usize>>,
    metadata_bytes: usize,
    runs: Vec<Run>,
    keys: KeySet,
    history: History,
    /// A column's bytes before compression.
    raw: Vec<u8>,
}

impl BlockBuilder {
    pub(crate) fn new() -> Self {
        BlockBuilder {
            timestamps: Vec::new(),
            lengths: Vec::new(),
            lines: Vec::new(),
            metadata: Vec::new(),
            spare: Vec::new(),
            by_name: HashMap::default(),
            columns_of: Vec::new(),
            metadata_bytes: 0,
            runs: Vec::new(),
            keys: KeySet::new(),
            history: History::new(),
            raw: Vec::new(),
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
    pub(crate) fn push<'v>(
        &mut self,
        stream: u32,
        labels: &Labels,
        entry: Row<'_, impl Iterator<Item = &'v str>>,
        grams: &mut GramSet,
    ) {
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
        self.lines.extend_from_slice(entry.line.as_bytes());
        grams.start_line(entry.line.as_bytes());
        self.history.visit(entry.line.as_bytes(), &mut NewInLine { keys: &mut self.keys, grams });
        if self.columns_of.get(entry.names_id.0).is_none_or(Vec::is_empty) {
            self.find_columns(entry.names_id, entry.names);
        }
        self.metadata_bytes += entry.names.bytes();
        for (index, value) in self.columns_of.get(entry.names_id.0).into_iter().flatten().zip(entry.values) {
            self.metadata_bytes += value.len();
            if let Some(column) = self.metadata.get_mut(*index) {
                column.push(row as usize, value);
            }
        }
    }

    /// The names of a list have changed.
    pub(crate) fn forget_columns(&mut self, names_id: NamesId) {
        self.columns_of.get_mut(names_id.0).into_iter().for_each(Vec::clear);
    }

    /// Finds the columns of a list of names, or makes them.
    fn find_columns(&mut self, names_id: NamesId, names: &Names) {
        let BlockBuilder { metadata, spare, by_name, columns_of, .. } = self;
        columns_of.resize_with(columns_of.len().max(names_id.0 + 1), Vec::new);
        let Some(columns) = columns_of.get_mut(names_id.0) else { return };
        columns.extend(names.iter().map(|name| {
            *by_name.entry(Arc::clone(name)).or_insert_with(|| {
                let name = Arc::clone(name);
                metadata.push(match spare.pop() {
                    Some(column) => MetadataColumn { name, ..column },
                    None => MetadataColumn { name, values: Interner::default(), codes: Vec::new() },
                });
                metadata.len() - 1
            })
        }));
    }

    /// [`row_digest`] of the last row, if there is one.
    pub(crate) fn last_digest(&self) -> Option<u128> {
        let line_start = self.lines.len() - *self.lengths.last()? as usize;
        let in_row = self.metadata.iter().filter(|column| column.codes.len() == self.rows());
        let mut metadata: Vec<(&str, &str)> =
            in_row.filter_map(|column| Some((&*column.name, column.last()?))).collect();
        metadata.sort_unstable();
        Some(row_digest(self.lines.get(line_start..).unwrap_or_default(), metadata.into_iter()))
    }

    /// Ends the block: appends its columns to `out`, whose first byte lies at `offset` in the segment, and starts anew.
    /// The keys stay until they are taken; the filter's record is the caller's to fill.
    pub(crate) fn seal(
        &mut self,
        by_template: bool,
        packer: &mut Packer,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<BlockMeta, Error> {
        let rows = u32::try_from(self.rows()).expect("the writer ends a block before 2^20 rows");
        let mut columns = Vec::with_capacity(3 + self.metadata.len());
        let mut record =
            |kind: ColumnKind, encoding, start: usize, (codec, raw_len): (Codec, usize), values, out: &[u8]| {
                let checksum = checksum32(out.get(start..).unwrap_or_default());
                let range = offset + start as u64..offset + out.len() as u64;
                let raw_len = raw_len as u64;
                columns.push(ColumnMeta { kind, range, raw_len, codec, encoding, checksum, rows, values });
            };
        let mut put = |kind: ColumnKind, encoding: u8, raw: Raw<'_>, values: u32| -> Result<(), Error> {
            let start = out.len();
            let packed = match raw {
                Raw::One(raw) => (packer.pack(kind.part(), raw, out)?, raw.len()),
                Raw::Parts(parts) => packer.pack_parts(kind.part(), parts, out)?,
            };
            record(kind, encoding, start, packed, values, out);
            Ok(())
        };
        let raw = &mut self.raw;
        raw.clear();
        let encoding = column::encode_timestamps(&self.timestamps, raw);
        put(ColumnKind::Timestamps, encoding, Raw::One(raw), 0)?;
        raw.clear();
        let encoding = column::encode_lengths(&self.lengths, raw);
        put(ColumnKind::LineLengths, encoding, Raw::One(raw), 0)?;
        let encode = || lines::encode(&self.lines, &self.lengths, &self.timestamps);
        match by_template.then(encode).flatten() {
            Some(parts) => put(ColumnKind::Lines, column::LINES_TEMPLATED, Raw::Parts(&parts.all()), 0)?,
            None => put(ColumnKind::Lines, column::LINES_PLAIN, Raw::One(&self.lines), 0)?,
        }
        self.metadata.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for column in &mut self.metadata {
            column.codes.resize(rows as usize, 0);
            raw.clear();
            let encoding = dictionary::encode(&column.values, &column.codes, raw);
            let values = u32::try_from(column.values.len()).expect("a row brings at most one value a name");
            put(ColumnKind::Metadata(Arc::clone(&column.name)), encoding, Raw::One(raw), values)?;
            for value in column.values.iter() {
                self.keys.insert(Key::metadata(&column.name, value));
            }
        }
        let min_ts = self.runs.iter().map(|run| run.min_ts).min().unwrap_or(0);
        let max_ts = self.runs.iter().map(|run| run.max_ts).max().unwrap_or(0);
        let runs = std::mem::take(&mut self.runs);
        self.start_anew();
        let filter = FilterMeta { range: 0..0, hashes: 0, checksum: 0, spread: Spread::Own };
        Ok(BlockMeta { rows, min_ts, max_ts, runs, columns, filter })
    }

    fn start_anew(&mut self) {
        self.timestamps.clear();
        self.lengths.clear();
        self.lines.clear();
        self.metadata.iter_mut().for_each(MetadataColumn::clear);
        // The first name is the next one's first, too, and mostly the same.
        self.spare.extend(self.metadata.drain(..).rev());
        self.by_name.clear();
        self.columns_of.iter_mut().for_each(Vec::clear);
        self.history.clear();
        self.metadata_bytes = 0;
    }

    /// The keys of the sealed block, to be cleared before the next row.
    pub(crate) fn keys(&mut self) -> &mut KeySet {
        &mut self.keys
    }

    /// After the last block of a segment: what was known of the segment is not true of the next.
    pub(crate) fn forget_segment(&mut self) {
        self.keys.clear();
        self.columns_of.clear();
    }

    /// The memory that it keeps when it is empty.
    pub(crate) fn memory_bytes(&self) -> usize {
        let columns: usize = self.spare.iter().map(MetadataColumn::memory_bytes).sum();
        let rows = self.timestamps.capacity() * size_of::<i64>() + self.lengths.capacity() * size_of::<u32>();
        let names = self.by_name.capacity() * size_of::<(Arc<str>, usize)>();
        let buffers = self.lines.capacity() + self.raw.capacity();
        columns + rows + names + buffers + self.keys.memory_bytes() + self.history.memory_bytes()
    }
}

/// Line and metadata of a row as one number. 0xff is never part of UTF-8, so no two rows are spelled alike.
pub(crate) fn row_digest<'n, 'v>(line: &[u8], metadata: impl Iterator<Item = (&'n str, &'v str)>) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(line);
    for (name, value) in metadata {
        for text in [name, value] {
            hasher.update(&[0xff]);
            hasher.update(text.as_bytes());
        }
    }
    hasher.digest128()
}
