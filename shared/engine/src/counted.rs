//! Entries and bytes that the footers counted by the minute, for leaves that ask nothing else of an entry.
//!
//! In: a plan and the rows that lie in two segments. Out: the counts, folded, and a plan of what they cannot tell: streams
//! with doubles, blocks whose metadata tells entries apart by more than the level, and minutes that are cut by the edge of
//! a window. Never counts an entry both ways.

use std::collections::HashMap;
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
use crate::minutes::{self, Minutes};
use crate::plan::{Plan, PlannedBlock, PlannedRun, PlannedSegment};
use crate::reader::at_once;
use crate::rows::Columns;
use crate::scan::Scan;

/// Minutes of which it is remembered in which windows they lie: more than a day has.
const MINUTES_KNOWN: usize = 2048;
/// What is put behind the name of metadata that the stream has as a label.
const DUPLICATE_SUFFIX: &str = "_extracted";

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
    /// By the stream's number in the segment.
    counted: Vec<bool>,
    /// What is asked of a stream of which some time is forgotten.
    asked: HashMap<u32, Vec<TimeRange>, RandomState>,
    /// Times that are left to be counted entry by entry; in the end in order, with gaps between them.
    left: HashMap<u32, Vec<TimeRange>, RandomState>,
}

impl Counting<'_> {
    /// Folds what the footers tell, and takes it out of the plan.
    pub(crate) async fn take(&self, plan: &mut Plan, masks: &Masks, scan: &Scan) -> Result<Vec<RangeFold>, Error> {
        let shares: Vec<Option<Share>> = (plan.segments.iter().enumerate())
            .map(|(place, segment)| self.share(place, segment, plan.range, masks))
            .collect();
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
    fn share(&self, place: usize, segment: &PlannedSegment, range: TimeRange, masks: &Masks) -> Option<Share> {
        let streams = segment.opened.footer.streams().len();
        let mut asked: HashMap<u32, Vec<TimeRange>, RandomState> = HashMap::default();
        let (mut chosen, mut not) = (vec![false; streams], vec![false; streams]);
        for block in &segment.blocks {
            let columns = segment.opened.footer.blocks().get(block.index).map(|meta| self.wanted.of(meta))?;
            let telling: Vec<&str> = (columns.iter())
                .filter_map(|column| match &column.kind {
                    ColumnKind::Metadata(name) if **name != *LEVEL_NAME => Some(&**name),
                    _ => None,
                })
                .collect();
            let doubles = masks.get(&(place, block.index)).map(|rows| rows.as_slice()).unwrap_or_default();
            for run in &block.runs {
                let first = run.first_row as usize;
                let double = doubles.get(doubles.partition_point(|row| *row < first));
                let has_double = double.is_some_and(|row| *row < first + run.rows as usize);
                let is_told = || telling.iter().any(|name| self.tells(name, &run.stream));
                let to_read = has_double || run.forget.is_some() || is_told();
                let all = if to_read { &mut not } else { &mut chosen };
                all.get_mut(run.number as usize).into_iter().for_each(|mark| *mark = true);
                if run.range != range {
                    asked.entry(run.number).or_default().push(run.range);
                }
            }
        }
        let counted: Vec<bool> = chosen.into_iter().zip(not).map(|(chosen, not)| chosen && !not).collect();
        let any = counted.contains(&true);
        any.then(|| Share { opened: segment.opened.clone(), counted, asked, left: HashMap::default() })
    }

    /// Whether metadata of that name can tell entries of the stream apart. Under a stream label's own name it cannot: then it is
    /// seen under another one, which must be wanted too.
    fn tells(&self, name: &str, stream: &Labels) -> bool {
        !stream.contains(name) || self.wanted.names_metadata(&format!("{name}{DUPLICATE_SUFFIX}"))
    }

    /// Folds the counts of some segments; notes for each what is left.
    async fn fold_part(
        &self,
        range: TimeRange,
        mut shares: Vec<Share>,
        scan: &Scan,
    ) -> Result<(RangeFold, Vec<Share>), Error> {
        let reads = shares.iter().map(|share| Minutes::read(share.opened.clone(), scan.reader()));
        let read = at_once(scan.reader().settings().store_concurrency_max, reads.collect()).await?;
        let fold = RangeFold::new(self.leaf, self.steps);
        let (sampler, bulk, checking) = (self.sampler.clone(), self.bulk, scan.clone());
        let levels = self.wanted.names_metadata(LEVEL_NAME);
        let work = move || {
            let (numbers, known, level_names) = Default::default();
            let series = SeriesOfStreams { sampler: &sampler, levels, numbers, known, level_names };
            let windows = vec![(i64::MIN, Fate::Outside); MINUTES_KNOWN];
            let mut folding = Folding { range, bulk, series, windows, fold };
            for (share, minutes) in shares.iter_mut().zip(read) {
                checking.check()?;
                folding.segment(share, minutes.counts(checking.reader())?)?;
            }
            Ok((folding.fold, shares))
        };
        let (fold, shares) = scan.compute(work).await?;
        scan.budget().check_results(fold.memory_bytes())?;
        Ok((fold, shares))
    }
}

/// What becomes of a minute.
#[derive(Clone, Copy)]
enum Fate {
    /// No window holds any of it.
    Outside,
    /// The same windows hold all of it.
    Cell(usize),
    /// An edge cuts it.
    Cut,
}

/// The counts of some segments on their way into a fold.
struct Folding<'s> {
    range: TimeRange,
    bulk: Bulk,
    series: SeriesOfStreams<'s>,
    /// Minutes and what becomes of them, each in its place modulo the length.
    windows: Vec<(i64, Fate)>,
    fold: RangeFold,
}

impl Folding<'_> {
    fn segment(&mut self, share: &mut Share, counts: &Counts) -> Result<(), Error> {
        let levels: Vec<usize> = counts.levels.iter().map(|level| self.series.level(level)).collect();
        // Groups come by stream.
        let mut stream: Option<(u32, usize)> = None;
        for group in &counts.groups {
            let Some(info) = share.opened.footer.streams().get(group.stream as usize) else { continue };
            if share.counted.get(group.stream as usize) != Some(&true) {
                continue;
            }
            let number = match stream {
                Some((last, number)) if last == group.stream => number,
                _ => stream.insert((group.stream, self.series.number(&info.labels))).1,
            };
            let level = group.level.and_then(|level| levels.get(level as usize).copied());
            let level = level.filter(|_| self.series.levels);
            let asked = share.asked.get(&group.stream).map(Vec::as_slice);
            let cut = self.group(number, level, (info.min_ts, info.max_ts), asked, &group.cells)?;
            if !cut.is_empty() {
                share.left.entry(group.stream).or_default().extend(cut);
            }
        }
        share.left.values_mut().for_each(join);
        Ok(())
    }

    /// Adds the minutes of a stream and level; returns those that an edge cuts.
    fn group(
        &mut self,
        stream: usize,
        level: Option<usize>,
        (min_ts, max_ts): (i64, i64),
        asked: Option<&[TimeRange]>,
        cells: &[Cell],
    ) -> Result<Vec<TimeRange>, Error> {
        let mut series: Option<Option<usize>> = None;
        let mut cut = Vec::new();
        for cell in cells {
            let (mut first, mut last) = minutes::times_of(cell.minute);
            if let Some(asked) = asked {
                (first, last) = (first.max(min_ts), last.min(max_ts));
                if !asked.iter().any(|range| range.overlaps(first, last)) {
                    continue;
                }
                if !asked.iter().any(|range| range.contains(first) && range.contains(last)) {
                    cut.extend(TimeRange::new(first, last.saturating_add(1)));
                    continue;
                }
            }
            let mut fate =
                if asked.is_some() { self.fate_of(first, last) } else { self.fate(cell.minute, first, last) };
            if matches!(fate, Fate::Cut) {
                // The first and the last entry narrow the minutes in which they lie.
                (first, last) = (first.max(min_ts), last.min(max_ts));
                fate = self.fate_of(first, last);
            }
            let place = match fate {
                Fate::Outside => continue,
                Fate::Cell(place) => place,
                Fate::Cut => {
                    cut.extend(TimeRange::new(first, last.saturating_add(1)));
                    continue;
                }
            };
            let series = match series {
                Some(found) => found,
                None => *series.insert(self.series.find(stream, level, &mut self.fold)?),
            };
            // A filter of the query drops the level.
            let Some(series) = series else { return Ok(cut) };
            let sum = match self.bulk {
                Bulk::Rows => cell.rows,
                Bulk::Lengths => cell.line_bytes,
            };
            self.fold.add_sum_at(series, place, first, cell.rows, sum as f64);
        }
        Ok(cut)
    }

    /// What becomes of a whole minute.
    fn fate(&mut self, minute: i64, first: i64, last: i64) -> Fate {
        let place = usize::try_from(minute.rem_euclid(MINUTES_KNOWN as i64)).unwrap_or_default();
        match self.windows.get(place) {
            Some((known, fate)) if *known == minute => *fate,
            _ => {
                let fate = self.fate_of(first, last);
                self.windows.get_mut(place).into_iter().for_each(|known| *known = (minute, fate));
                fate
            }
        }
    }

    fn fate_of(&self, first: i64, last: i64) -> Fate {
        if !self.range.overlaps(first, last) {
            return Fate::Outside;
        }
        let inside = self.range.contains(first) && self.range.contains(last);
        match inside && self.fold.same_windows(first, last) {
            true => self.fold.cell(first).map_or(Fate::Outside, Fate::Cell),
            false => Fate::Cut,
        }
    }
}

/// The series of streams and levels, as far as they were met.
struct SeriesOfStreams<'s> {
    sampler: &'s Sampler,
    /// Whether the level decides about the series.
    levels: bool,
    numbers: HashMap<Labels, usize, RandomState>,
    known: Vec<SeriesOfStream>,
    level_names: Vec<String>,
}

/// A stream, and the numbers of its series in the fold: without a level first, then by the level's number. None: not asked
/// yet; none within: the query drops such entries.
struct SeriesOfStream {
    labels: Labels,
    series: Vec<Option<Option<usize>>>,
}

impl SeriesOfStreams<'_> {
    /// The number of a stream.
    fn number(&mut self, stream: &Labels) -> usize {
        if let Some(number) = self.numbers.get(stream) {
            return *number;
        }
        self.known.push(SeriesOfStream { labels: stream.clone(), series: Vec::new() });
        self.numbers.insert(stream.clone(), self.known.len() - 1);
        self.known.len() - 1
    }

    /// The number of a level.
    fn level(&mut self, level: &str) -> usize {
        self.level_names.iter().position(|name| name == level).unwrap_or_else(|| {
            self.level_names.push(level.to_owned());
            self.level_names.len() - 1
        })
    }

    /// The series of a stream's entries of a level, as the fold numbers it.
    fn find(&mut self, stream: usize, level: Option<usize>, fold: &mut RangeFold) -> Result<Option<usize>, Error> {
        let place = level.map_or(0, |level| level + 1);
        let Some(stream) = self.known.get_mut(stream) else { return Ok(None) };
        if let Some(Some(known)) = stream.series.get(place) {
            return Ok(*known);
        }
        let level = level.and_then(|level| self.level_names.get(level));
        let metadata: Option<(&str, &str)> = level.map(|level| (LEVEL_NAME, level.as_str()));
        let any = EntryRef { timestamp_ns: 0, line: "", metadata: metadata.as_slice() };
        let mut sampler = self.sampler.for_stream(&stream.labels);
        let series = sampler.process(any)?.map(|sample| fold.series_number(sample.series));
        if stream.series.len() <= place {
            stream.series.resize(place + 1, None);
        }
        stream.series.get_mut(place).into_iter().for_each(|known| *known = Some(series));
        Ok(series)
    }
}

impl Share {
    /// Leaves of a block what was not counted.
    fn keep_left(&self, block: &mut PlannedBlock) {
        let runs = std::mem::take(&mut block.runs);
        for run in runs {
            if self.counted.get(run.number as usize) != Some(&true) {
                block.runs.push(run);
                continue;
            }
            let Some(left) = self.left.get(&run.number) else { continue };
            let from = left.partition_point(|left| left.end_ns() <= run.min_ts);
            let left = left.iter().skip(from).take_while(|left| left.start_ns() <= run.max_ts);
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
