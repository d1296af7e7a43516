//! Entries that are forgotten one by one: the rows of a block that a question passes over.
//!
//! In: runs whose entries must be looked at, and a block. Out: the rows of those that are hidden. Runs that are shown as a whole cost
//! nothing.

use std::sync::Arc;

use logql::pipeline::StreamPipeline;
use model::EntryRef;
use segment::LEVEL_NAME;

use super::EntryForget;
use super::delete::Delete;
use crate::Error;
use crate::plan::PlannedRun;
use crate::rows::{Columns, Metadata, MetadataColumns, Rows};

/// Looks at the entries of one stream.
pub(crate) struct Hiding<'f> {
    forget: &'f EntryForget,
    pipelines: Vec<(&'f Delete, StreamPipeline<'f>)>,
}

impl<'f> Hiding<'f> {
    pub(crate) fn new(forget: &'f EntryForget) -> Self {
        Hiding { forget, pipelines: forget.pipelines() }
    }

    /// Whether an entry is hidden.
    pub(crate) fn hides(&mut self, entry: EntryRef<'_>) -> bool {
        let time = entry.timestamp_ns;
        self.forget.is_past(entry)
            || (self.pipelines.iter_mut())
                .any(|(delete, pipeline)| delete.overlaps(time, time) && pipeline.process(entry).is_some())
    }
}

/// The columns that tell which entries of some runs are hidden, besides those that are wanted anyway.
pub(crate) fn columns(runs: &[PlannedRun], wanted: Columns) -> Columns {
    let mut all = wanted;
    for forget in runs.iter().filter_map(|run| run.forget.as_ref()) {
        if !forget.deletes.is_empty() {
            return Columns::all();
        }
        if let MetadataColumns::Named(names) = &mut all.metadata
            && !names.iter().any(|name| name == LEVEL_NAME)
        {
            names.push(LEVEL_NAME.to_owned());
        }
    }
    all
}

/// The rows of some runs that are to be passed over: those that another segment has too, and those that are hidden.
pub(crate) fn passed_over(
    runs: &[PlannedRun],
    rows: &Rows,
    doubles: &Arc<Vec<usize>>,
) -> Result<Arc<Vec<usize>>, Error> {
    if runs.iter().all(|run| run.forget.is_none()) {
        return Ok(Arc::clone(doubles));
    }
    let mut over = Vec::clone(doubles);
    let mut metadata = Metadata::new();
    for (run, forget) in runs.iter().filter_map(|run| Some((run, run.forget.as_ref()?))) {
        let mut hiding = Hiding::new(forget);
        for row in rows.in_time(run)? {
            if hiding.hides(rows.entry(row, &mut metadata)?) {
                over.push(row);
            }
        }
    }
    over.sort_unstable();
    over.dedup();
    Ok(Arc::new(over))
}
