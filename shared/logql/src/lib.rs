//! LogQL: text to expression, expression to pipeline, entries to values. Pure.
//!
//! In the order of the data: `lex` and `parse` make the tree of `ast`, which `print` writes back; `matcher` chooses
//! streams; `pipeline` runs the stages over entries, which carry `labels`; `sample` makes numbers of what is left and
//! `eval` computes with them. Nothing here reads a clock, a file or the network, and no query text makes it panic.

mod error;

pub mod ast;
mod lex;
mod parse;
mod print;

pub mod labels;
pub mod matcher;
pub mod pipeline;
pub mod regexp;
mod stage;
pub mod template;

pub mod eval;
pub mod sample;

pub use error::{Error, Kind};
pub use parse::{NESTING_MAX, OPERATORS_MAX, QUERY_BYTES_MAX, REGEXP_BYTES_MAX, REGEXPS_MAX, parse, parse_selector};
pub use print::pretty;

/// A duration as Prometheus writes it: `1h30m`, `2w`.
pub fn print_duration(duration: std::time::Duration) -> String {
    parse::duration::to_prometheus(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
