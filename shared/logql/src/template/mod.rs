//! Go templates, as far as `line_format` and `label_format` need them.
//!
//! In: a template's text, once; then, per entry, its labels, line and time. Out: text, or an error in Go's words. Never
//! reads a clock, and never runs away: steps, output and nesting are bounded.

mod functions;
mod layout;
mod lex;
mod parse;
mod printf;
mod render;
mod time;
mod tree;
mod value;

use std::fmt;

/// What a template may ask about the entry at hand.
pub trait Context {
    /// The value of a label, if the entry has it.
    fn label(&self, name: &str) -> Option<&str>;
    /// Calls `visit` with each label, in any order. Backs `{{ . }}` and `range` over it.
    fn each_label(&self, visit: &mut dyn FnMut(&str, &str));
    /// The line as it is at this stage: `__line__`.
    fn line(&self) -> &str;
    /// The entry's time: `__timestamp__`.
    fn timestamp_ns(&self) -> i64;
    /// What `now` answers. Pure code has no clock, so it is the entry's time unless the caller knows better.
    fn now_ns(&self) -> i64 {
        self.timestamp_ns()
    }
}

/// Why a template could not be parsed or rendered, in Go's words: `template: line:1: unclosed action`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    fn new(text: impl Into<String>) -> Self {
        Error(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A parsed template; rendered once an entry, from any number of threads.
#[derive(Debug)]
pub struct Template {
    name: String,
    /// As written; errors tell places in it.
    text: String,
    tree: tree::Tree,
}

impl Template {
    /// Parses a template under the name `line`, which `line_format`'s errors carry.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_named("line", text)
    }

    /// Parses a template; its name stands in its errors.
    pub fn parse_named(name: &str, text: &str) -> Result<Self, Error> {
        let tree = parse::parse(name, text)?;
        Ok(Template { name: name.to_owned(), text: text.to_owned(), tree })
    }

    /// The labels that the template can ask for; none if it looks at all of them.
    pub fn labels(&self) -> Option<Vec<String>> {
        self.tree.labels()
    }

    /// Appends the rendered text to `out`. After an error `out` may hold a part of it.
    pub fn render(&self, context: &dyn Context, out: &mut String) -> Result<(), Error> {
        render::render(self, context, out)
    }
}
