//! Folds the samples of one leaf into a value per series and step.
//!
//! In: samples in any order, one by one or in bulk, and other folds of the same leaf. Out: series sorted by labels. Adding
//! costs one lookup and one cell, however many windows overlap; memory grows with series and steps, except for the two
//! operations that need every sample (`quantile_over_time`, `rate_counter`).

use std::collections::HashMap;

use foldhash::fast::RandomState;
use model::{Labels, Point, Series};

use super::cells::{Cell, Cells, Count, First, Greatest, Last, Least, Moments, Sum};
use super::steps::Windows;
use super::{Leaf, Steps, counter, leaf};
use crate::ast::{RangeAggregation, RangeOp};

/// The aggregate of each series so far, in the shape that the operation needs.
#[derive(Debug)]
pub(super) enum State {
    Count(Vec<Cells<Count>>),
    Sum(Vec<Cells<Sum>>),
    Least(Vec<Cells<Least>>),
    Greatest(Vec<Cells<Greatest>>),
    First(Vec<Cells<First>>),
    Last(Vec<Cells<Last>>),
    Moments(Vec<Cells<Moments>>),
    /// Every sample, as it came.
    Samples(Vec<Vec<(i64, f64)>>),
}

/// Does the same to whichever kind of cells the state holds.
macro_rules! with_cells {
    ($state:expr, $cells:ident => $work:expr, $samples:ident => $other:expr) => {
        match $state {
            State::Count($cells) => $work,
            State::Sum($cells) => $work,
            State::Least($cells) => $work,
            State::Greatest($cells) => $work,
            State::First($cells) => $work,
            State::Last($cells) => $work,
            State::Moments($cells) => $work,
            State::Samples($samples) => $other,
        }
    };
}
pub(super) use with_cells;

/// The samples of one leaf, folded.
#[derive(Debug)]
pub struct RangeFold {
    op: RangeOp,
    parameter: f64,
    range_ns: i64,
    offset_ns: i64,
    /// The answer's labels, for `absent_over_time`.
    absent: Option<Labels>,
    steps: Steps,
    windows: Windows,
    slots: HashMap<Labels, usize, RandomState>,
    recent: Recent,
    pub(super) state: State,
    bytes: usize,
}

/// Rough bytes of a series besides its labels' text and its cells: hash table entry, allocations.
const SERIES_OVERHEAD_BYTES: usize = 160;

impl RangeFold {
    /// An empty fold.
    pub fn new(leaf: &Leaf<'_>, steps: Steps) -> Self {
        let aggregation = leaf.aggregation;
        RangeFold {
            op: aggregation.op,
            parameter: aggregation.parameter.unwrap_or(f64::NAN),
            range_ns: aggregation.range_ns.max(1),
            offset_ns: aggregation.offset_ns,
            absent: (aggregation.op == RangeOp::AbsentOverTime).then(|| leaf::absent_labels(aggregation)),
            steps,
            windows: Windows::new(steps, aggregation.range_ns, aggregation.offset_ns),
            slots: HashMap::default(),
            recent: Recent::default(),
            state: state_for(aggregation),
            bytes: 0,
        }
    }

    /// Whether any window holds that time. Others may be added too, and are ignored.
    pub fn wants(&self, timestamp_ns: i64) -> bool {
        self.windows.cell(timestamp_ns).is_some()
    }

    /// Whether the same windows hold all times from `first_ns` to `last_ns`, so that their sum can be added at once.
    pub fn same_windows(&self, first_ns: i64, last_ns: i64) -> bool {
        let (from_ns, to_ns) = self.windows.time_range();
        match (self.windows.cell(first_ns), self.windows.cell(last_ns)) {
            (Some(first), Some(last)) => first == last && first_ns <= last_ns,
            // Outside of all windows, or in one gap between them.
            (None, None) => {
                last_ns <= from_ns
                    || first_ns > to_ns
                    || (first_ns > from_ns && last_ns <= self.windows.cell_end(first_ns))
            }
            _ => false,
        }
    }

    /// Adds one sample. Operations that count entries ignore its value.
    pub fn add(&mut self, series: &Labels, timestamp_ns: i64, value: f64) {
        let Some(cell) = self.windows.cell(timestamp_ns) else { return };
        let slot = self.slot(series);
        self.bytes += with_cells!(&mut self.state,
            all => grow(&mut all[slot], |cells| cells.at(cell).add(timestamp_ns, value)),
            all => { all[slot].push((timestamp_ns, value)); size_of::<(i64, f64)>() });
    }

    /// Adds a sample of value 1 at each time; the times ascend. One step of work a window edge, not a sample.
    pub fn add_counts(&mut self, series: &Labels, timestamps_ns: &[i64]) {
        let mut rest = timestamps_ns;
        while let [first, ..] = rest {
            let end = self.windows.cell_end(*first);
            let (together, behind) = if self.wants(*first) {
                rest.split_at(rest.partition_point(|time| *time <= end).max(1))
            } else {
                rest.split_at(1)
            };
            self.add_sum(series, *first, together.len() as u64, together.len() as f64);
            rest = behind;
        }
    }

    /// Adds a sample at each time; the times ascend, and there is a value for each.
    pub fn add_values(&mut self, series: &Labels, timestamps_ns: &[i64], values: &[f64]) {
        for (timestamp_ns, value) in timestamps_ns.iter().zip(values) {
            self.add(series, *timestamp_ns, *value);
        }
    }

    /// Adds `rows` samples with a known sum, which lie in the same windows as `timestamp_ns`. Only operations that count
    /// or sum can take them; for others it is one sample.
    pub fn add_sum(&mut self, series: &Labels, timestamp_ns: i64, rows: u64, sum: f64) {
        let Some(cell) = self.windows.cell(timestamp_ns).filter(|_| rows > 0) else { return };
        let slot = self.slot(series);
        self.add_sum_at(slot, cell, timestamp_ns, rows, sum);
    }

    /// The part of all windows in which a time lies, if any window holds it: for `add_sum_at`.
    pub fn cell(&self, timestamp_ns: i64) -> Option<usize> {
        self.windows.cell(timestamp_ns)
    }

    /// The number of a series, for `add_sum_at`; made if need be.
    pub fn series_number(&mut self, series: &Labels) -> usize {
        self.slot(series)
    }

    /// As `add_sum`, for a series and cell that were looked up before: what comes by the thousands costs two additions.
    /// `timestamp_ns` lies in the cell.
    pub fn add_sum_at(&mut self, series: usize, cell: usize, timestamp_ns: i64, rows: u64, sum: f64) {
        self.bytes += match &mut self.state {
            State::Count(all) => grow(&mut all[series], |cells| cells.at(cell).absorb(&Count(rows))),
            State::Sum(all) => grow(&mut all[series], |cells| cells.at(cell).absorb(&Sum { sum, count: rows })),
            state => with_cells!(state,
                all => grow(&mut all[series], |cells| cells.at(cell).add(timestamp_ns, sum)),
                all => { all[series].push((timestamp_ns, sum)); size_of::<(i64, f64)>() }),
        };
    }

    /// Takes in another fold of the same leaf and steps.
    pub fn merge(&mut self, other: RangeFold) {
        for (labels, theirs) in &other.slots {
            let slot = self.slot(labels);
            match (&mut self.state, &other.state) {
                (State::Count(a), State::Count(b)) => self.bytes += grow(&mut a[slot], |c| c.merge(&b[*theirs])),
                (State::Sum(a), State::Sum(b)) => self.bytes += grow(&mut a[slot], |c| c.merge(&b[*theirs])),
                (State::Least(a), State::Least(b)) => self.bytes += grow(&mut a[slot], |c| c.merge(&b[*theirs])),
                (State::Greatest(a), State::Greatest(b)) => self.bytes += grow(&mut a[slot], |c| c.merge(&b[*theirs])),
                (State::First(a), State::First(b)) => self.bytes += grow(&mut a[slot], |c| c.merge(&b[*theirs])),
                (State::Last(a), State::Last(b)) => self.bytes += grow(&mut a[slot], |c| c.merge(&b[*theirs])),
                (State::Moments(a), State::Moments(b)) => self.bytes += grow(&mut a[slot], |c| c.merge(&b[*theirs])),
                (State::Samples(a), State::Samples(b)) => {
                    a[slot].extend_from_slice(&b[*theirs]);
                    self.bytes += size_of_val(b[*theirs].as_slice());
                }
                _ => debug_assert!(false, "folds of different leaves are never merged"),
            }
        }
    }

    /// How many series there are so far.
    pub fn series_count(&self) -> usize {
        self.slots.len()
    }

    /// About how much memory the fold takes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// The value of each series at each step whose window holds a sample, sorted by labels.
    pub fn finish(self) -> Vec<Series> {
        if let Some(labels) = self.absent.clone() {
            return self.finish_absent(labels);
        }
        let (op, seconds) = (self.op, self.range_ns as f64 / 1e9);
        let mut series: Vec<Series> =
            self.slots.iter().map(|(labels, slot)| self.finish_series(labels, *slot)).collect();
        series.retain(|s| !s.points.is_empty());
        if matches!(op, RangeOp::Rate | RangeOp::BytesRate) {
            series.iter_mut().flat_map(|s| &mut s.points).for_each(|point| point.value /= seconds);
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series
    }

    fn finish_series(&self, labels: &Labels, slot: usize) -> Series {
        let (windows, steps, op) = (&self.windows, self.steps, self.op);
        let mut points = Vec::new();
        let mut emit = |step: usize, value: f64| points.push(Point { timestamp_ms: steps.at_ms(step), value });
        match &self.state {
            State::Count(all) => all[slot].slide(windows, |step, count| emit(step, count.0 as f64)),
            State::Sum(all) => all[slot].slide(windows, |step, sum| match op {
                RangeOp::AvgOverTime => emit(step, sum.sum / sum.count as f64),
                _ => emit(step, sum.sum),
            }),
            State::Least(all) => all[slot].slide(windows, |step, least| emit(step, least.0.unwrap_or(f64::NAN))),
            State::Greatest(all) => all[slot].slide(windows, |step, most| emit(step, most.0.unwrap_or(f64::NAN))),
            State::First(all) => all[slot].slide(windows, |step, first| emit(step, first.0.map_or(f64::NAN, |s| s.1))),
            State::Last(all) => all[slot].slide(windows, |step, last| emit(step, last.0.map_or(f64::NAN, |s| s.1))),
            State::Moments(all) => all[slot].slide(windows, |step, moments| match op {
                RangeOp::StddevOverTime => emit(step, moments.variance().sqrt()),
                _ => emit(step, moments.variance()),
            }),
            State::Samples(all) => self.each_window(&all[slot], emit),
        }
        Series { labels: labels.clone(), points }
    }

    /// Computes the operations that need all samples of a window.
    fn each_window(&self, samples: &[(i64, f64)], mut emit: impl FnMut(usize, f64)) {
        let mut sorted = samples.to_vec();
        sorted.sort_by_key(|(timestamp_ns, _)| *timestamp_ns);
        let mut scratch = Vec::new();
        for step in 0..self.windows.count {
            let to_ns = self.steps.at(step).saturating_sub(self.offset_ns);
            let from_ns = to_ns.saturating_sub(self.range_ns);
            let from = sorted.partition_point(|(time, _)| *time <= from_ns);
            let to = sorted.partition_point(|(time, _)| *time <= to_ns);
            if from == to {
                continue;
            }
            let window = &sorted[from..to];
            if self.op == RangeOp::RateCounter {
                emit(step, counter::rate(window, from_ns, to_ns));
            } else {
                scratch.clear();
                scratch.extend(window.iter().map(|(_, value)| *value));
                emit(step, counter::quantile(self.parameter, &mut scratch));
            }
        }
    }

    /// One series with a 1 at each step whose window is empty.
    fn finish_absent(self, labels: Labels) -> Vec<Series> {
        let mut seen = vec![false; self.windows.count];
        if let State::Count(all) = &self.state {
            all.iter().for_each(|cells| cells.slide(&self.windows, |step, _| seen[step] = true));
        }
        let missing = seen.iter().enumerate().filter(|(_, seen)| !**seen);
        let points: Vec<Point> =
            missing.map(|(step, _)| Point { timestamp_ms: self.steps.at_ms(step), value: 1.0 }).collect();
        if points.is_empty() { Vec::new() } else { vec![Series { labels, points }] }
    }

    /// The series so far, each with its slot.
    pub(super) fn series(&self) -> impl Iterator<Item = (usize, &Labels)> {
        self.slots.iter().map(|(labels, slot)| (*slot, labels))
    }

    /// No cell has this number or a greater one.
    pub(super) fn cells_max(&self) -> usize {
        self.windows.cell(self.windows.time_range().1).map_or(0, |last| last + 1)
    }

    /// The states take so many bytes more.
    pub(super) fn grew(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// The slot of a series, made if need be.
    pub(super) fn slot(&mut self, series: &Labels) -> usize {
        if let Some(slot) = self.recent.get(series) {
            return slot;
        }
        let next = self.slots.len();
        // Whether something is absent does not depend on which series is there.
        let key = if self.absent.is_some() { &Labels::default() } else { series };
        let slot = match self.slots.get(key) {
            Some(slot) => *slot,
            None => {
                self.slots.insert(key.clone(), next);
                with_cells!(&mut self.state, all => all.push(Default::default()), all => all.push(Vec::new()));
                self.bytes += SERIES_OVERHEAD_BYTES + key.byte_len();
                next
            }
        };
        self.recent.put(series, slot);
        slot
    }
}

fn state_for(aggregation: &RangeAggregation) -> State {
    match aggregation.op {
        RangeOp::Rate if aggregation.unwrap.is_some() => State::Sum(Vec::new()),
        RangeOp::CountOverTime | RangeOp::Rate | RangeOp::AbsentOverTime => State::Count(Vec::new()),
        RangeOp::BytesOverTime | RangeOp::BytesRate | RangeOp::SumOverTime | RangeOp::AvgOverTime => {
            State::Sum(Vec::new())
        }
        RangeOp::MinOverTime => State::Least(Vec::new()),
        RangeOp::MaxOverTime => State::Greatest(Vec::new()),
        RangeOp::FirstOverTime => State::First(Vec::new()),
        RangeOp::LastOverTime => State::Last(Vec::new()),
        RangeOp::StddevOverTime | RangeOp::StdvarOverTime => State::Moments(Vec::new()),
        RangeOp::QuantileOverTime | RangeOp::RateCounter => State::Samples(Vec::new()),
    }
}

/// Changes cells, and tells by how many bytes they grew.
fn grow<C: Cell>(cells: &mut Cells<C>, change: impl FnOnce(&mut Cells<C>)) -> usize {
    let before = cells.memory_bytes();
    change(cells);
    cells.memory_bytes().saturating_sub(before)
}

/// The slots of label sets met lately, found by their place in memory instead of by hashing their text.
#[derive(Debug, Default)]
struct Recent {
    entries: [Option<(Labels, usize)>; Recent::SIZE],
}

impl Recent {
    /// A scan meets few series at a time.
    const SIZE: usize = 8;

    fn get(&self, labels: &Labels) -> Option<usize> {
        self.entries.iter().flatten().find(|(known, _)| known.is_clone_of(labels)).map(|(_, slot)| *slot)
    }

    fn put(&mut self, labels: &Labels, slot: usize) {
        self.entries.rotate_right(1);
        self.entries[0] = Some((labels.clone(), slot));
    }
}
