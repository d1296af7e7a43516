//! Entries that a log query is sure to find, and so where it ends at the latest.
//!
//! In: blocks that the query will have read. Out: whether a block or segment lies behind its limit. Only runs all of whose
//! entries match count, and of runs that may hold the same entries only one.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use logql::ast::{LogExpr, Stage};
use model::Labels;

use crate::Direction;
use crate::plan::PlannedBlock;

/// What is sure so far.
pub(crate) struct Sure {
    direction: Direction,
    /// None: any line may be dropped, so that nothing is sure.
    limit: Option<u64>,
    /// Entries by how far behind the last of their run is; no more than it takes to fill the limit.
    entries: BTreeMap<i64, u64>,
    total: u64,
    /// The times of each stream's runs that count, with their segments.
    spans: HashMap<Labels, Vec<(usize, i64, i64)>, RandomState>,
}

impl Sure {
    pub(crate) fn new(log: &LogExpr, direction: Direction, limit: usize) -> Self {
        let drops = |stage: &Stage| matches!(stage, Stage::LineFilter(_) | Stage::LabelFilter(_));
        let limit = (!log.pipeline.iter().any(drops)).then_some(limit as u64);
        Sure { direction, limit, entries: BTreeMap::new(), total: 0, spans: HashMap::default() }
    }

    /// A block that was read.
    pub(crate) fn add(&mut self, segment: usize, block: &PlannedBlock) {
        let Some(limit) = self.limit else { return };
        for run in &block.runs {
            let (first, last) = (run.min_ts, run.max_ts);
            if !(run.range.contains(first) && run.range.contains(last)) || run.forget.is_some() {
                continue;
            }
            let spans = self.spans.entry(run.stream.clone()).or_default();
            if spans.iter().any(|(other, from, to)| *other != segment && *from <= last && first <= *to) {
                continue;
            }
            spans.push((segment, first, last));
            let behind = match self.direction {
                Direction::Forward => last,
                Direction::Backward => !first,
            };
            *self.entries.entry(behind).or_default() += u64::from(run.rows);
            self.total += u64::from(run.rows);
        }
        while let Some(last) = self.entries.last_entry()
            && self.total - last.get() >= limit
        {
            self.total -= last.remove();
        }
    }

    /// Whether there are enough entries, all of them before any of these times.
    pub(crate) fn is_beyond(&self, min_ts: i64, max_ts: i64) -> bool {
        let best = match self.direction {
            Direction::Forward => min_ts,
            Direction::Backward => !max_ts,
        };
        let bar = self.entries.last_key_value().filter(|_| self.limit.is_some_and(|limit| self.total >= limit));
        bar.is_some_and(|(bar, _)| *bar < best)
    }
}
