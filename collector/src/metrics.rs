//! What the collector did, counted since it started.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters of one collector.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Lines read.
    pub lines_read: Counter,
    /// Bytes read, line ends included.
    pub bytes_read: Counter,
    /// Lines that a stage dropped on purpose.
    pub lines_dropped_by_stages: Counter,
    /// Lines cut because they were longer than the limit.
    pub lines_cut: Counter,
    /// Lines dropped because they were longer than the limit.
    pub lines_too_long: Counter,
    /// Lines whose time could not be read by a timestamp stage.
    pub timestamps_failed: Counter,
    /// Files opened.
    pub files_opened: Counter,
    /// Times that a file was found shorter than before, or started anew.
    pub truncations: Counter,
    /// Times that a name led to another file than before.
    pub rotations: Counter,
    /// Batches that a client's server took.
    pub batches_sent: Counter,
    /// Entries in those batches.
    pub entries_sent: Counter,
    /// Bytes of those batches, compressed.
    pub bytes_sent: Counter,
    /// Attempts that will be repeated.
    pub retries: Counter,
    /// Batches given up: refused by the server, or out of attempts where attempts are limited.
    pub batches_dropped: Counter,
    /// Entries in those batches.
    pub entries_dropped: Counter,
}
