//! Rows and bytes of streams by time, from footers and their counts by the minute.
//!
//! In: chosen streams of opened segments, a range, a step. Out: what each piece of a stream (its part in one segment) holds
//! in each step. A step holds the times after the one before it, up to and with its own end, as the minutes of the counts
//! and the windows of LogQL do: on whole minutes the figures are exact. A minute that an edge cuts is shared out by time.
//! No block is read, but where a stream lies in two segments at the same time: entries that are in both count once.

use std::collections::HashMap;
use std::sync::Arc;

use logql::matcher::Selector;
use model::{Labels, TimeRange};
use segment::{Counts, LevelCounts, StreamInfo};

use crate::Error;
use crate::duplicates;
use crate::footers::OpenSegment;
use crate::needles::Need;
use crate::plan::Plan;
use crate::reader::{Reader, at_once, corrupt};
use crate::scan::Scan;

const MINUTE_NS: i64 = 60_000_000_000;

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
}

impl Steps {
    pub(crate) fn new(range: TimeRange, step_ns: i64) -> Self {
        let last = range.end_ns().saturating_sub(1).max(range.start_ns());
        Steps { first: range.start_ns(), last, step_ns: step_ns.max(0) }
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
        (self.first..=self.last).contains(&timestamp_ns)
    }
}

/// What of a stream lies in one segment.
pub(crate) struct Piece {
    pub(crate) labels: Labels,
    /// By the end of the step; a step may come more than once.
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
    opened: Vec<Arc<OpenSegment>>,
    scan: &Scan,
) -> Result<Tally, Error> {
    let chosen = |labels: &Labels| selectors.is_empty() || selectors.iter().any(|selector| selector.matches(labels));
    let work = opened.iter().map(|opened| pieces(opened, &chosen, steps, scan.reader())).collect();
    let pieces: Vec<Piece> =
        at_once(scan.reader().settings().store_concurrency_max, work).await?.into_iter().flatten().collect();

    let mut plan = Plan::new(&Selector::new(&[])?, range, Need::Nothing, opened);
    for block in plan.segments.iter_mut().flat_map(|segment| &mut segment.blocks) {
        block.runs.retain(|run| chosen(&run.stream));
    }
    let doubles = match duplicates::doubles(&plan, scan).await {
        // More streams lie in several segments than there is memory to compare: then each counts for itself.
        Err(Error::Limit(_)) => Vec::new(),
        doubles => doubles?,
    };
    let amount = |double: duplicates::Double| {
        (double.stream, steps.end_of(double.timestamp_ns), Amount { rows: 1, bytes: double.line_bytes })
    };
    Ok(Tally { pieces, doubles: doubles.into_iter().map(amount).collect() })
}

/// The pieces of one segment.
async fn pieces(
    opened: &OpenSegment,
    chosen: &impl Fn(&Labels) -> bool,
    steps: Steps,
    reader: &Reader,
) -> Result<Vec<Piece>, Error> {
    let streams = opened.footer.streams().iter().zip(0u32..);
    let streams: Vec<(&StreamInfo, u32)> = streams
        .filter(|(stream, _)| stream.min_ts <= steps.last && stream.max_ts >= steps.first && chosen(&stream.labels))
        .collect();
    // The totals say it all of a stream that lies in one step as a whole.
    let in_one = |stream: &StreamInfo| {
        let inside = steps.contains(stream.min_ts) && steps.contains(stream.max_ts);
        Some(steps.end_of(stream.min_ts)).filter(|end| inside && *end == steps.end_of(stream.max_ts))
    };
    let counts = match streams.iter().all(|(stream, _)| in_one(stream).is_some()) {
        true => Counts::default(),
        false => read_counts(opened, reader).await?,
    };
    let mut groups: HashMap<u32, Vec<&LevelCounts>> = HashMap::new();
    counts.groups.iter().for_each(|group| groups.entry(group.stream).or_default().push(group));
    let piece = |(stream, number): (&StreamInfo, u32)| {
        let amounts = match in_one(stream) {
            Some(end) => vec![(end, Amount { rows: stream.rows, bytes: stream.line_bytes })],
            None => by_step(stream, groups.get(&number).map(Vec::as_slice).unwrap_or_default(), steps),
        };
        Piece { labels: stream.labels.clone(), amounts }
    };
    let pieces = streams.into_iter().map(piece);
    Ok(pieces.filter(|piece| !piece.amounts.is_empty()).collect())
}

async fn read_counts(opened: &OpenSegment, reader: &Reader) -> Result<Counts, Error> {
    let stored = reader.read(opened, &[opened.footer.counts_range()]).await?;
    let stored = stored.first().map(|bytes| &bytes[..]).unwrap_or_default();
    opened.footer.decode_counts(stored).map_err(|why| corrupt(&opened.segment, &why))
}

/// Shares out the minutes of a stream. Its first and last entry narrow the minutes in which they lie.
fn by_step(stream: &StreamInfo, groups: &[&LevelCounts], steps: Steps) -> Vec<(i64, Amount)> {
    let mut amounts = Vec::new();
    for cell in groups.iter().flat_map(|group| &group.cells) {
        let end = cell.minute.saturating_mul(MINUTE_NS);
        let (from, to) = (end.saturating_sub(MINUTE_NS - 1).max(stream.min_ts), end.min(stream.max_ts));
        let mut time = from.max(steps.first);
        while time <= to.min(steps.last) {
            let step = steps.end_of(time);
            let share = |all: u64| share(all, from, to, time, step.min(to));
            let amount = Amount { rows: share(cell.rows), bytes: share(cell.line_bytes) };
            if amount != Amount::default() {
                amounts.push((step, amount));
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
            let got = by_step(&stream, &[&group], steps);
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
        check((59, 130), &minutes, (0, 200), 0, &[(200, 6, 600), (200, 3, 90), (200, 1, 7)]);
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
