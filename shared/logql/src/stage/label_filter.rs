//! `| level="error" and duration > 5s`: keeps entries by their labels.
//!
//! In: the labels. Out: whether the entry stays. A label that cannot be read as the number, duration or size that it is
//! compared with marks the entry instead of dropping it.

use std::cmp::Ordering;

use regex::Regex;

use super::convert;
use super::ip::IpPattern;
use super::loose_regex;
use crate::Error;
use crate::ast::{self, CompareOp, MatchOp};
use crate::labels::LineLabels;

const ERROR: &str = "LabelFilterErr";

/// A compiled label filter.
#[derive(Debug)]
pub(crate) enum LabelFilter {
    String(StringFilter),
    Number { name: String, op: CompareOp, value: f64 },
    Duration { name: String, op: CompareOp, value_ns: i64 },
    Bytes { name: String, op: CompareOp, value_bytes: u64 },
    Ip { name: String, negated: bool, pattern: IpPattern },
    And(Box<LabelFilter>, Box<LabelFilter>),
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// A matcher over a label's text; an absent label is an empty one.
#[derive(Debug)]
pub struct StringFilter {
    name: String,
    negated: bool,
    test: TextTest,
}

#[derive(Debug)]
enum TextTest {
    Equal(String),
    Regex(Regex),
}

impl StringFilter {
    fn new(matcher: &ast::Matcher) -> Result<Self, Error> {
        let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex);
        let test = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => TextTest::Equal(matcher.value.clone()),
            MatchOp::Regex | MatchOp::NotRegex => TextTest::Regex(loose_regex::compile(&matcher.value)?),
        };
        Ok(StringFilter { name: matcher.name.clone(), negated, test })
    }

    /// The label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether an entry stays whose label has this value.
    pub fn matches(&self, value: &str) -> bool {
        let holds = match &self.test {
            // Most often both are empty, as in `__error__=""`. Looked at first, since comparing no bytes at all is dear on some
            // processors, likely since what an empty text points to is no memory.
            TextTest::Equal(wanted) => value.len() == wanted.len() && (wanted.is_empty() || value == wanted),
            TextTest::Regex(regex) => regex.is_match(value),
        };
        holds != self.negated
    }
}

impl LabelFilter {
    pub(crate) fn new(filter: &ast::LabelFilter) -> Result<Self, Error> {
        let pair = |left: &ast::LabelFilter, right: &ast::LabelFilter| {
            Ok((Box::new(LabelFilter::new(left)?), Box::new(LabelFilter::new(right)?)))
        };
        Ok(match filter {
            ast::LabelFilter::String(matcher) => LabelFilter::String(StringFilter::new(matcher)?),
            ast::LabelFilter::Number { name, op, value } => {
                LabelFilter::Number { name: name.clone(), op: *op, value: *value }
            }
            ast::LabelFilter::Duration { name, op, value_ns } => {
                LabelFilter::Duration { name: name.clone(), op: *op, value_ns: *value_ns }
            }
            ast::LabelFilter::Bytes { name, op, value_bytes } => {
                LabelFilter::Bytes { name: name.clone(), op: *op, value_bytes: *value_bytes }
            }
            ast::LabelFilter::Ip { name, negated, pattern } => {
                LabelFilter::Ip { name: name.clone(), negated: *negated, pattern: IpPattern::new(pattern)? }
            }
            ast::LabelFilter::And(left, right) => pair(left, right).map(|(l, r)| LabelFilter::And(l, r))?,
            ast::LabelFilter::Or(left, right) => pair(left, right).map(|(l, r)| LabelFilter::Or(l, r))?,
        })
    }

    /// Appends the matchers that must all hold for an entry to stay, whatever else is asked of it.
    pub(crate) fn required<'f>(&'f self, matchers: &mut Vec<&'f StringFilter>) {
        match self {
            LabelFilter::String(filter) => matchers.push(filter),
            LabelFilter::And(left, right) => {
                left.required(matchers);
                right.required(matchers);
            }
            _ => {}
        }
    }

    /// Whether the entry stays; may mark it.
    pub(crate) fn process(&self, labels: &mut LineLabels<'_>) -> bool {
        match self {
            LabelFilter::String(filter) => filter.matches(labels.get(&filter.name).unwrap_or_default()),
            LabelFilter::Number { name, op, value } => compare(labels, name, *op, value, convert::float),
            LabelFilter::Duration { name, op, value_ns } => compare(labels, name, *op, value_ns, convert::duration_ns),
            LabelFilter::Bytes { name, op, value_bytes } => compare(labels, name, *op, value_bytes, convert::bytes),
            LabelFilter::Ip { name, negated, pattern } => {
                labels.error().is_some() || labels.get(name).is_some_and(|value| pattern.is_in(value) != *negated)
            }
            LabelFilter::And(left, right) => left.process(labels) && right.process(labels),
            LabelFilter::Or(left, right) => left.process(labels) || right.process(labels),
        }
    }
}

/// Compares a label that must be there. Errors keep the entry; the first error of an entry stays.
fn compare<T: PartialOrd>(
    labels: &mut LineLabels<'_>,
    name: &str,
    op: CompareOp,
    with: &T,
    read: impl Fn(&str) -> Result<T, String>,
) -> bool {
    let Some(text) = labels.get(name) else { return false };
    match read(text) {
        Ok(value) => holds(op, value.partial_cmp(with)),
        Err(why) => {
            if labels.error().is_none() {
                labels.set_error(ERROR, Some(&why));
            }
            true
        }
    }
}

/// NaN has no order: it is only unequal.
fn holds(op: CompareOp, order: Option<Ordering>) -> bool {
    match op {
        CompareOp::Equal => order == Some(Ordering::Equal),
        CompareOp::NotEqual => order != Some(Ordering::Equal),
        CompareOp::Greater => order == Some(Ordering::Greater),
        CompareOp::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        CompareOp::Less => order == Some(Ordering::Less),
        CompareOp::LessOrEqual => order.is_some_and(Ordering::is_le),
    }
}
