//! A block's columns, decoded: rows that borrow from them.
//!
//! In: a block and which columns are wanted. Out: entries, one after the other. A column that was not read is as if all
//! its values were empty. Never trusts lengths that a stored column gives.

use std::ops::Range;

use bytes::Bytes;
use model::EntryRef;
use segment::{BlockMeta, ColumnKind, ColumnMeta, Dictionary};

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

    /// The columns of a block that are wanted.
    pub(crate) fn of<'b>(&self, block: &'b BlockMeta) -> Vec<&'b ColumnMeta> {
        let wanted = |column: &&ColumnMeta| match &column.kind {
            ColumnKind::Timestamps => true,
            ColumnKind::LineLengths => self.lines || self.lengths,
            ColumnKind::Lines => self.lines,
            ColumnKind::Metadata(name) => match &self.metadata {
                MetadataColumns::All => true,
                MetadataColumns::Named(names) => names.iter().any(|wanted| **wanted == **name),
            },
            ColumnKind::Unknown(_) => false,
        };
        block.columns.iter().filter(wanted).collect()
    }
}

/// Decoded columns.
#[derive(Default)]
pub(crate) struct Rows {
    /// Times, in nanoseconds since 1970.
    pub(crate) timestamps: Vec<i64>,
    /// Lengths of lines, if they were read.
    pub(crate) lengths: Vec<u32>,
    lines: String,
    /// Where each line starts; one more than there are rows.
    offsets: Vec<usize>,
    /// Sorted by name.
    metadata: Vec<(String, Dictionary)>,
}

impl Rows {
    /// Decodes columns and their stored bytes.
    pub(crate) fn decode(columns: &[(ColumnMeta, Bytes)]) -> Result<Self, segment::Error> {
        let mut rows = Rows::default();
        for (column, stored) in columns {
            match &column.kind {
                ColumnKind::Timestamps => rows.timestamps = segment::decode_timestamps(column, stored)?,
                ColumnKind::LineLengths => rows.lengths = segment::decode_lengths(column, stored)?,
                ColumnKind::Lines => rows.lines = segment::decode_lines(column, stored)?,
                ColumnKind::Metadata(name) => {
                    rows.metadata.push((name.to_string(), segment::decode_metadata(column, stored)?));
                }
                ColumnKind::Unknown(_) => {}
            }
        }
        rows.metadata.sort_by(|a, b| a.0.cmp(&b.0));
        if !rows.lines.is_empty() {
            let mut end = 0usize;
            rows.offsets.push(0);
            rows.offsets.extend(rows.lengths.iter().map(|length| {
                end = end.saturating_add(*length as usize);
                end
            }));
        }
        Ok(rows)
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// The row's time.
    pub(crate) fn time(&self, row: usize) -> i64 {
        self.timestamps.get(row).copied().unwrap_or_default()
    }

    /// The row's line; empty if lines were not read.
    pub(crate) fn line(&self, row: usize) -> &str {
        let range = self.offsets.get(row).zip(self.offsets.get(row + 1));
        range.and_then(|(from, to)| self.lines.get(*from..*to)).unwrap_or_default()
    }

    /// A row as an entry; `metadata` is scratch that the entry borrows.
    pub(crate) fn entry<'a: 'm, 'm>(&'a self, row: usize, metadata: &'m mut Metadata<'a>) -> EntryRef<'m> {
        metadata.clear();
        metadata
            .extend(self.metadata.iter().filter_map(|(name, dictionary)| Some((name.as_str(), dictionary.get(row)?))));
        EntryRef { timestamp_ns: self.time(row), line: self.line(row), metadata }
    }

    /// The rows of a run that lie in a time range. Rows of a run are in time order.
    pub(crate) fn in_time(&self, first_row: u32, rows: u32, range: model::TimeRange) -> Range<usize> {
        let end = (first_row as usize).saturating_add(rows as usize).min(self.len());
        let first = (first_row as usize).min(end);
        let times = self.timestamps.get(first..end).unwrap_or_default();
        let from = first + times.partition_point(|time| *time < range.start_ns());
        let to = first + times.partition_point(|time| *time < range.end_ns());
        from..to
    }
}
