//! The root of a question: gives slices to leaves, and puts together what they give back.
//!
//! In: a part of a question and its range. Out: what it would be without any leaf. Metric slices run side by side and are merged in
//! the order of time; log slices are asked in growing waves from the end that comes first, until there are enough entries. What no
//! leaf does is done here, one slice at a time. Never asks a leaf twice for the same.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use logql::ast::LogExpr;
use logql::eval::{Leaf, RangeFold, Steps};
use model::{LogEntry, TimeRange, WireError, WireReader};
use store::SegmentRef;
use tokio::time::Instant;

use super::FanOut;
use super::cut::cut;
use super::wire::{self, Outcome, Part, Shard};
use crate::logs::LogQuery;
use crate::scan::Scan;
use crate::{Direction, Error, QueryRequest, metrics};

/// Memory of an entry besides its texts, about.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// One question on its way to leaves, or to none.
pub(crate) struct Fan<'q> {
    out: Option<&'q FanOut>,
    request: &'q QueryRequest,
    scan: &'q Scan,
    started: Instant,
    /// Held by the slice that is done here.
    here: tokio::sync::Mutex<()>,
}

/// A slice of time and what lies in it.
struct Slice {
    range: TimeRange,
    segments: Vec<SegmentRef>,
    /// Whether a leaf may be asked.
    leaf: bool,
}

impl<'q> Fan<'q> {
    pub(crate) fn new(out: Option<&'q FanOut>, request: &'q QueryRequest, scan: &'q Scan) -> Self {
        Fan { out, request, scan, started: Instant::now(), here: tokio::sync::Mutex::default() }
    }

    /// What one range aggregation folds; `index` is its place among all of the question.
    pub(crate) async fn fold(&self, index: usize, leaf: &Leaf<'_>, steps: Steps) -> Result<RangeFold, Error> {
        let range = metrics::leaf_range(leaf, steps)?;
        let segments = self.scan.reader().segments(range).await?;
        let Some((out, slices)) = self.slices(range, &segments) else {
            return metrics::fold(leaf, steps, self.scan, range, segments).await;
        };
        let work = slices.into_iter().map(|slice| self.fold_slice(out, slice, index, leaf, steps));
        let mut folds = stream::iter(work).buffered(out.settings.concurrency_max.max(1));
        let mut all = RangeFold::new(leaf, steps);
        while let Some(fold) = folds.try_next().await? {
            all.merge(fold);
            self.scan.budget().check_results(all.memory_bytes())?;
        }
        Ok(all)
    }

    async fn fold_slice(
        &self,
        out: &FanOut,
        slice: Slice,
        index: usize,
        leaf: &Leaf<'_>,
        steps: Steps,
    ) -> Result<RangeFold, Error> {
        let memory_bytes_max = self.scan.budget().results_bytes_max();
        let read = |input: &mut WireReader<'_>| RangeFold::read(leaf, steps, input, memory_bytes_max);
        match self.ask(out, &slice, Part::Fold { leaf: index, steps }, read).await? {
            Some(fold) => Ok(fold),
            None => {
                let _turn = self.here.lock().await;
                metrics::fold(leaf, steps, self.scan, slice.range, slice.segments).await
            }
        }
    }

    /// The first entries of a log query.
    pub(crate) async fn entries(
        &self,
        expr: &LogExpr,
        query: &LogQuery,
        range: TimeRange,
    ) -> Result<Vec<LogEntry>, Error> {
        let segments = self.scan.reader().segments(range).await?;
        let Some((out, mut slices)) = self.slices(range, &segments) else {
            return Ok(query.find_in(self.scan, range, segments).await?.into_entries());
        };
        if self.request.direction == Direction::Backward {
            slices.reverse();
        }
        // Most questions end in the first slice.
        slices.iter_mut().take(1).for_each(|slice| slice.leaf = false);
        let (mut entries, mut wave_slices) = (Vec::new(), 1);
        let mut slices = slices.into_iter().peekable();
        while entries.len() < self.request.limit && slices.peek().is_some() {
            self.wave(out, slices.by_ref().take(wave_slices).collect(), expr, &mut entries).await?;
            wave_slices = (wave_slices * 2).min(out.settings.concurrency_max.max(1));
        }
        Ok(entries)
    }

    /// Adds the entries of some slices, until there are enough.
    async fn wave(
        &self,
        out: &FanOut,
        wave: Vec<Slice>,
        expr: &LogExpr,
        entries: &mut Vec<LogEntry>,
    ) -> Result<(), Error> {
        let all = self.request.limit;
        let limit = all - entries.len();
        let work = wave.into_iter().map(|slice| self.entries_of(out, slice, expr, limit));
        let mut parts = stream::iter(work).buffered(out.settings.concurrency_max.max(1));
        while entries.len() < all
            && let Some(part) = parts.try_next().await?
        {
            entries.extend(part.into_iter().take(all - entries.len()));
            self.scan.budget().check_results(entries.iter().map(memory_bytes).sum())?;
        }
        Ok(())
    }

    async fn entries_of(
        &self,
        out: &FanOut,
        slice: Slice,
        expr: &LogExpr,
        limit: usize,
    ) -> Result<Vec<LogEntry>, Error> {
        let direction = self.request.direction;
        match self.ask(out, &slice, Part::Entries { direction, limit }, wire::read_entries).await? {
            Some(entries) => Ok(entries),
            None => {
                let _turn = self.here.lock().await;
                let query = LogQuery::new(expr, direction, limit)?;
                Ok(query.find_in(self.scan, slice.range, slice.segments).await?.into_entries())
            }
        }
    }

    /// The slices of a range in order, if there are leaves and more than one is worth it.
    fn slices(&self, range: TimeRange, segments: &[SegmentRef]) -> Option<(&'q FanOut, Vec<Slice>)> {
        let out = self.out?;
        let settings = &out.settings;
        let ranges = cut(range, segments, settings.shards_max, settings.bytes_per_shard);
        if ranges.len() < 2 {
            return None;
        }
        let mut bytes = 0u64;
        let slice = |range: TimeRange| {
            let within = segments.iter().filter(|segment| range.overlaps(segment.min_ts, segment.max_ts));
            let segments: Vec<SegmentRef> = within.cloned().collect();
            bytes = bytes.saturating_add(segments.iter().map(|segment| segment.size).sum());
            Slice { range, leaf: bytes <= settings.bytes_max, segments }
        };
        // A slice without segments has nothing to tell.
        let slices = ranges.into_iter().map(slice).filter(|slice| !slice.segments.is_empty());
        Some((out, slices.collect()))
    }

    /// What a leaf says; nothing if it is to be done here.
    async fn ask<T>(
        &self,
        out: &FanOut,
        slice: &Slice,
        part: Part,
        read: impl FnOnce(&mut WireReader<'_>) -> Result<T, WireError>,
    ) -> Result<Option<T>, Error> {
        if !slice.leaf {
            return Ok(None);
        }
        self.scan.reader().count(|stats| stats.shards += 1);
        let why = match self.send(out, slice, part).await {
            Ok(answer) => match wire::read_answer(&answer, self.scan.budget().results_bytes_max(), read) {
                Ok((found, outcome)) => {
                    self.scan.reader().count(|stats| {
                        // The same streams are met in every slice.
                        let streams = stats.streams.max(found.streams);
                        *stats += found;
                        stats.streams = streams;
                    });
                    match outcome {
                        Outcome::Done(value) => return Ok(Some(value)),
                        Outcome::Refused(why) => return Err(Error::Invalid(why)),
                        Outcome::Undone(why) => why,
                    }
                }
                Err(broken) => broken.to_string(),
            },
            Err(undone) => undone,
        };
        let mut undone = 0;
        self.scan.reader().count(|stats| {
            stats.shards_undone += 1;
            undone = stats.shards_undone;
        });
        // The first tells enough of a question whose leaves are all away.
        match undone {
            1 => tracing::warn!(why, "a shard is done by its root"),
            _ => tracing::debug!(why, "another shard is done by its root"),
        }
        Ok(None)
    }

    async fn send(&self, out: &FanOut, slice: &Slice, part: Part) -> Result<Bytes, String> {
        let timeout = self.timeout(out);
        let shard = Shard {
            tenants: self.request.tenants.clone(),
            query: self.request.query.clone(),
            asked_ns: self.scan.reader().asked_ns().map_err(|why| why.to_string())?,
            timeout,
            answer_bytes_max: out.settings.answer_bytes_max,
            range: slice.range,
            part,
            segments: slice.segments.clone(),
        };
        let shard = Bytes::from(shard.write().map_err(|why| why.to_string())?);
        match tokio::time::timeout(timeout, out.leaves.ask(shard)).await {
            Ok(answer) => answer.map_err(|undone| undone.to_string()),
            Err(_) => Err(format!("no answer in {timeout:?}")),
        }
    }

    /// How long a leaf may take: half of the time that is left, so that the root could still do it.
    fn timeout(&self, out: &FanOut) -> Duration {
        match self.request.limits.query_timeout {
            all if all.is_zero() => out.settings.timeout,
            all => out.settings.timeout.min(all.saturating_sub(self.started.elapsed()) / 2),
        }
    }
}

fn memory_bytes(entry: &LogEntry) -> usize {
    ENTRY_OVERHEAD_BYTES + entry.line.len() + entry.metadata.byte_len() + entry.parsed.byte_len()
}
