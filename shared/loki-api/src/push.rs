//! Push bodies: what a client sent, decoded but neither judged nor enriched.
//!
//! In: a decompressed body. Out: streams whose lines and metadata borrow from it wherever nothing was escaped, or the text
//! of a 400. Invalid UTF-8 becomes U+FFFD. What one body may unfold to is bounded (`ITEMS_MAX`), however small it was.

mod json;
mod known;
mod labels;
mod legacy;
mod protobuf;

mod cursor;
mod fields;

mod flat;
mod name_lists;

pub mod encode;

use std::borrow::Cow;
use std::ops::Range;

use model::Labels;

pub(crate) use fields::{Field, fields};
pub use flat::{FlatEntry, FlatPush, FlatStream, Span};
pub(crate) use json::Text;
pub use json::decode_json;
pub use known::KnownLabels;
pub use labels::{LabelsError, ParsedLabels, parse_labels};
pub use legacy::decode_legacy_json;
pub use name_lists::NameLists;
pub use protobuf::{decode_known_protobuf, decode_protobuf, encode_protobuf, unsnap, unsnap_into};

/// Streams, entries and metadata pairs that one push may unfold to: a body of tiny entries takes about fifty times its size.
pub const ITEMS_MAX: usize = 8 << 20;

/// A decoded push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushRequest<'a> {
    /// The streams, in the order sent; the same labels may come more than once.
    pub streams: Vec<PushStream<'a>>,
}

/// A stream of a push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushStream<'a> {
    /// The labels; empty values were dropped.
    pub labels: Labels,
    /// A label name that was given twice.
    pub duplicate_label: Option<Box<str>>,
    /// The entries, in the order sent.
    pub entries: Vec<PushEntry<'a>>,
    /// The metadata pairs of all entries, side by side.
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// An entry of a push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushEntry<'a> {
    /// Nanoseconds since 1970; `None` where the client sent no time at all, as OTLP may.
    pub timestamp_ns: Option<i64>,
    /// The line.
    pub line: Cow<'a, str>,
    /// Which pairs of the stream's `metadata` are this entry's.
    pub metadata: Range<usize>,
}

impl PushStream<'_> {
    /// The metadata of one of this stream's entries, names as sent.
    pub fn metadata_of(&self, entry: &PushEntry<'_>) -> &[(Cow<'_, str>, Cow<'_, str>)] {
        self.metadata.get(entry.metadata.clone()).unwrap_or_default()
    }
}

/// Why a body could not be decoded; the text is the answer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing was sent.
    #[error("EOF")]
    Empty,
    /// Not the snappy block format.
    #[error("snappy: corrupt input")]
    Snappy,
    /// Not the protobuf that was expected.
    #[error("proto: {0}")]
    Protobuf(String),
    /// Not the JSON that was expected.
    #[error("loghttp.PushRequest: {0}")]
    Json(String),
    /// A stream's label string.
    #[error("couldn't parse labels: {0}")]
    Labels(#[from] LabelsError),
    /// Not the pairs of lines that `_bulk` takes.
    #[error("{0}")]
    Bulk(String),
    /// The body unfolds to more than one push may.
    #[error("push request holds more than {ITEMS_MAX} streams, entries and metadata pairs")]
    TooMany,
    /// The body is larger than allowed once decompressed.
    #[error("request body too large: message size too large than max ({size} vs {max})")]
    TooLarge {
        /// Bytes that it has.
        size: u64,
        /// Bytes that it may have.
        max: u64,
    },
}

/// Counts down what a body may still unfold to.
pub(crate) struct Budget(usize);

impl Budget {
    pub(crate) fn new() -> Self {
        Budget(ITEMS_MAX)
    }

    pub(crate) fn take(&mut self) -> Result<(), DecodeError> {
        self.take_many(1)
    }

    pub(crate) fn take_many(&mut self, items: usize) -> Result<(), DecodeError> {
        self.0 = self.0.checked_sub(items).ok_or(DecodeError::TooMany)?;
        Ok(())
    }
}

/// Text of bytes that should be UTF-8, borrowed if they are.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly all text is valid: asking that first is several times faster.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
