//! Merging in the background, as a configuration wants it.
//!
//! In: a store and a configuration. Out: an [`Upkeep`] whose watched store is to be used by all that writes and reads.

use std::sync::Arc;

pub use ::upkeep::Upkeep;
use door::upkeep::{grace, merge_settings, permission, policy};
use loki_api::config::Config;
use store::Store;

/// Merges the store in the background as the configuration wants it. Starts nothing.
pub fn upkeep(store: Store, config: &Arc<Config>) -> Upkeep {
    let policy = policy(config, crate::config::now_ns);
    Upkeep::new(store, merge_settings(config), grace(config), permission(config), policy)
}
