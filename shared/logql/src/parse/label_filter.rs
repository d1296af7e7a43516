//! Filters over labels and how they join.
//!
//! `and` binds tighter than `or`; a comma, or nothing at all, takes everything that follows as its right side:
//! `a and b or c` is `(a and b) or c`, but `a, b or c` is `a and (b or c)`.

use super::Parser;
use crate::Error;
use crate::ast::{CompareOp, LabelFilter, MatchOp, Matcher};
use crate::lex::Token;

const OR: u8 = 1;
const AND: u8 = 2;

impl Parser<'_> {
    /// A whole filter.
    pub(super) fn label_filter(&mut self) -> Result<LabelFilter, Error> {
        self.joined(0)
    }

    /// A filter of operators that bind at least so tightly.
    fn joined(&mut self, loosest: u8) -> Result<LabelFilter, Error> {
        self.nested(|parser| {
            let mut left = parser.single()?;
            loop {
                let (tightness, written) = match parser.token {
                    Token::Word("and") => (AND, true),
                    Token::Word("or") => (OR, true),
                    Token::Word(",") => (0, true),
                    Token::Word("(") | Token::Identifier(_) => (0, false),
                    _ => return Ok(left),
                };
                if tightness > 0 && tightness < loosest {
                    return Ok(left);
                }
                parser.operator()?;
                if written {
                    parser.advance()?;
                }
                let right = parser.joined(if tightness == 0 { 0 } else { tightness + 1 })?;
                let join = if tightness == OR { LabelFilter::Or } else { LabelFilter::And };
                left = join(Box::new(left), Box::new(right));
            }
        })
    }

    fn single(&mut self) -> Result<LabelFilter, Error> {
        if self.eat("(")? {
            let inner = self.label_filter()?;
            self.close()?;
            return Ok(inner);
        }
        let name = self.identifier(&["IDENTIFIER", "("])?;
        let matched = self.match_op();
        let compared = self.compare_op();
        if matched.is_none() && compared.is_none() {
            return Err(self.unexpected(&[]));
        }
        self.advance()?;
        match (matched, compared) {
            (Some(op), _) if matches!(self.token, Token::Text(_)) => {
                let value = self.text()?;
                self.checked(Matcher { name, op, value }).map(LabelFilter::String)
            }
            (Some(op @ (MatchOp::Equal | MatchOp::NotEqual)), _) if self.is("ip") => {
                Ok(LabelFilter::Ip { name, negated: op == MatchOp::NotEqual, pattern: self.ip()? })
            }
            (_, Some(op)) => self.quantity(name, op),
            _ => Err(self.unexpected(&["STRING"])),
        }
    }

    /// The right side of a comparison of numbers, durations or sizes.
    fn quantity(&mut self, name: String, op: CompareOp) -> Result<LabelFilter, Error> {
        match self.token {
            Token::Duration(value_ns) => {
                self.advance()?;
                Ok(LabelFilter::Duration { name, op, value_ns })
            }
            Token::Bytes(value_bytes) => {
                self.advance()?;
                Ok(LabelFilter::Bytes { name, op, value_bytes })
            }
            Token::Number(_) | Token::Word("+" | "-") => Ok(LabelFilter::Number { name, op, value: self.literal()? }),
            _ => Err(self.unexpected(&[])),
        }
    }

    fn compare_op(&self) -> Option<CompareOp> {
        Some(match self.token {
            Token::Word("=" | "==") => CompareOp::Equal,
            Token::Word("!=") => CompareOp::NotEqual,
            Token::Word(">") => CompareOp::Greater,
            Token::Word(">=") => CompareOp::GreaterOrEqual,
            Token::Word("<") => CompareOp::Less,
            Token::Word("<=") => CompareOp::LessOrEqual,
            _ => return None,
        })
    }
}
