//! Live log queries: the same selector and pipeline, run over entries as they are stored.
//!
//! In: a log query, and entries that a commit or a fresh segment brought. Out: those that match, each with what makes it the same
//! entry as one that was told before. Looks at a stream's labels once and runs the pipeline once an entry; keeps nothing.

use std::ops::Range;
use std::slice;
use std::time::Duration;

use logql::ast::{Expr, LogExpr};
use logql::matcher::Selector;
use logql::pipeline::{Pipeline, StreamPipeline};
use model::{EntryRef, EntryVisitor, Labels, LogEntry, StoredEntries, TenantId, TimeRange};
use store::{Marks, SegmentRef};

use crate::duplicates::identity;
use crate::rows::{Columns, Metadata, Rows};
use crate::scan::Scan;
use crate::tenants::Tenants;
use crate::{Direction, Engine, Error, Forget, StreamForget, logs};

/// A log query that is asked of entries to come.
pub struct LiveQuery {
    expr: LogExpr,
    selector: Selector,
    pipeline: Pipeline,
}

/// An entry that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveEntry {
    /// Equal for equal entries of a stream, in whichever segment they lie: time, line and metadata as stored.
    pub identity: u128,
    /// The entry behind the pipeline.
    pub entry: LogEntry,
}

impl LiveQuery {
    /// Compiles a query. A metric query is no error of the language, but cannot be followed: that is `Ok(None)`.
    pub fn parse(query: &str) -> Result<Option<Self>, Error> {
        let Expr::Log(expr) = logql::parse(query)? else { return Ok(None) };
        let (selector, pipeline) = (Selector::new(&expr.selector)?, Pipeline::new(&expr.pipeline)?);
        Ok(Some(LiveQuery { expr, selector, pipeline }))
    }

    /// Whether entries of this stream may match.
    pub fn matches_stream(&self, stream: &Labels) -> bool {
        self.selector.matches(stream)
    }

    /// Gives every entry that matches to `found`, but for those that are forgotten.
    pub fn run(&self, entries: &dyn StoredEntries, forget: &Forget, found: &mut dyn FnMut(LiveEntry)) {
        let forget = (!forget.is_nothing()).then_some(forget);
        entries.walk(&mut Follower { query: self, forget, found, stream: None, hidden: None });
    }
}

/// Runs one query over a walk of entries.
struct Follower<'q> {
    query: &'q LiveQuery,
    forget: Option<&'q Forget>,
    found: &'q mut dyn FnMut(LiveEntry),
    /// The pipeline of the stream that is walked, and the stream's hash.
    stream: Option<(StreamPipeline<'q>, u64)>,
    /// What is forgotten of that stream.
    hidden: Option<StreamForget>,
}

impl EntryVisitor for Follower<'_> {
    fn stream(&mut self, labels: &Labels) -> bool {
        let matches = self.query.matches_stream(labels);
        self.stream = matches.then(|| (self.query.pipeline.for_stream(labels), labels.stable_hash()));
        self.hidden = self.forget.filter(|_| matches).map(|forget| forget.of_stream(labels, &Marks::default()));
        matches
    }

    fn entry(&mut self, entry: EntryRef<'_>) {
        let Some((pipeline, stream_hash)) = &mut self.stream else { return };
        if self.hidden.as_ref().is_some_and(|hidden| hidden.hides(entry)) {
            return;
        }
        if let Some(processed) = pipeline.process(entry) {
            let entry = LiveEntry { identity: identity(*stream_hash, entry), entry: processed.to_log_entry() };
            (self.found)(entry);
        }
    }
}

impl Engine {
    /// The newest entries of a range, oldest first: what a tail tells before it goes live.
    pub async fn history(
        &self,
        query: &LiveQuery,
        tenant: &TenantId,
        range: TimeRange,
        limit: usize,
        timeout: Duration,
    ) -> Result<Vec<LiveEntry>, Error> {
        let newest = &logs::LogQuery::new(&query.expr, Direction::Backward, limit)?;
        let work = |reader| async move {
            let (scan, _cancel) = Scan::new(reader);
            newest.find(&scan, range).await
        };
        let finding = self.attempts(Tenants::of_selectors(slice::from_ref(tenant), &[])?, false, work);
        let (found, _) = crate::within(timeout, finding).await?;
        Ok(found.into_identified().rev().map(|(identity, entry)| LiveEntry { identity, entry }).collect())
    }

    /// Walks a tenant's segment block by block, off the async threads; what has no stream that is `wanted` is not read.
    pub async fn walk_segment(
        &self,
        tenant: &TenantId,
        segment: &SegmentRef,
        wanted: impl Fn(&Labels) -> bool,
        walk: impl Fn(&dyn StoredEntries) + Clone + Send + 'static,
    ) -> Result<(), Error> {
        let (scan, _cancel) = Scan::new(self.reader(Tenants::of_selectors(slice::from_ref(tenant), &[])?));
        scan.reader().learn_forgets().await?;
        for opened in scan.reader().open(vec![segment.clone()]).await? {
            let forgets = scan.reader().forgets();
            let forget = forgets.of_segment(&opened);
            let streams = opened.footer.streams();
            for (index, block) in opened.footer.blocks().iter().enumerate() {
                let run_of = |run: &segment::Run| {
                    let stream = &streams.get(run.stream as usize)?.labels;
                    let end_row = run.first_row.saturating_add(run.rows) as usize;
                    let hidden = || forget.as_ref().map(|forget| forget.of_stream(stream));
                    let rows = run.first_row as usize..end_row;
                    wanted(stream).then(|| WantedRun { stream: stream.clone(), rows, hidden: hidden() })
                };
                let runs: Vec<WantedRun> = block.runs.iter().filter_map(run_of).collect();
                if runs.is_empty() {
                    continue;
                }
                let walk = walk.clone();
                let work = move |rows: &Rows| {
                    let len = rows.timestamps()?.len();
                    if len > 0 {
                        // Decodes every column: a block that is broken is an error before anything of it is told.
                        rows.entry(0, &mut Metadata::new())?;
                    }
                    walk(&WantedRows { rows, len, runs });
                    Ok(())
                };
                scan.block(opened.clone(), index, &Columns::all(), work).await?;
            }
        }
        Ok(())
    }
}

/// Rows of one stream.
struct WantedRun {
    stream: Labels,
    rows: Range<usize>,
    /// What is forgotten of it.
    hidden: Option<StreamForget>,
}

/// A decoded block, of which some streams are wanted.
struct WantedRows<'r> {
    rows: &'r Rows,
    len: usize,
    runs: Vec<WantedRun>,
}

impl StoredEntries for WantedRows<'_> {
    fn walk(&self, visitor: &mut dyn EntryVisitor) {
        let mut metadata = Metadata::new();
        for run in self.runs.iter() {
            if !visitor.stream(&run.stream) {
                continue;
            }
            for row in run.rows.start..run.rows.end.min(self.len) {
                if let Ok(entry) = self.rows.entry(row, &mut metadata)
                    && !run.hidden.as_ref().is_some_and(|hidden| hidden.hides(entry))
                {
                    visitor.entry(entry);
                }
            }
        }
    }
}
