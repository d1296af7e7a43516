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
    /// Lists of metadata names; rows with the same names share one.
    names: Vec<Vec<Span>>,
    /// The metadata values of all rows, side by side.
    values: Vec<Span>,
    streams: Vec<Stream>,
    rows: usize,
}

#[derive(Debug)]
struct Stream {
    labels: Labels,
    rows: Vec<Row>,
}

/// A row; its text is the batch's.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) timestamp_ns: i64,
    line: Span,
    /// The number of its list of names.
    pub(crate) names: u32,
    values: Range<u32>,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
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
    /// `names`, counted from 0, have the same names, which are kept once.
    pub(crate) fn push<'m>(
        &mut self,
        timestamp_ns: i64,
        line: &str,
        names: usize,
        metadata: impl Iterator<Item = (&'m str, &'m str)>,
    ) -> Result<(), Full> {
        let (text_len, start) = (self.text.len(), self.values.len());
        if line.len() > TEXT_BYTES_MAX - text_len {
            return Err(Full);
        }
        let line = self.span(line);
        if self.names.len() <= names {
            self.names.resize_with(names + 1, Vec::new);
        }
        let known = self.names.get(names).map_or(0, Vec::len);
        for (place, (name, value)) in metadata.enumerate() {
            let room = TEXT_BYTES_MAX - self.text.len();
            if name.len() + value.len() > room {
                self.text.truncate(text_len);
                self.values.truncate(start);
                self.names.get_mut(names).into_iter().for_each(|list| list.truncate(known));
                return Err(Full);
            }
            if place >= known {
                let name = self.span(name);
                self.names.get_mut(names).into_iter().for_each(|list| list.push(name));
            }
            let value = self.span(value);
            self.values.push(value);
        }
        let values = start as u32..self.values.len() as u32;
        if let Some(stream) = self.streams.last_mut() {
            stream.rows.push(Row { timestamp_ns, line, names: names as u32, values });
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
        let names: usize = self.names.iter().map(|list| size_of_val(list) + list.capacity() * size_of::<Span>()).sum();
        let values = self.values.capacity() * size_of::<Span>();
        labels + names + self.text.capacity() + values + self.rows * size_of::<Row>()
    }

    /// Neighbouring rows of one stream and day: what a segment is made of is found once a run, not once a row.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&Labels, Day, &[Row])> {
        let day = |row: &Row| Day::of(row.timestamp_ns);
        self.streams.iter().flat_map(move |Stream { labels, rows }| {
            rows.chunk_by(move |a, b| day(a) == day(b)).map(move |run| (labels, day(&run[0]), run))
        })
    }

    /// A row's line.
    pub(crate) fn line(&self, row: &Row) -> &str {
        self.text_of(row.line)
    }

    /// A row's metadata names; rows with the same number of names have the same.
    pub(crate) fn names(&self, row: &Row) -> impl Iterator<Item = &str> {
        let names = self.names.get(row.names as usize).map(Vec::as_slice).unwrap_or_default();
        names.iter().map(|name| self.text_of(*name))
    }

    /// A row's metadata values, one for each name.
    pub(crate) fn values(&self, row: &Row) -> impl Iterator<Item = &str> + Clone {
        let values = self.values.get(row.values.start as usize..row.values.end as usize).unwrap_or_default();
        values.iter().map(|value| self.text_of(*value))
    }

    /// Shows the rows of one day, stream after stream.
    pub(crate) fn walk_day(&self, day: Day, visitor: &mut dyn EntryVisitor) {
        let mut metadata = Vec::new();
        for stream in &self.streams {
            let mut rows = stream.rows.iter().filter(|row| Day::of(row.timestamp_ns) == day).peekable();
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

    fn text_of(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }
}
