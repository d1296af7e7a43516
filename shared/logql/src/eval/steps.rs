//! The times at which a metric query is computed, and the windows that look back from them.
//!
//! A window is `(t − range, t]` for each step `t`, all of them moved by the offset. Windows that overlap share cells: the
//! stretches between any two neighbouring edges. A sample lies in one cell, a window is a run of cells.

/// `start`, `start + step`, … up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first time, in nanoseconds since 1970.
    pub start_ns: i64,
    /// No step is later than this.
    pub end_ns: i64,
    /// Their distance; zero or less means that there is only the first.
    pub step_ns: i64,
}

impl Steps {
    /// The one step of an instant query.
    pub fn instant(time_ns: i64) -> Self {
        Steps { start_ns: time_ns, end_ns: time_ns, step_ns: 0 }
    }

    /// The steps of a range query as Loki takes them: the start moved back and the end moved on to a multiple of the step.
    pub fn aligned(start_ns: i64, end_ns: i64, step_ns: i64) -> Self {
        if step_ns <= 0 {
            return Steps { start_ns, end_ns, step_ns };
        }
        let start_ns = start_ns.saturating_sub(start_ns.rem_euclid(step_ns));
        let over = end_ns.rem_euclid(step_ns);
        let end_ns = if over == 0 { end_ns } else { end_ns.saturating_add(step_ns - over) };
        Steps { start_ns, end_ns, step_ns }
    }

    /// How many steps there are.
    pub fn count(&self) -> usize {
        if self.end_ns < self.start_ns {
            return 0;
        }
        if self.step_ns <= 0 {
            return 1;
        }
        usize::try_from(self.end_ns.abs_diff(self.start_ns) / self.step_ns.unsigned_abs() + 1).unwrap_or(usize::MAX)
    }

    /// The time of a step.
    pub fn at(&self, step: usize) -> i64 {
        let distance = i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(self.step_ns.max(0));
        self.start_ns.saturating_add(distance)
    }

    /// The time of a step in whole milliseconds, as answers carry it.
    pub(super) fn at_ms(&self, step: usize) -> i64 {
        self.at(step).div_euclid(1_000_000)
    }
}

/// The windows of all steps, and how times fall into their cells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    /// How many.
    pub(super) count: usize,
    /// The exclusive start of the first window.
    from_ns: i64,
    /// The inclusive end of the last one.
    to_ns: i64,
    /// Distance between windows; never 0.
    step_ns: u64,
    /// What of the range is left after taking away whole steps. If it is not 0, each step is cut in two cells.
    rest_ns: u64,
    /// Whole steps in a range.
    whole: usize,
    /// Steps that lie in every window and share one cell with the step before them: with a range much longer than the
    /// query there would otherwise be far more cells than windows.
    shared: usize,
}

impl Windows {
    pub(super) fn new(steps: Steps, range_ns: i64, offset_ns: i64) -> Self {
        let count = steps.count();
        let range = range_ns.max(1).unsigned_abs();
        let step_ns = if count <= 1 { range } else { steps.step_ns.max(1).unsigned_abs() };
        let whole = usize::try_from(range / step_ns).unwrap_or(usize::MAX);
        let shared = whole.saturating_sub(count.max(1));
        let from_ns = steps.start_ns.saturating_sub(offset_ns).saturating_sub(range_ns.max(1));
        let last = steps.at(count.saturating_sub(1));
        let to_ns = if count == 0 { from_ns } else { last.saturating_sub(offset_ns) };
        Windows { count, from_ns, to_ns, step_ns, rest_ns: range % step_ns, whole: whole - shared, shared }
    }

    /// The times that lie in windows: `(from, to]`, though there may be gaps between windows.
    pub(super) fn time_range(&self) -> (i64, i64) {
        (self.from_ns, self.to_ns)
    }

    /// The cell in which a time lies, if any window holds it.
    pub(super) fn cell(&self, timestamp_ns: i64) -> Option<usize> {
        if timestamp_ns <= self.from_ns || timestamp_ns > self.to_ns {
            return None;
        }
        let distance = timestamp_ns.wrapping_sub(self.from_ns).cast_unsigned() - 1;
        let (step, within) = (distance / self.step_ns, distance % self.step_ns);
        let step = usize::try_from(step).ok()?;
        let step = if step < self.count { step } else { step.saturating_sub(self.shared).max(self.count - 1) };
        if self.rest_ns == 0 {
            return Some(step);
        }
        let behind = within >= self.rest_ns;
        // Ranges shorter than a step leave gaps.
        if behind && self.whole == 0 { None } else { Some(2 * step + usize::from(behind)) }
    }

    /// The last time of the cell in which `timestamp_ns` lies, as far as the cell is in one piece.
    pub(super) fn cell_end(&self, timestamp_ns: i64) -> i64 {
        let distance = timestamp_ns.wrapping_sub(self.from_ns).cast_unsigned().saturating_sub(1);
        let within = distance % self.step_ns;
        let edge = if within < self.rest_ns { self.rest_ns } else { self.step_ns };
        timestamp_ns.saturating_add(i64::try_from(edge - 1 - within).unwrap_or(i64::MAX)).min(self.to_ns)
    }

    /// The cells of a window: from, and up to but not including.
    pub(super) fn cells_of(&self, step: usize) -> (usize, usize) {
        if self.rest_ns == 0 { (step, step + self.whole) } else { (2 * step, 2 * (step + self.whole) + 1) }
    }

    /// The steps whose windows hold any cell of `first..end`.
    pub(super) fn steps_over(&self, first: usize, end: usize) -> std::ops::Range<usize> {
        let (per_step, length) = if self.rest_ns == 0 { (1, self.whole) } else { (2, 2 * self.whole + 1) };
        let from = if first < length { 0 } else { (first - length) / per_step + 1 };
        from..end.div_ceil(per_step).min(self.count)
    }
}
