//! What is forgotten: entries past their retention, and those that a delete request names.
//!
//! In: what a tenant wants (`policy`), its delete requests, and now. Out: for a stream the times that are shown, for an entry whether
//! it is. Queries ask it in their plan, where runs are cut, and as row masks, like doubles; merges ask it for each entry: what a
//! merge drops is what queries have hidden. The modules in the order of the work: `policy` (settings, the clock), `retention`,
//! `delete`, this file (both together, for a stream), `question` (the tenants of a question), `rows` (blocks), `remains` (streams
//! of which nothing may be left), `requests` (delete requests from outside).

mod delete;
mod policy;
mod question;
mod remains;
mod requests;
mod retention;
mod rows;

use std::sync::Arc;

use logql::pipeline::StreamPipeline;
use model::{EntryRef, Labels, TimeRange};
use segment::LEVEL_NAME;
use store::{DeleteRequest, Marks, SegmentRef};

use crate::Error;

pub use policy::{Deletes, ForgetSettings, Policy, Rules, StreamPeriod};
pub(crate) use question::{Forgets, Known, Question};
pub(crate) use remains::{Remains, left};
pub use requests::{DeleteStatus, check_delete};
pub use retention::check_retention_selector;
pub(crate) use rows::{Hiding, columns, passed_over};

use delete::Delete;
use retention::Horizons;

/// What is forgotten of one tenant at one moment.
#[derive(Debug, Clone, Default)]
pub struct Forget {
    rules: Rules,
    deletes: Arc<[Arc<Delete>]>,
}

impl Forget {
    /// All that is to be hidden.
    pub fn new(rules: Rules, requests: &[Arc<DeleteRequest>]) -> Result<Self, Error> {
        let heeded = requests.iter().filter(|_| rules.heeds_deletes());
        let deletes = heeded.map(|request| Ok(Arc::new(Delete::new(request)?))).collect::<Result<_, Error>>()?;
        Ok(Forget { rules, deletes })
    }

    fn of(rules: Rules, deletes: Arc<[Arc<Delete>]>) -> Self {
        let deletes = if rules.heeds_deletes() { deletes } else { Arc::default() };
        Forget { rules, deletes }
    }

    /// The part of it that is for good: without delete requests that can still be cancelled.
    pub fn for_good(&self) -> Self {
        let last = self.deletes.iter().filter(|delete| self.rules.is_final(delete.created_ns)).cloned();
        Forget { rules: self.rules.clone(), deletes: last.collect() }
    }

    /// Whether all is shown.
    pub fn is_nothing(&self) -> bool {
        self.deletes.is_empty() && self.rules.retention.is_none()
    }

    /// Whether nothing is shown up to a time.
    pub fn is_past(&self, max_ts: i64) -> bool {
        max_ts < self.rules.oldest_ns()
    }

    /// Whether all entries between two times are shown, whatever their streams; `forgot` are the marks of their segment.
    pub fn spares(&self, min_ts: i64, max_ts: i64, forgot: &Marks) -> bool {
        let spares = |delete: &Arc<Delete>| !delete.overlaps(min_ts, max_ts) || forgot.contains(&delete.mark);
        min_ts >= self.rules.retention.newest_ns(self.rules.now_ns) && self.deletes.iter().all(spares)
    }

    /// What is forgotten of a stream; `forgot` are the marks of the segment in which it lies.
    pub fn of_stream(&self, stream: &Labels, forgot: &Marks) -> StreamForget {
        let horizons = self.rules.retention.of_stream(stream, self.rules.now_ns);
        let oldest_ns = horizons.oldest_ns();
        let mut shown: Vec<TimeRange> = TimeRange::new(oldest_ns, i64::MAX).into_iter().collect();
        let mut deletes = Vec::new();
        for delete in self.deletes.iter().filter(|delete| !forgot.contains(&delete.mark) && delete.chooses(stream)) {
            match delete.pipeline {
                Some(_) => deletes.push(Arc::clone(delete)),
                None => shown = shown.iter().flat_map(|shown| without(*shown, delete)).collect(),
            }
        }
        let by_entry = !deletes.is_empty() || horizons.by_level();
        let entries = by_entry.then(|| Arc::new(EntryForget { stream: stream.clone(), deletes, horizons }));
        StreamForget { oldest_ns, shown, entries }
    }

    /// The marks that a segment has once all is forgotten of it for good: as it is now.
    pub fn marks(&self, min_ts: i64, max_ts: i64) -> Marks {
        let due = self.deletes.iter().filter(|delete| self.rules.is_final(delete.created_ns));
        let deletes = due.filter(|delete| delete.overlaps(min_ts, max_ts)).map(|delete| delete.mark.clone());
        deletes.chain(self.rules.retention.mark(max_ts, self.rules.now_ns)).collect()
    }

    /// Whether a segment still holds what is forgotten for good, as far as its times and marks tell.
    pub fn is_owed_by(&self, segment: &SegmentRef) -> bool {
        self.is_past(segment.max_ts)
            || self.marks(segment.min_ts, segment.max_ts).iter().any(|mark| !segment.forgot.contains(mark))
    }

    /// The time up to which whole days may owe something, and the times of deletes that are for good.
    pub fn owing_times(&self) -> Vec<TimeRange> {
        let newest_ns = self.rules.retention.newest_ns(self.rules.now_ns);
        let expired = TimeRange::new(0, newest_ns.max(0)).ok().filter(|range| range.end_ns() > 0);
        let due = self.deletes.iter().filter(|delete| self.rules.is_final(delete.created_ns));
        due.map(|delete| delete.range()).chain(expired).collect()
    }
}

/// A range without the times of a delete.
fn without(shown: TimeRange, delete: &Delete) -> impl Iterator<Item = TimeRange> {
    let (from, to) = (delete.min_ts, delete.max_ts.saturating_add(1));
    let before = TimeRange::new(shown.start_ns(), shown.end_ns().min(from));
    let behind = TimeRange::new(shown.start_ns().max(to), shown.end_ns());
    [before, behind].into_iter().flatten().filter(|range| range.start_ns() < range.end_ns())
}

/// What is forgotten of one stream.
#[derive(Debug, Clone)]
pub struct StreamForget {
    /// What is older is past.
    oldest_ns: i64,
    /// The times of which anything is shown, in order.
    shown: Vec<TimeRange>,
    /// What decides entry by entry on top, if anything does.
    entries: Option<Arc<EntryForget>>,
}

impl StreamForget {
    /// Whether an entry is not shown.
    pub fn hides(&self, entry: EntryRef<'_>) -> bool {
        let is_shown = self.shown.iter().any(|shown| shown.contains(entry.timestamp_ns));
        !is_shown || self.entries.as_ref().is_some_and(|entries| Hiding::new(entries).hides(entry))
    }

    /// Whether all entries between two times are shown.
    pub fn spares(&self, min_ts: i64, max_ts: i64) -> bool {
        self.shown.iter().any(|shown| shown.contains(min_ts) && shown.contains(max_ts))
            && self.entries.as_ref().is_none_or(|entries| !entries.concerns(min_ts, max_ts))
    }

    /// The oldest time that is shown, if nothing but age hides entries between two times: such a cut lies at the end of a minute.
    pub(crate) fn cut_at(&self, min_ts: i64, max_ts: i64) -> Option<i64> {
        let by_entry = self.entries.as_ref().is_some_and(|entries| entries.concerns(min_ts, max_ts));
        let oldest_ns = self.oldest_ns;
        let ends = |shown: &&TimeRange| shown.end_ns() > min_ts && shown.start_ns() <= max_ts;
        let mut shown = self.shown.iter().filter(ends);
        match (shown.next(), shown.next()) {
            _ if by_entry => None,
            (None, _) => Some(i64::MAX),
            (Some(one), None) if one.start_ns() <= oldest_ns.max(min_ts) && one.end_ns() > max_ts => Some(oldest_ns),
            _ => None,
        }
    }

    /// The parts of a range of which anything is shown, where entries between two times lie; and what decides about each entry.
    pub(crate) fn pieces(
        &self,
        range: TimeRange,
        min_ts: i64,
        max_ts: i64,
    ) -> impl Iterator<Item = (TimeRange, Option<Arc<EntryForget>>)> {
        let entries = self.entries.clone().filter(|entries| entries.concerns(min_ts, max_ts));
        let cut = move |shown: &TimeRange| {
            let piece = TimeRange::new(shown.start_ns().max(range.start_ns()), shown.end_ns().min(range.end_ns()));
            piece.ok().filter(|piece| piece.start_ns() < piece.end_ns() && piece.overlaps(min_ts, max_ts))
        };
        self.shown.iter().filter_map(cut).map(move |piece| (piece, entries.clone()))
    }
}

/// What decides about the entries of a stream one by one.
#[derive(Debug)]
pub(crate) struct EntryForget {
    /// The stream as its tenant sees it.
    stream: Labels,
    /// Deletes with filters.
    deletes: Vec<Arc<Delete>>,
    horizons: Horizons,
}

impl EntryForget {
    /// Whether it may hide an entry between two times.
    fn concerns(&self, min_ts: i64, max_ts: i64) -> bool {
        let by_level = self.horizons.by_level() && min_ts < self.horizons.newest_ns();
        by_level || self.deletes.iter().any(|delete| delete.overlaps(min_ts, max_ts))
    }

    /// Whether the age of an entry of this level hides it.
    fn is_past(&self, entry: EntryRef<'_>) -> bool {
        let time = entry.timestamp_ns;
        if !self.horizons.by_level() || time >= self.horizons.newest_ns() {
            return false;
        }
        let level = entry.metadata.iter().find(|(name, _)| *name == LEVEL_NAME).map_or("", |(_, level)| level);
        time < self.horizons.oldest_of(level)
    }

    fn pipelines(&self) -> Vec<(&Delete, StreamPipeline<'_>)> {
        self.deletes
            .iter()
            .filter_map(|delete| Some((&**delete, delete.pipeline.as_ref()?.for_stream(&self.stream))))
            .collect()
    }
}

#[cfg(test)]
mod tests;
