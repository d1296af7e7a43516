//! The entries that one tail has still to tell.
//!
//! In: entries that matched, from whoever stores them. Out: entries in the order of their times, and what was left out because the
//! client is slower than the logs. Putting never waits: what does not fit is dropped, and the client is told of it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::LiveEntry;
use loki_api::tail::Dropped;
use model::LogEntry;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Memory of the entries that wait.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Dropped entries that one message names, as in Loki; the others are only counted.
const DROPPED_TOLD_MAX: usize = 1000;
/// What an entry costs besides its texts.
const ENTRY_OVERHEAD_BYTES: usize = 192;

/// A tail's queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<(Instant, LiveEntry)>,
    bytes: usize,
    dropped: Vec<Dropped>,
}

impl Queue {
    /// Puts an entry in, or drops it; says whether it was put in.
    pub(crate) fn put(&self, found: LiveEntry, now: Instant) -> bool {
        let bytes = memory_bytes(&found.entry);
        let mut inner = self.lock();
        if inner.bytes + bytes > WAITING_BYTES_MAX && !inner.waiting.is_empty() {
            inner.drop_entry(Dropped::of(&found.entry));
            return false;
        }
        inner.bytes += bytes;
        inner.waiting.push_back((now, found));
        true
    }

    /// Notes an entry that never came this far.
    pub(crate) fn miss(&self, dropped: Dropped) {
        self.lock().drop_entry(dropped);
    }

    /// Wakes the tail: to be called once for everything that was put in.
    pub(crate) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Waits until something was put in since the last wait.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The entries that have waited long enough, at most so many, by time; and what was dropped meanwhile.
    pub(crate) fn take(&self, most: usize, delay: Duration, now: Instant) -> (Vec<LiveEntry>, Vec<Dropped>) {
        let mut inner = self.lock();
        let is_due = |(arrived, _): &&(Instant, LiveEntry)| *arrived + delay <= now;
        let due = inner.waiting.iter().filter(is_due).count().min(most);
        if !delay.is_zero() && due > 0 {
            // Late entries find their place among all that have arrived.
            inner.waiting.make_contiguous().sort_by_key(|(_, found)| found.entry.timestamp_ns);
        }
        let mut taken: Vec<LiveEntry> = inner.waiting.drain(..due).map(|(_, found)| found).collect();
        inner.bytes -= taken.iter().map(|found| memory_bytes(&found.entry)).sum::<usize>();
        taken.sort_by_key(|found| found.entry.timestamp_ns);
        (taken, std::mem::take(&mut inner.dropped))
    }

    /// When there is something to take, as far as is known.
    pub(crate) fn due(&self, delay: Duration) -> Option<Instant> {
        let inner = self.lock();
        if !inner.dropped.is_empty() {
            return Some(Instant::now());
        }
        inner.waiting.iter().map(|(arrived, _)| *arrived + delay).min()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn drop_entry(&mut self, dropped: Dropped) {
        if self.dropped.len() < DROPPED_TOLD_MAX {
            self.dropped.push(dropped);
        }
    }
}

/// About what an entry takes. Stream labels are shared and count for nothing.
fn memory_bytes(entry: &LogEntry) -> usize {
    ENTRY_OVERHEAD_BYTES + entry.line.len() + entry.metadata.byte_len() + entry.parsed.byte_len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    fn found(timestamp_ns: i64, line: &str) -> LiveEntry {
        let stream = Labels::from_pairs([("app", "x")]);
        let (metadata, parsed) = (Labels::default(), Labels::default());
        let entry = LogEntry { timestamp_ns, line: line.to_owned(), stream, metadata, parsed };
        LiveEntry { identity: 0, entry }
    }

    fn times(taken: &[LiveEntry]) -> Vec<i64> {
        taken.iter().map(|found| found.entry.timestamp_ns).collect()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (queue, now) = (Queue::default(), Instant::now());
        let line = "x".repeat(WAITING_BYTES_MAX / 4);
        let put: Vec<bool> = (0..5).map(|time| queue.put(found(time, &line), now)).collect();
        assert_eq!(put, [true, true, true, false, false]);
        (0..2000).for_each(|time| queue.miss(Dropped::of(&found(time, "").entry)));
        let (taken, dropped) = queue.take(2, Duration::ZERO, now);
        assert_eq!((times(&taken), dropped.len(), dropped[0].timestamp_ns), (vec![0, 1], DROPPED_TOLD_MAX, 3));
        let (taken, dropped) = queue.take(2, Duration::ZERO, now);
        assert_eq!((times(&taken), dropped.len()), (vec![2], 0));
        assert_eq!(queue.due(Duration::ZERO), None);
        assert_eq!(queue.lock().bytes, 0);
        let huge = "x".repeat(2 * WAITING_BYTES_MAX);
        assert!(queue.put(found(9, &huge), now), "an entry larger than the bound goes alone");
    }

    #[test]
    fn a_delay_lets_late_entries_find_their_place() {
        let (queue, now, delay) = (Queue::default(), Instant::now(), Duration::from_secs(5));
        for (place, time) in [30, 10, 20].into_iter().enumerate() {
            queue.put(found(time, ""), now + Duration::from_secs(place as u64));
        }
        assert!(queue.take(9, delay, now + Duration::from_secs(4)).0.is_empty());
        assert_eq!(queue.due(delay), Some(now + delay));
        // Two have waited long enough: the two earliest go.
        assert_eq!(times(&queue.take(9, delay, now + Duration::from_secs(6)).0), [10, 20]);
        assert_eq!(times(&queue.take(9, delay, now + Duration::from_secs(7)).0), [30]);
    }
}
