//! The segment format: rows to bytes and back. Pure.
//!
//! A segment is immutable and self-describing from its last bytes; FORMAT.md describes it byte by byte. Rows are sorted
//! by (labels, time) and cut into columnar blocks; filters say which blocks a query need not read, counts which queries
//! need no block at all.
//!
//! Writing: [`Writer`] takes entries in any order, [`SortedWriter`] takes them in order and lets go of finished bytes.
//! Reading: [`open_tail`] gives the [`Footer`], which says what to fetch; `decode_*` turn what was fetched into values.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod writer;

mod sorted;

mod block;
mod check;
mod codec;
mod column;
mod counts;
mod describe;
mod dictionary;
mod error;
mod filter;
mod footer;
mod grams;
mod integers;
mod interner;
mod layout;
mod lines;
mod names;
mod novelty;
mod reader;
mod streams;
mod tokens;
mod tools;
mod wire;

pub use block::{BlockMeta, Run};
pub use check::check;
pub use codec::Codec;
pub use column::{
    ColumnKind, ColumnMeta, decode_lengths, decode_lines, decode_lines_into, decode_timestamps, open_lines,
};
pub use counts::{Cell, Counts, LEVEL_NAME, LevelCounts, minute_of};
pub use describe::describe;
pub use dictionary::{Dictionary, decode_metadata};
pub use error::Error;
pub use filter::{Filter, FilterMeta, Key, Spread};
pub use footer::{Footer, SectionMeta};
pub use grams::{GRAM_BYTES, GramFilter};
pub use layout::{
    BLOCK_NAMES_MAX, BLOCK_ROWS_MAX, COLUMN_BYTES_MAX, LINE_BYTES_MAX, SECTION_BYTES_MAX, TRAILER_BYTES, VERSION,
};
pub use lines::Templated;
pub use names::NamesId;
pub use reader::{Opened, open_parts, open_tail};
pub use sorted::SortedWriter;
pub use streams::StreamInfo;
pub use tokens::{is_token_byte, tokens};
pub use writer::{Options, Segment, Writer};
