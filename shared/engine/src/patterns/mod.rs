//! The patterns of the lines in a time range, mined when they are asked for.
//!
//! In: a selector and a range. Out: patterns with exact counts by level and step. Every block of the chosen streams is read,
//! each is mined by itself and the results are merged in the order of time, so that an answer is always the same.

mod miner;
mod tokens;

use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use logql::matcher::Selector;
use model::{EntryRef, QueryStats, TenantId, TimeRange};

use crate::duplicates::{self, BlockPlace};
use crate::footers::OpenSegment;
use crate::forget;
use crate::needles::Need;
use crate::plan::{Plan, PlannedRun};
use crate::rows::{Columns, Metadata, MetadataColumns, Rows};
use crate::scan::Scan;
use crate::tenants::Tenants;
use crate::{Engine, Error, Limits, attempts, deadline, labels};

use miner::Miner;
pub use miner::Pattern;

/// Patterns of an answer; Grafana looks at no more.
const PATTERNS_MAX: usize = 500;
/// Rows between two looks at whether anyone still waits.
const CHECK_ROWS: usize = 4096;
/// The level of an entry that has none.
const LEVEL_UNKNOWN: &str = "unknown";

/// A question about patterns.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternsRequest {
    /// Whose logs.
    pub tenants: Vec<TenantId>,
    /// A stream selector.
    pub selector: String,
    /// When.
    pub range: TimeRange,
    /// By which steps lines are counted, positive.
    pub step_ns: i64,
    /// What this tenant may ask.
    pub limits: Limits,
}

/// The patterns and what they cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Patterns {
    /// Those with the most lines first.
    pub patterns: Vec<Pattern>,
    /// What the asker should know.
    pub warnings: Vec<String>,
    /// The cost.
    pub stats: QueryStats,
}

impl Engine {
    /// The patterns of the lines of some streams.
    pub async fn patterns(&self, request: PatternsRequest) -> Result<Patterns, Error> {
        let selector = Selector::new(&labels::matchers(&request.selector)?)?;
        let tenants = Tenants::of_selectors(&request.tenants, std::slice::from_ref(&request.selector))?;
        let (request, selector) = (&request, &selector);
        let work = |reader| async move {
            let (scan, _cancel) = Scan::new(reader);
            mine(request, selector, &scan).await
        };
        let attempts = self.attempts(tenants, request.limits.skip_corrupt_segments, work);
        let (mined, reader) = deadline::within(&request.limits, attempts).await?;
        let mut warnings = attempts::warnings(reader.left_out());
        if mined.forgotten() > 0 {
            let lines = mined.forgotten();
            warnings.push(format!("too many patterns at once; {lines} lines of rare ones are not counted"));
        }
        let mut patterns = mined.finish();
        patterns.truncate(PATTERNS_MAX);
        Ok(Patterns { patterns, warnings, stats: reader.stats() })
    }
}

async fn mine(request: &PatternsRequest, selector: &Selector, scan: &Scan) -> Result<Miner, Error> {
    let (range, step_ns) = (request.range, request.step_ns);
    let segments = scan.reader().segments(range).await?;
    let opened = scan.reader().open(segments).await?;
    let plan = Plan::new(selector, range, Need::Nothing, opened, &scan.reader().forgets());
    scan.reader().count(|stats| stats.streams += plan.streams().len() as u64);
    let mut masks = duplicates::masks(&plan, scan).await?;

    let mut blocks: Vec<(i64, BlockPlace, &Arc<OpenSegment>, &Vec<PlannedRun>)> = Vec::new();
    for (place, segment) in plan.segments.iter().enumerate() {
        let planned = segment.blocks.iter();
        blocks.extend(planned.map(|block| (block.min_ts(), (place, block.index), &segment.opened, &block.runs)));
    }
    blocks.sort_by_key(|(min_ts, place, ..)| (*min_ts, *place));
    let work: Vec<_> = (blocks.into_iter())
        .map(|(_, place, opened, runs)| {
            let passed_over = masks.remove(&place).unwrap_or_default();
            let work = Work { scan: scan.clone(), step_ns, runs: runs.clone(), passed_over };
            let columns = forget::columns(runs, columns());
            async move { scan.block(opened.clone(), place.1, &columns, move |rows| work.run(rows)).await }
        })
        .collect();
    stream::iter(work)
        .buffered(scan.blocks_concurrency())
        .try_fold(Miner::new(step_ns), |mut all, part| async move {
            all.merge(part);
            scan.reader().count(|stats| stats.blocks_read += 1);
            scan.budget().check_results(all.memory_bytes())?;
            Ok(all)
        })
        .await
}

fn columns() -> Columns {
    let metadata = MetadataColumns::Named(vec![segment::LEVEL_NAME.to_owned()]);
    Columns { lines: true, lengths: true, metadata }
}

fn level_of(entry: EntryRef<'_>) -> &str {
    entry.metadata.iter().find(|(name, _)| *name == segment::LEVEL_NAME).map_or(LEVEL_UNKNOWN, |(_, level)| level)
}

/// What a block's worker needs to know.
struct Work {
    scan: Scan,
    step_ns: i64,
    runs: Vec<PlannedRun>,
    /// Rows that another segment has too.
    passed_over: Arc<Vec<usize>>,
}

impl Work {
    fn run(self, rows: &Rows) -> Result<Miner, Error> {
        let passed_over = forget::passed_over(&self.runs, rows, &self.passed_over)?;
        let mut miner = Miner::new(self.step_ns);
        let (mut tokens, mut metadata) = (Vec::new(), Metadata::new());
        let (times, all_lines) = (rows.timestamps()?, rows.lines()?);
        let (mut lines, mut line_bytes) = (0u64, 0u64);
        for run in &self.runs {
            for (step, row) in rows.in_time(run)?.enumerate() {
                if step % CHECK_ROWS == CHECK_ROWS - 1 {
                    self.scan.check()?;
                }
                if passed_over.binary_search(&row).is_ok() {
                    continue;
                }
                let line = all_lines.get(row);
                let level = level_of(rows.entry(row, &mut metadata)?);
                lines += 1;
                line_bytes += line.len() as u64;
                miner.add(level, times.get(row).copied().unwrap_or_default(), line, &mut tokens);
            }
        }
        self.scan.reader().count(|stats| {
            stats.lines += lines;
            stats.line_bytes += line_bytes;
            stats.post_filter_lines += lines;
        });
        Ok(miner)
    }
}
