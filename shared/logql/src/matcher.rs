//! Label matchers, compiled.
//!
//! In: matchers as written. Out: something that says quickly whether a value, or a whole set of labels, matches. Regular
//! expressions match whole values; the common ones, a literal, a list of literals, a literal at one end, need no engine.

use regex::Regex;

use crate::ast::{MatchOp, Matcher};
use crate::{Error, regexp};
use model::Labels;

/// One matcher, ready to run.
#[derive(Debug, Clone)]
pub struct CompiledMatcher {
    name: String,
    negated: bool,
    test: Test,
}

/// What a value is held against.
#[derive(Debug, Clone)]
enum Test {
    Everything,
    /// `.+`
    NotEmpty,
    /// A literal, or several joined by `|`.
    OneOf(Vec<String>),
    /// `literal.*`
    Prefix(String),
    /// `.*literal`
    Suffix(String),
    /// `.*literal.*`
    Contains(String),
    Regex(Regex),
}

impl CompiledMatcher {
    /// Compiles a matcher.
    pub fn new(matcher: &Matcher) -> Result<Self, Error> {
        let test = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Test::OneOf(vec![matcher.value.clone()]),
            MatchOp::Regex | MatchOp::NotRegex => Test::new(&matcher.value)?,
        };
        let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex);
        Ok(Self { name: matcher.name.clone(), negated, test })
    }

    /// The label it looks at.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the value matches; an absent label has the value `""`.
    pub fn matches(&self, value: &str) -> bool {
        self.test.holds(value) != self.negated
    }

    /// The values that alone can match, if the matcher is a list of them: what an index can look up.
    pub fn values(&self) -> Option<&[String]> {
        match &self.test {
            Test::OneOf(values) if !self.negated => Some(values),
            _ => None,
        }
    }
}

impl Test {
    fn new(pattern: &str) -> Result<Self, Error> {
        let literal = |text: &str| !text.contains(|c: char| ".*+?()|[]{}^$\\".contains(c));
        let (start, tail) = pattern.strip_prefix(".*").map_or((false, pattern), |tail| (true, tail));
        let (end, middle) = tail.strip_suffix(".*").map_or((false, tail), |middle| (true, middle));
        Ok(match (start, end) {
            _ if pattern == ".*" => Test::Everything,
            _ if pattern == ".+" => Test::NotEmpty,
            (false, false) if pattern.split('|').all(literal) => {
                Test::OneOf(pattern.split('|').map(str::to_owned).collect())
            }
            (false, true) if literal(middle) => Test::Prefix(middle.to_owned()),
            (true, false) if literal(middle) => Test::Suffix(middle.to_owned()),
            (true, true) if literal(middle) => Test::Contains(middle.to_owned()),
            _ => Test::Regex(regexp::compile_anchored(pattern).map_err(Error::invalid)?),
        })
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Test::Everything => true,
            Test::NotEmpty => !value.is_empty(),
            Test::OneOf(values) => values.iter().any(|one| one == value),
            Test::Prefix(text) => value.starts_with(text.as_str()),
            Test::Suffix(text) => value.ends_with(text.as_str()),
            Test::Contains(text) => value.contains(text.as_str()),
            Test::Regex(regex) => regex.is_match(value),
        }
    }
}

/// All matchers of a selector.
#[derive(Debug, Clone)]
pub struct Selector {
    matchers: Vec<CompiledMatcher>,
}

impl Selector {
    /// Compiles the matchers.
    pub fn new(matchers: &[Matcher]) -> Result<Self, Error> {
        Ok(Self { matchers: matchers.iter().map(CompiledMatcher::new).collect::<Result<_, _>>()? })
    }

    /// Whether every matcher matches the stream.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
    }

    /// The matchers in written order.
    pub fn matchers(&self) -> &[CompiledMatcher] {
        &self.matchers
    }
}
