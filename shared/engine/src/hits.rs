//! Which rows of a block deserve a closer look: those in time whose lines pass the leading line filters.
//!
//! In: the runs of the chosen streams. Out: their rows, in order. A text is searched over all lines of a block at once,
//! since they lie one behind the other; what is found counts only where it lies within one line. Lines by template are not
//! spelled for that, if texts are all that is asked.

use std::ops::Range;

use logql::pipeline::LineFilter;
use memchr::memmem::Finder;

use crate::Error;
use crate::plan::PlannedRun;
use crate::rows::{Lines, Rows};

/// The rows of a block that are left.
pub(crate) struct Hits {
    /// None: every row in time.
    rows: Option<Vec<usize>>,
    /// For each run its part of `rows`, or of the block.
    pub(crate) runs: Vec<Range<usize>>,
    /// Rows whose lines were searched; 0 if nothing had to be.
    pub(crate) searched: u64,
    /// The bytes of their lines.
    pub(crate) searched_bytes: u64,
}

impl Hits {
    /// Whether no line filter was asked: places are rows.
    pub(crate) fn is_all(&self) -> bool {
        self.rows.is_none()
    }

    /// Those of them that are kept; `keeps` is asked for the number of a run and a row.
    pub(crate) fn keep(self, mut keeps: impl FnMut(usize, usize) -> bool) -> Hits {
        let (mut rows, mut runs) = (Vec::new(), Vec::new());
        for (run, places) in self.runs.iter().enumerate() {
            let from = rows.len();
            rows.extend(places.clone().map(|place| self.row(place)).filter(|row| keeps(run, *row)));
            runs.push(from..rows.len());
        }
        Hits { rows: Some(rows), runs, ..self }
    }

    /// The row at a place that lies in one of `runs`.
    pub(crate) fn row(&self, place: usize) -> usize {
        match &self.rows {
            None => place,
            Some(rows) => rows.get(place).copied().unwrap_or_default(),
        }
    }
}

/// Looks for the rows of some runs, which are in row order.
pub(crate) fn find(runs: &[PlannedRun], filters: &[LineFilter], rows: &Rows) -> Result<Hits, Error> {
    let in_time: Vec<Range<usize>> = runs.iter().map(|run| rows.in_time(run)).collect::<Result<_, _>>()?;
    if filters.is_empty() {
        return Ok(Hits { rows: None, runs: in_time, searched: 0, searched_bytes: 0 });
    }
    let mut found = Vec::new();
    let (mut searched, mut searched_bytes) = (0, 0);
    let passing = passing(filters, rows)?;
    for span in spans(&in_time) {
        searched += span.len() as u64;
        let lengths = rows.lengths()?.get(span.clone()).unwrap_or_default();
        searched_bytes += lengths.iter().map(|length| u64::from(*length)).sum::<u64>();
        match &passing {
            Some(passing) => found.extend(span.filter(|row| passing.get(*row) == Some(&true))),
            None => search(rows.lines()?, span, filters, &mut found),
        }
    }
    let place = |row: usize| found.partition_point(|hit| *hit < row);
    let runs = in_time.iter().map(|rows| place(rows.start)..place(rows.end)).collect();
    Ok(Hits { rows: Some(found), runs, searched, searched_bytes })
}

/// For each row whether it passes, if all filters are of plain text and the lines need not be spelled to tell.
fn passing(filters: &[LineFilter], rows: &Rows) -> Result<Option<Vec<bool>>, Error> {
    let mut passing: Option<Vec<bool>> = None;
    for filter in filters {
        let Some((text, is_wanted)) = filter.text() else { return Ok(None) };
        let Some(mut holding) = rows.holding(text)? else { return Ok(None) };
        let before = passing.iter().flatten().chain(std::iter::repeat(&true));
        holding.iter_mut().zip(before).for_each(|(holds, before)| *holds = (*holds == is_wanted) & before);
        passing = Some(holding);
    }
    Ok(passing)
}

/// Joins ranges that follow each other without a gap.
fn spans(ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        match spans.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => spans.push(range.clone()),
        }
    }
    spans
}

/// Appends the rows whose lines pass all filters.
fn search(lines: &Lines, rows: Range<usize>, filters: &[LineFilter], found: &mut Vec<usize>) {
    let passes = |row: &usize| {
        let line = lines.get(*row);
        filters.iter().all(|filter| filter.matches(line))
    };
    // Of filters that must all hold, a text is the quickest to ask first.
    match filters.iter().find_map(LineFilter::needle) {
        Some(needle) if filters.len() == 1 => each_holding(lines, &rows, needle, |row| found.push(row)),
        Some(needle) => each_holding(lines, &rows, needle, |row| found.extend(Some(row).filter(&passes))),
        None => found.extend(rows.filter(passes)),
    }
}

/// Calls `each` with the rows whose lines contain a text, in order.
fn each_holding(lines: &Lines, rows: &Range<usize>, needle: &[u8], mut each: impl FnMut(usize)) {
    let finder = Finder::new(needle);
    let (text, offsets) = (lines.text(rows), lines.offsets(rows));
    let Some(base) = offsets.first().copied() else { return };
    let (mut from, mut line) = (0, 0);
    while let Some(at) = text.get(from..).and_then(|rest| finder.find(rest)) {
        let start = from + at;
        let behind = offsets.get(line..).unwrap_or_default();
        line += behind.partition_point(|offset| offset - base <= start).saturating_sub(1);
        let Some(end) = offsets.get(line + 1).map(|end| end - base) else { return };
        if start + needle.len() <= end {
            each(rows.start + line);
            from = end;
        } else {
            // It straddles two lines, and so is in neither.
            from = start + 1;
        }
    }
}
