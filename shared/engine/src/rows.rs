//! A block's columns, decoded as they are needed: rows that borrow from them.
//!
//! In: a block and which columns are wanted. Out: entries, one after the other. A column that was not read is as if all
//! its values were empty. Never trusts lengths that a stored column gives.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::EntryRef;
use segment::{BlockMeta, ColumnKind, ColumnMeta, Dictionary, Templated};

use crate::Error;
use crate::block_cache::BlockCache;
use crate::footers::OpenSegment;
use crate::plan::PlannedRun;
use crate::reader::corrupt;

/// The metadata of one row, borrowed from a block.
pub(crate) type Metadata<'a> = Vec<(&'a str, &'a str)>;

/// Which columns a query looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The lines and their lengths.
    pub(crate) lines: bool,
    /// The lengths alone.
    pub(crate) lengths: bool,
    /// Structured metadata.
    pub(crate) metadata: MetadataColumns,
}

/// Which metadata a query looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetadataColumns {
    /// All of it.
    All,
    /// These names.
    Named(Vec<String>),
}

impl Columns {
    /// Everything.
    pub(crate) fn all() -> Self {
        Columns { lines: true, lengths: true, metadata: MetadataColumns::All }
    }

    /// Whether metadata of that name is wanted.
    pub(crate) fn names_metadata(&self, name: &str) -> bool {
        match &self.metadata {
            MetadataColumns::All => true,
            MetadataColumns::Named(names) => names.iter().any(|wanted| wanted == name),
        }
    }

    /// The columns of a block that are wanted.
    pub(crate) fn of<'b>(&self, block: &'b BlockMeta) -> Vec<&'b ColumnMeta> {
        let wanted = |column: &&ColumnMeta| match &column.kind {
            ColumnKind::Timestamps => true,
            ColumnKind::LineLengths => self.lines || self.lengths,
            ColumnKind::Lines => self.lines,
            ColumnKind::Metadata(name) => self.names_metadata(name),
            ColumnKind::Unknown(_) => false,
        };
        block.columns.iter().filter(wanted).collect()
    }
}

/// The columns of a block, each decoded when it is first asked for: most rows end at their line, and then nothing else was
/// worth the work.
pub(crate) struct Rows {
    opened: Arc<OpenSegment>,
    len: usize,
    columns: Vec<(ColumnMeta, Bytes)>,
    timestamps: OnceCell<Vec<i64>>,
    lengths: OnceCell<Vec<u32>>,
    lines: OnceCell<Arc<Lines>>,
    templated: OnceCell<Option<Templated>>,
    blocks: Arc<BlockCache>,
    /// Sorted by name.
    metadata: Vec<MetadataColumn>,
}

/// The values of one metadata name.
struct MetadataColumn {
    name: Arc<str>,
    /// Which of the stored columns.
    place: usize,
    dictionary: OnceCell<Dictionary>,
}

/// The lines of a block, one behind the other.
#[derive(Default)]
pub(crate) struct Lines {
    text: String,
    /// Where each line starts; one more than there are rows.
    offsets: Vec<usize>,
}

thread_local! {
    /// The memory of the lines decoded before on this thread, used again.
    static SPARE: RefCell<(String, Vec<usize>)> = RefCell::default();
}

/// Larger memory is given back to the system, so that one huge block does not stay with a thread.
const SPARE_BYTES_MAX: usize = 4 << 20;

impl Drop for Lines {
    fn drop(&mut self) {
        if (1..=SPARE_BYTES_MAX).contains(&self.text.capacity()) {
            let spare = (std::mem::take(&mut self.text), std::mem::take(&mut self.offsets));
            // A thread that ends has no place for it any more.
            let _ = SPARE.try_with(|kept| kept.replace(spare));
        }
    }
}

impl Lines {
    /// The memory that they take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.text.capacity() + self.offsets.capacity() * size_of::<usize>()
    }

    /// Gives back the memory that they do not need.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.offsets.shrink_to_fit();
    }

    fn set_lengths(&mut self, lengths: &[u32]) {
        let mut end = 0usize;
        self.offsets.clear();
        self.offsets.push(0);
        self.offsets.extend(lengths.iter().map(|length| {
            end = end.saturating_add(*length as usize);
            end
        }));
    }

    /// A row's line.
    pub(crate) fn get(&self, row: usize) -> &str {
        let range = self.offsets.get(row).zip(self.offsets.get(row + 1));
        range.and_then(|(from, to)| self.text.get(*from..*to)).unwrap_or_default()
    }

    /// The lines of some rows as one text.
    pub(crate) fn text(&self, rows: &Range<usize>) -> &[u8] {
        let range = self.offsets.get(rows.start).zip(self.offsets.get(rows.end));
        range.and_then(|(from, to)| self.text.as_bytes().get(*from..*to)).unwrap_or_default()
    }

    /// Where the lines of some rows start, and where the last one ends.
    pub(crate) fn offsets(&self, rows: &Range<usize>) -> &[usize] {
        self.offsets.get(rows.start..rows.end.saturating_add(1)).unwrap_or_default()
    }
}

impl Rows {
    /// Over the stored columns of a block with `len` rows, and its lines if they are decoded already.
    pub(crate) fn new(
        opened: Arc<OpenSegment>,
        len: u32,
        columns: Vec<(ColumnMeta, Bytes)>,
        lines: Option<Arc<Lines>>,
        blocks: Arc<BlockCache>,
    ) -> Self {
        let named = columns.iter().enumerate().filter_map(|(place, (column, _))| match &column.kind {
            ColumnKind::Metadata(name) => {
                Some(MetadataColumn { name: name.clone(), place, dictionary: OnceCell::new() })
            }
            _ => None,
        });
        let mut metadata: Vec<MetadataColumn> = named.collect();
        metadata.sort_by(|a, b| a.name.cmp(&b.name));
        let (timestamps, lengths) = Default::default();
        let lines = lines.map(OnceCell::from).unwrap_or_default();
        let templated = OnceCell::new();
        Rows { opened, len: len as usize, columns, timestamps, lengths, lines, templated, blocks, metadata }
    }

    /// The times, in nanoseconds since 1970.
    pub(crate) fn timestamps(&self) -> Result<&[i64], Error> {
        let decode = || self.decode(&ColumnKind::Timestamps, segment::decode_timestamps);
        Ok(once(&self.timestamps, decode)?)
    }

    /// The lengths of the lines; none if they were not read.
    pub(crate) fn lengths(&self) -> Result<&[u32], Error> {
        Ok(once(&self.lengths, || self.decode(&ColumnKind::LineLengths, segment::decode_lengths))?)
    }

    /// The lines; empty ones if they were not read.
    pub(crate) fn lines(&self) -> Result<&Lines, Error> {
        let lines = once(&self.lines, || {
            let Some((column, stored)) = self.lines_column() else { return Ok(Arc::default()) };
            let (text, offsets) = SPARE.take();
            let mut lines = Lines { text, offsets };
            let decoded = match self.templated()? {
                Some(templated) => templated.spell_into(&mut lines.text),
                None => segment::decode_lines_into(column, stored, self.timestamps()?, &mut lines.text),
            };
            decoded.map_err(|why| corrupt(&self.opened.segment, &why))?;
            lines.set_lengths(self.lengths()?);
            Ok(self.blocks.keep_lines(self.opened.place(&column.range), lines))
        })?;
        Ok(lines)
    }

    /// For each row whether its line holds a text, if that can be told without spelling the lines.
    pub(crate) fn holding(&self, text: &[u8]) -> Result<Option<Vec<bool>>, Error> {
        if self.lines.get().is_some() {
            return Ok(None);
        }
        let holding = self.templated()?.map(|templated| templated.rows_holding(text)).transpose();
        holding.map_err(|why| corrupt(&self.opened.segment, &why))
    }

    fn templated(&self) -> Result<Option<&Templated>, Error> {
        let templated = once(&self.templated, || {
            let Some((column, stored)) = self.lines_column() else { return Ok(None) };
            let opened = segment::open_lines(column, stored, self.timestamps()?);
            opened.map_err(|why| corrupt(&self.opened.segment, &why))
        })?;
        Ok(templated.as_ref())
    }

    fn lines_column(&self) -> Option<&(ColumnMeta, Bytes)> {
        self.columns.iter().find(|(column, _)| column.kind == ColumnKind::Lines)
    }

    /// The value of a column, or an empty one if it was not read.
    fn decode<T: Default>(
        &self,
        kind: &ColumnKind,
        decode: impl Fn(&ColumnMeta, &[u8]) -> Result<T, segment::Error>,
    ) -> Result<T, Error> {
        let Some((column, stored)) = self.columns.iter().find(|(column, _)| column.kind == *kind) else {
            return Ok(T::default());
        };
        decode(column, stored).map_err(|why| corrupt(&self.opened.segment, &why))
    }

    fn dictionary<'a>(&'a self, column: &'a MetadataColumn) -> Result<&'a Dictionary, Error> {
        once(&column.dictionary, || {
            let Some((meta, stored)) = self.columns.get(column.place) else { return Ok(Dictionary::default()) };
            segment::decode_metadata(meta, stored).map_err(|why| corrupt(&self.opened.segment, &why))
        })
    }

    /// A row as an entry; `metadata` is scratch that the entry borrows.
    pub(crate) fn entry<'a: 'm, 'm>(
        &'a self,
        row: usize,
        metadata: &'m mut Metadata<'a>,
    ) -> Result<EntryRef<'m>, Error> {
        let entry = self.labels(row, metadata)?;
        let timestamp_ns = self.timestamps()?.get(row).copied().unwrap_or_default();
        Ok(EntryRef { timestamp_ns, line: self.lines()?.get(row), ..entry })
    }

    /// The same without its line and time.
    pub(crate) fn labels<'a: 'm, 'm>(
        &'a self,
        row: usize,
        metadata: &'m mut Metadata<'a>,
    ) -> Result<EntryRef<'m>, Error> {
        metadata.clear();
        for column in &self.metadata {
            if let Some(value) = self.dictionary(column)?.get(row) {
                metadata.push((&column.name, value));
            }
        }
        Ok(EntryRef { timestamp_ns: 0, line: "", metadata })
    }

    /// The values of a metadata name; none if no row has it.
    pub(crate) fn values(&self, name: &str) -> Result<Option<&Dictionary>, Error> {
        match self.metadata.binary_search_by(|column| (*column.name).cmp(name)) {
            Ok(at) => self.metadata.get(at).map(|column| self.dictionary(column)).transpose(),
            Err(_) => Ok(None),
        }
    }

    /// Whether no metadata was read: then the entries of a stream have the same labels.
    pub(crate) fn has_no_metadata(&self) -> bool {
        self.metadata.is_empty()
    }

    /// What stands for a row's metadata: rows with the same codes have the same.
    pub(crate) fn codes(&self, row: usize, codes: &mut Vec<u32>) -> Result<(), Error> {
        codes.clear();
        for column in &self.metadata {
            codes.push(self.dictionary(column)?.codes.get(row).copied().unwrap_or_default());
        }
        Ok(())
    }

    /// The rows of a run that lie in the time that is asked. Rows of a run are in time order.
    pub(crate) fn in_time(&self, run: &PlannedRun) -> Result<Range<usize>, Error> {
        let range = run.range;
        let end = (run.first_row as usize).saturating_add(run.rows as usize).min(self.len);
        let first = (run.first_row as usize).min(end);
        if range.contains(run.min_ts) && range.contains(run.max_ts) {
            return Ok(first..end);
        }
        let times = self.timestamps()?.get(first..end).unwrap_or_default();
        let from = first + times.partition_point(|time| *time < range.start_ns());
        let to = first + times.partition_point(|time| *time < range.end_ns());
        Ok(from..to)
    }
}

/// What the cell holds, made if need be.
fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
    match cell.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(cell.get_or_init(|| made))
        }
    }
}
