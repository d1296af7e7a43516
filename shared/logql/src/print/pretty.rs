//! The tree over several lines.
//!
//! What fits into a line stays on it; what does not is broken at its outermost level, its parts two blanks further in,
//! and each part is looked at in turn. The breaks are Loki's. Unlike Loki's, the result always means the same query.

use std::fmt::Display;

use super::{Joined, Operator, Window};
use crate::ast::{
    BinaryOperation, Expr, Grouping, LabelReplace, LogExpr, MetricExpr, RangeAggregation, Stage, Unwrap,
    VectorAggregation,
};
use model::quote;

/// What is longer is broken up.
const LINE_BYTES_MAX: usize = 100;

/// The expression, broken into lines where it is long: the answer of `format_query`.
pub fn pretty(expr: &Expr) -> String {
    within(LINE_BYTES_MAX, expr)
}

fn within(line_bytes_max: usize, expr: &Expr) -> String {
    let mut page = Page { line_bytes_max, text: String::new() };
    match expr {
        Expr::Log(log) => page.log(0, log),
        Expr::Metric(metric) => page.metric(0, metric),
    }
    page.text
}

/// What has been written so far.
struct Page {
    line_bytes_max: usize,
    text: String,
}

impl Page {
    /// Begins a line, unless the page is empty.
    fn line(&mut self, level: usize, text: &impl Display) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&"  ".repeat(level));
        self.text.push_str(&text.to_string());
    }

    fn fits(&self, text: &impl Display) -> bool {
        text.to_string().len() <= self.line_bytes_max
    }

    fn log(&mut self, level: usize, log: &LogExpr) {
        if log.pipeline.is_empty() || self.fits(log) {
            return self.line(level, log);
        }
        self.line(level, &LogExpr { selector: log.selector.clone(), pipeline: Vec::new() });
        let is_line_filter = |stage: &Stage| matches!(stage, Stage::LineFilter(_));
        for stages in log.pipeline.chunk_by(|a, b| is_line_filter(a) && is_line_filter(b)) {
            self.stages(level + 1, stages);
        }
    }

    /// A single stage, or line filters in a row: as many as fit stay together.
    fn stages(&mut self, level: usize, stages: &[Stage]) {
        let mut together = stages.len();
        while together > 1 && !self.fits(&Joined(&stages[..together], " ")) {
            together -= 1;
        }
        self.line(level, &Joined(&stages[..together], " "));
        for stage in &stages[together..] {
            self.line(level, stage);
        }
    }

    fn metric(&mut self, level: usize, metric: &MetricExpr) {
        if self.fits(metric) {
            return self.line(level, metric);
        }
        match metric {
            MetricExpr::Range(range) => self.range(level, range),
            MetricExpr::Vector(vector) => self.vector(level, vector),
            MetricExpr::Binary(binary) => self.binary(level, binary),
            MetricExpr::LabelReplace(replace) => self.label_replace(level, replace),
            MetricExpr::VectorLiteral(_) | MetricExpr::Number(_) => self.line(level, metric),
        }
    }

    fn range(&mut self, level: usize, range: &RangeAggregation) {
        self.line(level, &format_args!("{}(", range.op));
        if let Some(parameter) = range.parameter {
            self.line(level + 1, &format_args!("{parameter},"));
        }
        self.log(level + 1, &range.log);
        if let Some(unwrap) = &range.unwrap {
            self.unwrap(level + 2, unwrap);
        }
        self.text.push_str(&format!(" {}", Window(range)));
        self.line(level, &")");
        self.text.push_str(&spaced(range.grouping.as_ref()));
    }

    fn unwrap(&mut self, level: usize, unwrap: &Unwrap) {
        self.line(level, &Unwrap { filters: Vec::new(), ..unwrap.clone() });
        for filter in &unwrap.filters {
            self.line(level, &format_args!("| {filter}"));
        }
    }

    fn vector(&mut self, level: usize, vector: &VectorAggregation) {
        self.line(level, &format_args!("{}{}(", vector.op, spaced(vector.grouping.as_ref())));
        if let Some(parameter) = vector.parameter {
            self.line(level + 1, &format_args!("{parameter},"));
        }
        self.metric(level + 1, &vector.inner);
        self.line(level, &")");
    }

    fn binary(&mut self, level: usize, binary: &BinaryOperation) {
        self.operand(level + 1, &binary.left);
        self.line(level, &Operator(binary, ", "));
        self.operand(level + 1, &binary.right);
    }

    /// An operation inside an operation needs parentheses; on one line it has them already.
    fn operand(&mut self, level: usize, metric: &MetricExpr) {
        if !matches!(metric, MetricExpr::Binary(_)) || self.fits(metric) {
            return self.metric(level, metric);
        }
        self.line(level, &"(");
        self.metric(level + 1, metric);
        self.line(level, &")");
    }

    fn label_replace(&mut self, level: usize, replace: &LabelReplace) {
        self.line(level, &"label_replace(");
        self.metric(level + 1, &replace.inner);
        for text in [&replace.destination, &replace.replacement, &replace.source, &replace.regex] {
            self.text.push(',');
            self.line(level + 1, &quote(text));
        }
        self.line(level, &")");
    }
}

/// ` by (a, b)`, or nothing.
fn spaced(grouping: Option<&Grouping>) -> String {
    let Some(Grouping { without, labels }) = grouping else { return String::new() };
    format!(" {} ({})", if *without { "without" } else { "by" }, Joined(labels, ", "))
}
