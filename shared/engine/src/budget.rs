//! How much memory one query may use.
//!
//! Half is for blocks under way: a block waits until there is room. Half is for results: what passes it ends the query
//! with an error. So a query can be slow or refused, but never the death of the process.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// Memory is handed out in pieces of this size.
const PIECE_BYTES: usize = 1024;

/// One query's memory.
#[derive(Clone)]
pub(crate) struct Budget {
    total_bytes: usize,
    blocks: Arc<Semaphore>,
}

impl Budget {
    pub(crate) fn new(total_bytes: usize) -> Self {
        Budget { total_bytes, blocks: Arc::new(Semaphore::new(pieces(total_bytes / 2) as usize)) }
    }

    /// Waits for room for a block; it is given back when the permit is dropped.
    pub(crate) async fn block(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        if pieces(bytes) > pieces(self.total_bytes / 2) {
            return Err(self.exceeded(bytes.saturating_mul(2)));
        }
        self.blocks.clone().acquire_many_owned(pieces(bytes)).await.map_err(|_| Error::Cancelled)
    }

    /// The share of results.
    pub(crate) fn results_bytes_max(&self) -> usize {
        self.total_bytes / 2
    }

    /// Fails if results have grown beyond their share.
    pub(crate) fn check_results(&self, bytes: usize) -> Result<(), Error> {
        if bytes > self.total_bytes / 2 { Err(self.exceeded(bytes.saturating_mul(2))) } else { Ok(()) }
    }

    fn exceeded(&self, bytes: usize) -> Error {
        Error::Limit(format!(
            "the query would use too much memory (query: {}, limit: {}); consider adding more specific stream selectors, \
             reducing the time range, or aggregating results with functions like sum(), count() or topk()",
            megabytes(bytes),
            megabytes(self.total_bytes)
        ))
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX).min(u32::MAX >> 3)
}

fn megabytes(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{}kB", bytes.div_ceil(1 << 10)) } else { format!("{}MB", bytes.div_ceil(1 << 20)) }
}
