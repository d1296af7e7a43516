//! Tokens to tree.
//!
//! In: a query. Out: an expression that makes sense, or why there is none, in Loki's words. The grammar is that of Loki
//! with its oddities; recursion and the height of the tree are bounded, so that no query exhausts the stack, neither here
//! nor in those who walk the tree.

mod aggregation;
mod check;
pub(crate) mod duration;
mod expression;
mod label_filter;
mod pipeline;
mod range;
mod selector;
pub(crate) mod size;

use crate::Error;
use crate::ast::{Expr, LogExpr, Matcher, MetricExpr};
use crate::lex::{Lexer, Token};
use crate::regexp;

/// A query is shorter than this.
pub const QUERY_BYTES_MAX: usize = 131_072;

/// How deep parentheses, functions and right-associative operators nest.
pub const NESTING_MAX: u32 = 128;

/// How many operators join expressions or label filters in one query: each may add a level to the tree.
pub const OPERATORS_MAX: u32 = 500;

/// How many regular expressions one query may have.
pub const REGEXPS_MAX: usize = 128;

/// What all regular expressions of a query may take together once they are compiled.
pub const REGEXP_BYTES_MAX: usize = 32 << 20;

/// A query, checked.
pub fn parse(query: &str) -> Result<Expr, Error> {
    let mut parser = Parser::new(query)?;
    let expr = parser.expression()?;
    parser.end()?;
    parser.check_regexps()?;
    check::expression(&expr)?;
    Ok(expr)
}

/// Matchers and nothing else. Whether they may match every stream is for the caller to decide.
pub fn parse_selector(query: &str) -> Result<Vec<Matcher>, Error> {
    let mut parser = Parser::new(query)?;
    let expr = parser.expression()?;
    parser.end()?;
    parser.check_regexps()?;
    match expr {
        Expr::Log(LogExpr { selector, pipeline }) if pipeline.is_empty() => Ok(selector),
        _ => Err(Error::not_selector()),
    }
}

/// The tokens of a query with one token of foresight.
struct Parser<'q> {
    lexer: Lexer<'q>,
    /// The token that has not been taken yet.
    token: Token<'q>,
    nesting: u32,
    operators: u32,
    regexps: Vec<String>,
}

impl<'q> Parser<'q> {
    fn new(query: &'q str) -> Result<Self, Error> {
        let size = query.len();
        if size >= QUERY_BYTES_MAX {
            return Err(Error::invalid(format!("input size too long ({size} > {QUERY_BYTES_MAX})")));
        }
        let mut lexer = Lexer::new(query);
        let token = lexer.next()?;
        Ok(Self { lexer, token, nesting: 0, operators: 0, regexps: Vec::new() })
    }

    /// Takes the token.
    fn advance(&mut self) -> Result<Token<'q>, Error> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// The token behind the one that has not been taken yet.
    fn peek(&self) -> Option<Token<'q>> {
        self.lexer.clone().next().ok()
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.token, Token::Word(w) if w == word)
    }

    /// Takes the word if it is there.
    fn eat(&mut self, word: &str) -> Result<bool, Error> {
        let found = self.is(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Takes the word, which alone may stand here.
    fn expect(&mut self, word: &str) -> Result<(), Error> {
        if self.eat(word)? { Ok(()) } else { Err(self.unexpected(&[word])) }
    }

    /// Takes the parenthesis behind an expression that could also have gone on.
    fn close(&mut self) -> Result<(), Error> {
        if self.eat(")")? { Ok(()) } else { Err(self.unexpected(&[])) }
    }

    fn identifier(&mut self, alternatives: &[&str]) -> Result<String, Error> {
        match self.token {
            Token::Identifier(name) => {
                self.advance()?;
                Ok(name.to_owned())
            }
            _ => Err(self.unexpected(alternatives)),
        }
    }

    fn text(&mut self) -> Result<String, Error> {
        match self.token {
            Token::Text(_) => match self.advance()? {
                Token::Text(text) => Ok(text),
                _ => Err(self.unexpected(&["STRING"])),
            },
            _ => Err(self.unexpected(&["STRING"])),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.token == Token::End { Ok(()) } else { Err(self.unexpected(&[])) }
    }

    /// A syntax error at the token. Like Loki's, it tells what could stand there only when that is a short list.
    fn unexpected(&self, expected: &[&str]) -> Error {
        let mut text = format!("syntax error: unexpected {}", self.token.name());
        if !expected.is_empty() {
            text.push_str(", expecting ");
            text.push_str(&expected.join(" or "));
        }
        self.lexer.error_at(&self.token, text)
    }

    /// One level down; whatever `parse` does, the level is left again.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.nesting == NESTING_MAX {
            return Err(Error::limit(format!("query nests deeper than {NESTING_MAX} levels")));
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    /// Counts an operator.
    fn operator(&mut self) -> Result<(), Error> {
        if self.operators == OPERATORS_MAX {
            return Err(Error::limit(format!("query has more than {OPERATORS_MAX} operators")));
        }
        self.operators += 1;
        Ok(())
    }

    /// Counts a regular expression.
    fn regexp(&mut self, pattern: &str) -> Result<(), Error> {
        if self.regexps.len() == REGEXPS_MAX {
            return Err(Error::limit(format!("query has more than {REGEXPS_MAX} regular expressions")));
        }
        self.regexps.push(pattern.to_owned());
        Ok(())
    }

    /// Whether the regular expressions are small enough. A few are, whatever they are.
    fn check_regexps(&self) -> Result<(), Error> {
        if self.regexps.len() <= REGEXP_BYTES_MAX / regexp::PROGRAM_BYTES_MAX {
            return Ok(());
        }
        let fits = self
            .regexps
            .iter()
            .try_fold(REGEXP_BYTES_MAX, |room, pattern| room.checked_sub(regexp::program_bytes(pattern)));
        match fits {
            Some(_) => Ok(()),
            None => Err(Error::limit(format!(
                "the regular expressions of the query are too large (more than {} MiB together)",
                REGEXP_BYTES_MAX >> 20
            ))),
        }
    }

    /// An expression that must be a metric.
    fn metric(&mut self) -> Result<MetricExpr, Error> {
        match self.expression()? {
            Expr::Metric(metric) => Ok(metric),
            Expr::Log(_) => Err(self.unexpected(&[])),
        }
    }
}
