//! The accepted entries of one push, copied side by side into one buffer.
//!
//! In: entries that passed validation, enriched. Out: rows that borrow from the buffer, ready for the segment writer. Four
//! allocations a batch instead of a dozen an entry: that is what makes a wide entry cheap. Never judges anything.

use std::ops::Range;

use model::{Day, EntryRef, EntryVisitor, Labels};

/// Bytes of text that a batch may hold: places in it are 32 bits.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 30;

/// Accepted entries, by stream.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What decides the key: a function of what was sent.
    pub(crate) id: u128,
    text: String,
    pairs: Vec<(Span, Span)>,
    /// The number of the last row's names, and its first pair.
    last_names: Option<(u64, usize)>,
    streams: Vec<Stream>,
    rows: usize,
}

#[derive(Debug)]
struct Stream {
    labels: Labels,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    timestamp_ns: i64,
    line: Span,
    metadata: Range<u32>,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// Points at a row of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowId {
    pub(crate) timestamp_ns: i64,
    stream: u32,
    row: u32,
}

/// The batch would hold more text than it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Batch {
    /// Makes room for what a body of that many bytes will bring.
    pub(crate) fn with_capacity(body_bytes: usize) -> Self {
        Batch { text: String::with_capacity(body_bytes.min(TEXT_BYTES_MAX)), ..Batch::default() }
    }

    /// The rows that follow are of this stream.
    pub(crate) fn start_stream(&mut self, labels: Labels, rows: usize) {
        self.streams.push(Stream { labels, rows: Vec::with_capacity(rows) });
    }

    /// Adds a row to the stream started last; `metadata` is sorted, one value a name. Rows with the same number of
    /// `names` have the same names, which are kept once as long as such rows follow one another.
    pub(crate) fn push<'m>(
        &mut self,
        timestamp_ns: i64,
        line: &str,
        names: u64,
        metadata: impl Iterator<Item = (&'m str, &'m str)>,
    ) -> Result<(), Full> {
        let (text_len, start) = (self.text.len(), self.pairs.len());
        if line.len() > TEXT_BYTES_MAX - text_len {
            return Err(Full);
        }
        let line = self.span(line);
        let known = self.last_names.filter(|(number, _)| *number == names).map(|(_, first)| first);
        for (position, (name, value)) in metadata.enumerate() {
            let known = known.and_then(|first| self.pairs.get(first + position));
            let room = TEXT_BYTES_MAX - self.text.len();
            if name.len() + value.len() > room {
                self.text.truncate(text_len);
                self.pairs.truncate(start);
                return Err(Full);
            }
            let name = known.map(|(name, _)| *name).unwrap_or_else(|| self.span(name));
            let pair = (name, self.span(value));
            self.pairs.push(pair);
        }
        self.last_names = Some((names, start));
        let metadata = start as u32..self.pairs.len() as u32;
        if let Some(stream) = self.streams.last_mut() {
            stream.rows.push(Row { timestamp_ns, line, metadata });
            self.rows += 1;
        }
        Ok(())
    }

    fn span(&mut self, text: &str) -> Span {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Span { start, end: self.text.len() as u32 }
    }

    /// Keeps the streams that are wanted; the question is asked in the order in which they were started.
    pub(crate) fn retain_streams(&mut self, mut wanted: impl FnMut(&Labels, usize) -> bool) {
        self.streams.retain(|stream| wanted(&stream.labels, stream.rows.len()));
        self.rows = self.streams.iter().map(|stream| stream.rows.len()).sum();
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Memory that the batch holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        let labels: usize = self.streams.iter().map(|stream| size_of::<Stream>() + stream.labels.byte_len()).sum();
        labels + self.text.capacity() + self.pairs.capacity() * size_of::<(Span, Span)>() + self.rows * size_of::<Row>()
    }

    /// Neighbouring rows of one stream and day: what a segment is made of is found once a run, not once a row.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&Labels, Day, impl Iterator<Item = RowId>)> {
        let day = |row: &Row| Day::of(row.timestamp_ns);
        (0_u32..).zip(&self.streams).flat_map(move |(stream, Stream { labels, rows })| {
            let mut end = 0;
            rows.chunk_by(move |a, b| day(a) == day(b)).map(move |run| {
                let start = end;
                end += run.len() as u32;
                let id = move |(row, r): (u32, &Row)| RowId { timestamp_ns: r.timestamp_ns, stream, row };
                (labels, day(&run[0]), (start..).zip(run).map(id))
            })
        })
    }

    /// A row's line; its metadata goes into `metadata`.
    pub(crate) fn entry<'a>(&'a self, id: RowId, metadata: &mut Vec<(&'a str, &'a str)>) -> &'a str {
        metadata.clear();
        let Some(row) = self.streams.get(id.stream as usize).and_then(|stream| stream.rows.get(id.row as usize)) else {
            return "";
        };
        let pairs = self.pairs.get(row.metadata.start as usize..row.metadata.end as usize).unwrap_or_default();
        metadata.extend(pairs.iter().map(|(name, value)| (self.text_of(*name), self.text_of(*value))));
        self.text_of(row.line)
    }

    /// Shows the rows of one day, stream after stream.
    pub(crate) fn walk_day(&self, day: Day, visitor: &mut dyn EntryVisitor) {
        let mut metadata = Vec::new();
        for (place, stream) in (0_u32..).zip(&self.streams) {
            let of_day = |(_, row): &(u32, &Row)| Day::of(row.timestamp_ns) == day;
            let mut rows = (0_u32..).zip(&stream.rows).filter(of_day).peekable();
            if rows.peek().is_none() || !visitor.stream(&stream.labels) {
                continue;
            }
            for (row, Row { timestamp_ns, .. }) in rows {
                let id = RowId { timestamp_ns: *timestamp_ns, stream: place, row };
                let line = self.entry(id, &mut metadata);
                visitor.entry(EntryRef { timestamp_ns: *timestamp_ns, line, metadata: &metadata });
            }
        }
    }

    fn text_of(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }
}
