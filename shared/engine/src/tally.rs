//! Rows and bytes of streams by time, from footers and their counts by the minute.
//!
//! In: chosen streams of opened segments, a range, a step. Out: what each piece of a stream (its part in one segment) holds
//! in each step. A step holds the times after the one before it, up to and with its own end, as the minutes of the counts
//! and the windows of LogQL do: on whole minutes the figures are exact. A minute that an edge cuts is shared out by time.
//! No block is read, but where a stream lies in two segments at the same time (entries that are in both count once), and where
//! some of it is deleted: then its entries are counted one by one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use logql::matcher::Selector;
use model::{Labels, TimeRange};
use segment::{Counts, LevelCounts, StreamInfo};
use store::SegmentRef;

use crate::Error;
use crate::duplicates::{self, Masks};
use crate::footers::OpenSegment;
use crate::forget::{self, Forgets};
use crate::minutes::{self, Minutes};
use crate::needles::Need;
use crate::plan::{Chosen, Plan, PlannedRun};
use crate::reader::at_once;
use crate::rows::{Columns, MetadataColumns, Rows};
use crate::scan::Scan;
use crate::slices::slices;

/// Entries and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl Amount {
    /// The sum of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Amount { rows: self.rows + other.rows, bytes: self.bytes + other.bytes }
    }
}

/// A range cut into steps, each named by its last nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    first: i64,
    last: i64,
    /// Steps end at its multiples, the last one with the range; 0 is one step for all.
    step_ns: i64,
    /// What is older is forgotten.
    oldest: i64,
}

impl Steps {
    pub(crate) fn new(range: TimeRange, step_ns: i64) -> Self {
        let last = range.end_ns().saturating_sub(1).max(range.start_ns());
        Steps { first: range.start_ns(), last, step_ns: step_ns.max(0), oldest: i64::MIN }
    }

    /// The end of the step in which a time of the range lies. The very first time belongs to the step behind it.
    fn end_of(&self, timestamp_ns: i64) -> i64 {
        let time = timestamp_ns.max(self.first.saturating_add(1));
        match self.step_ns {
            0 => self.last,
            step => time.saturating_add((step - time.rem_euclid(step)) % step).min(self.last),
        }
    }

    fn contains(&self, timestamp_ns: i64) -> bool {
        (self.first.max(self.oldest)..=self.last).contains(&timestamp_ns)
    }
}

/// What of a stream lies in one segment.
pub(crate) struct Piece {
    pub(crate) labels: Labels,
    /// By the end of the step; a step may come more than once, but one behind the other comes once.
    pub(crate) amounts: Vec<(i64, Amount)>,
}

/// What was counted.
pub(crate) struct Tally {
    pub(crate) pieces: Vec<Piece>,
    /// What two pieces hold both, to be taken off again.
    pub(crate) doubles: Vec<(Labels, i64, Amount)>,
}

/// Counts the streams that one of the selectors chooses, all streams if there is none.
pub(crate) async fn count(
    selectors: &[Selector],
    steps: Steps,
    range: TimeRange,
    segments: Vec<SegmentRef>,
    scan: &Scan,
) -> Result<Tally, Error> {
    let matches = |labels: &Labels| selectors.is_empty() || selectors.iter().any(|selector| selector.matches(labels));
    let (mut chosen, forgets) = (Chosen::new(matches), scan.reader().forgets());
    let mut tally = Tally { pieces: Vec::new(), doubles: Vec::new() };
    let (mut read, mut open) = (ByPiece::new(), Vec::new());
    for slice in slices(range, segments, scan.reader().settings()) {
        let opened = scan.reader().open_beside(slice.segments, &open).await?;
        let parts: Vec<Part> = opened.iter().map(|opened| Part::new(opened, &mut chosen, &forgets, steps)).collect();
        let to_read: Vec<HashSet<u32>> = parts.iter().map(|part| part.to_read.clone()).collect();
        // A segment that reaches into several slices is counted as a whole in the first.
        let is_new = |part: &Part| !open.iter().any(|before| Arc::ptr_eq(before, &part.opened));
        let work = parts.into_iter().filter(is_new).map(|part| part.pieces(steps, scan)).collect();
        let pieces = at_once(scan.reader().settings().store_concurrency_max, work).await?;
        tally.pieces.extend(pieces.into_iter().flatten());

        let mut plan = Plan::of(&mut chosen, slice.range, Need::Nothing, opened.clone(), &forgets);
        let masks = match duplicates::masks(&plan, scan).await {
            // More streams lie in several segments than there is memory to compare: then each counts for itself.
            Err(Error::Limit(_)) => Arc::default(),
            masks => Arc::new(masks?),
        };
        one_by_one(&plan, &masks, &to_read, steps, scan, &mut read).await?;
        for (segment, to_read) in plan.segments.iter_mut().zip(&to_read).filter(|(_, to_read)| !to_read.is_empty()) {
            segment.blocks.iter_mut().for_each(|block| block.runs.retain(|run| !to_read.contains(&run.number)));
        }
        let doubles = duplicates::doubles(&plan, &masks, scan).await?;
        let amount = |double: duplicates::Double| {
            (double.stream, steps.end_of(double.timestamp_ns), Amount { rows: 1, bytes: double.line_bytes })
        };
        tally.doubles.extend(doubles.into_iter().map(amount));
        open = opened;
    }
    let piece = |((_, labels), amounts): (_, BTreeMap<_, _>)| Piece { labels, amounts: amounts.into_iter().collect() };
    tally.pieces.extend(read.into_iter().map(piece));
    Ok(tally)
}

/// What was counted entry by entry, by segment and stream, then by the end of the step.
type ByPiece = BTreeMap<(String, Labels), BTreeMap<i64, Amount>>;

/// The chosen streams of one segment, by their numbers.
struct Part {
    opened: Arc<OpenSegment>,
    /// Those that the footer can count, each with the oldest time that is shown.
    streams: Vec<(usize, i64)>,
    /// Those of which some is deleted.
    to_read: HashSet<u32>,
}

impl Part {
    fn new(
        opened: &Arc<OpenSegment>,
        chosen: &mut Chosen<impl Fn(&Labels) -> bool>,
        forgets: &Forgets,
        steps: Steps,
    ) -> Self {
        let forget = forgets.of_segment(opened);
        let mut part = Part { opened: opened.clone(), streams: Vec::new(), to_read: HashSet::new() };
        for (number, stream) in opened.footer.streams().iter().enumerate() {
            if stream.min_ts > steps.last || stream.max_ts < steps.first || !chosen.has(&stream.labels) {
                continue;
            }
            let forget = forget.as_ref().map(|forget| forget.of_stream(&stream.labels));
            match forget.map_or(Some(i64::MIN), |forget| forget.cut_at(stream.min_ts, stream.max_ts)) {
                Some(oldest) if oldest > stream.max_ts => {}
                Some(oldest) => part.streams.push((number, oldest)),
                None => part.to_read.extend(u32::try_from(number)),
            }
        }
        part
    }

    /// What of each stream lies here.
    async fn pieces(self, steps: Steps, scan: &Scan) -> Result<Vec<Piece>, Error> {
        let streams = self.opened.footer.streams();
        let mut infos = self.streams.iter().filter_map(|(number, oldest)| Some((streams.get(*number)?, *oldest)));
        if infos.all(|(stream, oldest)| in_one(stream, Steps { oldest, ..steps }).is_some()) {
            return Ok(self.by_step(&Counts::default(), steps));
        }
        let minutes = Minutes::read(self.opened.clone(), scan.reader()).await?;
        let reader = scan.reader().clone();
        scan.compute(move || Ok(self.by_step(minutes.counts(&reader)?, steps))).await
    }

    fn by_step(&self, counts: &Counts, steps: Steps) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(self.streams.len());
        // Groups come by stream, as the numbers do.
        let mut groups = counts.groups.as_slice();
        for (number, oldest) in &self.streams {
            let steps = Steps { oldest: *oldest, ..steps };
            let Some(stream) = self.opened.footer.streams().get(*number) else { continue };
            let before = groups.partition_point(|group| (group.stream as usize) < *number);
            groups = groups.get(before..).unwrap_or_default();
            let own = groups.iter().take_while(|group| group.stream as usize == *number);
            let amounts = match in_one(stream, steps) {
                Some(end) => vec![(end, Amount { rows: stream.rows, bytes: stream.line_bytes })],
                None => by_step(stream, own, steps),
            };
            if !amounts.is_empty() {
                pieces.push(Piece { labels: stream.labels.clone(), amounts });
            }
        }
        pieces
    }
}

/// Adds the pieces of streams of which some is deleted: their entries that are shown, and that no other segment has before.
async fn one_by_one(
    plan: &Plan,
    masks: &Arc<Masks>,
    to_read: &[HashSet<u32>],
    steps: Steps,
    scan: &Scan,
    streams: &mut ByPiece,
) -> Result<(), Error> {
    let lengths = Columns { lines: false, lengths: true, metadata: MetadataColumns::Named(Vec::new()) };
    let mut work = Vec::new();
    for (place, (segment, to_read)) in plan.segments.iter().zip(to_read).enumerate() {
        for block in &segment.blocks {
            let runs = block.runs.iter().filter(|run| to_read.contains(&run.number));
            let runs: Vec<PlannedRun> = runs.cloned().collect();
            if runs.is_empty() {
                continue;
            }
            let doubles = masks.get(&(place, block.index)).cloned().unwrap_or_default();
            let (opened, index) = (segment.opened.clone(), block.index);
            let columns = forget::columns(&runs, lengths.clone());
            work.push(async move {
                let found =
                    scan.block(opened, index, &columns, move |rows| shown(&runs, &doubles, steps, rows)).await?;
                Ok((segment.opened.segment.key.to_string(), found))
            });
        }
    }
    for (segment, found) in at_once(scan.blocks_concurrency(), work).await? {
        for (stream, end, amount) in found {
            let sum = streams.entry((segment.clone(), stream)).or_default().entry(end).or_default();
            *sum = sum.plus(amount);
        }
    }
    Ok(())
}

/// The entries of some runs that are shown.
fn shown(
    runs: &[PlannedRun],
    doubles: &Arc<Vec<usize>>,
    steps: Steps,
    rows: &Rows,
) -> Result<Vec<(Labels, i64, Amount)>, Error> {
    let over = forget::passed_over(runs, rows, doubles)?;
    let (times, lengths) = (rows.timestamps()?, rows.lengths()?);
    let mut found: Vec<(Labels, i64, Amount)> = Vec::new();
    for run in runs {
        for row in rows.in_time(run)?.filter(|row| over.binary_search(row).is_err()) {
            let end = steps.end_of(times.get(row).copied().unwrap_or_default());
            let amount = Amount { rows: 1, bytes: lengths.get(row).copied().unwrap_or_default().into() };
            match found.last_mut() {
                Some((stream, last, sum)) if *last == end && stream.is_clone_of(&run.stream) => *sum = sum.plus(amount),
                _ => found.push((run.stream.clone(), end, amount)),
            }
        }
    }
    Ok(found)
}

/// The step in which a stream lies as a whole: then its totals say it all.
fn in_one(stream: &StreamInfo, steps: Steps) -> Option<i64> {
    let inside = steps.contains(stream.min_ts) && steps.contains(stream.max_ts);
    Some(steps.end_of(stream.min_ts)).filter(|end| inside && *end == steps.end_of(stream.max_ts))
}

/// Shares out the minutes of a stream. Its first and last entry narrow the minutes in which they lie.
fn by_step<'c>(stream: &StreamInfo, groups: impl Iterator<Item = &'c LevelCounts>, steps: Steps) -> Vec<(i64, Amount)> {
    let mut amounts: Vec<(i64, Amount)> = Vec::new();
    // The step of the minute before, and that minute's first time: the next one mostly lies in the same.
    let mut before: Option<(i64, i64)> = None;
    for cell in groups.flat_map(|group| &group.cells) {
        let (first, last) = minutes::times_of(cell.minute);
        let (from, to) = (first.max(stream.min_ts), last.min(stream.max_ts));
        // What is past ends with a minute.
        if to < steps.oldest {
            continue;
        }
        if let (Some((since, step)), Some((_, amount))) = (before, amounts.last_mut())
            && (since..=step).contains(&from)
            && to <= step
        {
            *amount = amount.plus(Amount { rows: cell.rows, bytes: cell.line_bytes });
            continue;
        }
        let mut time = from.max(steps.first);
        while time <= to.min(steps.last) {
            let step = steps.end_of(time);
            let share = |all: u64| share(all, from, to, time, step.min(to));
            let amount = Amount { rows: share(cell.rows), bytes: share(cell.line_bytes) };
            if amount != Amount::default() {
                amounts.push((step, amount));
                before = Some((time, step));
            }
            time = step.saturating_add(1);
        }
    }
    amounts
}

/// The part of `all`, spread evenly over `from..=to`, that lies in `first..=last`. Parts that follow each other add up.
fn share(all: u64, from: i64, to: i64, first: i64, last: i64) -> u64 {
    let length = u128::from(to.abs_diff(from)) + 1;
    let before = |time: i64| {
        let passed = u128::from(time.saturating_sub(from).max(0).unsigned_abs()).min(length);
        (u128::from(all) * passed + length / 2) / length
    };
    let part = before(last.saturating_add(1)).saturating_sub(before(first));
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use segment::Cell;

    const S: i64 = 1_000_000_000;

    #[test]
    fn steps_end_at_multiples() {
        let check = |range: (i64, i64), step: i64, time: i64, want: i64| {
            let steps = Steps::new(TimeRange::new(range.0, range.1 + 1).expect("a range"), step);
            assert_eq!(steps.end_of(time), want, "{range:?} {step} {time}");
        };
        check((0, 100), 0, 5, 100);
        check((0, 100), 10, 5, 10);
        check((0, 100), 10, 10, 10);
        check((0, 100), 10, 11, 20);
        check((0, 100), 10, 0, 10);
        check((3, 95), 10, 91, 95);
        check((-15, 95), 10, -15, -10);
        check((7, 7), 10, 7, 7);
    }

    #[test]
    fn minutes_are_shared_out() {
        let cells = |cells: &[(i64, u64, u64)]| -> Vec<Cell> {
            cells
                .iter()
                .map(|(minute, rows, line_bytes)| Cell { minute: *minute, rows: *rows, line_bytes: *line_bytes })
                .collect()
        };
        let check = |span_s: (i64, i64),
                     minutes: &[(i64, u64, u64)],
                     range_s: (i64, i64),
                     step_s: i64,
                     want: &[(i64, u64, u64)]| {
            let rows = minutes.iter().map(|(_, rows, _)| rows).sum();
            let stream = StreamInfo {
                labels: Labels::default(),
                rows,
                line_bytes: minutes.iter().map(|(.., bytes)| bytes).sum(),
                min_ts: span_s.0 * S,
                max_ts: span_s.1 * S,
                metadata_bytes: 0,
            };
            let group = LevelCounts { stream: 0, level: None, cells: cells(minutes) };
            let steps = Steps::new(TimeRange::new(range_s.0 * S, range_s.1 * S + 1).expect("a range"), step_s * S);
            let got = by_step(&stream, [&group].into_iter(), steps);
            let got: Vec<_> = got.iter().map(|(end, amount)| (end / S, amount.rows, amount.bytes)).collect();
            assert_eq!(got, want, "{range_s:?} {step_s}");
        };
        let minutes = [(1, 6, 600), (2, 3, 90), (3, 1, 7)];
        // Whole minutes are exact, and what lies at the start belongs to the minute before it.
        check((1, 180), &minutes, (60, 120), 0, &[(120, 3, 90)]);
        check((1, 180), &minutes, (60, 180), 60, &[(120, 3, 90), (180, 1, 7)]);
        // An edge inside a minute takes the share of its time.
        check((1, 180), &minutes, (90, 150), 0, &[(150, 2, 45), (150, 1, 4)]);
        check((1, 180), &minutes, (60, 120), 20, &[(80, 1, 30), (100, 1, 30), (120, 1, 30)]);
        // What is known of the first and last entry narrows their minutes.
        check((59, 130), &minutes, (0, 200), 0, &[(200, 10, 697)]);
        check((60, 60), &[(1, 2, 10)], (60, 120), 60, &[(120, 2, 10)]);
    }

    #[test]
    fn shares_add_up() {
        for all in [0, 1, 7, 1000] {
            for cut in [1, 2, 7, 59] {
                let parts: Vec<u64> =
                    (0..60).step_by(cut).map(|at| share(all, 0, 59, at, (at + cut as i64 - 1).min(59))).collect();
                assert_eq!(parts.iter().sum::<u64>(), all, "{cut}");
            }
        }
    }
}
