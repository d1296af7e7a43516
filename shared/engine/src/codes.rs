//! Which rows of a block have the metadata that a pipeline begins by asking for.
//!
//! In: rows that deserve a closer look, and matchers of label values. Out: those of them that may pass. Each distinct value of a
//! column is asked once, and of the block nothing is decoded but the columns that matchers name: a row that cannot pass becomes no
//! entry. May keep a row that the pipeline drops; must never drop one that it keeps.

use logql::pipeline::StringFilter;

use crate::Error;
use crate::hits::Hits;
use crate::plan::PlannedRun;
use crate::rows::Rows;

/// A matcher and what it says of each code of its column; of 0, that of rows without the name, alone if there is no column.
struct Asked<'f, 'r> {
    name: &'f str,
    codes: &'r [u32],
    passes: Vec<bool>,
}

impl<'f, 'r> Asked<'f, 'r> {
    fn new(matcher: &'f StringFilter, rows: &'r Rows) -> Result<Self, Error> {
        let column = rows.values(matcher.name())?;
        let values = column.map_or(&[][..], |column| &column.values);
        let passes = std::iter::once("").chain(values.iter().map(String::as_str)).map(|value| matcher.matches(value));
        Ok(Asked {
            name: matcher.name(),
            codes: column.map_or(&[][..], |column| &column.codes),
            passes: passes.collect(),
        })
    }

    fn passes(&self, row: usize) -> bool {
        let code = self.codes.get(row).copied().unwrap_or_default();
        self.passes.get(code as usize).copied().unwrap_or(true)
    }
}

/// The rows of some runs that may pass all matchers. Rows that were asked count as searched.
pub(crate) fn keep(runs: &[PlannedRun], matchers: &[&StringFilter], rows: &Rows, hits: Hits) -> Result<Hits, Error> {
    let asked: Vec<Asked<'_, '_>> =
        matchers.iter().map(|matcher| Asked::new(matcher, rows)).collect::<Result<_, _>>()?;
    // A stream's own label goes before metadata of its name.
    let of_run = |run: &PlannedRun| asked.iter().filter(|asked| !run.stream.contains(asked.name)).collect();
    let asked: Vec<Vec<&Asked<'_, '_>>> = runs.iter().map(of_run).collect();
    if asked.iter().all(Vec::is_empty) {
        return Ok(hits);
    }
    let lengths = rows.lengths()?;
    let (mut searched, mut searched_bytes) = (0, 0);
    let mut kept = hits.keep(|run, row| {
        searched += 1;
        searched_bytes += u64::from(lengths.get(row).copied().unwrap_or_default());
        asked.get(run).is_none_or(|asked| asked.iter().all(|asked| asked.passes(row)))
    });
    if kept.searched == 0 {
        (kept.searched, kept.searched_bytes) = (searched, searched_bytes);
    }
    Ok(kept)
}
