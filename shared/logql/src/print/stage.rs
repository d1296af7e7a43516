//! Stages as text, each with its own pipe.

use std::fmt::{self, Display, Formatter};

use super::Joined;
use crate::ast::{Extraction, LabelChoice, LabelFilter, LabelFormat, LabelSource, LineFilter, LineMatch, Stage};
use crate::parse::{duration, size};
use model::quote;

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Stage::LineFilter(filter) => filter.fmt(f),
            Stage::Json(extractions) => write!(f, "| json{}", Listed(extractions)),
            Stage::Logfmt { strict, keep_empty, extractions } => {
                let strict = if *strict { " --strict" } else { "" };
                let keep_empty = if *keep_empty { " --keep-empty" } else { "" };
                write!(f, "| logfmt{strict}{keep_empty}{}", Listed(extractions))
            }
            Stage::Regexp(regex) => write!(f, "| regexp {}", quote(regex)),
            Stage::Pattern(pattern) => write!(f, "| pattern {}", quote(pattern)),
            Stage::Unpack => f.write_str("| unpack"),
            Stage::LabelFilter(filter) => write!(f, "| {filter}"),
            Stage::LineFormat(template) => write!(f, "| line_format {}", quote(template)),
            Stage::LabelFormat(formats) => write!(f, "| label_format{}", Listed(formats)),
            Stage::Decolorize => f.write_str("| decolorize"),
            Stage::Drop(choices) => write!(f, "| drop{}", Listed(choices)),
            Stage::Keep(choices) => write!(f, "| keep{}", Listed(choices)),
        }
    }
}

/// A blank and a list, or nothing.
struct Listed<'e, T>(&'e [T]);

impl<T: Display> Display for Listed<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " {}", Joined(self.0, ",")) }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op, Joined(&self.alternatives, " or "))
    }
}

impl Display for LineMatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LineMatch::Text(text) => f.write_str(&quote(text)),
            LineMatch::Ip(pattern) => write!(f, "ip({})", quote(pattern)),
        }
    }
}

impl Display for Extraction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.label, quote(&self.expression))
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LabelFilter::String(matcher) => matcher.fmt(f),
            LabelFilter::Number { name, op, value } => write!(f, "{name}{op}{value}"),
            LabelFilter::Duration { name, op, value_ns } => write!(f, "{name}{op}{}", duration::to_go(*value_ns)),
            LabelFilter::Bytes { name, op, value_bytes } => write!(f, "{name}{op}{}", size::print(*value_bytes)),
            LabelFilter::Ip { name, negated, pattern } => {
                write!(f, "{name}{}ip({})", if *negated { "!=" } else { "=" }, quote(pattern))
            }
            LabelFilter::And(left, right) => write!(f, "( {left} , {right} )"),
            LabelFilter::Or(left, right) => write!(f, "( {left} or {right} )"),
        }
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.source {
            LabelSource::Label(source) => write!(f, "{}={source}", self.label),
            LabelSource::Template(template) => write!(f, "{}={}", self.label, quote(template)),
        }
    }
}

impl Display for LabelChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LabelChoice::Name(name) => f.write_str(name),
            LabelChoice::Matcher(matcher) => matcher.fmt(f),
        }
    }
}
