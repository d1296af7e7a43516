//! Aggregations over time and over series, their groupings, and which parameters they take.

use super::Parser;
use crate::Error;
use crate::ast::{Grouping, MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp};
use crate::lex::Token;
use crate::stage::convert;

impl<'q> Parser<'q> {
    /// `rate({…}[5m])` from its name on.
    pub(super) fn range_aggregation(&mut self, op: RangeOp) -> Result<MetricExpr, Error> {
        self.advance()?;
        self.expect("(")?;
        let parameter = self.range_parameter(op)?;
        if parameter.is_none() && !self.is("{") && !self.is("(") {
            return Err(self.unexpected(&["NUMBER", "{", "("]));
        }
        let range = self.log_range()?;
        self.expect(")")?;
        let grouping = self.grouping()?;
        if op == RangeOp::QuantileOverTime && parameter.is_none() {
            return Err(Error::invalid(format!("parameter required for operation {}", op.name())));
        }
        let aggregation = RangeAggregation {
            op,
            parameter,
            log: range.log,
            unwrap: range.unwrap,
            range_ns: range.range_ns,
            offset_ns: range.offset_ns,
            grouping,
        };
        check(&aggregation)?;
        Ok(MetricExpr::Range(Box::new(aggregation)))
    }

    /// `0.99,` of a quantile.
    fn range_parameter(&mut self, op: RangeOp) -> Result<Option<f64>, Error> {
        let Token::Number(text) = self.token else { return Ok(None) };
        self.advance()?;
        self.expect(",")?;
        if op != RangeOp::QuantileOverTime {
            return Err(Error::invalid(format!("parameter {text} not supported for operation {}", op.name())));
        }
        let value = convert::float(text)
            .map_err(|why| Error::invalid(format!("invalid parameter for operation {}: {why}", op.name())))?;
        Ok(Some(value))
    }

    /// `sum by (x) (…)` from its name on.
    pub(super) fn vector_aggregation(&mut self, op: VectorOp) -> Result<MetricExpr, Error> {
        self.advance()?;
        let before = self.grouping()?;
        self.expect("(")?;
        let mut parameter = None;
        if let Token::Number(text) = self.token
            && self.peek() == Some(Token::Word(","))
        {
            self.advance()?;
            self.advance()?;
            parameter = Some(text);
        }
        let inner = self.metric()?;
        self.close()?;
        let grouping = if before.is_some() { before } else { self.grouping()? };
        let parameter = vector_parameter(op, parameter)?;
        let grouping = vector_grouping(op, grouping)?;
        Ok(MetricExpr::Vector(Box::new(VectorAggregation { op, parameter, inner, grouping })))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Error> {
        let without = self.is("without");
        if !without && !self.is("by") {
            return Ok(None);
        }
        self.advance()?;
        Ok(Some(Grouping { without, labels: self.names()? }))
    }

    /// `(a, b)`, maybe empty.
    pub(super) fn names(&mut self) -> Result<Vec<String>, Error> {
        self.expect("(")?;
        let mut names = Vec::new();
        if self.eat(")")? {
            return Ok(names);
        }
        names.push(self.identifier(&["IDENTIFIER", ")"])?);
        while self.eat(",")? {
            names.push(self.identifier(&["IDENTIFIER"])?);
        }
        if self.eat(")")? { Ok(names) } else { Err(self.unexpected(&[",", ")"])) }
    }
}

/// The operations that need a count, and only they, get one.
fn vector_parameter(op: VectorOp, written: Option<&str>) -> Result<Option<u64>, Error> {
    let name = op.name();
    let counts = matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
    match written {
        None if counts => Err(Error::invalid(format!("parameter required for operation {name}"))),
        None => Ok(None),
        Some(text) if !counts => Err(Error::invalid(format!("unsupported parameter for operation {name}({text},"))),
        Some(text) => match text.parse::<i64>().ok().map(u64::try_from) {
            None => Err(Error::invalid(format!("invalid parameter {name}({text},"))),
            Some(Err(_) | Ok(0)) => {
                Err(Error::invalid(format!("invalid parameter (must be greater than 0) {name}({text}")))
            }
            Some(Ok(count)) => Ok(Some(count)),
        },
    }
}

/// `by ()` is how it is without; some operations take no grouping at all.
fn vector_grouping(op: VectorOp, grouping: Option<Grouping>) -> Result<Option<Grouping>, Error> {
    let grouping = grouping.filter(|grouping| grouping.without || !grouping.labels.is_empty());
    let named = grouping.as_ref().is_some_and(|grouping| !grouping.labels.is_empty());
    match op {
        VectorOp::Sort | VectorOp::SortDesc if named => {
            Err(Error::invalid("sort and sort_desc doesn't allow grouping by "))
        }
        VectorOp::ApproxTopk if grouping.is_some() => {
            Err(Error::invalid("grouping not allowed for approx_topk aggregation"))
        }
        _ => Ok(grouping),
    }
}

/// Whether the operation goes with a grouping and with unwrapped values.
fn check(aggregation: &RangeAggregation) -> Result<(), Error> {
    use RangeOp::{
        AbsentOverTime, AvgOverTime, BytesOverTime, BytesRate, CountOverTime, FirstOverTime, LastOverTime, MaxOverTime,
        MinOverTime, QuantileOverTime, Rate, StddevOverTime, StdvarOverTime,
    };
    let op = aggregation.op;
    let groups = matches!(
        op,
        AvgOverTime
            | StddevOverTime
            | StdvarOverTime
            | QuantileOverTime
            | MaxOverTime
            | MinOverTime
            | FirstOverTime
            | LastOverTime
    );
    if aggregation.grouping.is_some() && !groups {
        return Err(Error::invalid(format!("grouping not allowed for {} aggregation", op.name())));
    }
    let counts_lines = matches!(op, CountOverTime | BytesOverTime | BytesRate);
    let takes_either = matches!(op, Rate | AbsentOverTime);
    match aggregation.unwrap {
        Some(_) if counts_lines => Err(Error::invalid(format!("invalid aggregation {} with unwrap", op.name()))),
        None if !counts_lines && !takes_either => {
            Err(Error::invalid(format!("invalid aggregation {} without unwrap", op.name())))
        }
        _ => Ok(()),
    }
}
