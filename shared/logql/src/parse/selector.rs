//! `{job="nginx", host=~"web-.*"}`

use super::Parser;
use crate::Error;
use crate::ast::{MatchOp, Matcher};
use crate::lex::Token;
use crate::matcher::CompiledMatcher;

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
        self.checked(Matcher { name, op, value })
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

    /// The matcher, if its regular expression is one.
    pub(super) fn checked(&mut self, matcher: Matcher) -> Result<Matcher, Error> {
        if matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex) {
            self.regexp(&matcher.value)?;
            CompiledMatcher::new(&matcher)?;
        }
        Ok(matcher)
    }
}
