//! Entries that lie in two segments, found so that they count once.
//!
//! A retried push may land in another group of pushes, so an entry (stream, time, line, metadata) can be in two segments.
//! In: a plan. Out: for each block the rows to pass over, so that blocks can then be read independently. Timestamps are
//! compared first, lines and metadata only where times tie. Within one segment the writer saw to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use futures::stream::{self, StreamExt as _};
use model::{EntryRef, Labels};
use xxhash_rust::xxh3::Xxh3;

use crate::Error;
use crate::footers::OpenSegment;
use crate::newest::Identity;
use crate::plan::{Plan, PlannedRun};
use crate::reader::at_once;
use crate::rows::{Columns, Metadata, MetadataColumns, Rows};
use crate::scan::Scan;

/// A block, by the place of its segment in the plan and its own in the segment.
pub(crate) type BlockPlace = (usize, usize);

/// Rows to pass over, ascending, by block.
pub(crate) type Masks = HashMap<BlockPlace, Arc<Vec<usize>>>;

/// What makes two entries the same.
pub(crate) fn identity(stream_hash: u64, entry: EntryRef<'_>) -> Identity {
    let mut hasher = Xxh3::new();
    hasher.update(&stream_hash.to_le_bytes());
    hasher.update(&entry.timestamp_ns.to_le_bytes());
    hasher.update(entry.line.as_bytes());
    for (name, value) in entry.metadata {
        hasher.update(&[0xff]);
        hasher.update(name.as_bytes());
        hasher.update(&[0xff]);
        hasher.update(value.as_bytes());
    }
    hasher.digest128()
}

/// A row of a contested run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Contested {
    stream: usize,
    timestamp_ns: i64,
    place: BlockPlace,
    row: usize,
}

/// Finds the rows to pass over in the blocks that a plan reads.
pub(crate) async fn masks(plan: &Plan, scan: &Scan) -> Result<Masks, Error> {
    let contested = contested_runs(plan);
    if contested.is_empty() {
        return Ok(Masks::new());
    }
    let rows = ties(plan, scan, &contested).await?;
    if rows.is_empty() {
        return Ok(Masks::new());
    }
    let masks = compare(plan, scan, &contested, &rows).await?;
    scan.reader().count(|stats| stats.duplicates += masks.values().map(|rows| rows.len() as u64).sum::<u64>());
    Ok(masks)
}

/// The contested rows whose stream and time another segment has too. Blocks are read in the order of time, so that rows wait for
/// each other no longer than until all blocks that are left begin behind them.
async fn ties(plan: &Plan, scan: &Scan, contested: &BTreeMap<BlockPlace, Runs>) -> Result<Vec<Contested>, Error> {
    let mut blocks: Vec<(i64, BlockPlace, &Runs)> = (contested.iter())
        .map(|(place, runs)| (runs.iter().map(|(_, run)| run.min_ts).min().unwrap_or(i64::MIN), *place, runs))
        .collect();
    blocks.sort_by_key(|(from, place, _)| (*from, *place));
    let behind: Vec<i64> = blocks.iter().skip(1).map(|(from, ..)| *from).chain([i64::MAX]).collect();
    let times = Columns { lines: false, lengths: false, metadata: MetadataColumns::Named(Vec::new()) };
    let work = blocks.iter().map(|(_, place, runs)| block_work(plan, scan, *place, runs, &times, contested_rows));
    let work: Vec<_> = work.collect();
    let mut parts = stream::iter(work).buffered(scan.blocks_concurrency()).zip(stream::iter(behind));
    let (mut open, mut tied, mut settle_rows) = (Vec::new(), Vec::new(), SETTLE_ROWS_MIN);
    while let Some((part, behind)) = parts.next().await {
        open.extend(part?);
        if open.len() >= settle_rows || behind == i64::MAX {
            settle(&mut open, behind, &mut tied);
            settle_rows = (2 * open.len()).max(SETTLE_ROWS_MIN);
            scan.budget().check_results(size_of_val(open.as_slice()) + size_of_val(tied.as_slice()))?;
        }
    }
    settle(&mut open, i64::MAX, &mut tied);
    Ok(tied)
}

/// Rows that are at hand before they are looked at: enough that few are looked at twice.
const SETTLE_ROWS_MIN: usize = 1 << 16;

/// Takes the rows before a time, and keeps the tied ones.
fn settle(open: &mut Vec<Contested>, before: i64, tied: &mut Vec<Contested>) {
    let is_settled = |row: &mut Contested| row.timestamp_ns < before || before == i64::MAX;
    let mut settled: Vec<Contested> = open.extract_if(.., is_settled).collect();
    settled.sort_unstable();
    keep_ties(&mut settled);
    tied.append(&mut settled);
}

fn contested_rows(place: BlockPlace, runs: &Runs, rows: &Rows) -> Result<Vec<Contested>, Error> {
    let mut found = Vec::new();
    let timestamps = rows.timestamps()?;
    for (stream, run) in runs {
        found.extend(rows.in_time(run)?.map(|row| {
            let timestamp_ns = timestamps.get(row).copied().unwrap_or_default();
            Contested { stream: *stream, timestamp_ns, place, row }
        }));
    }
    Ok(found)
}

/// An entry that an earlier segment has too.
pub(crate) struct Double {
    pub(crate) stream: Labels,
    pub(crate) timestamp_ns: i64,
    pub(crate) line_bytes: u64,
}

/// The entries that are to be passed over, for whoever has counted them already.
pub(crate) async fn doubles(plan: &Plan, masks: &Arc<Masks>, scan: &Scan) -> Result<Vec<Double>, Error> {
    let masks = Arc::clone(masks);
    let mut blocks: BTreeMap<BlockPlace, Runs> = BTreeMap::new();
    for (segment, planned) in plan.segments.iter().enumerate() {
        let masked = planned.blocks.iter().filter(|block| masks.contains_key(&(segment, block.index)));
        blocks.extend(
            masked.map(|block| ((segment, block.index), block.runs.iter().cloned().map(|run| (0, run)).collect())),
        );
    }
    let lengths = Columns { lines: false, lengths: true, metadata: MetadataColumns::Named(Vec::new()) };
    each_block(plan, scan, &blocks, &lengths, move |place, runs: &Runs, rows| {
        let (times, lengths) = (rows.timestamps()?, rows.lengths()?);
        let mut doubles = Vec::new();
        for row in masks.get(&place).into_iter().flat_map(|masked| masked.iter().copied()) {
            let holds = |run: &PlannedRun| (run.first_row as usize..(run.first_row + run.rows) as usize).contains(&row);
            let time = times.get(row).copied().unwrap_or_default();
            let holds = |run: &PlannedRun| holds(run) && run.range.contains(time);
            let Some((_, run)) = runs.iter().find(|(_, run)| holds(run)) else { continue };
            let line_bytes = lengths.get(row).copied().unwrap_or_default().into();
            let timestamp_ns = times.get(row).copied().unwrap_or_default();
            doubles.push(Double { stream: run.stream.clone(), timestamp_ns, line_bytes });
        }
        Ok(doubles)
    })
    .await
}

/// The contested runs of a block, each with the number of its stream.
type Runs = Vec<(usize, PlannedRun)>;

/// The runs that overlap in time with a run of the same stream in another segment.
fn contested_runs(plan: &Plan) -> BTreeMap<BlockPlace, Runs> {
    let mut streams: HashMap<&Labels, Vec<(BlockPlace, &PlannedRun)>, RandomState> = HashMap::default();
    for (segment, planned) in plan.segments.iter().enumerate() {
        for block in planned.blocks.iter().filter(|block| block.skipped.is_none()) {
            for run in &block.runs {
                streams.entry(&run.stream).or_default().push(((segment, block.index), run));
            }
        }
    }
    let mut contested: BTreeMap<BlockPlace, Runs> = BTreeMap::new();
    for (stream, mut runs) in streams.into_values().enumerate() {
        runs.sort_by_key(|(place, run)| (run.min_ts, *place));
        let mut marked = vec![false; runs.len()];
        // Forwards: does an earlier run of another segment reach into this one? The two latest ends of two segments tell.
        let mut ends = Extremes::default();
        for (mark, ((segment, _), run)) in marked.iter_mut().zip(&runs) {
            *mark |= ends.other_than(*segment).is_some_and(|end| end >= run.min_ts);
            ends.add(*segment, run.max_ts);
        }
        // Backwards: does this run reach into a later one? The two earliest starts tell.
        let mut starts = Extremes::default();
        for (mark, ((segment, _), run)) in marked.iter_mut().zip(&runs).rev() {
            *mark |= starts.other_than(*segment).is_some_and(|start| !start <= run.max_ts);
            starts.add(*segment, !run.min_ts);
        }
        for ((place, run), _) in runs.into_iter().zip(marked).filter(|(_, mark)| *mark) {
            contested.entry(place).or_default().push((stream, run.clone()));
        }
    }
    contested
}

/// The greatest value of any segment, and the greatest of any other segment.
#[derive(Default)]
struct Extremes {
    first: Option<(usize, i64)>,
    second: Option<(usize, i64)>,
}

impl Extremes {
    fn add(&mut self, segment: usize, value: i64) {
        let candidates = [self.first.take(), self.second.take(), Some((segment, value))];
        for (segment, value) in candidates.into_iter().flatten() {
            match self.first {
                None => self.first = Some((segment, value)),
                Some((first, greatest)) if first == segment => self.first = Some((first, greatest.max(value))),
                Some((_, greatest)) if value > greatest => {
                    self.second = self.first.replace((segment, value));
                }
                Some(_) if self.second.is_none_or(|(_, second)| value > second) => self.second = Some((segment, value)),
                Some(_) => {}
            }
        }
    }

    fn other_than(&self, segment: usize) -> Option<i64> {
        [self.first, self.second].into_iter().flatten().find(|(other, _)| *other != segment).map(|(_, value)| value)
    }
}

/// Keeps rows whose stream and time another segment has too. The rows are sorted.
fn keep_ties(rows: &mut Vec<Contested>) {
    let mut kept = Vec::new();
    for group in rows.chunk_by(|a, b| (a.stream, a.timestamp_ns) == (b.stream, b.timestamp_ns)) {
        let several = group.first().is_some_and(|first| group.iter().any(|row| row.place.0 != first.place.0));
        if several {
            kept.extend_from_slice(group);
        }
    }
    *rows = kept;
}

/// Compares lines and metadata of tied rows; all equal ones but the first are to be passed over.
async fn compare(
    plan: &Plan,
    scan: &Scan,
    contested: &BTreeMap<BlockPlace, Runs>,
    tied: &[Contested],
) -> Result<Masks, Error> {
    let mut by_block: HashMap<BlockPlace, Vec<Contested>> = HashMap::new();
    for row in tied {
        by_block.entry(row.place).or_default().push(*row);
    }
    let blocks: BTreeMap<BlockPlace, Runs> =
        contested.iter().filter(|(place, _)| by_block.contains_key(place)).map(|(p, r)| (*p, r.clone())).collect();
    let by_block = Arc::new(by_block);
    let mut hashed: Vec<(Identity, BlockPlace, usize)> =
        each_block(plan, scan, &blocks, &Columns::all(), move |place, _: &Runs, rows| {
            let mut metadata = Metadata::new();
            let tied = by_block.get(&place).map(Vec::as_slice).unwrap_or_default();
            let hash = |row: &Contested| {
                let entry = rows.entry(row.row, &mut metadata)?;
                Ok((identity(row.stream as u64, entry), place, row.row))
            };
            tied.iter().map(hash).collect()
        })
        .await?;
    hashed.sort_unstable();
    let mut masks: HashMap<BlockPlace, Vec<usize>> = HashMap::new();
    for same in hashed.chunk_by(|a, b| a.0 == b.0) {
        for (_, place, row) in same.iter().skip(1) {
            masks.entry(*place).or_default().push(*row);
        }
    }
    masks.values_mut().for_each(|rows| rows.sort_unstable());
    Ok(masks.into_iter().map(|(place, rows)| (place, Arc::new(rows))).collect())
}

/// Does the same work on each of some blocks, and joins what comes out.
async fn each_block<T: Send + 'static>(
    plan: &Plan,
    scan: &Scan,
    blocks: &BTreeMap<BlockPlace, Runs>,
    columns: &Columns,
    work: impl Fn(BlockPlace, &Runs, &Rows) -> Result<Vec<T>, Error> + Clone + Send + 'static,
) -> Result<Vec<T>, Error> {
    let work = blocks.iter().map(|(place, runs)| block_work(plan, scan, *place, runs, columns, work.clone()));
    let parts = at_once(scan.blocks_concurrency(), work.collect()).await?;
    Ok(parts.into_iter().flatten().collect())
}

/// Does some work on a block.
async fn block_work<T: Send + 'static>(
    plan: &Plan,
    scan: &Scan,
    place: BlockPlace,
    runs: &Runs,
    columns: &Columns,
    work: impl Fn(BlockPlace, &Runs, &Rows) -> Result<Vec<T>, Error> + Send + 'static,
) -> Result<Vec<T>, Error> {
    let opened = plan.segments.get(place.0).map(|segment| segment.opened.clone());
    let opened: Arc<OpenSegment> = opened.ok_or_else(|| Error::Internal("a plan lost a segment".to_owned()))?;
    let runs = runs.clone();
    scan.block(opened, place.1, columns, move |rows| work(place, &runs, rows)).await
}
