//! What was forgotten of a segment for good: names of delete requests and of retentions that need not be applied to it again.
//!
//! Data alone: who forgets gives the names, and says what they mean. Few, and shared by clones.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A set of names. Cloning copies a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "BTreeSet<Box<str>>", into = "BTreeSet<Box<str>>")]
pub struct Marks(Option<Arc<BTreeSet<Box<str>>>>);

impl Marks {
    /// Whether a name is among them.
    pub fn contains(&self, mark: &str) -> bool {
        self.0.as_ref().is_some_and(|marks| marks.contains(mark))
    }

    /// Whether nothing was forgotten.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|marks| marks.iter().map(|mark| &**mark))
    }
}

impl From<BTreeSet<Box<str>>> for Marks {
    fn from(marks: BTreeSet<Box<str>>) -> Self {
        Marks((!marks.is_empty()).then(|| Arc::new(marks)))
    }
}

impl From<Marks> for BTreeSet<Box<str>> {
    fn from(marks: Marks) -> Self {
        marks.0.map(Arc::unwrap_or_clone).unwrap_or_default()
    }
}

impl<M: Into<Box<str>>> FromIterator<M> for Marks {
    fn from_iter<I: IntoIterator<Item = M>>(marks: I) -> Self {
        marks.into_iter().map(Into::into).collect::<BTreeSet<Box<str>>>().into()
    }
}
