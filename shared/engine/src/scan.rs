//! Reads blocks: the columns that are wanted and nothing else, then work on them off the async threads.
//!
//! Never more blocks in memory than the query's budget has room for, never more decoded at once than the machine has
//! threads. When the query is dropped, the work under way stops at the next block or row check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use segment::ColumnMeta;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;
use crate::budget::Budget;
use crate::footers::OpenSegment;
use crate::groups::Parts;
use crate::reader::{Reader, corrupt};
use crate::rows::{Columns, Lines, Rows};

/// What all scans of one query share.
#[derive(Clone)]
pub(crate) struct Scan {
    reader: Reader,
    budget: Budget,
    threads: Arc<Semaphore>,
    cancelled: Arc<AtomicBool>,
}

/// Tells the threads of a query that nobody waits any more.
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Scan {
    pub(crate) fn new(reader: Reader) -> (Self, CancelOnDrop) {
        let budget = Budget::new(reader.settings().query_memory_bytes_max);
        let threads = Arc::new(Semaphore::new(reader.settings().decode_concurrency_max.max(1)));
        let cancelled = Arc::new(AtomicBool::new(false));
        (Scan { reader, budget, threads, cancelled: cancelled.clone() }, CancelOnDrop(cancelled))
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// How much work is done at the same time.
    pub(crate) fn threads_max(&self) -> usize {
        self.reader.settings().decode_concurrency_max.max(1)
    }

    /// Blocks that are worth having under way: while some are decoded, others are fetched.
    pub(crate) fn blocks_concurrency(&self) -> usize {
        self.threads_max() + self.reader.settings().blocks_ahead_max
    }

    /// To be asked now and then by long work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Reads columns of a block and does `work` on its rows.
    pub(crate) async fn block<T: Send + 'static>(
        &self,
        opened: Arc<OpenSegment>,
        index: usize,
        columns: &Columns,
        work: impl FnOnce(&Rows) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.block_of(None, opened, index, columns, work).await
    }

    /// The same for a block whose columns may have been read before.
    pub(crate) async fn block_of<T: Send + 'static>(
        &self,
        read: Option<&Parts>,
        opened: Arc<OpenSegment>,
        index: usize,
        columns: &Columns,
        work: impl FnOnce(&Rows) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Fetched { rows, stored, lines, permit } = self.fetch(read, &opened, index, columns).await?;
        let blocks = self.reader.blocks().clone();
        let work = move || {
            let _held = permit;
            work(&Rows::new(opened, rows, stored, lines, blocks))
        };
        self.compute(work).await
    }

    /// Does work off the async threads, when a thread is free.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.threads.clone().acquire_owned().await.map_err(|_| Error::Cancelled)?;
        let scan = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _held = turn;
            scan.check()?;
            work()
        });
        task.await.map_err(|failure| Error::Internal(format!("a scan ended early: {failure}")))?
    }

    async fn fetch(
        &self,
        read: Option<&Parts>,
        opened: &OpenSegment,
        index: usize,
        columns: &Columns,
    ) -> Result<Fetched, Error> {
        let block = opened.footer.blocks().get(index).ok_or_else(|| corrupt(&opened.segment, &"a block is missing"))?;
        let mut wanted = columns.of(block);
        let row_bytes = (size_of::<i64>() + size_of::<u32>() + size_of::<usize>()) * block.rows as usize;
        let column_bytes: u64 = wanted.iter().map(|column| column.stored_len() + column.decoded_bytes_expected()).sum();
        let bytes = usize::try_from(column_bytes).unwrap_or(usize::MAX).saturating_add(row_bytes);
        let permit = self.budget.block(bytes).await?;
        let lines = self.reader.decoded_lines(opened, &mut wanted);
        self.reader.count(|stats| stats.cache_hits += u64::from(lines.is_some()));
        let ranges: Vec<_> = wanted.iter().map(|column| column.range.clone()).collect();
        let stored = match read.and_then(|read| read.of(&ranges)) {
            Some(stored) => stored,
            None => self.reader.read(opened, &ranges).await?,
        };
        Ok(Fetched { rows: block.rows, stored: wanted.into_iter().cloned().zip(stored).collect(), lines, permit })
    }
}

/// The columns of a block on their way to its rows.
struct Fetched {
    rows: u32,
    stored: Vec<(ColumnMeta, Bytes)>,
    lines: Option<Arc<Lines>>,
    permit: OwnedSemaphorePermit,
}
