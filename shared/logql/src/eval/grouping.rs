//! `by` and `without`: from a series' labels to those of its group.

use model::Labels;

use crate::ast::Grouping;

/// So many names are looked at one by one.
const FEW_NAMES_MAX: usize = 8;

/// A grouping made ready: names sorted, so that one walk over a sorted label set decides.
#[derive(Debug, Clone, Default)]
pub struct GroupingKey {
    without: bool,
    names: Vec<String>,
}

impl GroupingKey {
    /// From the query's grouping; none groups everything together.
    pub fn new(grouping: Option<&Grouping>) -> Self {
        let mut names = grouping.map(|g| g.labels.clone()).unwrap_or_default();
        names.sort();
        names.dedup();
        GroupingKey { without: grouping.is_some_and(|g| g.without), names }
    }

    /// Whether every series falls into the one group without labels.
    pub fn is_everything(&self) -> bool {
        !self.without && self.names.is_empty()
    }

    /// `without` instead of `by`.
    pub fn is_without(&self) -> bool {
        self.without
    }

    /// Whether a label of that name stays.
    pub fn keeps(&self, name: &str) -> bool {
        // Of few names most differ in their lengths already, which is all that is compared then.
        let is_named = match self.names.len() <= FEW_NAMES_MAX {
            true => self.names.iter().any(|n| n == name),
            false => self.names.binary_search_by(|n| n.as_str().cmp(name)).is_ok(),
        };
        is_named != self.without
    }
}

/// The labels of the group to which a series belongs. `by` keeps a label with an empty value, `without` drops it, as in
/// Loki.
pub fn reduce(labels: &Labels, key: &GroupingKey) -> Labels {
    if key.is_everything() {
        return Labels::default();
    }
    labels.iter().filter(|(name, value)| key.keeps(name) && !(key.without && value.is_empty())).collect()
}
