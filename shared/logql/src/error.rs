//! What can be wrong with a query, told in the words that Loki uses.
//!
//! Kinds are split by what the caller does: the first three and `Limit` are the fault of the query text and known before
//! any data is read; `Pipeline` shows itself only when an entry is met.

use std::fmt;

/// Why a query was refused or failed. Its `Display` is the text that a client of Loki expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    text: String,
}

/// What sort of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The text is no LogQL; the position is that of the token that does not fit, both counted from 1.
    /// Like Loki's scanner, it may not know the line, which is then 0.
    Parse {
        /// The line.
        line: u32,
        /// The column, in characters.
        column: u32,
    },
    /// The text is LogQL, but asks for something that makes no sense.
    Invalid,
    /// The text is LogQL, but more than the selector that was wanted.
    NotSelector,
    /// An entry could not be processed, which fails a metric query.
    Pipeline,
    /// A named limit was reached.
    Limit,
}

impl Error {
    /// A syntax error at a place.
    pub fn parse_at(line: u32, column: u32, text: impl Into<String>) -> Self {
        Self { kind: Kind::Parse { line, column }, text: text.into() }
    }

    /// A query that cannot mean anything.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self { kind: Kind::Invalid, text: text.into() }
    }

    /// A query where a selector alone can be answered.
    pub fn not_selector() -> Self {
        Self { kind: Kind::NotSelector, text: "only label matchers are supported".to_owned() }
    }

    /// An entry that fails the query. The text is complete: nothing is put before it.
    pub fn pipeline(text: impl Into<String>) -> Self {
        Self { kind: Kind::Pipeline, text: text.into() }
    }

    /// A limit that was reached. The text is complete: nothing is put before it.
    pub fn limit(text: impl Into<String>) -> Self {
        Self { kind: Kind::Limit, text: text.into() }
    }

    /// What sort of error it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text without place and prefix.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Parse { line, column } => {
                write!(formatter, "parse error at line {line}, col {column}: {}", self.text)
            }
            Kind::Invalid => write!(formatter, "parse error : {}", self.text),
            Kind::NotSelector | Kind::Pipeline | Kind::Limit => formatter.write_str(&self.text),
        }
    }
}

impl std::error::Error for Error {}
