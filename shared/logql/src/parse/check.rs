//! What a query must be besides grammatical: its selectors narrow down the streams and its stages can be compiled.

use crate::ast::{Expr, LogExpr, MatchOp, MetricExpr, Stage};
use crate::matcher::CompiledMatcher;
use crate::{Error, stage};

const MATCHES_EVERYTHING: &str = "queries require at least one regexp or equality matcher that does not have an \
    empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";

/// Whether the expression makes sense.
pub(super) fn expression(expr: &Expr) -> Result<(), Error> {
    match expr {
        Expr::Log(log) => self::log(log),
        Expr::Metric(metric) => self::metric(metric),
    }
}

fn metric(metric: &MetricExpr) -> Result<(), Error> {
    match metric {
        MetricExpr::Range(range) => {
            log(&range.log)?;
            let filters = range.unwrap.iter().flat_map(|unwrap| &unwrap.filters);
            filters.cloned().try_for_each(|filter| stage(&Stage::LabelFilter(filter)))
        }
        MetricExpr::Vector(vector) => self::metric(&vector.inner),
        MetricExpr::LabelReplace(replace) => self::metric(&replace.inner),
        MetricExpr::Binary(binary) => self::metric(&binary.left).and_then(|()| self::metric(&binary.right)),
        MetricExpr::VectorLiteral(_) | MetricExpr::Number(_) => Ok(()),
    }
}

fn log(log: &LogExpr) -> Result<(), Error> {
    let mut narrows = false;
    for matcher in &log.selector {
        let positive = matches!(matcher.op, MatchOp::Equal | MatchOp::Regex);
        narrows |= positive && !CompiledMatcher::new(matcher)?.matches("");
    }
    if !narrows {
        return Err(Error::invalid(MATCHES_EVERYTHING));
    }
    log.pipeline.iter().try_for_each(stage)
}

fn stage(stage: &Stage) -> Result<(), Error> {
    stage::Stage::new(stage).map(drop)
}
