//! One query's way to the store: ranges in, bytes out, each request counted and bounded.
//!
//! Never more requests under way than the settings allow, never a byte read twice that came with the footer.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures::future::{Either, ready};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use model::{QueryStats, TimeRange};
use segment::{ColumnKind, ColumnMeta, Footer, Opened};
use store::{Counts, SegmentRef, Store};

use crate::attempts::LeftOut;
use crate::block_cache::{BlockCache, Place};
use crate::footers::{Footers, OpenSegment};
use crate::forget::{Forgets, Question};
use crate::rows::Lines;
use crate::tenants::Tenants;
use crate::{EngineSettings, Error};

/// The store, as one query sees it.
#[derive(Clone)]
pub(crate) struct Reader {
    store: Store,
    footers: Arc<Footers>,
    blocks: Arc<BlockCache>,
    settings: EngineSettings,
    tenants: Tenants,
    question: Arc<Question>,
    stats: Arc<Mutex<QueryStats>>,
    left_out: Arc<LeftOut>,
}

impl Reader {
    /// `store` has counters of its own: those of the query.
    pub(crate) fn new(
        store: Store,
        footers: Arc<Footers>,
        blocks: Arc<BlockCache>,
        settings: EngineSettings,
        tenants: Tenants,
        question: Question,
    ) -> Self {
        let (stats, left_out) = Default::default();
        Reader { store, footers, blocks, settings, tenants, question: Arc::new(question), stats, left_out }
    }

    /// Finds out what is forgotten, for whoever asks for no segments.
    pub(crate) async fn learn_forgets(&self) -> Result<(), Error> {
        self.question.learn(&self.store).await.map(drop)
    }

    /// The moment of the question, for others who answer a part of it.
    pub(crate) fn asked_ns(&self) -> Result<i64, Error> {
        self.question.asked_ns()
    }

    /// What is forgotten; known once segments were asked for.
    pub(crate) fn forgets(&self) -> Forgets {
        self.question.forgets()
    }

    /// The same for a new beginning of the question, which may be without a damaged segment. Requests are counted on.
    pub(crate) fn again(&self, without: Option<(String, String)>) -> Self {
        let mut left_out = LeftOut::clone(&self.left_out);
        left_out.extend(without);
        Reader { stats: Arc::default(), left_out: Arc::new(left_out), ..self.clone() }
    }

    /// What the question goes on without.
    pub(crate) fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    pub(crate) fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// Where opened segments are kept, with what is decoded of them.
    pub(crate) fn footers(&self) -> &Arc<Footers> {
        &self.footers
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Where blocks that were read are kept.
    pub(crate) fn blocks(&self) -> &Arc<BlockCache> {
        &self.blocks
    }

    /// Forgets all that is kept of an object, which was found damaged. True: for the first time.
    pub(crate) fn distrust(&self, object: &str) -> bool {
        self.footers.remove(object);
        self.blocks.distrust(object)
    }

    /// The lines of a block among its columns, if they are kept decoded: then their range need not be read.
    pub(crate) fn decoded_lines(&self, opened: &OpenSegment, columns: &mut Vec<&ColumnMeta>) -> Option<Arc<Lines>> {
        let at = columns.iter().position(|column| column.kind == ColumnKind::Lines)?;
        let lines = self.blocks.lines(&opened.place(&columns.get(at)?.range))?;
        columns.remove(at);
        Some(lines)
    }

    /// Changes the figures of this query.
    pub(crate) fn count(&self, change: impl FnOnce(&mut QueryStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The figures so far.
    pub(crate) fn stats(&self) -> QueryStats {
        let counts = self.counts();
        let mut stats = *self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        // Noted already is what leaves asked the store for.
        stats.store_requests += counts.requests();
        stats.store_bytes += counts.bytes_in;
        stats
    }

    /// What was asked of the store so far.
    pub(crate) fn counts(&self) -> Counts {
        self.store.counters().snapshot()
    }

    /// The segments of the chosen tenants that may hold entries of a time range, by earliest entry.
    pub(crate) async fn segments(&self, range: TimeRange) -> Result<Vec<SegmentRef>, Error> {
        let mut segments = self.question.segments(&self.store, range).await?;
        segments.retain(|segment| !self.left_out.contains_key(segment.key.as_str()));
        segments.sort_by(|a, b| (a.min_ts, &a.key).cmp(&(b.min_ts, &b.key)));
        self.count(|stats| stats.segments += segments.len() as u64);
        Ok(segments)
    }

    /// Opens segments, in the order given.
    pub(crate) async fn open(&self, segments: Vec<SegmentRef>) -> Result<Vec<Arc<OpenSegment>>, Error> {
        let mut copies = self.copies(&segments.iter().collect::<Vec<_>>()).await;
        let work = segments.into_iter().map(|segment| {
            let copy = copies.remove(&segment.key);
            self.open_one(segment, copy)
        });
        let work = work.collect();
        at_once(self.settings.store_concurrency_max, work).await
    }

    /// The same, but for those that are open still.
    pub(crate) async fn open_beside(
        &self,
        segments: Vec<SegmentRef>,
        open: &[Arc<OpenSegment>],
    ) -> Result<Vec<Arc<OpenSegment>>, Error> {
        let open: HashMap<&str, &Arc<OpenSegment>, RandomState> =
            open.iter().map(|opened| (opened.segment.key.as_str(), opened)).collect();
        let is_new = |segment: &&SegmentRef| !open.contains_key(segment.key.as_str());
        let mut copies = self.copies(&segments.iter().filter(is_new).collect::<Vec<_>>()).await;
        let opened = |segment: SegmentRef| match open.get(segment.key.as_str()) {
            Some(opened) => Either::Left(ready(Ok(Arc::clone(opened)))),
            None => {
                let copy = copies.remove(&segment.key);
                Either::Right(self.open_one(segment, copy))
            }
        };
        let work = segments.into_iter().map(opened).collect();
        at_once(self.settings.store_concurrency_max, work).await
    }

    /// Whether a segment was opened before, and is kept.
    pub(crate) fn is_open(&self, segment: &SegmentRef) -> bool {
        self.footers.has(&self.tenants.name_of(segment))
    }

    async fn open_one(&self, segment: SegmentRef, copy: Option<Vec<(u64, Bytes)>>) -> Result<Arc<OpenSegment>, Error> {
        let name = self.tenants.name_of(&segment);
        if let Some(opened) = self.footers.get(&name) {
            self.count(|stats| {
                (stats.cache_hits, stats.segments_opened) = (stats.cache_hits + 1, stats.segments_opened + 1)
            });
            return Ok(opened);
        }
        if let Some(parts) = copy {
            let read: Vec<(u64, &[u8])> = parts.iter().map(|(start, part)| (*start, &part[..])).collect();
            // A copy that does not open it is passed over.
            if let Ok(Opened::Footer(footer)) = segment::open_parts(&read, segment.size) {
                return Ok(self.opened(name, segment, footer, parts));
            }
        }
        let small = segment.size <= self.settings.whole_object_bytes_max;
        let mut wanted = if small { segment.size } else { self.settings.tail_bytes.min(segment.size) };
        loop {
            let tail = self.read_tail(&segment, wanted).await?;
            match segment::open_tail(&tail, segment.size).map_err(|why| corrupt(&segment, &why))? {
                Opened::Footer(footer) => {
                    let start = segment.size - tail.len() as u64;
                    return Ok(self.opened(name, segment, footer, vec![(start, tail)]));
                }
                Opened::NeedMore { from } if segment.size - from > wanted => wanted = segment.size - from,
                Opened::NeedMore { .. } => return Err(corrupt(&segment, &"its footer cannot be found")),
            }
        }
    }

    fn opened(
        &self,
        name: String,
        segment: SegmentRef,
        mut footer: Footer,
        parts: Vec<(u64, Bytes)>,
    ) -> Arc<OpenSegment> {
        self.tenants.label(&segment, &mut footer);
        footer.map_labels(|labels| self.footers.interned(labels));
        let opened = Arc::new(OpenSegment::new(name, segment, footer, parts));
        self.footers.put(&opened);
        self.count(|stats| stats.segments_opened += 1);
        opened
    }

    /// The end of a segment. On disk it outlives the process; in memory it stays with the footer.
    async fn read_tail(&self, segment: &SegmentRef, bytes: u64) -> Result<Bytes, Error> {
        let range = segment.size.saturating_sub(bytes)..segment.size;
        let place = Place { object: segment.key.to_string().into(), range };
        if let Some(tail) = self.blocks.on_disk(vec![place.clone()], false).await.pop().flatten() {
            return Ok(tail);
        }
        let tail = self.store.read_tail(segment, bytes).await?;
        self.blocks.put(vec![(place, tail.clone())], false).await;
        Ok(tail)
    }

    /// The bytes of each range: kept ones, and those that lie close together by one request.
    pub(crate) async fn read(&self, opened: &OpenSegment, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let mut found = self.kept(opened, ranges).await;
        if found.contains(&None) && opened.segment.size <= self.settings.whole_object_bytes_max {
            self.refill(opened, ranges, &mut found).await?;
        }
        let is_missing: Vec<bool> = found.iter().map(Option::is_none).collect();
        let spans = self.missing_spans(opened, ranges, &is_missing);
        let work = spans.iter().map(|span| self.read_span(opened, span.clone())).collect();
        let parts = at_once(self.settings.store_concurrency_max, work).await?;
        let mut read = Vec::new();
        for (range, slot) in ranges.iter().zip(&mut found).filter(|(_, slot)| slot.is_none()) {
            *slot = spans.iter().zip(&parts).find_map(|(span, part)| {
                let from = usize::try_from(range.start.checked_sub(span.start)?).ok()?;
                let to = usize::try_from(range.end.checked_sub(span.start)?).ok()?;
                (to <= part.len()).then(|| part.slice(from..to))
            });
            read.extend(slot.iter().map(|bytes| (opened.place(range), bytes.clone())));
        }
        read.retain(|(_, bytes)| !bytes.is_empty());
        self.count(|stats| stats.cache_misses += read.len() as u64);
        self.blocks.put(read, true).await;
        let all: Vec<Bytes> = found.into_iter().flatten().collect();
        if all.len() == ranges.len() { Ok(all) } else { Err(corrupt(&opened.segment, &"the store gave fewer bytes")) }
    }

    /// A small segment that is no longer kept whole is read whole again: one request, whatever else is asked of it.
    async fn refill(
        &self,
        opened: &OpenSegment,
        ranges: &[Range<u64>],
        found: &mut [Option<Bytes>],
    ) -> Result<(), Error> {
        let _turn = opened.refilling.lock().await;
        let missing = || ranges.iter().zip(&*found).filter(|(_, found)| found.is_none()).map(|(range, _)| range);
        if missing().any(|range| opened.held(range).is_none()) {
            self.footers.refill(opened, self.read_tail(&opened.segment, opened.segment.size).await?);
        }
        let mut misses = 0;
        for (range, slot) in ranges.iter().zip(found).filter(|(_, found)| found.is_none()) {
            *slot = opened.held(range);
            misses += 1;
        }
        self.count(|stats| stats.cache_misses += misses);
        Ok(())
    }

    /// The bytes of ranges, as far as they came with the footer or were read before.
    async fn kept(&self, opened: &OpenSegment, ranges: &[Range<u64>]) -> Vec<Option<Bytes>> {
        let mut hits = 0;
        let mut in_memory = |range: &Range<u64>| {
            let found = self.blocks.in_memory(&opened.place(range));
            hits += u64::from(found.is_some());
            found
        };
        let mut found: Vec<Option<Bytes>> =
            ranges.iter().map(|range| opened.held(range).or_else(|| in_memory(range))).collect();
        let missing: Vec<usize> = (0..).zip(&found).filter(|(_, found)| found.is_none()).map(|(at, _)| at).collect();
        let places = missing.iter().filter_map(|at| ranges.get(*at)).map(|range| opened.place(range)).collect();
        for (at, bytes) in missing.into_iter().zip(self.blocks.on_disk(places, true).await) {
            hits += u64::from(bytes.is_some());
            found.get_mut(at).into_iter().for_each(|slot| *slot = bytes.clone());
        }
        self.count(|stats| stats.cache_hits += hits);
        found
    }

    /// What must be fetched for some ranges: those that are kept nowhere, near ones together.
    pub(crate) fn spans(&self, opened: &OpenSegment, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let is_missing = |range| opened.held(range).is_none() && !self.blocks.has(&opened.place(range));
        let is_missing: Vec<bool> = ranges.iter().map(is_missing).collect();
        if is_missing.contains(&true) && opened.segment.size <= self.settings.whole_object_bytes_max {
            return std::iter::once(0..opened.segment.size).collect();
        }
        self.missing_spans(opened, ranges, &is_missing)
    }

    /// What must be fetched for the missing ones of some ranges. Never more requests than if nothing were in the cache: what lies
    /// between two missing ranges that would share a request is read along.
    fn missing_spans(&self, opened: &OpenSegment, ranges: &[Range<u64>], is_missing: &[bool]) -> Vec<Range<u64>> {
        let mut apart: Vec<Range<u64>> = ranges.iter().filter(|range| opened.held(range).is_none()).cloned().collect();
        let spans = coalesce(&mut apart, self.settings.coalesce_gap_bytes_max);
        let shrunk = |span: Range<u64>| {
            let missing = ranges.iter().zip(is_missing).filter(|(_, missing)| **missing).map(|(range, _)| range);
            let within = missing.filter(|range| span.start <= range.start && range.end <= span.end);
            within.cloned().reduce(|all, range| all.start.min(range.start)..all.end.max(range.end))
        };
        spans.into_iter().filter_map(shrunk).collect()
    }

    async fn read_span(&self, opened: &OpenSegment, span: Range<u64>) -> Result<Bytes, Error> {
        Ok(self.store.read_range(&opened.segment, span).await?)
    }
}

/// Awaits work in order, a bounded part of it at the same time. The first error ends all.
pub(crate) async fn at_once<T>(
    most: usize,
    work: Vec<impl Future<Output = Result<T, Error>>>,
) -> Result<Vec<T>, Error> {
    stream::iter(work).buffered(most.max(1)).try_collect().await
}

/// An object that does not hold what it must.
pub(crate) fn corrupt(segment: &SegmentRef, why: &impl ToString) -> Error {
    Error::Corrupt { key: segment.key.to_string(), why: why.to_string() }
}

/// Joins ranges with at most `gap` bytes between them. Sorts what it is given.
fn coalesce(ranges: &mut [Range<u64>], gap: u64) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in ranges.iter() {
        match spans.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => spans.push(range.clone()),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_ranges_are_read_together() {
        let check = |ranges: &[(u64, u64)], want: &[(u64, u64)]| {
            let mut ranges: Vec<Range<u64>> = ranges.iter().map(|(a, b)| *a..*b).collect();
            let spans: Vec<(u64, u64)> = coalesce(&mut ranges, 10).iter().map(|span| (span.start, span.end)).collect();
            assert_eq!(spans, want);
        };
        check(&[(0, 5), (15, 20), (31, 32)], &[(0, 20), (31, 32)]);
        check(&[(31, 32), (0, 50), (2, 3)], &[(0, 50)]);
        check(&[], &[]);
    }
}
