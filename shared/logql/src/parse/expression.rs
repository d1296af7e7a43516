//! Operators between expressions, operands, and the arithmetic of literals, which is done right here.

use super::Parser;
use crate::ast::{BinaryOp, BinaryOperation, Cardinality, Expr, LabelReplace, LogExpr, MetricExpr, VectorMatching};
use crate::lex::Token;
use crate::stage::convert;
use crate::{Error, regexp};

impl Parser<'_> {
    /// A whole expression.
    pub(super) fn expression(&mut self) -> Result<Expr, Error> {
        self.binding(0)
    }

    /// An expression of operators that bind at least so tightly.
    fn binding(&mut self, loosest: u8) -> Result<Expr, Error> {
        self.nested(|parser| {
            let mut left = parser.operand()?;
            while let Some(op) = parser.binary_op().filter(|op| tightness(*op) >= loosest) {
                parser.operator()?;
                parser.advance()?;
                let (return_bool, matching) = parser.modifier()?;
                // Only `^` groups to the right.
                let right = parser.binding(tightness(op) + u8::from(op != BinaryOp::Power))?;
                left = Expr::Metric(binary(op, left, right, return_bool, matching)?);
            }
            Ok(left)
        })
    }

    fn operand(&mut self) -> Result<Expr, Error> {
        let metric = match self.token {
            Token::Word("{") => return self.log().map(Expr::Log),
            Token::Word("(") => {
                self.advance()?;
                let inner = self.expression()?;
                self.close()?;
                return Ok(inner);
            }
            Token::Number(_) | Token::Word("+" | "-") => MetricExpr::Number(self.literal()?),
            Token::RangeOp(op) => self.range_aggregation(op)?,
            Token::VectorOp(op) => self.vector_aggregation(op)?,
            Token::Vector => self.vector()?,
            Token::Word("label_replace") => self.label_replace()?,
            _ => return Err(self.unexpected(&[])),
        };
        Ok(Expr::Metric(metric))
    }

    fn log(&mut self) -> Result<LogExpr, Error> {
        let selector = self.selector()?;
        let pipeline = self.pipeline(false)?;
        Ok(LogExpr { selector, pipeline })
    }

    /// A number with or without sign.
    pub(super) fn literal(&mut self) -> Result<f64, Error> {
        let negative = self.is("-");
        if negative || self.is("+") {
            self.advance()?;
        }
        let Token::Number(text) = self.token else { return Err(self.unexpected(&["NUMBER"])) };
        self.advance()?;
        let value =
            convert::float(text).map_err(|why| Error::invalid(format!("unable to parse literal as a float: {why}")))?;
        Ok(if negative { -value } else { value })
    }

    fn vector(&mut self) -> Result<MetricExpr, Error> {
        self.advance()?;
        self.expect("(")?;
        let Token::Number(text) = self.token else { return Err(self.unexpected(&["NUMBER"])) };
        self.advance()?;
        self.expect(")")?;
        let value = convert::float(text)
            .map_err(|why| Error::invalid(format!("unable to parse vectorExpr as a float: {why}")))?;
        Ok(MetricExpr::VectorLiteral(value))
    }

    fn label_replace(&mut self) -> Result<MetricExpr, Error> {
        self.advance()?;
        self.expect("(")?;
        let inner = self.metric()?;
        if !self.is(",") {
            return Err(self.unexpected(&[]));
        }
        let mut texts = <[String; 4]>::default();
        for text in &mut texts {
            self.expect(",")?;
            *text = self.text()?;
        }
        self.expect(")")?;
        let [destination, replacement, source, regex] = texts;
        self.regexp(&regex)?;
        regexp::compile(&format!("^(?:{regex})$"))
            .map_err(|why| Error::invalid(format!("invalid regex in label_replace: {}", why)))?;
        Ok(MetricExpr::LabelReplace(Box::new(LabelReplace { inner, destination, replacement, source, regex })))
    }

    /// `bool`, `on (…)`, `ignoring (…)`, `group_left (…)`, `group_right (…)` behind an operator.
    fn modifier(&mut self) -> Result<(bool, Option<VectorMatching>), Error> {
        let return_bool = self.eat("bool")?;
        let on = self.is("on");
        if !on && !self.is("ignoring") {
            return Ok((return_bool, None));
        }
        self.advance()?;
        let labels = self.names()?;
        let cardinality = match self.token {
            Token::Word("group_left") => Cardinality::ManyToOne,
            Token::Word("group_right") => Cardinality::OneToMany,
            _ => Cardinality::OneToOne,
        };
        let mut include = Vec::new();
        if cardinality != Cardinality::OneToOne {
            self.advance()?;
            if self.is("(") {
                include = self.names()?;
            }
        }
        Ok((return_bool, Some(VectorMatching { on, labels, cardinality, include })))
    }

    /// The operator, not taken yet.
    fn binary_op(&self) -> Option<BinaryOp> {
        let Token::Word(word) = self.token else { return None };
        BinaryOp::ALL.into_iter().find(|op| op.name() == word)
    }
}

fn tightness(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Add | BinaryOp::Subtract => 4,
        BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => 5,
        BinaryOp::Power => 6,
        _ => 3,
    }
}

/// Joins two operands, or computes with them if both are literals.
fn binary(
    op: BinaryOp,
    left: Expr,
    right: Expr,
    return_bool: bool,
    matching: Option<VectorMatching>,
) -> Result<MetricExpr, Error> {
    let (left, right) = (leg(op, left, "left")?, leg(op, right, "right")?);
    if let (MetricExpr::Number(left), MetricExpr::Number(right)) = (&left, &right) {
        return Ok(MetricExpr::Number(fold(op, *left, *right)));
    }
    Ok(MetricExpr::Binary(Box::new(BinaryOperation { op, left, right, return_bool, matching })))
}

/// An operand that the operator can work with.
fn leg(op: BinaryOp, expr: Expr, side: &str) -> Result<MetricExpr, Error> {
    let name = op.name();
    match expr {
        Expr::Log(log) => {
            let kind = if log.pipeline.is_empty() { "MatchersExpr" } else { "PipelineExpr" };
            Err(Error::invalid(format!("unexpected type for {side} leg of binary operation ({name}): *syntax.{kind}")))
        }
        Expr::Metric(MetricExpr::Number(value)) if matches!(op, BinaryOp::Or | BinaryOp::And | BinaryOp::Unless) => {
            let text =
                format!("unexpected literal for {side} leg of logical/set binary operation ({name}): {value:.6}");
            Err(Error::invalid(text))
        }
        Expr::Metric(metric) => Ok(metric),
    }
}

/// Between literals a comparison is 0 or 1, and division by zero is not a number.
fn fold(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide | BinaryOp::Modulo if right == 0.0 => f64::NAN,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Equal => f64::from(left == right),
        BinaryOp::NotEqual => f64::from(left != right),
        BinaryOp::Greater => f64::from(left > right),
        BinaryOp::GreaterOrEqual => f64::from(left >= right),
        BinaryOp::Less => f64::from(left < right),
        BinaryOp::LessOrEqual => f64::from(left <= right),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => f64::NAN, // `leg` has refused literals
    }
}
