//! What was sent and what was acknowledged, while it happens.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::entry::{Entry, Wanted};

/// The ledger of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) start_ns: i64,
    /// Entries with smaller numbers were sent, or are about to be.
    next: AtomicU64,
    acknowledged: Mutex<BTreeSet<Entry>>,
}

impl Ledger {
    pub(crate) fn new(start_ns: i64) -> Self {
        Ledger { start_ns, next: AtomicU64::new(0), acknowledged: Mutex::default() }
    }

    /// So many entries that nobody else sends.
    pub(crate) fn take(&self, count: u64) -> Vec<Entry> {
        let first = self.next.fetch_add(count, Ordering::SeqCst);
        (first..first + count).map(Entry).collect()
    }

    pub(crate) fn acknowledge(&self, entries: &[Entry]) {
        self.lock().extend(entries);
    }

    pub(crate) fn sent(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.lock().len() as u64
    }

    /// How many must be found by a question that is asked now.
    pub(crate) fn at_least(&self, wanted: Wanted) -> u64 {
        self.lock().iter().filter(|entry| wanted.matches(**entry)).count() as u64
    }

    /// How many can have been found by a question that is answered by now.
    pub(crate) fn at_most(&self, wanted: Wanted) -> u64 {
        (0..self.sent()).filter(|number| wanted.matches(Entry(*number))).count() as u64
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Entry>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
