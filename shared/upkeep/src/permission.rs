//! Whether a store may be merged.
//!
//! In: what the configuration says, and a store. Out: yes or no; only a store that cannot be asked is an error.

use store::Store;

use crate::Error;

/// Whether merging is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permission {
    /// Never.
    Never,
    /// If the store refuses the second create of a key.
    #[default]
    IfSafe,
    /// In any case: the configuration declares this process the only merger of the store.
    OnlyMerger,
}

impl Permission {
    /// Whether it is given for this store, which is asked only if it matters.
    pub async fn is_given(self, store: &Store) -> Result<bool, Error> {
        if self == Permission::Never {
            return Ok(false);
        }
        if let Some(backup) = store.backup().await? {
            tracing::warn!("this store is a backup of {}: nothing is merged, so that it can be continued", backup.of);
            return Ok(false);
        }
        let given = match self {
            Permission::Never => false,
            Permission::OnlyMerger => true,
            Permission::IfSafe => store.probe().await?.refuses_second_create,
        };
        if !given {
            tracing::warn!(
                "this store overwrites an object that is to be created only if absent, so two processes could merge the \
                 same segments and lose entries: nothing is merged. If this process is the only one that merges, set \
                 `logbarn: {{only_merger: true}}`"
            );
        }
        Ok(given)
    }
}
