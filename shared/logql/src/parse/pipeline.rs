//! The stages of a pipeline.

use super::Parser;
use crate::Error;
use crate::ast::{Extraction, LabelChoice, LabelFormat, LabelSource, LineFilter, LineMatch, LineOp, Matcher, Stage};
use crate::lex::Token;

impl Parser<'_> {
    /// All stages; inside a range aggregation an unwrap ends them.
    pub(super) fn pipeline(&mut self, unwrap_may_follow: bool) -> Result<Vec<Stage>, Error> {
        let mut stages = Vec::new();
        loop {
            if let Some(op) = self.line_op() {
                self.advance()?;
                stages.push(Stage::LineFilter(self.line_filter(op)?));
            } else if self.is("|") && !(unwrap_may_follow && self.peek() == Some(Token::Word("unwrap"))) {
                self.advance()?;
                stages.push(self.stage()?);
            } else {
                return Ok(stages);
            }
        }
    }

    fn line_op(&self) -> Option<LineOp> {
        Some(match self.token {
            Token::Word("|=") => LineOp::Contains,
            Token::Word("!=") => LineOp::NotContains,
            Token::Word("|~") => LineOp::Regex,
            Token::Word("!~") => LineOp::NotRegex,
            Token::Word("|>") => LineOp::Pattern,
            Token::Word("!>") => LineOp::NotPattern,
            _ => return None,
        })
    }

    /// The alternatives of a line filter.
    fn line_filter(&mut self, op: LineOp) -> Result<LineFilter, Error> {
        let mut alternatives = Vec::new();
        loop {
            let alternative = self.line_match()?;
            if let (LineOp::Regex | LineOp::NotRegex, LineMatch::Text(pattern)) = (op, &alternative) {
                self.regexp(pattern)?;
            }
            alternatives.push(alternative);
            if !self.eat("or")? {
                return Ok(LineFilter { op, alternatives });
            }
        }
    }

    fn line_match(&mut self) -> Result<LineMatch, Error> {
        match self.token {
            Token::Text(_) => self.text().map(LineMatch::Text),
            Token::Word("ip") => self.ip().map(LineMatch::Ip),
            _ => Err(self.unexpected(&["STRING", "ip"])),
        }
    }

    /// `ip("10.0.0.0/8")` from its name on.
    pub(super) fn ip(&mut self) -> Result<String, Error> {
        self.expect("ip")?;
        self.expect("(")?;
        let pattern = self.text()?;
        self.expect(")")?;
        Ok(pattern)
    }

    fn stage(&mut self) -> Result<Stage, Error> {
        let word = match self.token {
            Token::Identifier(_) | Token::Word("(") => return self.label_filter().map(Stage::LabelFilter),
            Token::Word(word) => word,
            _ => return Err(self.unexpected(&[])),
        };
        let known = [
            "json",
            "logfmt",
            "regexp",
            "pattern",
            "unpack",
            "line_format",
            "label_format",
            "decolorize",
            "drop",
            "keep",
        ];
        if !known.contains(&word) {
            return Err(self.unexpected(&[]));
        }
        self.advance()?;
        Ok(match word {
            "json" => Stage::Json(self.extractions()?),
            "logfmt" => self.logfmt()?,
            "regexp" => {
                let pattern = self.text()?;
                self.regexp(&pattern)?;
                Stage::Regexp(pattern)
            }
            "pattern" => Stage::Pattern(self.text()?),
            "unpack" => Stage::Unpack,
            "line_format" => Stage::LineFormat(self.text()?),
            "label_format" => Stage::LabelFormat(self.label_formats()?),
            "drop" => Stage::Drop(self.label_choices()?),
            "keep" => Stage::Keep(self.label_choices()?),
            _ => Stage::Decolorize,
        })
    }

    fn logfmt(&mut self) -> Result<Stage, Error> {
        let (mut strict, mut keep_empty) = (false, false);
        while let Token::Flag(flag) = self.token {
            self.advance()?;
            strict |= flag == "--strict";
            keep_empty |= flag == "--keep-empty";
        }
        Ok(Stage::Logfmt { strict, keep_empty, extractions: self.extractions()? })
    }

    /// `a="x.y", b`, or nothing.
    fn extractions(&mut self) -> Result<Vec<Extraction>, Error> {
        let mut extractions = Vec::new();
        if !matches!(self.token, Token::Identifier(_)) {
            return Ok(extractions);
        }
        loop {
            let label = self.identifier(&["IDENTIFIER"])?;
            let expression = if self.eat("=")? { self.text()? } else { label.clone() };
            extractions.push(Extraction { label, expression });
            if !self.eat(",")? {
                return Ok(extractions);
            }
        }
    }

    fn label_formats(&mut self) -> Result<Vec<LabelFormat>, Error> {
        let mut formats = Vec::new();
        loop {
            let label = self.identifier(&["IDENTIFIER"])?;
            self.expect("=")?;
            let source = match self.token {
                Token::Identifier(_) => LabelSource::Label(self.identifier(&[])?),
                Token::Text(_) => LabelSource::Template(self.text()?),
                _ => return Err(self.unexpected(&["IDENTIFIER", "STRING"])),
            };
            formats.push(LabelFormat { label, source });
            if !self.eat(",")? {
                return Ok(formats);
            }
        }
    }

    fn label_choices(&mut self) -> Result<Vec<LabelChoice>, Error> {
        let mut choices = Vec::new();
        loop {
            let name = self.identifier(&["IDENTIFIER"])?;
            choices.push(match self.match_op() {
                None => LabelChoice::Name(name),
                Some(op) => {
                    self.advance()?;
                    let value = self.text()?;
                    LabelChoice::Matcher(self.checked(Matcher { name, op, value })?)
                }
            });
            if !self.eat(",")? {
                return Ok(choices);
            }
        }
    }
}
