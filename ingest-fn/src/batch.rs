//! The accepted entries of one push, in the text that was sent.
//!
//! In: a push's text and the entries of it that passed validation, enriched. Out: rows that borrow from the text, ready for the
//! segment writer. No text is copied but what the judge adds, a row is 24 bytes and a value 8. Never judges anything.

use std::ops::Range;

use loki_api::push::{FlatEntry, FlatPush, Span};
use model::{Day, EntryRef, EntryVisitor, Labels};

use crate::buffers::Text;
use crate::level::Level;

/// Bytes of accepted text that a batch may hold.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 30;

/// Words for a level that are remembered, so that each is added to the text once.
const LEVELS_REMEMBERED_MAX: usize = 16;

/// Accepted entries, by stream.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What decides the key: a function of what was sent.
    pub(crate) id: u128,
    /// The push's, and behind it what was added.
    text: Text,
    /// The metadata values of all rows, side by side.
    values: Vec<Span>,
    /// Lists of columns; rows with the same names share one.
    columns: Vec<Vec<Column>>,
    levels: Vec<Span>,
    streams: Vec<Stream>,
    /// The rows of all streams, side by side.
    rows: Vec<Row>,
    /// How many of them are in streams that were kept.
    rows_kept: usize,
    /// Bytes of the rows' lines and values, and of what was added.
    text_bytes: usize,
}

#[derive(Debug)]
struct Stream {
    labels: Labels,
    rows: Range<usize>,
}

/// A row; its text is the batch's.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) timestamp_ns: i64,
    line: Span,
    /// The number of its list of columns.
    pub(crate) columns: u32,
    /// Where its values begin, one for each column.
    values: u32,
}

/// A name of metadata, and where its value is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: Span,
    /// Which of an entry's values as sent it is; behind the last one stands its level.
    pub(crate) place: u32,
}

/// An entry as sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent<'p> {
    pub(crate) entry: &'p FlatEntry,
    values: &'p [Span],
    /// Bytes of its metadata.
    names_bytes: usize,
    values_bytes: usize,
}

impl<'p> Sent<'p> {
    pub(crate) fn new(push: &'p FlatPush, entry: &'p FlatEntry) -> Self {
        let values = push.values_of(entry);
        let values_bytes = values.iter().map(|value| value.len()).sum();
        Sent { entry, values, names_bytes: push.names.bytes(entry.names), values_bytes }
    }

    /// How many metadata pairs there are.
    pub(crate) fn pairs(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn value(&self, place: usize) -> Span {
        self.values.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn metadata_bytes(&self) -> usize {
        self.names_bytes + self.values_bytes
    }

    /// Bytes of line and metadata.
    pub(crate) fn bytes(&self) -> u64 {
        (self.entry.line.len() + self.metadata_bytes()) as u64
    }
}

/// The batch would hold more text than it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Batch {
    /// Takes the text of a push that has so many entries and metadata pairs.
    pub(crate) fn new(text: Text, entries: usize, pairs: usize) -> Self {
        // Most entries get a level besides.
        let values = Vec::with_capacity(pairs + entries);
        Batch { text, values, rows: Vec::with_capacity(entries), ..Batch::default() }
    }

    /// The rows that follow are of this stream.
    pub(crate) fn start_stream(&mut self, labels: Labels) {
        let start = self.rows.len();
        self.streams.push(Stream { labels, rows: start..start });
    }

    /// Adds a list of columns, sorted, each name once; gives its number.
    pub(crate) fn add_columns(&mut self, columns: Vec<Column>) -> u32 {
        self.columns.push(columns);
        self.columns.len() as u32 - 1
    }

    /// Adds an entry to the stream started last, its line as sent unless it was `cut`.
    pub(crate) fn push(
        &mut self,
        timestamp_ns: i64,
        sent: &Sent<'_>,
        cut: Option<&str>,
        columns: u32,
        level: Option<Level<'_>>,
    ) -> Result<(), Full> {
        let text_bytes = sent.values_bytes + if cut.is_some() { 0 } else { sent.entry.line.len() };
        if text_bytes > TEXT_BYTES_MAX.saturating_sub(self.text_bytes) {
            return Err(Full);
        }
        let level = match level {
            Some(Level::Word(word)) => self.level(word)?,
            Some(Level::Sent(place)) => sent.value(place),
            None => Span::default(),
        };
        let line = cut.map_or(Ok(sent.entry.line), |cut| self.add_text(cut))?;
        self.text_bytes += text_bytes;
        let Some(stream) = self.streams.last_mut() else { return Ok(()) };
        let values = self.values.len() as u32;
        let stored = self.columns.get(columns as usize).map(Vec::as_slice).unwrap_or_default();
        self.values
            .extend(stored.iter().map(|column| sent.values.get(column.place as usize).map_or(level, |value| *value)));
        self.rows.push(Row { timestamp_ns, line, columns, values });
        stream.rows.end = self.rows.len();
        self.rows_kept += 1;
        Ok(())
    }

    /// Adds a text that was not sent.
    pub(crate) fn add_text(&mut self, text: &str) -> Result<Span, Full> {
        if text.len() > TEXT_BYTES_MAX.saturating_sub(self.text_bytes) {
            return Err(Full);
        }
        let added = Span::append(&mut self.text.text, text).ok_or(Full)?;
        self.text_bytes += text.len();
        Ok(added)
    }

    /// The place of a level, which mostly was added before.
    fn level(&mut self, word: &str) -> Result<Span, Full> {
        let known = self.levels.iter().find(|known| known.len() == word.len() && self.text_of(**known) == word);
        if let Some(known) = known {
            return Ok(*known);
        }
        let added = self.add_text(word)?;
        if self.levels.len() < LEVELS_REMEMBERED_MAX {
            self.levels.push(added);
        }
        Ok(added)
    }

    /// Keeps the streams that are wanted; the question is asked in the order in which they were started.
    pub(crate) fn retain_streams(&mut self, mut wanted: impl FnMut(&Labels, usize) -> bool) {
        self.streams.retain(|stream| wanted(&stream.labels, stream.rows.len()));
        self.rows_kept = self.streams.iter().map(|stream| stream.rows.len()).sum();
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows_kept
    }

    /// Memory that the batch holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        let labels: usize = self.streams.iter().map(|stream| size_of::<Stream>() + stream.labels.byte_len()).sum();
        let columns = |list: &Vec<Column>| size_of_val(list) + list.capacity() * size_of::<Column>();
        let columns: usize = self.columns.iter().map(columns).sum();
        let values = self.values.capacity() * size_of::<Span>();
        labels + columns + self.text.text.capacity() + values + self.rows.capacity() * size_of::<Row>()
    }

    /// Neighbouring rows of one stream and day: what a segment is made of is found once a run, not once a row.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&Labels, Day, &[Row])> {
        let day = |row: &Row| Day::of(row.timestamp_ns);
        self.streams.iter().flat_map(move |stream| {
            let runs = self.rows_of(stream).chunk_by(move |a, b| day(a) == day(b));
            runs.map(move |run| (&stream.labels, day(&run[0]), run))
        })
    }

    fn rows_of(&self, stream: &Stream) -> &[Row] {
        self.rows.get(stream.rows.clone()).unwrap_or_default()
    }

    /// A row's line.
    pub(crate) fn line(&self, row: &Row) -> &str {
        self.text_of(row.line)
    }

    /// A row's metadata names; rows with the same number of columns have the same.
    pub(crate) fn names(&self, row: &Row) -> impl Iterator<Item = &str> {
        self.columns_of(row).iter().map(|column| self.text_of(column.name))
    }

    /// A row's metadata values, one for each name.
    pub(crate) fn values(&self, row: &Row) -> impl Iterator<Item = &str> + Clone {
        let rest = self.values.get(row.values as usize..).unwrap_or_default();
        let values = rest.get(..self.columns_of(row).len()).unwrap_or_default();
        values.iter().map(|value| self.text_of(*value))
    }

    fn columns_of(&self, row: &Row) -> &[Column] {
        self.columns.get(row.columns as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// Shows the rows of one day, stream after stream.
    pub(crate) fn walk_day(&self, day: Day, visitor: &mut dyn EntryVisitor) {
        let mut metadata = Vec::new();
        for stream in &self.streams {
            let mut rows = self.rows_of(stream).iter().filter(|row| Day::of(row.timestamp_ns) == day).peekable();
            if rows.peek().is_none() || !visitor.stream(&stream.labels) {
                continue;
            }
            for row in rows {
                metadata.clear();
                metadata.extend(self.names(row).zip(self.values(row)));
                let entry = EntryRef { timestamp_ns: row.timestamp_ns, line: self.line(row), metadata: &metadata };
                visitor.entry(entry);
            }
        }
    }

    /// A piece of the text.
    pub(crate) fn text_of(&self, span: Span) -> &str {
        span.of(&self.text.text)
    }
}
