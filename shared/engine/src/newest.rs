//! The entries of a log query's answer: the first `limit` of all that are offered, in the order asked.
//!
//! Entries come in any order, from any block. What falls behind the limit is dropped at once, so memory grows with the
//! answer. An entry that lies in two segments is kept once.

use std::collections::{BTreeMap, HashMap};

use model::LogEntry;

use crate::Direction;

/// Where an entry stands among all: by time, then stream, then the order in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rank {
    timestamp_ns: i64,
    /// The stream's hash, as in Loki.
    stream: u64,
    segment: usize,
    block: usize,
    row: usize,
}

impl Rank {
    /// The place of a row. Backwards is forwards with each part turned around.
    pub(crate) fn new(direction: Direction, timestamp_ns: i64, stream: u64, [segment, block, row]: [usize; 3]) -> Self {
        match direction {
            Direction::Forward => Rank { timestamp_ns, stream, segment, block, row },
            Direction::Backward => {
                Rank { timestamp_ns: !timestamp_ns, stream: !stream, segment: !segment, block: !block, row: !row }
            }
        }
    }

    /// The first place that any entry of that time could have.
    pub(crate) fn first_at(direction: Direction, timestamp_ns: i64) -> Self {
        match direction {
            Direction::Forward => Rank::new(direction, timestamp_ns, 0, [0; 3]),
            Direction::Backward => Rank::new(direction, timestamp_ns, u64::MAX, [usize::MAX; 3]),
        }
    }
}

/// What makes two entries the same: a hash over stream, time, line and metadata.
pub(crate) type Identity = u128;

/// A row that passed the pipeline.
pub(crate) struct Found {
    /// Its place.
    pub(crate) rank: Rank,
    /// Entries with the same identity are one.
    pub(crate) identity: Identity,
    /// What is answered.
    pub(crate) entry: LogEntry,
}

/// The best entries so far.
pub(crate) struct Newest {
    limit: usize,
    entries: BTreeMap<Rank, (Identity, LogEntry)>,
    ranks: HashMap<Identity, Rank>,
    bytes: usize,
    duplicates: u64,
}

impl Newest {
    /// Keeps at most `limit` entries.
    pub(crate) fn new(limit: usize) -> Self {
        Newest { limit, entries: BTreeMap::new(), ranks: HashMap::new(), bytes: 0, duplicates: 0 }
    }

    /// The rank that a new entry must beat, once there are enough.
    pub(crate) fn bar(&self) -> Option<Rank> {
        if self.entries.len() < self.limit { None } else { self.entries.last_key_value().map(|(rank, _)| *rank) }
    }

    /// Takes an entry in, if it is good enough.
    pub(crate) fn offer(&mut self, found: Found) {
        if let Some(kept) = self.ranks.get(&found.identity).copied() {
            self.duplicates += 1;
            if kept <= found.rank {
                return;
            }
            self.remove(kept);
        }
        if self.bar().is_some_and(|bar| bar <= found.rank) {
            return;
        }
        self.bytes += entry_bytes(&found.entry);
        self.ranks.insert(found.identity, found.rank);
        self.entries.insert(found.rank, (found.identity, found.entry));
        if self.entries.len() > self.limit
            && let Some(worst) = self.entries.last_key_value().map(|(rank, _)| *rank)
        {
            self.remove(worst);
        }
    }

    fn remove(&mut self, rank: Rank) {
        if let Some((identity, entry)) = self.entries.remove(&rank) {
            self.bytes -= entry_bytes(&entry);
            self.ranks.remove(&identity);
        }
    }

    /// The memory that the kept entries take, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Entries that were offered twice.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Takes in what another part of the query kept.
    pub(crate) fn merge(&mut self, other: Newest) {
        self.duplicates += other.duplicates;
        for (rank, (identity, entry)) in other.entries {
            self.offer(Found { rank, identity, entry });
        }
    }

    /// The answer, in order.
    pub(crate) fn into_entries(self) -> Vec<LogEntry> {
        self.into_identified().map(|(_, entry)| entry).collect()
    }

    /// The answer, in order, each entry with its identity.
    pub(crate) fn into_identified(self) -> impl DoubleEndedIterator<Item = (Identity, LogEntry)> {
        self.entries.into_values()
    }
}

/// A bound of what an entry costs. Stream labels are shared and count for nothing.
fn entry_bytes(entry: &LogEntry) -> usize {
    const OVERHEAD_BYTES: usize = 256;
    OVERHEAD_BYTES + entry.line.len() + entry.metadata.byte_len() + entry.parsed.byte_len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(direction: Direction, timestamp_ns: i64, row: usize, line: &str) -> Found {
        Found {
            rank: Rank::new(direction, timestamp_ns, 0, [0, 0, row]),
            identity: Identity::from(line.as_bytes()[0]),
            entry: LogEntry {
                timestamp_ns,
                line: line.to_owned(),
                stream: model::Labels::default(),
                metadata: model::Labels::default(),
                parsed: model::Labels::default(),
            },
        }
    }

    fn check(direction: Direction, limit: usize, offered: &[(i64, &str)], want: &[&str]) {
        let mut newest = Newest::new(limit);
        for (row, (timestamp_ns, line)) in offered.iter().enumerate() {
            newest.offer(found(direction, *timestamp_ns, row, line));
        }
        let got: Vec<String> = newest.into_entries().into_iter().map(|entry| entry.line).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn keeps_the_first_in_the_order_asked() {
        let offered = [(2, "b"), (1, "a"), (3, "c"), (3, "d")];
        check(Direction::Forward, 3, &offered, &["a", "b", "c"]);
        check(Direction::Backward, 3, &offered, &["d", "c", "b"]);
        check(Direction::Backward, 9, &offered, &["d", "c", "b", "a"]);
    }

    #[test]
    fn an_entry_counts_once() {
        let offered = [(1, "t"), (2, "b"), (1, "t"), (3, "c"), (1, "t")];
        check(Direction::Forward, 2, &offered, &["t", "b"]);
        check(Direction::Backward, 3, &offered, &["c", "b", "t"]);
    }
}
