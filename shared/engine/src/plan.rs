//! Chooses what a query must read.
//!
//! In: a selector, a time range, what a match needs, and opened segments. Out: blocks with the runs of the chosen
//! streams, and why the others were skipped. May keep a block that turns out empty; never drops one that matches.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use logql::matcher::Selector;
use model::{Labels, TimeRange};
use segment::Run;

use crate::footers::OpenSegment;
use crate::forget::{EntryForget, Forgets, StreamForget};
use crate::needles::Need;

/// What to read, and what not.
#[derive(Debug)]
pub struct Plan {
    /// When.
    pub range: TimeRange,
    /// What a match needs.
    pub need: Need,
    /// The segments that overlap the range, in the order of the store's listing.
    pub segments: Vec<PlannedSegment>,
}

/// One segment of a plan.
#[derive(Debug)]
pub struct PlannedSegment {
    /// The segment.
    pub opened: Arc<OpenSegment>,
    /// Blocks with entries of chosen streams in the range.
    pub blocks: Vec<PlannedBlock>,
}

/// One block of a plan.
#[derive(Debug)]
pub struct PlannedBlock {
    /// Its place in the segment.
    pub index: usize,
    /// The rows of chosen streams.
    pub runs: Vec<PlannedRun>,
    /// Why it is not read, if it is not.
    pub skipped: Option<Skip>,
}

/// Rows of one stream.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// The stream.
    pub stream: Labels,
    /// First row.
    pub first_row: u32,
    /// How many.
    pub rows: u32,
    /// Time of the first.
    pub min_ts: i64,
    /// Time of the last.
    pub max_ts: i64,
    /// The stream's number in the segment.
    pub number: u32,
    /// What is asked of the run: rows of these times.
    pub range: TimeRange,
    /// What hides some of those rows, if anything does.
    pub(crate) forget: Option<Arc<EntryForget>>,
}

/// Why a block is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The segment's filter knows no match.
    SegmentFilter,
    /// The block's filter knows no match.
    BlockFilter,
    /// No line of the segment holds the grams of a match.
    GramFilter,
}

impl Skip {
    pub(crate) const ALL: [Skip; 3] = [Skip::SegmentFilter, Skip::BlockFilter, Skip::GramFilter];
}

impl Plan {
    /// Chooses streams by selector and blocks by time; filters come later.
    pub(crate) fn new(
        selector: &Selector,
        range: TimeRange,
        need: Need,
        opened: Vec<Arc<OpenSegment>>,
        forgets: &Forgets,
    ) -> Self {
        Plan::of(&mut Chosen::new(|labels: &Labels| selector.matches(labels)), range, need, opened, forgets)
    }

    /// The same, with streams chosen in any way.
    pub(crate) fn of<F: Fn(&Labels) -> bool>(
        chosen: &mut Chosen<F>,
        range: TimeRange,
        need: Need,
        opened: Vec<Arc<OpenSegment>>,
        forgets: &Forgets,
    ) -> Self {
        let segments = opened.into_iter().map(|opened| plan_segment(chosen, range, opened, forgets)).collect();
        Plan { range, need, segments }
    }

    /// Leaves out the runs of other streams, and blocks without any.
    pub(crate) fn keep_streams(&mut self, keep: impl Fn(&Labels) -> bool) {
        self.keep_runs(|run| keep(&run.stream));
    }

    /// Leaves out other runs, and blocks without any.
    pub(crate) fn keep_runs(&mut self, keep: impl Fn(&PlannedRun) -> bool) {
        for segment in &mut self.segments {
            segment.blocks.iter_mut().for_each(|block| block.runs.retain(&keep));
            segment.blocks.retain(|block| !block.runs.is_empty());
        }
    }

    /// How many blocks were skipped for a reason.
    pub fn skipped(&self, why: Skip) -> usize {
        self.segments.iter().flat_map(|segment| &segment.blocks).filter(|block| block.skipped == Some(why)).count()
    }

    /// The chosen streams, without repeats.
    pub(crate) fn streams(&self) -> HashSet<&Labels, RandomState> {
        let blocks = self.segments.iter().flat_map(|segment| &segment.blocks);
        blocks.flat_map(|block| &block.runs).map(|run| &run.stream).collect()
    }
}

impl PlannedBlock {
    /// The time of the earliest row of a chosen stream.
    pub fn min_ts(&self) -> i64 {
        self.runs.iter().map(|run| run.min_ts).min().unwrap_or(i64::MAX)
    }

    /// The time of the latest row of a chosen stream.
    pub fn max_ts(&self) -> i64 {
        self.runs.iter().map(|run| run.max_ts).max().unwrap_or(i64::MIN)
    }
}

/// Which streams are chosen: each label set is looked at once, in however many segments it comes.
pub(crate) struct Chosen<F> {
    matches: F,
    known: HashMap<Labels, bool, RandomState>,
}

impl<F: Fn(&Labels) -> bool> Chosen<F> {
    pub(crate) fn new(matches: F) -> Self {
        Chosen { matches, known: HashMap::default() }
    }

    pub(crate) fn has(&mut self, labels: &Labels) -> bool {
        match self.known.get(labels) {
            Some(known) => *known,
            None => {
                let matches = (self.matches)(labels);
                self.known.insert(labels.clone(), matches);
                matches
            }
        }
    }
}

fn plan_segment<F: Fn(&Labels) -> bool>(
    chosen: &mut Chosen<F>,
    range: TimeRange,
    opened: Arc<OpenSegment>,
    forgets: &Forgets,
) -> PlannedSegment {
    let footer = &opened.footer;
    let forget = forgets.of_segment(&opened);
    let chosen: Vec<Option<(&Labels, Option<StreamForget>)>> = (footer.streams().iter())
        .map(|stream| Some(&stream.labels).filter(|labels| chosen.has(labels)))
        .map(|labels| labels.map(|labels| (labels, forget.as_ref().map(|forget| forget.of_stream(labels)))))
        .collect();
    let mut blocks = Vec::new();
    for (index, block) in footer.blocks().iter().enumerate() {
        if !range.overlaps(block.min_ts, block.max_ts) {
            continue;
        }
        let runs: Vec<PlannedRun> = (block.runs.iter())
            .filter(|run| range.overlaps(run.min_ts, run.max_ts))
            .filter_map(|run| Some((run, chosen.get(run.stream as usize)?.as_ref()?)))
            .flat_map(|(run, (stream, forget))| planned(run, stream, range, forget.as_ref()))
            .collect();
        if !runs.is_empty() {
            blocks.push(PlannedBlock { index, runs, skipped: None });
        }
    }
    PlannedSegment { opened, blocks }
}

/// A run, once for each part of the range of which anything is shown.
fn planned(run: &Run, stream: &Labels, range: TimeRange, forget: Option<&StreamForget>) -> Vec<PlannedRun> {
    let &Run { stream: number, first_row, rows, min_ts, max_ts, .. } = run;
    let piece =
        |(range, forget)| PlannedRun { stream: stream.clone(), first_row, rows, min_ts, max_ts, number, range, forget };
    match forget {
        None => vec![piece((range, None))],
        Some(forget) => forget.pieces(range, min_ts, max_ts).map(piece).collect(),
    }
}

/// One line for the whole, one for each segment.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: usize = self.segments.iter().map(|segment| segment.blocks.len()).sum();
        let [by_segment, by_block, by_grams] = Skip::ALL.map(|why| self.skipped(why));
        let read = all - by_segment - by_block - by_grams;
        write!(f, "scan need={} segments={} blocks={read}/{all}", self.need, self.segments.len())?;
        write!(f, " (skipped by segment filter {by_segment}, by block filter {by_block}, by grams {by_grams})")
    }
}
