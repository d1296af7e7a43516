//! The entries that a tail told last, so that none is told twice.
//!
//! In: identities. Out: whether one is new. At the seam an entry may come both with the history and live, and a retried push may be
//! stored in another group; queries count such an entry once, and so does a tail, as far back as this remembers.

use std::collections::{HashSet, VecDeque};

/// Identities that are remembered: about 100 KB a tail. The history has at most `max_entries_limit_per_query` of them, 5000 by default.
const IDENTITIES_MAX: usize = 2048;

/// What was told, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    order: VecDeque<u128>,
    known: HashSet<u128>,
    /// At least so many are kept: those of the history.
    history: usize,
}

impl Recent {
    /// Begins with the history.
    pub(crate) fn of_history(identities: impl Iterator<Item = u128>) -> Self {
        let order: VecDeque<u128> = identities.collect();
        Recent { known: order.iter().copied().collect(), history: order.len(), order }
    }

    /// Whether this was not told; from now on it was.
    pub(crate) fn is_new(&mut self, identity: u128) -> bool {
        if !self.known.insert(identity) {
            return false;
        }
        self.order.push_back(identity);
        if self.order.len() > IDENTITIES_MAX.max(self.history)
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::of_history([1, 2].into_iter());
        assert!(!recent.is_new(1) && !recent.is_new(2) && recent.is_new(3) && !recent.is_new(3));
        assert!((10..).take(IDENTITIES_MAX - 2).all(|identity| recent.is_new(identity)));
        assert!(!recent.is_new(2), "still known");
        assert!(recent.is_new(1), "forgotten");
        assert_eq!((recent.order.len(), recent.known.len()), (IDENTITIES_MAX, IDENTITIES_MAX));
    }
}
