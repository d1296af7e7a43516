//! From the leaves' series to the value of the whole expression.

use model::{Point, Sample, Series, Value};

use super::table::Table;
use super::{Steps, aggregate, binary, label_replace};
use crate::Error;
use crate::ast::{BinaryOperation, MetricExpr, VectorOp};

/// The value of an expression at every step.
#[derive(Debug, Clone)]
pub struct Evaluated {
    steps: Steps,
    result: Operand,
    /// A `sort` somewhere in the expression: an instant answer keeps the order of its vector.
    ordered: bool,
}

#[derive(Debug, Clone)]
enum Operand {
    Number(f64),
    Vectors(Table),
}

/// Computes an expression from its leaves' series, given in the order of `leaves`.
pub fn evaluate(expr: &MetricExpr, steps: Steps, leaves: Vec<Vec<Series>>) -> Result<Evaluated, Error> {
    let mut leaves = leaves.into_iter();
    let result = Evaluation { steps, leaves: &mut leaves }.operand(expr)?;
    Ok(Evaluated { steps, result, ordered: sorts(expr) })
}

struct Evaluation<'a> {
    steps: Steps,
    leaves: &'a mut dyn Iterator<Item = Vec<Series>>,
}

impl Evaluation<'_> {
    fn operand(&mut self, expr: &MetricExpr) -> Result<Operand, Error> {
        Ok(Operand::Vectors(match expr {
            MetricExpr::Number(value) => return Ok(Operand::Number(*value)),
            MetricExpr::Range(_) => {
                let series = self.leaves.next().unwrap_or_default();
                Table::from_series(series, self.steps)
            }
            MetricExpr::VectorLiteral(value) => Table::constant(*value, self.steps),
            MetricExpr::Vector(aggregation) => aggregate::aggregate(aggregation, self.vectors(&aggregation.inner)?),
            MetricExpr::LabelReplace(replace) => label_replace::replace(replace, self.vectors(&replace.inner)?)?,
            MetricExpr::Binary(operation) => return self.binary(operation),
        }))
    }

    /// An operand where a number counts as a vector of it.
    fn vectors(&mut self, expr: &MetricExpr) -> Result<Table, Error> {
        Ok(match self.operand(expr)? {
            Operand::Number(value) => Table::constant(value, self.steps),
            Operand::Vectors(table) => table,
        })
    }

    fn binary(&mut self, operation: &BinaryOperation) -> Result<Operand, Error> {
        let (left, right) = (self.operand(&operation.left)?, self.operand(&operation.right)?);
        Ok(match (left, right) {
            (Operand::Number(left), Operand::Number(right)) => {
                Operand::Number(binary::numbers(operation.op, left, right))
            }
            (Operand::Vectors(left), Operand::Number(right)) => {
                Operand::Vectors(binary::vector_number(operation, left, right))
            }
            (Operand::Number(left), Operand::Vectors(right)) => {
                Operand::Vectors(binary::number_vector(operation, left, right))
            }
            (Operand::Vectors(left), Operand::Vectors(right)) => {
                Operand::Vectors(binary::vectors(operation, left, right)?)
            }
        })
    }
}

/// Whether `sort` or `sort_desc` stands anywhere in the expression.
fn sorts(expr: &MetricExpr) -> bool {
    match expr {
        MetricExpr::Vector(aggregation) => {
            matches!(aggregation.op, VectorOp::Sort | VectorOp::SortDesc) || sorts(&aggregation.inner)
        }
        MetricExpr::Binary(operation) => sorts(&operation.left) || sorts(&operation.right),
        MetricExpr::LabelReplace(replace) => sorts(&replace.inner),
        MetricExpr::Range(_) | MetricExpr::VectorLiteral(_) | MetricExpr::Number(_) => false,
    }
}

impl Evaluated {
    /// How many series the answer has, over all steps.
    pub fn series_count(&self) -> usize {
        match &self.result {
            Operand::Number(_) => 1,
            Operand::Vectors(table) => {
                let mut seen = vec![false; table.labels.len()];
                table.steps.iter().flatten().for_each(|(label, _)| seen[*label as usize] = true);
                seen.iter().filter(|seen| **seen).count()
            }
        }
    }

    /// The answer of an instant query: the vector of the first step, sorted by labels unless the query sorts; or a number.
    pub fn into_instant(self) -> Value {
        let timestamp_ms = self.steps.at_ms(0);
        let table = match self.result {
            Operand::Number(value) => return Value::Scalar(Point { timestamp_ms, value }),
            Operand::Vectors(table) => table,
        };
        let first = table.steps.first().map(Vec::as_slice).unwrap_or_default();
        let sample = |(label, value): &(u32, f64)| Sample {
            labels: table.labels[*label as usize].clone(),
            point: Point { timestamp_ms, value: *value },
        };
        let mut samples: Vec<Sample> = first.iter().map(sample).collect();
        if !self.ordered {
            samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        Value::Vector(samples)
    }

    /// The answer of a range query: series sorted by labels; a number is a series without labels.
    pub fn into_range(self) -> Value {
        let steps = self.steps;
        let table = match self.result {
            Operand::Number(value) => Table::constant(value, steps),
            Operand::Vectors(table) => table,
        };
        let mut series: Vec<Series> =
            table.labels.iter().map(|labels| Series { labels: labels.clone(), points: Vec::new() }).collect();
        for (step, vector) in table.steps.iter().enumerate() {
            for (label, value) in vector {
                series[*label as usize].points.push(Point { timestamp_ms: steps.at_ms(step), value: *value });
            }
        }
        series.retain(|one| !one.points.is_empty());
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Value::Matrix(series)
    }
}
