//! A fold on its way from one process to another: the states of its cells, series by series.
//!
//! In: a fold. Out: bytes, and the same fold again, to the bit. The reader knows the leaf and its steps, so neither they nor the
//! shape of a state are written; what does not fit them, or would take more memory than it may, is an error.
//! ```text
//! fold    = kind of state, byte | series count | series…
//! series  = labels | count of cells with samples | (cell − the one before, state)…
//!         = labels | count of samples | (time − the one before, value)…           where every sample is kept
//! Count   = count        Sum = count, sum          Least, Greatest = value
//! First, Last = time, value                        Moments = count, mean, deviations
//! ```

use model::{WireError, WireReader, WireWriter};

use super::cells::{Cell, Cells, Count, First, Greatest, Last, Least, Moments, Sum};
use super::fold::{RangeFold, State, with_cells};
use super::{Leaf, Steps};

/// A state that can travel. What is empty never does.
trait Travelling: Cell {
    fn write(&self, out: &mut WireWriter);
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError>;
}

impl Travelling for Count {
    fn write(&self, out: &mut WireWriter) {
        out.unsigned(self.0);
    }
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError> {
        Ok(Count(count(input)?))
    }
}

impl Travelling for Sum {
    fn write(&self, out: &mut WireWriter) {
        out.unsigned(self.count);
        out.float(self.sum);
    }
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError> {
        Ok(Sum { count: count(input)?, sum: input.float()? })
    }
}

impl Travelling for Least {
    fn write(&self, out: &mut WireWriter) {
        out.float(self.0.unwrap_or(f64::NAN));
    }
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError> {
        Ok(Least(Some(input.float()?)))
    }
}

impl Travelling for Greatest {
    fn write(&self, out: &mut WireWriter) {
        out.float(self.0.unwrap_or(f64::NAN));
    }
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError> {
        Ok(Greatest(Some(input.float()?)))
    }
}

impl Travelling for First {
    fn write(&self, out: &mut WireWriter) {
        write_sample(self.0, out);
    }
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError> {
        Ok(First(Some((input.signed()?, input.float()?))))
    }
}

impl Travelling for Last {
    fn write(&self, out: &mut WireWriter) {
        write_sample(self.0, out);
    }
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError> {
        Ok(Last(Some((input.signed()?, input.float()?))))
    }
}

impl Travelling for Moments {
    fn write(&self, out: &mut WireWriter) {
        out.unsigned(self.count);
        out.float(self.mean);
        out.float(self.deviations);
    }
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError> {
        Ok(Moments { count: count(input)?, mean: input.float()?, deviations: input.float()? })
    }
}

/// Entries that were folded: some, and not so many that sums of them could overflow.
fn count(input: &mut WireReader<'_>) -> Result<u64, WireError> {
    match input.unsigned()? {
        0 => Err(WireError("a cell without samples was sent")),
        count if count > u64::from(u32::MAX) << 16 => Err(WireError("a number is too large")),
        count => Ok(count),
    }
}

fn write_sample(sample: Option<(i64, f64)>, out: &mut WireWriter) {
    let (timestamp_ns, value) = sample.unwrap_or((0, f64::NAN));
    out.signed(timestamp_ns);
    out.float(value);
}

fn write_cells<C: Travelling>(cells: &Cells<C>, out: &mut WireWriter) {
    let filled = || cells.iter().filter(|(_, cell)| !cell.is_empty());
    out.count(filled().count());
    let mut before = 0;
    for (number, cell) in filled() {
        out.count(number - before);
        cell.write(out);
        before = number;
    }
}

/// Reads a series' cells; tells by how many bytes they grew.
fn read_cells<C: Travelling>(
    cells: &mut Cells<C>,
    cells_max: usize,
    input: &mut WireReader<'_>,
) -> Result<usize, WireError> {
    let before_bytes = cells.memory_bytes();
    let mut number = 0usize;
    for _ in 0..input.count(2)? {
        number = number.saturating_add(input.index()?);
        if number >= cells_max {
            return Err(WireError("a cell outside of all windows"));
        }
        let cell = C::read(input)?;
        cells.at(number).absorb(&cell);
    }
    Ok(cells.memory_bytes().saturating_sub(before_bytes))
}

fn write_samples(samples: &[(i64, f64)], out: &mut WireWriter) {
    out.count(samples.len());
    let mut before = 0i64;
    for (timestamp_ns, value) in samples {
        out.signed(timestamp_ns.wrapping_sub(before));
        out.float(*value);
        before = *timestamp_ns;
    }
}

fn read_samples(samples: &mut Vec<(i64, f64)>, input: &mut WireReader<'_>) -> Result<usize, WireError> {
    let count = input.count(9)?;
    let mut timestamp_ns = 0i64;
    samples.reserve(count);
    for _ in 0..count {
        timestamp_ns = timestamp_ns.wrapping_add(input.signed()?);
        samples.push((timestamp_ns, input.float()?));
    }
    Ok(count * size_of::<(i64, f64)>())
}

impl State {
    /// Tells the shape of a state.
    fn kind(&self) -> u8 {
        match self {
            State::Count(_) => 1,
            State::Sum(_) => 2,
            State::Least(_) => 3,
            State::Greatest(_) => 4,
            State::First(_) => 5,
            State::Last(_) => 6,
            State::Moments(_) => 7,
            State::Samples(_) => 8,
        }
    }
}

impl RangeFold {
    /// Writes what was folded so far.
    pub fn write(&self, out: &mut WireWriter) {
        let mut series: Vec<(usize, &model::Labels)> = self.series().collect();
        series.sort_unstable_by_key(|(slot, _)| *slot);
        out.byte(self.state.kind());
        out.count(series.len());
        for (slot, labels) in series {
            out.labels(labels);
            with_cells!(&self.state, all => write_cells(&all[slot], out), all => write_samples(&all[slot], out));
        }
    }

    /// Reads what another process folded for the same leaf and steps.
    pub fn read(
        leaf: &Leaf<'_>,
        steps: Steps,
        input: &mut WireReader<'_>,
        memory_bytes_max: usize,
    ) -> Result<Self, WireError> {
        let mut fold = RangeFold::new(leaf, steps);
        if input.byte()? != fold.state.kind() {
            return Err(WireError("the fold of another operation"));
        }
        let cells_max = fold.cells_max();
        for _ in 0..input.count(2)? {
            let labels = input.labels()?;
            let slot = fold.slot(&labels);
            let grown = with_cells!(&mut fold.state,
                all => read_cells(&mut all[slot], cells_max, input)?,
                all => read_samples(&mut all[slot], input)?);
            fold.grew(grown);
            if fold.memory_bytes() > memory_bytes_max {
                return Err(WireError("the fold takes more memory than a query may use"));
            }
        }
        Ok(fold)
    }
}
