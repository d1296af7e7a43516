//! A delete request, compiled: which streams, when, and which of their entries.
//!
//! In: a request as it is stored. Out: something that says quickly whether it concerns a stream or a time. Both ends of its range
//! belong to it. What its pipeline lets through is deleted: the filters say what goes, not what stays.

use logql::ast::{Expr, LogExpr};
use logql::matcher::Selector;
use logql::pipeline::Pipeline;
use model::{Labels, TimeRange};
use store::DeleteRequest;

use crate::Error;

/// A request, ready to be asked.
#[derive(Debug)]
pub(crate) struct Delete {
    /// What a segment is marked with once it is done there.
    pub(super) mark: Box<str>,
    pub(super) created_ns: i64,
    /// The first time that is deleted.
    pub(super) min_ts: i64,
    /// The last one.
    pub(super) max_ts: i64,
    selector: Selector,
    /// None: every entry of the streams.
    pub(super) pipeline: Option<Pipeline>,
}

impl Delete {
    pub(super) fn new(request: &DeleteRequest) -> Result<Self, Error> {
        let LogExpr { selector, pipeline } = parse(&request.query)?;
        let pipeline = if pipeline.is_empty() { None } else { Some(Pipeline::new(&pipeline)?) };
        Ok(Delete {
            mark: format!("delete-{}", request.name()).into(),
            created_ns: request.key.created_ns,
            min_ts: request.start_ns,
            max_ts: request.end_ns,
            selector: Selector::new(&selector)?,
            pipeline,
        })
    }

    pub(super) fn chooses(&self, stream: &Labels) -> bool {
        self.selector.matches(stream)
    }

    pub(super) fn overlaps(&self, min_ts: i64, max_ts: i64) -> bool {
        self.min_ts <= max_ts && min_ts <= self.max_ts
    }

    pub(super) fn range(&self) -> TimeRange {
        let end_ns = self.max_ts.saturating_add(1);
        TimeRange::new(self.min_ts.min(end_ns), end_ns).expect("the start is no later than the end")
    }
}

/// A query that says what is to be deleted.
pub(super) fn parse(query: &str) -> Result<LogExpr, Error> {
    match logql::parse(query) {
        Ok(Expr::Log(log)) => Ok(log),
        _ => Err(Error::Invalid("invalid query expression".to_owned())),
    }
}
