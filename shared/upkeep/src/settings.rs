//! When a day is merged, how much at a time, and how long garbage stays. Plain data with defaults.

use std::time::Duration;

/// When and how to merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeSettings {
    /// Fresh segments at which a day is due.
    pub fresh_count_min: usize,
    /// Bytes of fresh segments at which a day is due.
    pub fresh_bytes_min: u64,
    /// Merged segments of about one size at which they are merged again.
    pub tier_count_min: usize,
    /// Segments that one merge takes at most.
    pub inputs_max: usize,
    /// Bytes of segments that one merge takes at most, unless a single one is larger.
    pub input_bytes_max: u64,
    /// Bytes at which an output is complete and the next one begins. Such a segment is never merged again.
    pub output_bytes: u64,
    /// Memory that one merge may hold: blocks of its inputs and the output in the making. Takes fewer inputs rather than more memory.
    pub memory_bytes_max: u64,
    /// Complete segments that are in no catalog at which one is written of them.
    pub catalog_count_min: usize,
    /// Merges of one day in a row.
    pub merges_max: usize,
}

impl Default for MergeSettings {
    fn default() -> Self {
        MergeSettings {
            fresh_count_min: 64,
            fresh_bytes_min: 64 << 20,
            tier_count_min: 8,
            inputs_max: 256,
            input_bytes_max: 256 << 20,
            output_bytes: 32 << 20,
            memory_bytes_max: 128 << 20,
            catalog_count_min: 8,
            merges_max: 64,
        }
    }
}

impl MergeSettings {
    /// Whether so many fresh segments of so many bytes are a reason to merge.
    pub(crate) fn is_due(&self, fresh: usize, bytes: u64) -> bool {
        fresh >= self.fresh_count_min || bytes >= self.fresh_bytes_min
    }

    /// Merges all there is, down to as few segments as the size of outputs allows.
    pub fn all() -> Self {
        MergeSettings { fresh_count_min: 1, fresh_bytes_min: 1, tier_count_min: 2, ..MergeSettings::default() }
    }
}

/// How long garbage stays, by the store's clock. Longer than any query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// After a fresh segment was consumed. Short, since listings show it as long as it is there.
    pub fresh: Duration,
    /// For everything else.
    pub rest: Duration,
}

/// How much longer than the longest query garbage stays.
const MARGIN: Duration = Duration::from_secs(900);

impl Grace {
    /// The usual, or longer if queries may take longer.
    pub fn for_queries(longest: Duration) -> Self {
        let Grace { fresh, rest } = Grace::default();
        let least = longest.saturating_add(MARGIN);
        Grace { fresh: fresh.max(least), rest: rest.max(least) }
    }
}

impl Default for Grace {
    fn default() -> Self {
        Grace { fresh: Duration::from_secs(3600), rest: Duration::from_secs(24 * 3600) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_outlives_every_query() {
        let check = |longest_minutes: u64, fresh_minutes: u64, rest_minutes: u64| {
            let Grace { fresh, rest } = Grace::for_queries(Duration::from_secs(60 * longest_minutes));
            assert_eq!((fresh.as_secs() / 60, rest.as_secs() / 60), (fresh_minutes, rest_minutes));
        };
        check(1, 60, 24 * 60);
        check(60, 75, 24 * 60);
        check(2 * 24 * 60, 2 * 24 * 60 + 15, 2 * 24 * 60 + 15);
    }
}
