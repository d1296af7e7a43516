//! What stands inside a range aggregation: a log expression, its unwrap, its window and its offset, in any of the orders
//! that Loki takes.

use super::Parser;
use crate::Error;
use crate::ast::{Conversion, LogExpr, Unwrap};
use crate::lex::Token;

/// A log expression over a window.
pub(super) struct LogRange {
    pub(super) log: LogExpr,
    pub(super) unwrap: Option<Unwrap>,
    pub(super) range_ns: i64,
    pub(super) offset_ns: i64,
}

impl Parser<'_> {
    /// `{…} | … | unwrap x [5m] offset 1h`, or with the window first, or with parentheses around all or all but the window.
    pub(super) fn log_range(&mut self) -> Result<LogRange, Error> {
        if !self.eat("(")? {
            let (log, unwrap) = self.unwrapped()?;
            return self.window(log, unwrap, true);
        }
        if self.is("(") {
            let range = self.nested(Self::log_range)?;
            self.expect(")")?;
            return Ok(range);
        }
        let (log, unwrap) = self.unwrapped()?;
        if matches!(self.token, Token::Range(_)) {
            let range = self.window(log, unwrap, true)?;
            self.expect(")")?;
            return Ok(range);
        }
        self.close()?;
        self.window(log, unwrap, false)
    }

    /// A selector, its pipeline and the unwrap at its end.
    fn unwrapped(&mut self) -> Result<(LogExpr, Option<Unwrap>), Error> {
        if !self.is("{") {
            return Err(self.unexpected(&["{", "("]));
        }
        let selector = self.selector()?;
        let pipeline = self.pipeline(true)?;
        let unwrap = self.unwrap()?;
        Ok((LogExpr { selector, pipeline }, unwrap))
    }

    /// The window and its offset. Behind them, what did not stand before may follow: stages only for a selector without
    /// parentheses.
    fn window(
        &mut self,
        mut log: LogExpr,
        mut unwrap: Option<Unwrap>,
        stages_may_follow: bool,
    ) -> Result<LogRange, Error> {
        let Token::Range(range_ns) = self.token else {
            return Err(self.unexpected(if stages_may_follow { &[] } else { &["RANGE"] }));
        };
        self.advance()?;
        let offset_ns = self.offset()?;
        if log.pipeline.is_empty() && unwrap.is_none() {
            if stages_may_follow {
                log.pipeline = self.pipeline(true)?;
            }
            unwrap = self.unwrap()?;
        }
        Ok(LogRange { log, unwrap, range_ns, offset_ns })
    }

    fn offset(&mut self) -> Result<i64, Error> {
        if !self.eat("offset")? {
            return Ok(0);
        }
        let Token::Duration(offset_ns) = self.token else { return Err(self.unexpected(&["DURATION"])) };
        self.advance()?;
        Ok(offset_ns)
    }

    /// `| unwrap x` and the label filters behind it.
    fn unwrap(&mut self) -> Result<Option<Unwrap>, Error> {
        if !self.is("|") || self.peek() != Some(Token::Word("unwrap")) {
            return Ok(None);
        }
        self.advance()?;
        self.advance()?;
        let (label, conversion) = match self.token {
            Token::Conversion(conversion) => {
                self.advance()?;
                self.expect("(")?;
                let label = self.identifier(&["IDENTIFIER"])?;
                self.expect(")")?;
                (label, conversion)
            }
            _ => {
                let names = ["IDENTIFIER", "BYTES_CONV", "DURATION_CONV", "DURATION_SECONDS_CONV"];
                (self.identifier(&names)?, Conversion::Number)
            }
        };
        let mut filters = Vec::new();
        while self.eat("|")? {
            filters.push(self.label_filter()?);
        }
        Ok(Some(Unwrap { label, conversion, filters }))
    }
}
