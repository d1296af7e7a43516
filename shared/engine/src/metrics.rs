//! Metric queries: each leaf of the expression folds its blocks into series, then the expression is evaluated.
//!
//! In: an expression and its steps. Out: a vector, matrix or number. Blocks are folded independently into a few partial
//! aggregates, so that memory grows with the result and not with the data.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use logql::ast::MetricExpr;
use logql::eval::{self, Leaf, RangeFold, Steps};
use logql::matcher::Selector;
use logql::sample::{Sampler, StreamSampler};
use model::{Labels, TimeRange};
use store::SegmentRef;

use crate::Error;
use crate::columns::{self, Bulk};
use crate::counted::Counting;
use crate::duplicates::{self, Masks};
use crate::footers::OpenSegment;
use crate::forget;
use crate::groups::{Group, Parts, groups};
use crate::hits;
use crate::needles;
use crate::plan::{Plan, PlannedBlock, PlannedRun};
use crate::prune::prune;
use crate::reader::at_once;
use crate::rows::{Columns, Metadata, Rows};
use crate::scan::Scan;
use crate::shard::Fan;
use crate::slices::slices;

/// Rows between two looks at whether anyone still waits.
const CHECK_ROWS: usize = 4096;
/// Most blocks that a thread works on in one go: after them, results are weighed and others get their turn.
const BLOCKS_HANDED_OVER_MAX: usize = 16;
/// Most combinations of metadata whose series are kept for a run; beyond that all are forgotten and found again.
const CODES_KEPT_MAX: usize = 4096;

/// The value of an expression at each step.
pub(crate) async fn evaluate(expr: &MetricExpr, steps: Steps, fan: &Fan<'_>) -> Result<eval::Evaluated, Error> {
    let mut leaves = Vec::new();
    for (index, leaf) in eval::leaves(expr).iter().enumerate() {
        leaves.push(fan.fold(index, leaf, steps).await?.finish());
    }
    Ok(eval::evaluate(expr, steps, leaves)?)
}

/// The samples of a leaf that lie in a range of time, of which these segments tell.
pub(crate) async fn fold(
    leaf: &Leaf<'_>,
    steps: Steps,
    scan: &Scan,
    range: TimeRange,
    segments: Vec<SegmentRef>,
) -> Result<RangeFold, Error> {
    let selector = Selector::new(&leaf.aggregation.log.selector)?;
    let sampler = Arc::new(Sampler::new(leaf)?);
    let (mut all, mut open, mut streams) = (None::<RangeFold>, Vec::new(), 0);
    for slice in slices(range, segments, scan.reader().settings()) {
        open = scan.reader().open_beside(slice.segments, &open).await?;
        let need = needles::of_pipeline(&leaf.aggregation.log.pipeline);
        let mut plan = Plan::new(&selector, slice.range, need, open.clone(), &scan.reader().forgets());
        prune(&mut plan, scan.reader()).await?;
        streams = streams.max(plan.streams().len());
        let fold = fold_plan(leaf, steps, scan, sampler.clone(), plan).await?;
        match &mut all {
            Some(all) => all.merge(fold),
            None => all = Some(fold),
        }
        scan.budget().check_results(all.as_ref().map_or(0, RangeFold::memory_bytes))?;
    }
    scan.reader().count(|stats| stats.streams += streams as u64);
    Ok(all.unwrap_or_else(|| RangeFold::new(leaf, steps)))
}

/// The samples of the blocks that a plan reads.
async fn fold_plan(
    leaf: &Leaf<'_>,
    steps: Steps,
    scan: &Scan,
    sampler: Arc<Sampler>,
    mut plan: Plan,
) -> Result<RangeFold, Error> {
    let masks = duplicates::masks(&plan, scan).await?;
    let wanted = columns::of_leaf(leaf);
    let folds = match Bulk::of_leaf(leaf).filter(|_| !columns::filters_lines(leaf)) {
        Some(bulk) => {
            let counting = Counting { leaf, steps, sampler: sampler.clone(), bulk, wanted: &wanted };
            counting.take(&mut plan, &masks, scan).await?
        }
        None => Vec::new(),
    };

    let folding = Folding { leaf, steps, scan, sampler, masks, wanted, folds: Mutex::new(folds) };
    let mut work = Vec::new();
    for (place, segment) in plan.segments.iter().enumerate() {
        let groups = groups(segment, |block| folding.columns(block), scan.reader());
        work.extend(groups.into_iter().map(|group| folding.group(place, &segment.opened, group)));
    }
    at_once(scan.blocks_concurrency(), work).await?;
    let mut folds = folding.folds.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut all = folds.pop().unwrap_or_else(|| RangeFold::new(leaf, steps));
    folds.into_iter().for_each(|fold| all.merge(fold));
    Ok(all)
}

/// The times of the entries that a leaf looks at.
pub(crate) fn leaf_range(leaf: &Leaf<'_>, steps: Steps) -> Result<TimeRange, Error> {
    let (from, to) = eval::leaf_time_range(leaf, steps);
    let (from, to) = (from.saturating_add(1), to.saturating_add(1));
    TimeRange::new(from, to.max(from)).map_err(|why| Error::Internal(why.to_string()))
}

/// What the blocks of a leaf have in common.
struct Folding<'q> {
    leaf: &'q Leaf<'q>,
    steps: Steps,
    scan: &'q Scan,
    sampler: Arc<Sampler>,
    masks: Masks,
    wanted: Columns,
    /// As many partial aggregates as blocks are under way: a block takes a free one and gives it back.
    folds: Mutex<Vec<RangeFold>>,
}

impl Folding<'_> {
    /// What is read of a block.
    fn columns(&self, block: &PlannedBlock) -> Columns {
        let bulk = Bulk::of_leaf(self.leaf);
        let columns = bulk.map_or_else(|| self.wanted.clone(), |bulk| bulk.columns(self.leaf));
        forget::columns(&block.runs, columns)
    }

    async fn group(&self, place: usize, opened: &Arc<OpenSegment>, group: Group<'_>) -> Result<(), Error> {
        let read = &group.read(opened, self.scan.reader()).await?;
        // Each thread has its share of a group, since there may be no other: where all groups are whole, the last ones keep one
        // thread busy alone.
        let share = group.blocks.len().div_ceil(self.scan.threads_max()).clamp(1, BLOCKS_HANDED_OVER_MAX);
        let work = group.blocks.chunks(share).map(|blocks| self.blocks(place, opened, blocks, read));
        at_once(self.scan.threads_max(), work.collect()).await.map(drop)
    }

    async fn blocks(
        &self,
        place: usize,
        opened: &Arc<OpenSegment>,
        blocks: &[(&PlannedBlock, Columns)],
        read: &Parts,
    ) -> Result<(), Error> {
        let bulk = Bulk::of_leaf(self.leaf);
        let works = blocks.iter().map(|(block, _)| Work {
            scan: self.scan.clone(),
            sampler: self.sampler.clone(),
            runs: block.runs.clone(),
            passed_over: self.masks.get(&(place, block.index)).cloned().unwrap_or_default(),
            bulk,
        });
        let works: Vec<Work> = works.collect();
        let free = self.lock().pop();
        let mut fold = free.unwrap_or_else(|| RangeFold::new(self.leaf, self.steps));
        let work = move |rows: &mut dyn Iterator<Item = Rows>| {
            works.into_iter().zip(rows).try_for_each(|(work, rows)| work.run(&rows, &mut fold))?;
            Ok(fold)
        };
        let fold = self.scan.blocks_of(read, opened, blocks, work).await?;
        self.scan.reader().count(|stats| stats.blocks_read += blocks.len() as u64);
        let mut folds = self.lock();
        folds.push(fold);
        self.scan.budget().check_results(folds.iter().map(RangeFold::memory_bytes).sum())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RangeFold>> {
        self.folds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a block's worker needs to know.
struct Work {
    scan: Scan,
    sampler: Arc<Sampler>,
    runs: Vec<PlannedRun>,
    /// Rows that another segment has too, and those that are forgotten.
    passed_over: Arc<Vec<usize>>,
    bulk: Option<Bulk>,
}

impl Work {
    fn run(mut self, rows: &Rows, fold: &mut RangeFold) -> Result<(), Error> {
        self.passed_over = forget::passed_over(&self.runs, rows, &self.passed_over)?;
        match self.bulk {
            Some(bulk) => self.run_bulk(bulk, rows, fold),
            None => self.run_rows(rows, fold),
        }
    }

    /// Entries with the same labels cannot be told apart: their times, or lengths, are all that counts.
    fn run_bulk(&self, bulk: Bulk, rows: &Rows, fold: &mut RangeFold) -> Result<(), Error> {
        let hits = hits::find(&self.runs, self.sampler.leading_line_filters(), rows)?;
        let mut passed = 0;
        for (run, places) in self.runs.iter().zip(&hits.runs).filter(|(_, places)| !places.is_empty()) {
            self.scan.check()?;
            passed += places.len();
            let mut series = SeriesOfCodes::new(self.sampler.for_stream(&run.stream));
            if rows.has_no_metadata() && hits.is_all() {
                if let Some(series) = series.find(places.start, rows)? {
                    self.fold_run(bulk, series, places.clone(), rows, fold)?;
                }
                continue;
            }
            let (timestamps, lengths) = (rows.timestamps()?, rows.lengths()?);
            for row in places.clone().map(|place| hits.row(place)) {
                if self.passed_over.binary_search(&row).is_ok() {
                    continue;
                }
                let Some(series) = series.find(row, rows)? else { continue };
                let value = match bulk {
                    Bulk::Rows => 1.0,
                    Bulk::Lengths => f64::from(lengths.get(row).copied().unwrap_or_default()),
                };
                fold.add(series, timestamps.get(row).copied().unwrap_or_default(), value);
            }
        }
        self.count(passed.max(hits.searched as usize), hits.searched_bytes as usize, passed);
        Ok(())
    }

    /// Rows of one series, but for those that are passed over.
    fn fold_run(
        &self,
        bulk: Bulk,
        series: &Labels,
        chosen: Range<usize>,
        rows: &Rows,
        fold: &mut RangeFold,
    ) -> Result<(), Error> {
        let mut from = chosen.start;
        let first_over = self.passed_over.partition_point(|row| *row < chosen.start);
        let over = self.passed_over.iter().skip(first_over).take_while(|row| **row < chosen.end);
        for to in over.copied().chain([chosen.end]) {
            let times = rows.timestamps()?.get(from..to).unwrap_or_default();
            match bulk {
                Bulk::Rows => fold.add_counts(series, times),
                Bulk::Lengths => {
                    let lengths = rows.lengths()?.get(from..to).unwrap_or_default();
                    let lengths: Vec<f64> = lengths.iter().map(|length| f64::from(*length)).collect();
                    fold.add_values(series, times, &lengths);
                }
            }
            from = to + 1;
        }
        Ok(())
    }

    fn run_rows(&self, rows: &Rows, fold: &mut RangeFold) -> Result<(), Error> {
        let hits = hits::find(&self.runs, self.sampler.leading_line_filters(), rows)?;
        let (mut lines, mut line_bytes, mut passed) = (0, 0, 0);
        let mut metadata = Metadata::new();
        for (run, places) in self.runs.iter().zip(&hits.runs).filter(|(_, places)| !places.is_empty()) {
            let mut sampler = self.sampler.for_stream(&run.stream);
            for (step, place) in places.clone().enumerate() {
                if step % CHECK_ROWS == 0 {
                    self.scan.check()?;
                }
                let row = hits.row(place);
                if self.passed_over.binary_search(&row).is_ok() {
                    continue;
                }
                let entry = rows.entry(row, &mut metadata)?;
                lines += 1;
                line_bytes += entry.line.len();
                if let Some(sample) = sampler.process_filtered(entry)? {
                    passed += 1;
                    fold.add(sample.series, entry.timestamp_ns, sample.value);
                }
            }
        }
        self.count(lines.max(hits.searched as usize), line_bytes.max(hits.searched_bytes as usize), passed);
        Ok(())
    }

    fn count(&self, lines: usize, line_bytes: usize, passed: usize) {
        self.scan.reader().count(|stats| {
            stats.lines += lines as u64;
            stats.line_bytes += line_bytes as u64;
            stats.post_filter_lines += passed as u64;
        });
    }
}

/// The series of a stream's entries by the codes of their metadata: the pipeline runs once for all that share them.
struct SeriesOfCodes<'s> {
    sampler: StreamSampler<'s>,
    /// None: the query drops such entries.
    known: HashMap<Vec<u32>, Option<Labels>, RandomState>,
    codes: Vec<u32>,
    /// Those of the entry before, and its series: the next one is mostly alike.
    last: Option<(Vec<u32>, Option<Labels>)>,
}

impl<'s> SeriesOfCodes<'s> {
    fn new(sampler: StreamSampler<'s>) -> Self {
        SeriesOfCodes { sampler, known: HashMap::default(), codes: Vec::new(), last: None }
    }

    fn find(&mut self, row: usize, rows: &Rows) -> Result<Option<&Labels>, Error> {
        rows.codes(row, &mut self.codes)?;
        // Not as slices: often there are no codes at all, and comparing no bytes through memcmp is dear on some processors.
        if self.last.as_ref().is_none_or(|(codes, _)| !codes.iter().eq(&self.codes)) {
            let series = match self.known.get(&self.codes) {
                Some(series) => series.clone(),
                None => {
                    let mut metadata = Metadata::new();
                    let entry = rows.labels(row, &mut metadata)?;
                    let series = self.sampler.process_filtered(entry)?.map(|sample| sample.series.clone());
                    if self.known.len() >= CODES_KEPT_MAX {
                        self.known.clear();
                    }
                    self.known.insert(self.codes.clone(), series.clone());
                    series
                }
            };
            self.last = Some((self.codes.clone(), series));
        }
        Ok(self.last.as_ref().and_then(|(_, series)| series.as_ref()))
    }
}
