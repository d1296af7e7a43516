//! One segment on its way into a merge: its rows in order, a block at a time.
//!
//! In: a segment. Out: rows in the order of (stream, time). Holds a few neighbouring blocks as stored bytes and one decoded. A row
//! that cannot be read whole is an error: a merge must not lose what it does not understand.

use std::cell::RefCell;
use std::collections::HashSet;

use bytes::Bytes;
use model::{EntryRef, Labels};
use segment::{ColumnKind, ColumnMeta, Dictionary, Footer, Run};
use store::{SegmentRef, Store};

use crate::footer::bad;
use crate::{Error, Keep, footer};

/// A segment being read.
pub(crate) struct Input {
    segment: SegmentRef,
    footer: Footer,
    /// The block to be decoded next.
    next_block: usize,
    /// Stored bytes, and where they begin in the segment.
    held: Bytes,
    held_from: u64,
    block: Option<Block>,
}

/// A decoded block, and a place in it.
struct Block {
    timestamps: Vec<i64>,
    lines: String,
    /// Where each line starts; one more than there are rows.
    offsets: Vec<usize>,
    /// Names with their values, by name.
    columns: Vec<(String, Vec<String>)>,
    pairs: Pairs,
    runs: Vec<Run>,
    run: usize,
    row: usize,
    memory_bytes: u64,
}

/// Metadata row by row: most rows have few of a block's names, so that this takes a fraction of a code a row and name.
struct Pairs {
    /// A name's number and a value's, both from 0.
    pairs: Vec<(u32, u32)>,
    /// Where each row's pairs start; one more than there are rows.
    starts: Vec<usize>,
}

impl Pairs {
    fn new(columns: &[(String, Dictionary)], rows: usize) -> Self {
        let mut starts = vec![0usize; rows + 1];
        for (_, column) in columns {
            for (count, code) in starts.iter_mut().skip(1).zip(&column.codes) {
                *count += usize::from(*code != 0);
            }
        }
        let mut all = 0;
        for start in &mut starts {
            all += *start;
            *start = all;
        }
        let (mut pairs, mut next) = (vec![(0, 0); all], starts.clone());
        for (name, (_, column)) in (0..).zip(columns) {
            for (next, code) in next.iter_mut().zip(&column.codes) {
                let Some(value) = code.checked_sub(1) else { continue };
                if let Some(pair) = pairs.get_mut(*next) {
                    *pair = (name, value);
                }
                *next += 1;
            }
        }
        Pairs { pairs, starts }
    }

    fn of_row(&self, row: usize) -> &[(u32, u32)] {
        let range = self.starts.get(row).zip(self.starts.get(row + 1));
        range.and_then(|(from, to)| self.pairs.get(*from..*to)).unwrap_or_default()
    }
}

impl Input {
    /// Opens a segment by its end.
    pub(crate) async fn open(store: &Store, segment: SegmentRef) -> Result<Self, Error> {
        let (footer, tail) = footer::open(store, &segment).await?;
        let whole = tail.len() as u64 == segment.size;
        let held = if whole { tail } else { Bytes::new() };
        Ok(Input { segment, footer, next_block: 0, held, held_from: 0, block: None })
    }

    /// Whether some of its entries are perhaps not kept.
    pub(crate) fn owes(&self, keep: &dyn Keep) -> bool {
        self.footer.streams().iter().any(|stream| keep.touches(&stream.labels, stream.min_ts, stream.max_ts))
    }

    /// About the memory that its largest block takes when decoded, and what is held of it as stored from the beginning.
    pub(crate) fn opened_bytes(&self) -> u64 {
        let blocks = self.footer.blocks().iter();
        let raw =
            blocks.map(|block| block.columns.iter().map(|column| column.text_len).sum::<u64>()).max().unwrap_or(0);
        raw + self.held.len() as u64
    }

    /// How large it is in the store.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.segment.size
    }

    /// Takes labels that another input has too from there.
    pub(crate) fn share_labels(&mut self, known: &mut HashSet<Labels>) {
        let all = RefCell::new(known);
        self.footer.map_labels(|labels| {
            let mut all = all.borrow_mut();
            if let Some(known) = all.get(labels) {
                return known.clone();
            }
            all.insert(labels.clone());
            labels.clone()
        });
    }

    /// Whether there is no row at hand, but more are to come.
    pub(crate) fn is_dry(&self) -> bool {
        self.block.is_none() && self.next_block < self.footer.blocks().len()
    }

    /// Memory held.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.held.len() as u64 + self.block.as_ref().map_or(0, |block| block.memory_bytes)
    }

    /// Gets the stored bytes of the next block, and of those behind it as far as `span_bytes` reach.
    pub(crate) async fn fetch(&mut self, store: &Store, span_bytes: u64) -> Result<(), Error> {
        let blocks = self.footer.blocks().get(self.next_block..).unwrap_or_default();
        let Some(mut span) = blocks.first().map(segment::BlockMeta::range) else { return Ok(()) };
        if span.start >= self.held_from && span.end <= self.held_from + self.held.len() as u64 {
            return Ok(());
        }
        let reach = span.start.saturating_add(span_bytes);
        for range in blocks.iter().map(segment::BlockMeta::range).skip(1).take_while(|range| range.end <= reach) {
            span.end = span.end.max(range.end);
        }
        self.held = Bytes::new();
        self.held_from = span.start;
        self.held = store.read_range(&self.segment, span).await?;
        Ok(())
    }

    /// Decodes the next block, whose bytes were fetched.
    pub(crate) fn decode(&mut self) -> Result<(), Error> {
        let refused = |why: &str| bad(&self.segment, why);
        let meta = self.footer.blocks().get(self.next_block).ok_or_else(|| refused("it has no such block"))?;
        let broken = |why: segment::Error| bad(&self.segment, why);
        let stored = |column: &ColumnMeta| {
            let place = |at: u64| at.checked_sub(self.held_from).and_then(|at| usize::try_from(at).ok());
            let range = place(column.range.start).zip(place(column.range.end));
            range.and_then(|(from, to)| self.held.get(from..to)).ok_or_else(|| refused("a short block"))
        };
        // Lines may be stored as differences to them.
        let times = meta.column(&ColumnKind::Timestamps).ok_or_else(|| refused("a block without times"))?;
        let timestamps = segment::decode_timestamps(times, stored(times)?).map_err(broken)?;
        let (mut lengths, mut lines, mut metadata) = (Vec::new(), String::new(), Vec::new());
        for column in &meta.columns {
            let stored = stored(column)?;
            match &column.kind {
                ColumnKind::Timestamps => {}
                ColumnKind::LineLengths => lengths = segment::decode_lengths(column, stored).map_err(broken)?,
                ColumnKind::Lines => lines = segment::decode_lines(column, stored, &timestamps).map_err(broken)?,
                ColumnKind::Metadata(name) => {
                    metadata.push((name.to_string(), segment::decode_metadata(column, stored).map_err(broken)?));
                }
                ColumnKind::Unknown(_) => return Err(refused("a column that this version does not know")),
            }
        }
        metadata.sort_by(|a, b| a.0.cmp(&b.0));
        let mut offsets = Vec::with_capacity(lengths.len() + 1);
        offsets.push(0usize);
        for length in &lengths {
            offsets.push(offsets.last().copied().unwrap_or(0).saturating_add(*length as usize));
        }
        let rows = meta.rows as usize;
        if timestamps.len() != rows || lengths.len() != rows || offsets.last() != Some(&lines.len()) {
            return Err(refused("a block whose columns do not fit each other"));
        }
        let pairs = Pairs::new(&metadata, rows);
        let text_bytes: u64 = meta.columns.iter().map(|column| column.text_len).sum();
        let memory_bytes = text_bytes + (24 * rows + size_of::<(u32, u32)>() * pairs.pairs.len()) as u64;
        let runs = meta.runs.clone();
        let columns = metadata.into_iter().map(|(name, column)| (name, column.values)).collect();
        self.block = Some(Block { timestamps, lines, offsets, columns, pairs, runs, run: 0, row: 0, memory_bytes });
        self.next_block += 1;
        if self.next_block == self.footer.blocks().len() {
            self.held = Bytes::new();
        }
        Ok(())
    }

    /// The stream of the row at hand.
    pub(crate) fn stream(&self) -> Option<&Labels> {
        let block = self.block.as_ref()?;
        let run = block.runs.get(block.run)?;
        self.footer.streams().get(run.stream as usize).map(|stream| &stream.labels)
    }

    /// The time of the row at hand.
    pub(crate) fn time(&self) -> Option<i64> {
        let block = self.block.as_ref()?;
        block.timestamps.get(block.row).copied()
    }

    /// The row at hand; `metadata` is scratch that it borrows.
    pub(crate) fn row<'a: 'm, 'm>(&'a self, metadata: &'m mut Vec<(&'a str, &'a str)>) -> Result<EntryRef<'m>, Error> {
        let block = self.block.as_ref().ok_or_else(|| bad(&self.segment, "no block at hand"))?;
        let row = block.row;
        let line = block.offsets.get(row).zip(block.offsets.get(row + 1));
        let line = line.and_then(|(from, to)| block.lines.get(*from..*to));
        let found = block.timestamps.get(row).copied().zip(line);
        let (timestamp_ns, line) = found.ok_or_else(|| bad(&self.segment, "a line that is no text"))?;
        metadata.clear();
        metadata.extend(block.pairs.of_row(row).iter().filter_map(|(name, value)| {
            let (name, values) = block.columns.get(*name as usize)?;
            Some((name.as_str(), values.get(*value as usize)?.as_str()))
        }));
        Ok(EntryRef { timestamp_ns, line, metadata })
    }

    /// Goes on to the next row; says whether it is at hand and of the same stream.
    pub(crate) fn advance(&mut self) -> bool {
        let Some(block) = &mut self.block else { return false };
        block.row += 1;
        let end = block.runs.get(block.run).map_or(0, |run| run.first_row as usize + run.rows as usize);
        if block.row < end {
            return true;
        }
        block.run += 1;
        if block.run >= block.runs.len() {
            self.block = None;
        }
        false
    }

    /// The same row cannot be merged for another reason.
    pub(crate) fn refuse(&self, why: impl ToString) -> Error {
        bad(&self.segment, why)
    }
}
