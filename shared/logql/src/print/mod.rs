//! The tree as text.
//!
//! `Display` is Loki's canonical form on one line, and parsing it gives the same tree again; `pretty` breaks it up where
//! it is long. Names of operations stand here too, since parser and errors need them as well.

mod name;
mod number;
mod pretty;
mod stage;

use std::fmt::{self, Display, Formatter};

use crate::ast::{
    BinaryOperation, Cardinality, Expr, Grouping, LabelReplace, LogExpr, MatchOp, Matcher, MetricExpr,
    RangeAggregation, Unwrap, VectorAggregation, VectorMatching,
};
use crate::parse::duration;
use model::quote;

pub use pretty::pretty;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Log(log) => log.fmt(f),
            Expr::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", Joined(&self.selector, ", "))?;
        self.pipeline.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.op, quote(&self.value))
    }
}

impl Display for MatchOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        })
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            MetricExpr::Range(range) => range.fmt(f),
            MetricExpr::Vector(vector) => vector.fmt(f),
            MetricExpr::Binary(binary) => binary.fmt(f),
            MetricExpr::LabelReplace(replace) => replace.fmt(f),
            MetricExpr::VectorLiteral(value) => write!(f, "vector({})", number::fixed(*value)),
            MetricExpr::Number(value) => f.write_str(&number::shortest(*value)),
        }
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op)?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter},")?;
        }
        self.log.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
        }
        write!(f, "{})", Window(self))?;
        self.grouping.iter().try_for_each(|grouping| write!(f, " {grouping}"))
    }
}

/// `[5m] offset 1h`
struct Window<'e>(&'e RangeAggregation);

impl Display for Window<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", duration::to_prometheus(self.0.range_ns.unsigned_abs()))?;
        match self.0.offset_ns {
            0 => Ok(()),
            ns if ns > 0 && ns % 1_000_000 == 0 => write!(f, " offset {}", duration::to_prometheus(ns.unsigned_abs())),
            ns => write!(f, " offset {}", duration::to_go(ns)),
        }
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.conversion.name() {
            None => write!(f, "| unwrap {}", self.label)?,
            Some(conversion) => write!(f, "| unwrap {conversion}({})", self.label)?,
        }
        self.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", if self.without { "without" } else { "by" }, Joined(&self.labels, ","))
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.op)?;
        if let Some(grouping) = &self.grouping {
            write!(f, " {grouping}")?;
        }
        match self.parameter {
            Some(parameter) => write!(f, "({parameter},{})", self.inner),
            None => write!(f, "({})", self.inner),
        }
    }
}

impl Display for BinaryOperation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.left, Operator(self, ","), self.right)
    }
}

/// `== bool on (a) group_left (b)`, with what stands between labels.
struct Operator<'e>(&'e BinaryOperation, &'static str);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Operator(operation, separator) = self;
        write!(f, "{}{}", operation.op, if operation.return_bool { " bool" } else { "" })?;
        let Some(VectorMatching { on, labels, cardinality, include }) = &operation.matching else { return Ok(()) };
        write!(f, " {} ({})", if *on { "on" } else { "ignoring" }, Joined(labels, separator))?;
        let group = match cardinality {
            Cardinality::OneToOne => return Ok(()),
            Cardinality::ManyToOne => "group_left",
            Cardinality::OneToMany => "group_right",
        };
        // A parenthesis that opens the right side would be taken for a list of labels.
        let right_opens = matches!(operation.right, MetricExpr::Binary(_) | MetricExpr::Number(_));
        if include.is_empty() && !right_opens {
            return write!(f, " {group}");
        }
        write!(f, " {group} ({})", Joined(include, separator))
    }
}

impl Display for LabelReplace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [destination, replacement, source, regex] =
            [&self.destination, &self.replacement, &self.source, &self.regex].map(|text| quote(text));
        write!(f, "label_replace({},{destination},{replacement},{source},{regex})", self.inner)
    }
}

/// A list with something between its items.
struct Joined<'e, T>(&'e [T], &'e str);

impl<T: Display> Display for Joined<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(self.1)?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}
