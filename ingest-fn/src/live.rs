//! Tells a listener what was stored, for live tails.
//!
//! In: the batches of a commit, once a day of theirs lies in the store. Out: a call with something that walks those entries in
//! place. Copies nothing, waits for nothing: with no listener it is one comparison, and what the listener keeps is a pointer.

use std::fmt;
use std::sync::Arc;

use model::{Day, EntryVisitor, StoredEntries, TenantId};

use crate::batch::Batch;

/// What a commit stored, shared.
type Stored = Arc<dyn StoredEntries + Send + Sync>;

/// What is called after a commit.
type Told = dyn Fn(&TenantId, Stored) + Send + Sync;

/// Who is told; it must return at once.
#[derive(Clone)]
pub(crate) struct Listener(Arc<Told>);

impl Listener {
    pub(crate) fn new(listener: impl Fn(&TenantId, Stored) + Send + Sync + 'static) -> Self {
        Listener(Arc::new(listener))
    }

    pub(crate) fn tell(&self, tenant: &TenantId, stored: StoredDay) {
        (self.0)(tenant, Arc::new(stored));
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// The rows of one day of a commit's batches.
pub(crate) struct StoredDay {
    day: Day,
    batches: Arc<Vec<Batch>>,
}

impl StoredDay {
    pub(crate) fn new(day: Day, batches: &Arc<Vec<Batch>>) -> Self {
        StoredDay { day, batches: Arc::clone(batches) }
    }
}

impl StoredEntries for StoredDay {
    fn walk(&self, visitor: &mut dyn EntryVisitor) {
        self.batches.iter().for_each(|batch| batch.walk_day(self.day, visitor));
    }

    fn memory_bytes(&self) -> usize {
        self.batches.iter().map(Batch::memory_bytes).sum()
    }
}
