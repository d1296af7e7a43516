//! Why bytes are not a segment, or rows cannot become one. Every error names the part that is wrong.

/// What went wrong in a segment. The store adds the object's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes end before the part does.
    #[error("{part} is cut short: needs {need} bytes, has {have}")]
    Truncated {
        /// Which part of the segment.
        part: &'static str,
        /// How many bytes it needs.
        need: u64,
        /// How many there are.
        have: u64,
    },
    /// The bytes at a place where a segment has its mark are something else.
    #[error("not a segment: {part} has no magic number")]
    Magic {
        /// Header or trailer.
        part: &'static str,
    },
    /// Written by a later version of the format.
    #[error("segment version {found}, this build reads versions up to {readable}")]
    Version {
        /// The version in the trailer.
        found: u16,
        /// The latest version that this build reads.
        readable: u16,
    },
    /// Bytes were changed after they were written.
    #[error("checksum of {part} does not match")]
    Checksum {
        /// Which part of the segment.
        part: &'static str,
    },
    /// A codec, encoding or section that this build does not know and may not skip.
    #[error("{part}: unknown {what} {value}")]
    Unknown {
        /// Which part of the segment.
        part: &'static str,
        /// Codec, encoding, section, ….
        what: &'static str,
        /// Its number.
        value: u64,
    },
    /// A size passes a limit of the format.
    #[error("{part}: {value} passes the limit of {limit}")]
    Limit {
        /// Which part of the segment.
        part: &'static str,
        /// The size.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// Bytes that no writer makes.
    #[error("{part} is malformed: {why}")]
    Malformed {
        /// Which part of the segment.
        part: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Rows were given to a [`crate::SortedWriter`] out of order.
    #[error("rows out of order: {why}")]
    Order {
        /// What came too late.
        why: &'static str,
    },
    /// Nothing was written: a segment holds at least one row.
    #[error("a segment needs at least one row")]
    Empty,
    /// zstd refused.
    #[error("{part}: zstd: {why}")]
    Zstd {
        /// Which part of the segment.
        part: &'static str,
        /// What zstd said.
        why: String,
    },
}
