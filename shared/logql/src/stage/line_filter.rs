//! `|= "x"`, `|~ "re"`, `|> "pattern"`, `|= ip("…")`, their negations and alternatives.
//!
//! In: a line. Out: whether it stays. Plain text is searched with SIMD; so are expressions, as far as they hold text.

use memchr::memmem::Finder;
use regex::Regex;

use super::ip::IpPattern;
use super::pattern_text::PatternFilter;
use crate::Error;
use crate::ast::{self, LineMatch, LineOp};
use crate::regexp;

/// A compiled line filter. Shared by all threads of a query.
#[derive(Debug, Clone)]
pub struct LineFilter {
    source: ast::LineFilter,
    test: Test,
    negated: bool,
}

#[derive(Debug, Clone)]
enum Test {
    Always,
    Contains(Box<Finder<'static>>),
    Regex(Regex),
    Pattern(PatternFilter),
    Ip(IpPattern),
    Any(Vec<Test>),
}

impl Test {
    fn matches(&self, line: &str) -> bool {
        match self {
            Test::Always => true,
            Test::Contains(finder) => finder.find(line.as_bytes()).is_some(),
            Test::Regex(regex) => regex.is_match(line),
            Test::Pattern(pattern) => pattern.matches(line),
            Test::Ip(ip) => ip.is_in(line),
            Test::Any(tests) => tests.iter().any(|test| test.matches(line)),
        }
    }
}

impl LineFilter {
    /// Compiles a filter.
    pub fn new(filter: &ast::LineFilter) -> Result<Self, Error> {
        let negated = matches!(filter.op, LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern);
        Ok(LineFilter { source: filter.clone(), test: compile(filter)?, negated })
    }

    /// Whether a line stays.
    pub fn matches(&self, line: &str) -> bool {
        self.test.matches(line) != self.negated
    }

    /// What was written: operator and needles.
    pub fn source(&self) -> &ast::LineFilter {
        &self.source
    }

    /// The one text that every line that stays contains, if the filter is as simple as that.
    pub fn needle(&self) -> Option<&[u8]> {
        match &self.test {
            Test::Contains(finder) if !self.negated => Some(finder.needle()),
            _ => None,
        }
    }

    /// The one text that decides, and whether lines that contain it stay or go, if the filter is as simple as that.
    pub fn text(&self) -> Option<(&[u8], bool)> {
        match &self.test {
            Test::Contains(finder) => Some((finder.needle(), !self.negated)),
            _ => None,
        }
    }

    /// The expression of which every line that stays holds a match, if the filter is as simple as that.
    pub fn regex(&self) -> Option<&Regex> {
        match &self.test {
            Test::Regex(regex) if !self.negated => Some(regex),
            _ => None,
        }
    }
}

fn compile(filter: &ast::LineFilter) -> Result<Test, Error> {
    let kind = match filter.op {
        LineOp::Contains | LineOp::NotContains => contains as fn(&str) -> Result<Test, Error>,
        LineOp::Regex | LineOp::NotRegex => regex,
        LineOp::Pattern | LineOp::NotPattern => pattern,
    };
    let takes_ip = matches!(filter.op, LineOp::Contains | LineOp::NotContains);
    let mut tests = Vec::new();
    let single = filter.alternatives.len() == 1;
    let mut plain = Vec::new();
    for alternative in &filter.alternatives {
        match alternative {
            LineMatch::Ip(_) if !takes_ip => return Err(Error::invalid("ip: invalid operation")),
            LineMatch::Ip(text) => tests.push(Test::Ip(IpPattern::new(text)?)),
            // An empty text among alternatives is as good as none.
            LineMatch::Text(text) if text.is_empty() && !single => {}
            LineMatch::Text(text) => match kind(text)? {
                Test::Contains(finder) => plain.push(finder),
                test => tests.push(test),
            },
        }
    }
    match plain.len() {
        0 => {}
        1 => tests.extend(plain.into_iter().map(Test::Contains)),
        // Many needles are found in one pass.
        _ => {
            let needles = plain.iter().map(|finder| regex::escape(&String::from_utf8_lossy(finder.needle())));
            let any = needles.collect::<Vec<_>>().join("|");
            tests.push(Test::Regex(regexp::compile(&any).map_err(Error::invalid)?));
        }
    }
    Ok(match (tests.len(), tests.pop()) {
        (_, None) => Test::Always,
        (1, Some(test)) => test,
        (_, Some(test)) => {
            tests.push(test);
            Test::Any(tests)
        }
    })
}

fn contains(text: &str) -> Result<Test, Error> {
    Ok(if text.is_empty() { Test::Always } else { Test::Contains(Box::new(Finder::new(text).into_owned())) })
}

fn pattern(text: &str) -> Result<Test, Error> {
    PatternFilter::new(text).map(Test::Pattern)
}

/// An expression without any operator is plain text. What `.*` at its ends adds, the missing anchors do already.
fn regex(text: &str) -> Result<Test, Error> {
    let compiled = regexp::compile(text).map_err(Error::invalid)?;
    let core = trim_wildcards(text);
    if core.is_empty() || core.chars().all(|c| !r"\.+*?()|[]{}^$".contains(c)) {
        return contains(core);
    }
    if core.len() == text.len() {
        return Ok(Test::Regex(compiled));
    }
    regexp::compile(core).map(Test::Regex).map_err(Error::invalid)
}

/// Cuts `.*` and `.*?` off both ends. It is all the same to an unanchored test, whatever stands beside it.
fn trim_wildcards(pattern: &str) -> &str {
    let mut core = pattern;
    while let Some(rest) = core.strip_prefix(".*") {
        let rest = rest.strip_prefix('?').unwrap_or(rest);
        if rest.starts_with(['*', '+', '?', '{']) {
            break;
        }
        core = rest;
    }
    loop {
        let Some(rest) = core.strip_suffix(".*").or_else(|| core.strip_suffix(".*?")) else { return core };
        // A dot behind a backslash is a plain one.
        let escaped = rest.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
        if escaped {
            return core;
        }
        core = rest;
    }
}
