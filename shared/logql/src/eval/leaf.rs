//! The leaves of a metric expression: the range aggregations, which alone read logs.

use super::{GroupingKey, Steps, steps::Windows};
use crate::ast::{Grouping, MatchOp, MetricExpr, RangeAggregation, RangeOp, VectorOp};
use model::Labels;

/// One range aggregation, and what the expression around it allows.
#[derive(Debug, Clone)]
pub struct Leaf<'e> {
    /// The aggregation.
    pub aggregation: &'e RangeAggregation,
    /// The grouping of a `sum` directly around it, if series may be reduced to it before they are counted. With an empty
    /// `by ()` no label is needed at all, and parsers need not run.
    pub pushed_down: Option<Grouping>,
}

impl<'e> Leaf<'e> {
    /// The grouping that samples are reduced to: that of a `sum` around it, or its own.
    pub fn grouping(&self) -> Option<&Grouping> {
        self.pushed_down.as_ref().or(self.aggregation.grouping.as_ref())
    }

    /// The same, made ready; none if series keep all their labels.
    pub fn grouping_key(&self) -> Option<GroupingKey> {
        self.grouping().map(|grouping| GroupingKey::new(Some(grouping)))
    }
}

/// The leaves of an expression, in the order in which `evaluate` wants their results: from left to right.
pub fn leaves(expr: &MetricExpr) -> Vec<Leaf<'_>> {
    let mut found = Vec::new();
    collect(expr, None, &mut found);
    found
}

fn collect<'e>(expr: &'e MetricExpr, sum: Option<&Option<Grouping>>, found: &mut Vec<Leaf<'e>>) {
    match expr {
        MetricExpr::Range(aggregation) => {
            let pushed_down = sum
                .filter(|_| aggregation.grouping.is_none() && sums_over_series(aggregation.op))
                .map(|grouping| grouping.clone().unwrap_or(Grouping { without: false, labels: Vec::new() }));
            found.push(Leaf { aggregation, pushed_down });
        }
        MetricExpr::Vector(aggregation) => {
            let sum = (aggregation.op == VectorOp::Sum).then_some(&aggregation.grouping);
            collect(&aggregation.inner, sum, found);
        }
        MetricExpr::Binary(operation) => {
            collect(&operation.left, None, found);
            collect(&operation.right, None, found);
        }
        MetricExpr::LabelReplace(replace) => collect(&replace.inner, None, found),
        MetricExpr::VectorLiteral(_) | MetricExpr::Number(_) => {}
    }
}

/// The operations for which the sum over series is the operation over the series' union.
fn sums_over_series(op: RangeOp) -> bool {
    matches!(
        op,
        RangeOp::CountOverTime | RangeOp::Rate | RangeOp::BytesOverTime | RangeOp::BytesRate | RangeOp::SumOverTime
    )
}

/// Which entries a leaf needs: those with `from < time <= to`.
pub fn leaf_time_range(leaf: &Leaf<'_>, steps: Steps) -> (i64, i64) {
    Windows::new(steps, leaf.aggregation.range_ns, leaf.aggregation.offset_ns).time_range()
}

/// The labels of `absent_over_time`'s answer: those that the selector names with a single `=`.
pub(super) fn absent_labels(aggregation: &RangeAggregation) -> Labels {
    let selector = &aggregation.log.selector;
    let named_once = |name: &str| selector.iter().filter(|m| m.name == name).count() == 1;
    selector
        .iter()
        .filter(|m| m.op == MatchOp::Equal && !m.value.is_empty() && named_once(&m.name))
        .map(|m| (m.name.as_str(), m.value.as_str()))
        .collect()
}
