//! Decides which entries live on.

use model::{EntryRef, Labels};

/// What a merge asks of each entry. Deletes and retention are such predicates; queries must ask the same one.
pub trait Keep: Send + Sync {
    /// Whether the entry of that stream is written into the merged segment.
    fn keeps(&self, stream: &Labels, entry: &EntryRef<'_>) -> bool;
}

/// Keeps everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepAll;

impl Keep for KeepAll {
    fn keeps(&self, _: &Labels, _: &EntryRef<'_>) -> bool {
        true
    }
}
