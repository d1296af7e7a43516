//! Why a merge did not come to its end. Nothing is lost by it: what was current stays so.

/// An error of a merge or a collection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An input does not hold what it must: somebody has to look. Nothing of it was merged.
    #[error("segment {key} cannot be merged: {why}")]
    Input {
        /// Which.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A mistake of ours.
    #[error("merging failed: {0}")]
    Internal(String),
}
