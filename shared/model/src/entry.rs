//! A log entry, owned and borrowed, a stream of them, and stored entries that can be walked.

use crate::Labels;

/// One log line with its time and structured metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Nanoseconds since 1970, UTC.
    pub timestamp_ns: i64,
    /// The line as it was sent; invalid UTF-8 was replaced at the edge.
    pub line: String,
    /// Structured metadata: names and values that belong to this entry alone.
    pub metadata: Labels,
}

/// An entry that borrows from a decoded block, so that a scan copies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// Nanoseconds since 1970, UTC.
    pub timestamp_ns: i64,
    /// The stored line.
    pub line: &'a str,
    /// Structured metadata, sorted by name, one value a name.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// Entries that share one set of stream labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// The index labels.
    pub labels: Labels,
    /// The entries, in the order in which they arrived.
    pub entries: Vec<Entry>,
}

/// Entries that were stored, walked without copying one: what a live tail looks at.
pub trait StoredEntries {
    /// Shows every entry, stream after stream.
    fn walk(&self, visitor: &mut dyn EntryVisitor);

    /// About how much memory they hold as long as they are kept; nothing if someone else keeps them anyway.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// Looks at entries.
pub trait EntryVisitor {
    /// The entries that follow are of this stream; `false` passes over them.
    fn stream(&mut self, labels: &Labels) -> bool;

    /// One entry of the stream that was named last.
    fn entry(&mut self, entry: EntryRef<'_>);
}
