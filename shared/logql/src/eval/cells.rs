//! What is kept of the samples between two window edges, and how windows are put together from it.
//!
//! Adding a sample costs the same however many windows hold it. Windows are then slid over the cells with two stacks, so
//! that each cell is touched a constant number of times and nothing is ever subtracted: counts stay exact, and one NaN
//! spoils only the windows that hold it.

use std::collections::VecDeque;

use super::steps::Windows;

/// The aggregate of the samples of one cell.
pub(super) trait Cell: Copy + Default {
    /// Takes in a sample; of two with the same time the one added first is the earlier one.
    fn add(&mut self, timestamp_ns: i64, value: f64);
    /// Takes in another cell's samples.
    fn absorb(&mut self, other: &Self);
    /// Whether there was no sample.
    fn is_empty(&self) -> bool;
}

/// How many samples there were.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count(pub(super) u64);

impl Cell for Count {
    fn add(&mut self, _: i64, _: f64) {
        self.0 += 1;
    }
    fn absorb(&mut self, other: &Self) {
        self.0 += other.0;
    }
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

/// Their sum and number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) sum: f64,
    pub(super) count: u64,
}

impl Cell for Sum {
    fn add(&mut self, _: i64, value: f64) {
        self.sum += value;
        self.count += 1;
    }
    fn absorb(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The smallest; NaN only if there is nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Least(pub(super) Option<f64>);

impl Cell for Least {
    fn add(&mut self, _: i64, value: f64) {
        self.absorb(&Least(Some(value)));
    }
    fn absorb(&mut self, other: &Self) {
        self.0 = merge(self.0, other.0, f64::min);
    }
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// The largest; NaN only if there is nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Greatest(pub(super) Option<f64>);

impl Cell for Greatest {
    fn add(&mut self, _: i64, value: f64) {
        self.absorb(&Greatest(Some(value)));
    }
    fn absorb(&mut self, other: &Self) {
        self.0 = merge(self.0, other.0, f64::max);
    }
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

fn merge(a: Option<f64>, b: Option<f64>, choose: fn(f64, f64) -> f64) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(choose(a, b)),
        (some, None) | (None, some) => some,
    }
}

/// The earliest sample.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct First(pub(super) Option<(i64, f64)>);

impl Cell for First {
    fn add(&mut self, timestamp_ns: i64, value: f64) {
        self.absorb(&First(Some((timestamp_ns, value))));
    }
    fn absorb(&mut self, other: &Self) {
        if let Some(theirs) = other.0
            && self.0.is_none_or(|ours| theirs.0 < ours.0)
        {
            self.0 = other.0;
        }
    }
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// The latest sample.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last(pub(super) Option<(i64, f64)>);

impl Cell for Last {
    fn add(&mut self, timestamp_ns: i64, value: f64) {
        self.absorb(&Last(Some((timestamp_ns, value))));
    }
    fn absorb(&mut self, other: &Self) {
        if let Some(theirs) = other.0
            && self.0.is_none_or(|ours| theirs.0 >= ours.0)
        {
            self.0 = other.0;
        }
    }
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Mean and squared deviations, after Welford; merged after Chan.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) deviations: f64,
}

impl Moments {
    /// The population variance.
    pub(super) fn variance(&self) -> f64 {
        self.deviations / self.count as f64
    }
}

impl Cell for Moments {
    fn add(&mut self, _: i64, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.deviations += delta * (value - self.mean);
    }
    fn absorb(&mut self, other: &Self) {
        if self.count == 0 {
            *self = *other;
        } else if other.count > 0 {
            let (ours, theirs) = (self.count as f64, other.count as f64);
            let delta = other.mean - self.mean;
            self.count += other.count;
            self.mean += delta * theirs / (ours + theirs);
            self.deviations += other.deviations + delta * delta * ours * theirs / (ours + theirs);
        }
    }
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The cells of one series, from the first that holds a sample to the last.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells<C> {
    first: usize,
    cells: VecDeque<C>,
}

impl<C: Cell> Cells<C> {
    /// The cell of that number, made if need be.
    pub(super) fn at(&mut self, cell: usize) -> &mut C {
        if self.cells.is_empty() {
            self.first = cell;
        }
        while cell < self.first {
            self.cells.push_front(C::default());
            self.first -= 1;
        }
        let index = cell - self.first;
        if index >= self.cells.len() {
            self.cells.resize(index + 1, C::default());
        }
        &mut self.cells[index]
    }

    /// Takes in the cells of the same series from another fold.
    pub(super) fn merge(&mut self, other: &Cells<C>) {
        for (index, cell) in other.cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            self.at(other.first + index).absorb(cell);
        }
    }

    /// The cells with their numbers, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &C)> {
        (self.first..).zip(&self.cells)
    }

    /// The memory that the cells take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<C>()
    }

    /// Calls `emit` with the aggregate of each window that holds a sample.
    pub(super) fn slide(&self, windows: &Windows, mut emit: impl FnMut(usize, &C)) {
        let end = self.first + self.cells.len();
        // Aggregates of `index..middle` for falling indexes, and of `middle..next`.
        let (mut front, mut back) = (Vec::<C>::new(), C::default());
        let (mut middle, mut next) = (self.first, self.first);
        for step in windows.steps_over(self.first, end) {
            let (from, to) = windows.cells_of(step);
            let (from, to) = (from.max(self.first), to.min(end));
            while next < to {
                back.absorb(&self.cells[next - self.first]);
                next += 1;
            }
            if from >= middle {
                middle = next;
                back = C::default();
                front.clear();
                let mut suffix = C::default();
                for index in (from..middle).rev() {
                    let mut cell = self.cells[index - self.first];
                    cell.absorb(&suffix);
                    suffix = cell;
                    front.push(suffix);
                }
            } else {
                front.truncate(middle - from);
            }
            let mut window = front.last().copied().unwrap_or_default();
            window.absorb(&back);
            if !window.is_empty() {
                emit(step, &window);
            }
        }
    }
}
