//! One part of a query, explained: the way that `logs` and `metrics` go, up to the columns.
//!
//! In: a log query or a range aggregation. Out: its figures. What it asks of the store is what the query asks; the columns
//! of blocks are added up and not read.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use logql::ast::LogExpr;
use logql::eval::{Leaf, Steps};
use logql::matcher::Selector;
use logql::sample::Sampler;
use model::{Labels, TimeRange};
use store::{Counts, SegmentRef};

use super::sure::Sure;
use super::{BlocksExplained, PartExplained, Reads, SegmentsExplained};
use crate::columns::{self, Bulk};
use crate::counted::Counting;
use crate::duplicates;
use crate::footers::OpenSegment;
use crate::forget;
use crate::groups::{groups, unread};
use crate::logs::{LogQuery, Waves};
use crate::metrics;
use crate::needles::{self, Need};
use crate::plan::{Plan, PlannedBlock, PlannedSegment, Skip};
use crate::prune::prune;
use crate::rows::{Columns, MetadataColumns};
use crate::scan::Scan;
use crate::{Error, QueryRequest};

/// Blocks that were met, by their segment's name and their place in it. Who reads one again may find some of it in the cache.
pub(crate) type Met = HashSet<(String, usize), RandomState>;

/// A log query, walked as if no entry but those that are sure were found.
pub(crate) async fn of_log_query(
    log: &LogExpr,
    request: &QueryRequest,
    scan: &Scan,
    met: &mut Met,
) -> Result<PartExplained, Error> {
    let (range, interval_ns) = crate::log_range(request)?;
    let query = LogQuery::new(log, request.direction, request.limit)?;
    let parts = if interval_ns > 0 { crate::split(range, request) } else { vec![range] };
    let mut explaining = Explaining::new(log, range, &needles::of_pipeline(&log.pipeline), Columns::all(), scan, met);
    for range in parts {
        let sure = Sure::new(log, request.direction, request.limit);
        explaining.walk(&query, range, sure, request).await?;
    }
    let mut part = explaining.part;
    // With fewer entries than that nothing ends the walk.
    part.exact &= part.rows < request.limit as u64;
    Ok(part)
}

/// A range aggregation.
pub(crate) async fn of_leaf(leaf: &Leaf<'_>, steps: Steps, scan: &Scan, met: &mut Met) -> Result<PartExplained, Error> {
    let log = &leaf.aggregation.log;
    let range = metrics::leaf_range(leaf, steps)?;
    let (need, wanted) = (needles::of_pipeline(&log.pipeline), columns::of_leaf(leaf));
    let bulk = Bulk::of_leaf(leaf);
    let columns = bulk.map_or_else(|| wanted.clone(), |bulk| bulk.columns(leaf));
    let mut explaining = Explaining::new(log, range, &need, columns, scan, met);

    let segments = explaining.segments(range).await?;
    let opened = explaining.open(segments).await?;
    let mut plan = Plan::new(&Selector::new(&log.selector)?, range, need, opened, &scan.reader().forgets());
    explaining.prune(&mut plan).await?;
    let masks = duplicates::masks(&plan, scan).await?;
    explaining.took(|part| &mut part.doubles);
    if let Some(bulk) = bulk.filter(|_| !columns::filters_lines(leaf)) {
        let before = read_blocks(&plan).count();
        let sampler = Arc::new(Sampler::new(leaf)?);
        Counting { leaf, steps, sampler, bulk, wanted: &wanted }.take(&mut plan, &masks, scan).await?;
        explaining.part.blocks.counted += before.saturating_sub(read_blocks(&plan).count()) as u64;
        explaining.took(|part| &mut part.counts);
    }
    plan.segments.iter().for_each(|segment| explaining.read_in_groups(segment));
    Ok(explaining.part)
}

fn read_blocks(plan: &Plan) -> impl Iterator<Item = (&Arc<OpenSegment>, &PlannedBlock)> {
    let blocks = plan.segments.iter().flat_map(|segment| segment.blocks.iter().map(|block| (&segment.opened, block)));
    blocks.filter(|(_, block)| block.skipped.is_none())
}

/// A part on its way.
struct Explaining<'q> {
    scan: &'q Scan,
    columns: Columns,
    part: PartExplained,
    /// What the store had been asked when the last figure was taken.
    asked: Counts,
    chosen: HashSet<Labels, RandomState>,
    seen: HashSet<Labels, RandomState>,
    met: &'q mut Met,
}

impl<'q> Explaining<'q> {
    fn new(log: &LogExpr, range: TimeRange, need: &Need, columns: Columns, scan: &'q Scan, met: &'q mut Met) -> Self {
        let part = PartExplained {
            query: log.to_string(),
            range,
            need: (*need != Need::Nothing).then(|| need.to_string()),
            columns: names(&columns),
            segments: SegmentsExplained::default(),
            streams: 0,
            streams_seen: 0,
            blocks: BlocksExplained::default(),
            rows: 0,
            column_bytes: 0,
            listing: Reads::default(),
            footers: Reads::default(),
            filters: Reads::default(),
            doubles: Reads::default(),
            counts: Reads::default(),
            columns_read: Reads::default(),
            exact: true,
        };
        let (chosen, seen) = Default::default();
        Explaining { scan, columns, part, asked: scan.reader().counts(), chosen, seen, met }
    }

    /// Walks the segments of a time range until its limit is sure to be reached.
    async fn walk(
        &mut self,
        query: &LogQuery,
        range: TimeRange,
        mut sure: Sure,
        request: &QueryRequest,
    ) -> Result<(), Error> {
        let settings = self.scan.reader().settings().clone();
        let mut waves = Waves::new(self.segments(range).await?, request.direction, settings);
        while let Some(next) = waves.peek() {
            if sure.is_beyond(next.min_ts, next.max_ts) {
                break;
            }
            let (places, segments): (Vec<usize>, Vec<SegmentRef>) = waves.take().into_iter().unzip();
            let opened = self.open(segments).await?;
            let mut plan = query.plan(range, opened, self.scan);
            self.prune(&mut plan).await?;
            let blocks = query.in_order(&plan, &places);
            // Those that are under way at the same time know nothing of each other.
            let mut ended = blocks.iter();
            for (at, (_, opened, block)) in blocks.iter().enumerate() {
                if at >= self.scan.blocks_concurrency()
                    && let Some((place, _, block)) = ended.next()
                {
                    sure.add(*place, block);
                }
                match sure.is_beyond(block.min_ts(), block.max_ts()) {
                    true => self.part.blocks.beyond_limit += 1,
                    false => self.read(opened, block),
                }
            }
            ended.for_each(|(place, _, block)| sure.add(*place, block));
        }
        self.part.segments.beyond_limit += waves.len() as u64;
        Ok(())
    }

    /// The segments that overlap a range. Asks for whole days, which the store lists in any case, so as to know the others too.
    async fn segments(&mut self, range: TimeRange) -> Result<Vec<SegmentRef>, Error> {
        let mut segments = self.scan.reader().segments(whole_days(range)).await?;
        let listed = segments.len();
        segments.retain(|segment| range.overlaps(segment.min_ts, segment.max_ts));
        self.part.segments.listed += listed as u64;
        self.part.segments.outside_range += (listed - segments.len()) as u64;
        self.took(|part| &mut part.listing);
        Ok(segments)
    }

    async fn open(&mut self, segments: Vec<SegmentRef>) -> Result<Vec<Arc<OpenSegment>>, Error> {
        let hits = self.scan.reader().stats().cache_hits;
        let opened = self.scan.reader().open(segments).await?;
        self.part.segments.opened += opened.len() as u64;
        self.part.segments.cached += self.scan.reader().stats().cache_hits - hits;
        self.took(|part| &mut part.footers);
        Ok(opened)
    }

    /// Asks the filters, and notes why blocks are not in the plan or skipped.
    async fn prune(&mut self, plan: &mut Plan) -> Result<(), Error> {
        prune(plan, self.scan.reader()).await?;
        self.took(|part| &mut part.filters);
        let blocks = &mut self.part.blocks;
        for segment in &plan.segments {
            let footer = &segment.opened.footer;
            let all = footer.blocks().len();
            let in_time =
                footer.blocks().iter().filter(|block| plan.range.overlaps(block.min_ts, block.max_ts)).count();
            blocks.all += all as u64;
            blocks.outside_range += (all - in_time) as u64;
            blocks.other_streams += in_time.saturating_sub(segment.blocks.len()) as u64;
            self.part.segments.without_streams += u64::from(segment.blocks.is_empty());
            self.seen.extend(footer.streams().iter().map(|stream| stream.labels.clone()));
        }
        blocks.by_segment_filter += plan.skipped(Skip::SegmentFilter) as u64;
        blocks.by_block_filter += plan.skipped(Skip::BlockFilter) as u64;
        blocks.by_gram_filter += plan.skipped(Skip::GramFilter) as u64;
        self.chosen.extend(plan.streams().into_iter().cloned());
        self.part.streams = self.chosen.len() as u64;
        self.part.streams_seen = self.seen.len() as u64;
        Ok(())
    }

    /// Adds what reading the blocks of a segment would cost, near ones together.
    fn read_in_groups(&mut self, segment: &PlannedSegment) {
        let columns = |block: &PlannedBlock| forget::columns(&block.runs, self.columns.clone());
        for group in groups(segment, columns, self.scan.reader()) {
            let asked = self.ask(&segment.opened, &group.ranges);
            for (block, columns) in &group.blocks {
                self.note(&segment.opened, block, columns, asked);
            }
        }
    }

    /// Adds what reading a block by itself would cost.
    fn read(&mut self, opened: &Arc<OpenSegment>, block: &PlannedBlock) {
        let columns = forget::columns(&block.runs, self.columns.clone());
        let asked = self.ask(opened, &unread(opened, block, &columns, self.scan.reader()));
        self.note(opened, block, &columns, asked);
    }

    /// Adds the requests for some ranges; gives whether there are any.
    fn ask(&mut self, opened: &OpenSegment, ranges: &[Range<u64>]) -> bool {
        let spans = self.scan.reader().spans(opened, ranges);
        for span in spans.iter().filter(|span| !span.is_empty()) {
            self.part.columns_read += Reads { lists: 0, gets: 1, bytes: span.end - span.start };
        }
        !spans.is_empty()
    }

    /// Adds a block that is read, perhaps without asking the store.
    fn note(&mut self, opened: &OpenSegment, block: &PlannedBlock, columns: &Columns, asked: bool) {
        let Some(meta) = opened.footer.blocks().get(block.index) else { return };
        let is_new = self.met.insert((opened.segment.key.to_string(), block.index));
        self.part.exact &= is_new || !asked;
        self.part.blocks.read += 1;
        // A run of which some time is forgotten is there in pieces, one behind the other.
        let runs = block.runs.chunk_by(|a, b| a.first_row == b.first_row).filter_map(<[_]>::first);
        self.part.rows += runs.map(|run| u64::from(run.rows)).sum::<u64>();
        self.part.column_bytes += columns.of(meta).iter().map(|column| column.text_len).sum::<u64>();
    }

    /// Adds what the store was asked since this was last called to the figure of a step.
    fn took(&mut self, step: impl FnOnce(&mut PartExplained) -> &mut Reads) {
        let now = self.scan.reader().counts();
        let since = now - std::mem::replace(&mut self.asked, now);
        *step(&mut self.part) += since.into();
    }
}

/// All of the days that a range touches.
fn whole_days(range: TimeRange) -> TimeRange {
    const DAY_NS: i64 = 86_400 * model::NANOS_PER_SECOND;
    let mut days = range.days();
    let Some(first) = days.next() else { return range };
    let last = days.next_back().unwrap_or(first);
    let end_ns = last.start_ns().saturating_add(DAY_NS).max(range.end_ns());
    TimeRange::new(first.start_ns().min(range.start_ns()), end_ns).unwrap_or(range)
}

/// The names of columns, as a person reads them.
fn names(columns: &Columns) -> Vec<String> {
    let mut names = vec!["times".to_owned()];
    names.extend((columns.lines || columns.lengths).then(|| "line lengths".to_owned()));
    names.extend(columns.lines.then(|| "lines".to_owned()));
    match &columns.metadata {
        MetadataColumns::All => names.push("all metadata".to_owned()),
        MetadataColumns::Named(named) => {
            let named: std::collections::BTreeSet<&String> = named.iter().collect();
            names.extend(named.into_iter().map(|name| format!("metadata {name}")));
        }
    }
    names
}
