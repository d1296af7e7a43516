//! Log queries: the first entries in the order asked, and no block more than they need.
//!
//! In: a selector with its pipeline and a time range. Out: at most `limit` entries. Segments are walked in waves from the
//! end that comes first; once the limit is reached and nothing further can be better, the walk ends.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use logql::ast::LogExpr;
use logql::matcher::Selector;
use logql::pipeline::Pipeline;
use model::{LogEntry, QueryStats, TimeRange};
use store::SegmentRef;

use crate::codes;
use crate::duplicates::identity;
use crate::footers::OpenSegment;
use crate::forget::Hiding;
use crate::hits::{self, Hits};
use crate::needles::{self, Need};
use crate::newest::{Found, Newest, Rank};
use crate::plan::{Plan, PlannedBlock, PlannedRun};
use crate::prune::prune;
use crate::reader::at_once;
use crate::rows::{Columns, Metadata, Rows};
use crate::scan::Scan;
use crate::slices::open_bytes;
use crate::{Direction, EngineSettings, Error};

/// Segments of the first wave; each wave is twice as large as the one before.
const WAVE_SEGMENTS_MIN: usize = 4;
/// Segments of the largest wave.
const WAVE_SEGMENTS_MAX: usize = 256;
/// Rows between two looks at whether anyone still waits.
const CHECK_ROWS: usize = 4096;

/// A log query made ready.
pub(crate) struct LogQuery {
    selector: Selector,
    need: Need,
    pipeline: Arc<Pipeline>,
    direction: Direction,
    limit: usize,
}

/// A block, its segment, and the segment's place among all.
pub(crate) type PlacedBlock<'p> = (usize, &'p Arc<OpenSegment>, &'p PlannedBlock);

/// Segments on the way, in waves: those that come first in the order asked.
pub(crate) struct Waves {
    /// With their places in the listing; the next one stands last.
    left: Vec<(usize, SegmentRef)>,
    wave_segments: usize,
    /// What a wave may take when it is open, and what each segment does.
    settings: EngineSettings,
}

impl Waves {
    pub(crate) fn new(segments: Vec<SegmentRef>, direction: Direction, settings: EngineSettings) -> Self {
        let mut left: Vec<(usize, SegmentRef)> = segments.into_iter().enumerate().collect();
        match direction {
            Direction::Backward => left.sort_by_key(|(_, segment)| segment.max_ts),
            Direction::Forward => left.sort_by_key(|(_, segment)| std::cmp::Reverse(segment.min_ts)),
        }
        Waves { left, wave_segments: WAVE_SEGMENTS_MIN, settings }
    }

    /// The segment that comes next.
    pub(crate) fn peek(&self) -> Option<&SegmentRef> {
        self.left.last().map(|(_, segment)| segment)
    }

    /// The next wave.
    pub(crate) fn take(&mut self) -> Vec<(usize, SegmentRef)> {
        let mut bytes = 0;
        let fits = |(_, segment): &&(usize, SegmentRef)| {
            bytes += open_bytes(segment, &self.settings);
            bytes <= self.settings.open_bytes_max
        };
        let count = self.left.iter().rev().take(self.wave_segments).take_while(fits).count().max(1);
        let wave = self.left.split_off(self.left.len().saturating_sub(count));
        self.wave_segments = (self.wave_segments * 2).min(WAVE_SEGMENTS_MAX);
        wave
    }

    /// How many segments were not taken.
    pub(crate) fn len(&self) -> usize {
        self.left.len()
    }
}

/// What a block's worker needs to know.
struct Work {
    scan: Scan,
    pipeline: Arc<Pipeline>,
    direction: Direction,
    limit: usize,
    segment: usize,
    block: usize,
    runs: Vec<PlannedRun>,
    bar: Option<Rank>,
}

impl LogQuery {
    pub(crate) fn new(expr: &LogExpr, direction: Direction, limit: usize) -> Result<Self, Error> {
        Ok(LogQuery {
            selector: Selector::new(&expr.selector)?,
            need: needles::of_pipeline(&expr.pipeline),
            pipeline: Arc::new(Pipeline::new(&expr.pipeline)?),
            direction,
            limit,
        })
    }

    /// The entries of a time range, in order.
    pub(crate) async fn run(&self, scan: &Scan, range: TimeRange) -> Result<Vec<LogEntry>, Error> {
        Ok(self.find(scan, range).await?.into_entries())
    }

    /// As `run`, with what else is known of the entries.
    pub(crate) async fn find(&self, scan: &Scan, range: TimeRange) -> Result<Newest, Error> {
        let segments = scan.reader().segments(range).await?;
        self.find_in(scan, range, segments).await
    }

    /// As `find`, where these segments are all that may hold entries of the range.
    pub(crate) async fn find_in(
        &self,
        scan: &Scan,
        range: TimeRange,
        segments: Vec<SegmentRef>,
    ) -> Result<Newest, Error> {
        let newest = Mutex::new(Newest::new(self.limit));
        let mut waves = Waves::new(segments, self.direction, scan.reader().settings().clone());
        while let Some(next) = waves.peek() {
            if self.is_beyond(&newest, next.min_ts, next.max_ts) {
                break;
            }
            self.run_wave(scan, range, waves.take(), &newest).await?;
        }
        let newest = newest.into_inner().unwrap_or_else(PoisonError::into_inner);
        scan.reader().count(|stats| stats.duplicates += newest.duplicates());
        Ok(newest)
    }

    async fn run_wave(
        &self,
        scan: &Scan,
        range: TimeRange,
        wave: Vec<(usize, SegmentRef)>,
        newest: &Mutex<Newest>,
    ) -> Result<(), Error> {
        let (places, segments): (Vec<usize>, Vec<SegmentRef>) = wave.into_iter().unzip();
        let opened = scan.reader().open(segments).await?;
        let mut plan = self.plan(range, opened, scan);
        prune(&mut plan, scan.reader()).await?;
        scan.reader().count(|stats| stats.streams = stats.streams.max(plan.streams().len() as u64));
        let blocks = self.in_order(&plan, &places).into_iter();
        let work = blocks.map(|(place, opened, block)| self.run_block(scan, place, opened, block, newest));
        at_once(scan.blocks_concurrency(), work.collect()).await?;
        Ok(())
    }

    /// What to read of some segments, as far as their footers tell.
    pub(crate) fn plan(&self, range: TimeRange, opened: Vec<Arc<OpenSegment>>, scan: &Scan) -> Plan {
        Plan::new(&self.selector, range, self.need.clone(), opened, &scan.reader().forgets())
    }

    /// The blocks of a plan that are read, the best first; `places` are those of the plan's segments among all.
    pub(crate) fn in_order<'p>(&self, plan: &'p Plan, places: &[usize]) -> Vec<PlacedBlock<'p>> {
        let mut blocks = Vec::new();
        for (segment, place) in plan.segments.iter().zip(places) {
            let read = segment.blocks.iter().filter(|block| block.skipped.is_none());
            blocks.extend(read.map(|block| (*place, &segment.opened, block)));
        }
        match self.direction {
            Direction::Backward => blocks.sort_by_key(|(_, _, block)| std::cmp::Reverse(block.max_ts())),
            Direction::Forward => blocks.sort_by_key(|(_, _, block)| block.min_ts()),
        }
        blocks
    }

    async fn run_block(
        &self,
        scan: &Scan,
        place: usize,
        opened: &Arc<OpenSegment>,
        block: &PlannedBlock,
        newest: &Mutex<Newest>,
    ) -> Result<(), Error> {
        if self.is_beyond(newest, block.min_ts(), block.max_ts()) {
            return Ok(());
        }
        let work = Work {
            scan: scan.clone(),
            pipeline: self.pipeline.clone(),
            direction: self.direction,
            limit: self.limit,
            segment: place,
            block: block.index,
            runs: block.runs.clone(),
            bar: lock(newest).bar(),
        };
        let found = scan.block(opened.clone(), block.index, &Columns::all(), move |rows| work.run(rows)).await?;
        scan.reader().count(|stats| stats.blocks_read += 1);
        let mut newest = lock(newest);
        newest.merge(found);
        scan.budget().check_results(newest.memory_bytes())
    }

    /// Whether there are enough entries, all of them before any of these times.
    fn is_beyond(&self, newest: &Mutex<Newest>, min_ts: i64, max_ts: i64) -> bool {
        let best = match self.direction {
            Direction::Forward => Rank::first_at(self.direction, min_ts),
            Direction::Backward => Rank::first_at(self.direction, max_ts),
        };
        lock(newest).bar().is_some_and(|bar| bar < best)
    }
}

fn lock(newest: &Mutex<Newest>) -> std::sync::MutexGuard<'_, Newest> {
    newest.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work {
    fn run(self, rows: &Rows) -> Result<Newest, Error> {
        let mut newest = Newest::new(self.limit);
        let mut seen = QueryStats::default();
        let hits = hits::find(&self.runs, self.pipeline.leading_line_filters(), rows)?;
        let hits = codes::keep(&self.runs, &self.pipeline.leading_metadata_filters(), rows, hits)?;
        for (run, places) in self.runs.iter().zip(&hits.runs).filter(|(_, places)| !places.is_empty()) {
            self.run_stream(run, &hits, places.clone(), rows, &mut newest, &mut seen)?;
        }
        self.scan.reader().count(|stats| {
            stats.lines += hits.searched.max(seen.lines);
            stats.line_bytes += hits.searched_bytes.max(seen.line_bytes);
            stats.post_filter_lines += seen.post_filter_lines;
        });
        Ok(newest)
    }

    /// Takes the rows of one stream in the order asked, until what follows is too far behind.
    fn run_stream(
        &self,
        run: &PlannedRun,
        hits: &Hits,
        places: Range<usize>,
        rows: &Rows,
        newest: &mut Newest,
        seen: &mut QueryStats,
    ) -> Result<(), Error> {
        let mut pipeline = self.pipeline.for_stream(&run.stream);
        let mut hiding = run.forget.as_deref().map(Hiding::new);
        let stream_hash = run.stream.stable_hash();
        let mut metadata = Metadata::new();
        let timestamps = rows.timestamps()?;
        for step in 0..places.len() {
            if step % CHECK_ROWS == 0 {
                self.scan.check()?;
            }
            let row = match self.direction {
                Direction::Forward => hits.row(places.start + step),
                Direction::Backward => hits.row(places.end - 1 - step),
            };
            let time = timestamps.get(row).copied().unwrap_or_default();
            let rank = Rank::new(self.direction, time, stream_hash, [self.segment, self.block, row]);
            // Rows come in order: what follows is further behind.
            if [self.bar, newest.bar()].iter().flatten().any(|bar| *bar < rank) {
                break;
            }
            let entry = rows.entry(row, &mut metadata)?;
            if hiding.as_mut().is_some_and(|hiding| hiding.hides(entry)) {
                continue;
            }
            seen.lines += 1;
            seen.line_bytes += entry.line.len() as u64;
            let Some(processed) = pipeline.process_filtered(entry) else { continue };
            seen.post_filter_lines += 1;
            let identity = identity(stream_hash, entry);
            newest.offer(Found { rank, identity, entry: processed.to_log_entry() });
        }
        Ok(())
    }
}

/// Thins entries: each is at least `interval_ns` away from the one that was kept before.
pub(crate) fn thin(entries: Vec<LogEntry>, interval_ns: i64) -> Vec<LogEntry> {
    let mut last: Option<i64> = None;
    let mut far = |entry: &LogEntry| {
        let keep = last.is_none_or(|last| last.abs_diff(entry.timestamp_ns) >= interval_ns.unsigned_abs());
        if keep {
            last = Some(entry.timestamp_ns);
        }
        keep
    };
    entries.into_iter().filter(|entry| far(entry)).collect()
}
