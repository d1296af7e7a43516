//! `{job="nginx", host=~"web-.*"}`, and what a selector must have.

use super::Parser;
use crate::Error;
use crate::ast::{Expr, LogExpr, MatchOp, Matcher, MetricExpr};
use crate::lex::Token;
use crate::matcher::CompiledMatcher;

const MATCHES_EVERYTHING: &str = "queries require at least one regexp or equality matcher that does not have an \
    empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";

impl Parser<'_> {
    /// A selector from its opening brace on.
    pub(super) fn selector(&mut self) -> Result<Vec<Matcher>, Error> {
        self.expect("{")?;
        let mut matchers = Vec::new();
        if self.eat("}")? {
            return Ok(matchers);
        }
        matchers.push(self.matcher(&["IDENTIFIER", "}"])?);
        while self.eat(",")? {
            matchers.push(self.matcher(&["IDENTIFIER"])?);
        }
        if self.eat("}")? { Ok(matchers) } else { Err(self.unexpected(&["}", ","])) }
    }

    fn matcher(&mut self, alternatives: &[&str]) -> Result<Matcher, Error> {
        let name = self.identifier(alternatives)?;
        let Some(op) = self.match_op() else { return Err(self.unexpected(&["=", "=~", "!~", "!="])) };
        self.advance()?;
        let value = self.text()?;
        checked(Matcher { name, op, value })
    }

    /// The operator of a matcher, not taken yet.
    pub(super) fn match_op(&self) -> Option<MatchOp> {
        match self.token {
            Token::Word("=") => Some(MatchOp::Equal),
            Token::Word("!=") => Some(MatchOp::NotEqual),
            Token::Word("=~") => Some(MatchOp::Regex),
            Token::Word("!~") => Some(MatchOp::NotRegex),
            _ => None,
        }
    }
}

/// The matcher, if its regular expression is one.
pub(super) fn checked(matcher: Matcher) -> Result<Matcher, Error> {
    if matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex) {
        CompiledMatcher::new(&matcher)?;
    }
    Ok(matcher)
}

/// Whether every selector of the query narrows down the streams.
pub(super) fn check(expr: &Expr) -> Result<(), Error> {
    match expr {
        Expr::Log(log) => check_log(log),
        Expr::Metric(metric) => check_metric(metric),
    }
}

fn check_metric(metric: &MetricExpr) -> Result<(), Error> {
    match metric {
        MetricExpr::Range(range) => check_log(&range.log),
        MetricExpr::Vector(vector) => check_metric(&vector.inner),
        MetricExpr::LabelReplace(replace) => check_metric(&replace.inner),
        MetricExpr::Binary(binary) => check_metric(&binary.left).and_then(|()| check_metric(&binary.right)),
        MetricExpr::VectorLiteral(_) | MetricExpr::Number(_) => Ok(()),
    }
}

fn check_log(log: &LogExpr) -> Result<(), Error> {
    for matcher in &log.selector {
        if matches!(matcher.op, MatchOp::Equal | MatchOp::Regex) && !CompiledMatcher::new(matcher)?.matches("") {
            return Ok(());
        }
    }
    Err(Error::invalid(MATCHES_EVERYTHING))
}
