//! A log entry, owned and borrowed, and a stream of them.

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
