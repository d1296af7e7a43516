//! Lists of metadata names. Rows often have the same: what follows from names is found once a list, not once a row.

use std::sync::Arc;

use crate::counts::LEVEL_NAME;

/// The number of a list that a [`crate::SortedWriter`] was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamesId(pub(crate) usize);

/// Lists that are remembered of rows that bring their names along. Neighbouring rows take turns between a few.
pub(crate) const CHANGING_LISTS: usize = 8;

/// A list of names, sorted, each once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    list: Vec<Arc<str>>,
    bytes: usize,
    level_place: Option<usize>,
}

impl Names {
    pub(crate) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let list: Vec<Arc<str>> = names.map(Arc::from).collect();
        let bytes = list.iter().map(|name| name.len()).sum();
        let level_place = list.iter().position(|name| **name == *LEVEL_NAME);
        Names { list, bytes, level_place }
    }

    /// Whether these are the names.
    pub(crate) fn are<'n>(&self, names: impl ExactSizeIterator<Item = &'n str>) -> bool {
        self.list.len() == names.len() && self.list.iter().zip(names).all(|(known, name)| **known == *name)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.list.iter()
    }

    /// The bytes of all names.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Of a row's values the one that is its detected level.
    pub(crate) fn level<'v>(&self, mut values: impl Iterator<Item = &'v str>) -> Option<&'v str> {
        self.level_place.and_then(|place| values.nth(place))
    }
}
