//! Streams of which perhaps nothing is left: whether they still have an entry to show.
//!
//! In: the times of a stream in a segment, and what is forgotten of it. Out: yes, no, or "perhaps", and then the answer from the
//! blocks. A cut by age leaves the latest entry, so that "perhaps" is rare: deletes with filters, and both ends deleted.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;
use logql::matcher::Selector;
use model::{Labels, TimeRange};

use super::{StreamForget, columns, passed_over};
use crate::Error;
use crate::footers::OpenSegment;
use crate::needles::Need;
use crate::plan::Plan;
use crate::reader::{Reader, at_once};
use crate::rows::{Columns, MetadataColumns, Rows};
use crate::scan::Scan;

/// Whether a stream has entries to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    /// It has.
    Yes,
    /// It has none.
    No,
    /// Its blocks must be asked.
    Perhaps,
}

impl StreamForget {
    /// Whether anything in a range is shown of entries between two times, at each of which there is one.
    pub(crate) fn remains(&self, range: TimeRange, min_ts: i64, max_ts: i64) -> Remains {
        let mut pieces = self.pieces(range, min_ts, max_ts).peekable();
        let Some((_, entries)) = pieces.peek() else { return Remains::No };
        let is_shown = |time: i64| self.shown.iter().any(|shown| shown.contains(time));
        match entries {
            None if is_shown(min_ts) || is_shown(max_ts) => Remains::Yes,
            _ => Remains::Perhaps,
        }
    }
}

/// Those of some streams that have an entry to show in a range.
pub(crate) async fn left(
    streams: HashSet<Labels, RandomState>,
    range: TimeRange,
    opened: Vec<Arc<OpenSegment>>,
    reader: &Reader,
) -> Result<HashSet<Labels, RandomState>, Error> {
    if streams.is_empty() {
        return Ok(streams);
    }
    let (scan, _cancel) = Scan::new(reader.clone());
    let mut plan = Plan::new(&Selector::new(&[])?, range, Need::Nothing, opened, &reader.forgets());
    plan.keep_streams(|stream| streams.contains(stream));
    let times = Columns { lines: false, lengths: false, metadata: MetadataColumns::Named(Vec::new()) };
    let blocks = plan.segments.iter().flat_map(|segment| segment.blocks.iter().map(|block| (&segment.opened, block)));
    let work = blocks.map(|(opened, block)| {
        let (columns, runs) = (columns(&block.runs, times.clone()), block.runs.clone());
        let work = move |rows: &Rows| {
            let over = passed_over(&runs, rows, &Arc::default())?;
            let mut found = Vec::new();
            for run in &runs {
                if rows.in_time(run)?.any(|row| over.binary_search(&row).is_err()) {
                    found.push(run.stream.clone());
                }
            }
            Ok(found)
        };
        let scan = scan.clone();
        async move { scan.block(opened.clone(), block.index, &columns, work).await }
    });
    let found: Vec<Vec<Labels>> = at_once(scan.blocks_concurrency(), work.collect()).await?;
    Ok(found.into_iter().flatten().collect())
}
