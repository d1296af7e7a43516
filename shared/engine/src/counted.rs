//! Entries and bytes that the footers counted by the minute, for leaves that ask nothing else of an entry.
//!
//! In: a plan and the rows that lie in two segments. Out: the counts, folded, and a plan of what they cannot tell: streams
//! with doubles, blocks whose metadata tells entries apart by more than the level, and minutes that are cut by the edge of
//! a window. Never counts an entry both ways.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use logql::eval::{Leaf, RangeFold, Steps};
use logql::sample::Sampler;
use model::{EntryRef, Labels, TimeRange};
use segment::{Cell, ColumnKind, Counts, LEVEL_NAME};

use crate::Error;
use crate::columns::Bulk;
use crate::duplicates::Masks;
use crate::footers::OpenSegment;
use crate::plan::{Plan, PlannedBlock, PlannedRun, PlannedSegment};
use crate::reader::{at_once, corrupt};
use crate::rows::Columns;
use crate::scan::Scan;

const MINUTE_NS: i64 = 60_000_000_000;

/// A leaf whose samples are entries or their bytes.
pub(crate) struct Counting<'q> {
    pub(crate) leaf: &'q Leaf<'q>,
    pub(crate) steps: Steps,
    pub(crate) sampler: Arc<Sampler>,
    pub(crate) bulk: Bulk,
    pub(crate) wanted: &'q Columns,
}

/// The counted streams of one segment.
struct Share {
    opened: Arc<OpenSegment>,
    streams: HashMap<u32, CountedStream, RandomState>,
}

/// One of them, found by its number in the segment.
struct CountedStream {
    labels: Labels,
    /// Times that are left to be counted entry by entry; in the end in order, with gaps between them.
    left: Vec<TimeRange>,
}

impl Counting<'_> {
    /// Folds what the footers tell, and takes it out of the plan.
    pub(crate) async fn take(&self, plan: &mut Plan, masks: &Masks, scan: &Scan) -> Result<Vec<RangeFold>, Error> {
        let shares: Vec<Option<Share>> =
            plan.segments.iter().enumerate().map(|(place, segment)| self.share(place, segment, masks)).collect();
        let places: Vec<usize> = (0..).zip(&shares).filter(|(_, share)| share.is_some()).map(|(at, _)| at).collect();
        let shares: Vec<Share> = shares.into_iter().flatten().collect();
        // Few large parts: a stream's series is looked up once a part.
        let part = shares.len().div_ceil(scan.threads_max()).max(1);
        let mut parts = Vec::new();
        let mut shares = shares.into_iter().peekable();
        while shares.peek().is_some() {
            parts.push(shares.by_ref().take(part).collect::<Vec<_>>());
        }
        let work = parts.into_iter().map(|shares| self.fold_part(plan.range, shares, scan));
        let (mut folds, mut counted) = (Vec::new(), Vec::new());
        for (fold, shares) in at_once(scan.threads_max(), work.collect()).await? {
            folds.push(fold);
            counted.extend(shares);
        }
        for (place, share) in places.into_iter().zip(&counted) {
            if let Some(segment) = plan.segments.get_mut(place) {
                segment.blocks.iter_mut().for_each(|block| share.keep_left(block));
                segment.blocks.retain(|block| !block.runs.is_empty());
            }
        }
        Ok(folds)
    }

    /// The streams of a segment of which the footer tells enough; nothing if there are none.
    fn share(&self, place: usize, segment: &PlannedSegment, masks: &Masks) -> Option<Share> {
        let mut streams: HashMap<u32, CountedStream, RandomState> = HashMap::default();
        let mut not: HashSet<u32, RandomState> = HashSet::default();
        for block in &segment.blocks {
            let columns = segment.opened.footer.blocks().get(block.index).map(|meta| self.wanted.of(meta))?;
            let only_levels = columns.iter().all(|column| match &column.kind {
                ColumnKind::Metadata(name) => **name == *LEVEL_NAME,
                _ => true,
            });
            let doubles = masks.get(&(place, block.index)).map(|rows| rows.as_slice()).unwrap_or_default();
            for run in &block.runs {
                let first = run.first_row as usize;
                let double = doubles.get(doubles.partition_point(|row| *row < first));
                if only_levels && double.is_none_or(|row| *row >= first + run.rows as usize) {
                    let counted = || CountedStream { labels: run.stream.clone(), left: Vec::new() };
                    streams.entry(run.number).or_insert_with(counted);
                } else {
                    not.insert(run.number);
                }
            }
        }
        streams.retain(|number, _| !not.contains(number));
        (!streams.is_empty()).then(|| Share { opened: segment.opened.clone(), streams })
    }

    /// Folds the counts of some segments; notes for each what is left.
    async fn fold_part(
        &self,
        range: TimeRange,
        mut shares: Vec<Share>,
        scan: &Scan,
    ) -> Result<(RangeFold, Vec<Share>), Error> {
        let reads = shares.iter().map(|share| async {
            let counts = share.opened.footer.counts_range();
            Ok(scan.reader().read(&share.opened, &[counts]).await?.pop().unwrap_or_default())
        });
        let stored = at_once(scan.reader().settings().store_concurrency_max, reads.collect()).await?;
        let fold = RangeFold::new(self.leaf, self.steps);
        let (sampler, bulk, checking) = (self.sampler.clone(), self.bulk, scan.clone());
        let levels = self.wanted.names_metadata(LEVEL_NAME);
        let work = move || {
            let series = SeriesOfStreams { sampler: &sampler, levels, known: HashMap::default() };
            let mut folding = Folding { range, bulk, series, fold };
            for (share, stored) in shares.iter_mut().zip(stored) {
                checking.check()?;
                let counts = share.opened.footer.decode_counts(&stored);
                let counts = counts.map_err(|why| corrupt(&share.opened.segment, &why))?;
                folding.segment(share, &counts)?;
            }
            Ok((folding.fold, shares))
        };
        let (fold, shares) = scan.compute(work).await?;
        scan.budget().check_results(fold.memory_bytes())?;
        Ok((fold, shares))
    }
}

/// The counts of some segments on their way into a fold.
struct Folding<'s> {
    range: TimeRange,
    bulk: Bulk,
    series: SeriesOfStreams<'s>,
    fold: RangeFold,
}

impl Folding<'_> {
    fn segment(&mut self, share: &mut Share, counts: &Counts) -> Result<(), Error> {
        let Share { opened, streams } = share;
        for group in &counts.groups {
            let info = opened.footer.streams().get(group.stream as usize);
            let Some((stream, info)) = streams.get_mut(&group.stream).zip(info) else { continue };
            let level = group.level.and_then(|level| counts.levels.get(level as usize)).map(String::as_str);
            self.group(stream, level, (info.min_ts, info.max_ts), &group.cells)?;
        }
        streams.values_mut().for_each(|stream| join(&mut stream.left));
        Ok(())
    }

    /// The minutes of a stream and level; those that an edge cuts are left.
    fn group(
        &mut self,
        stream: &mut CountedStream,
        level: Option<&str>,
        (min_ts, max_ts): (i64, i64),
        cells: &[Cell],
    ) -> Result<(), Error> {
        let mut series: Option<Option<Labels>> = None;
        for cell in cells {
            let end = cell.minute.saturating_mul(MINUTE_NS);
            let (first, last) = (end.saturating_sub(MINUTE_NS - 1).max(min_ts), end.min(max_ts));
            if !self.range.overlaps(first, last) {
                continue;
            }
            if !(self.range.contains(first) && self.range.contains(last) && self.fold.same_windows(first, last)) {
                stream.left.extend(TimeRange::new(first, last.saturating_add(1)));
                continue;
            }
            let series = match &series {
                Some(found) => found,
                None => series.insert(self.series.find(&stream.labels, level)?),
            };
            // A filter of the query drops the level.
            let Some(series) = series else { return Ok(()) };
            let sum = match self.bulk {
                Bulk::Rows => cell.rows,
                Bulk::Lengths => cell.line_bytes,
            };
            self.fold.add_sum(series, first, cell.rows, sum as f64);
        }
        Ok(())
    }
}

/// The series of streams and levels, as far as they were met.
struct SeriesOfStreams<'s> {
    sampler: &'s Sampler,
    /// Whether the level decides about the series.
    levels: bool,
    known: HashMap<Labels, Vec<SeriesOfLevel>, RandomState>,
}

/// A level, and the series of its entries; none if the query drops them.
type SeriesOfLevel = (Option<String>, Option<Labels>);

impl SeriesOfStreams<'_> {
    fn find(&mut self, stream: &Labels, level: Option<&str>) -> Result<Option<Labels>, Error> {
        let level = level.filter(|_| self.levels);
        if !self.known.contains_key(stream) {
            self.known.insert(stream.clone(), Vec::new());
        }
        let Some(known) = self.known.get_mut(stream) else { return Ok(None) };
        if let Some((_, series)) = known.iter().find(|(met, _)| met.as_deref() == level) {
            return Ok(series.clone());
        }
        let metadata: Option<(&str, &str)> = level.map(|level| (LEVEL_NAME, level));
        let any = EntryRef { timestamp_ns: 0, line: "", metadata: metadata.as_slice() };
        let series = self.sampler.for_stream(stream).process(any)?.map(|sample| sample.series.clone());
        known.push((level.map(str::to_owned), series.clone()));
        Ok(series)
    }
}

impl Share {
    /// Leaves of a block what was not counted.
    fn keep_left(&self, block: &mut PlannedBlock) {
        let runs = std::mem::take(&mut block.runs);
        for run in runs {
            let Some(counted) = self.streams.get(&run.number) else {
                block.runs.push(run);
                continue;
            };
            let from = counted.left.partition_point(|left| left.end_ns() <= run.min_ts);
            let left = counted.left.iter().skip(from).take_while(|left| left.start_ns() <= run.max_ts);
            block.runs.extend(left.filter_map(|left| {
                let (start, end) = (left.start_ns().max(run.range.start_ns()), left.end_ns().min(run.range.end_ns()));
                let range = TimeRange::new(start, end).ok()?;
                Some(PlannedRun { range, ..run.clone() })
            }));
        }
    }
}

/// Puts times in order and joins those that touch.
fn join(times: &mut Vec<TimeRange>) {
    times.sort_unstable_by_key(|time| (time.start_ns(), time.end_ns()));
    let mut joined: Vec<TimeRange> = Vec::with_capacity(times.len());
    for time in times.iter() {
        let touched = joined.pop_if(|last| last.end_ns() >= time.start_ns());
        let start = touched.map_or(time.start_ns(), |last| last.start_ns());
        let end = touched.map_or(time.end_ns(), |last| last.end_ns().max(time.end_ns()));
        joined.extend(TimeRange::new(start, end));
    }
    *times = joined;
}
