//! What a configuration says about merging.
//!
//! In: a store and a configuration. Out: an [`Upkeep`] whose watched store is to be used by all that writes and reads.

use std::sync::Arc;

pub use ::upkeep::Upkeep;
use ::upkeep::{Grace, KeepAll, MergeSettings, Permission};
use loki_api::config::Config;
use store::Store;

/// Merges the store in the background as the configuration wants it. Starts nothing.
pub fn upkeep(store: Store, config: &Config) -> Upkeep {
    Upkeep::new(store, merge_settings(config), Grace::default(), permission(config), Arc::new(KeepAll))
}

/// Whether merging is allowed.
pub(crate) fn permission(config: &Config) -> Permission {
    match (config.logbarn.merge, config.logbarn.only_merger) {
        (false, _) => Permission::Never,
        (true, false) => Permission::IfSafe,
        (true, true) => Permission::OnlyMerger,
    }
}

/// When a day is due.
pub(crate) fn merge_settings(config: &Config) -> MergeSettings {
    MergeSettings {
        fresh_count_min: config.logbarn.merge_objects_min.max(1),
        fresh_bytes_min: config.logbarn.merge_bytes_min.max(1),
        ..MergeSettings::default()
    }
}
