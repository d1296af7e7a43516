//! The stages of a pipeline, one file each.
//!
//! A stage takes the line and the labels as they stand, changes them, and says whether the entry stays. It is compiled
//! once and shared; what it must remember for an entry lies in `Line` and `LineLabels`.

mod choice;
pub(crate) mod convert;
mod decolorize;
mod format;
mod ip;
mod json;
mod json_path;
mod json_scan;
mod label_filter;
mod line_filter;
mod logfmt;
mod loose_regex;
mod pattern_text;
mod regexp;
mod short_search;
mod unpack;

pub use line_filter::LineFilter;

use crate::Error;
use crate::ast;
use crate::labels::{LineLabels, Prefix};
use choice::Choices;
use format::{LabelFormats, LineFormat};
use json_path::JsonPaths;
pub(crate) use label_filter::LabelFilter;
pub use label_filter::StringFilter;
use logfmt::Logfmt;
use pattern_text::PatternParser;
use regexp::{Groups, Regexp};

/// The line as it stands: the stored one until a stage writes another.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    original: &'a str,
    is_original: bool,
    written: &'a mut String,
    spare: &'a mut String,
    groups: &'a mut Groups,
}

impl<'a> Line<'a> {
    pub(crate) fn new(original: &'a str, buffers: &'a mut LineBuffers) -> Self {
        let LineBuffers { written, spare, groups } = buffers;
        Line { original, is_original: true, written, spare, groups }
    }

    fn get(&self) -> &str {
        if self.is_original { self.original } else { self.written }
    }

    /// Replaces the line by what `write` makes of it; `false` leaves it as it was.
    fn rewrite(&mut self, write: impl FnOnce(&str, &mut String) -> bool) {
        self.spare.clear();
        let current = if self.is_original { self.original } else { self.written.as_str() };
        if write(current, self.spare) {
            std::mem::swap(&mut self.written, &mut self.spare);
            self.is_original = false;
        }
    }

    pub(crate) fn into_str(self) -> &'a str {
        if self.is_original { self.original } else { self.written }
    }
}

/// What stages use again for each line: two texts for the lines that they write, in turn, and the groups of expressions.
#[derive(Debug, Default)]
pub(crate) struct LineBuffers {
    written: String,
    spare: String,
    groups: Groups,
}

/// A stage, ready to run.
#[derive(Debug)]
pub(crate) enum Stage {
    LineFilter(LineFilter),
    Json,
    JsonPaths(JsonPaths),
    Logfmt(Logfmt),
    Regexp(Regexp),
    Pattern(PatternParser),
    Unpack,
    LabelFilter(LabelFilter),
    LineFormat(LineFormat),
    LabelFormat(LabelFormats),
    Decolorize,
    Drop(Choices),
    Keep(Choices),
}

impl Stage {
    /// Compiles a stage. The error says which one is wrong, as Loki's does; the parsers name themselves.
    pub(crate) fn new(stage: &ast::Stage) -> Result<Self, Error> {
        Self::compile(stage).map_err(|error| match stage {
            ast::Stage::Regexp(_) | ast::Stage::Pattern(_) => error,
            _ => Error::invalid(format!("stage '{stage}' : {}", error.text())),
        })
    }

    fn compile(stage: &ast::Stage) -> Result<Self, Error> {
        Ok(match stage {
            ast::Stage::LineFilter(filter) => Stage::LineFilter(LineFilter::new(filter)?),
            ast::Stage::Json(paths) if paths.is_empty() => Stage::Json,
            ast::Stage::Json(paths) => Stage::JsonPaths(JsonPaths::new(paths)?),
            ast::Stage::Logfmt { strict, keep_empty, extractions } => {
                Stage::Logfmt(Logfmt::new(*strict, *keep_empty, extractions)?)
            }
            ast::Stage::Regexp(pattern) => Stage::Regexp(Regexp::new(pattern)?),
            ast::Stage::Pattern(pattern) => Stage::Pattern(PatternParser::new(pattern)?),
            ast::Stage::Unpack => Stage::Unpack,
            ast::Stage::LabelFilter(filter) => Stage::LabelFilter(LabelFilter::new(filter)?),
            ast::Stage::LineFormat(template) => Stage::LineFormat(LineFormat::new(template)?),
            ast::Stage::LabelFormat(formats) => Stage::LabelFormat(LabelFormats::new(formats)?),
            ast::Stage::Decolorize => Stage::Decolorize,
            ast::Stage::Drop(items) => Stage::Drop(Choices::new(items)?),
            ast::Stage::Keep(items) => Stage::Keep(Choices::new(items)?),
        })
    }

    /// Whether the stage does nothing but make labels out of the line.
    pub(crate) fn is_parser(&self) -> bool {
        matches!(
            self,
            Stage::Json | Stage::JsonPaths(_) | Stage::Logfmt(_) | Stage::Regexp(_) | Stage::Pattern(_) | Stage::Unpack
        )
    }

    /// Runs the stage; `false` drops the entry.
    pub(crate) fn process(&self, line: &mut Line<'_>, labels: &mut LineLabels<'_>, timestamp_ns: i64) -> bool {
        match self {
            Stage::LineFilter(filter) => return filter.matches(line.get()),
            Stage::LabelFilter(filter) => return filter.process(labels),
            Stage::Json => json::process(line.get(), labels),
            Stage::JsonPaths(paths) => paths.process(line.get(), labels),
            Stage::Logfmt(logfmt) => logfmt.process(line.get(), labels),
            Stage::Regexp(regexp) => {
                let text = if line.is_original { line.original } else { line.written.as_str() };
                regexp.process(text, labels, line.groups);
            }
            Stage::Pattern(pattern) => {
                pattern.parse(line.get(), |name, value| labels.extract(Prefix::NONE, name, value));
            }
            Stage::Unpack => line.rewrite(|line, out| unpack::process(line, labels, out)),
            Stage::LineFormat(format) => line.rewrite(|line, out| format.process(line, labels, timestamp_ns, out)),
            Stage::LabelFormat(formats) => formats.process(line.get(), labels, timestamp_ns),
            Stage::Decolorize => line.rewrite(decolorize::process),
            Stage::Drop(choices) => choices.drop_from(labels),
            Stage::Keep(choices) => choices.keep_in(labels),
        }
        true
    }
}
