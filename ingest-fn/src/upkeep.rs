//! What a configuration says about merging.
//!
//! In: a store and a configuration. Out: an [`Upkeep`] whose watched store is to be used by all that writes and reads.

use std::sync::Arc;

pub use ::upkeep::Upkeep;
use ::upkeep::{Deletes, ForgetSettings, Grace, MergeSettings, Permission, Policy, StreamPeriod};
use loki_api::config::{Config, DeletionMode};
use store::Store;

/// Merges the store in the background as the configuration wants it. Starts nothing.
pub fn upkeep(store: Store, config: &Arc<Config>) -> Upkeep {
    Upkeep::new(store, merge_settings(config), grace(config), permission(config), policy(config))
}

/// What is to be forgotten of whom, by the limits as they are when it is asked.
pub(crate) fn policy(config: &Arc<Config>) -> Policy {
    if !config.compactor.retention_enabled {
        return Policy::default();
    }
    let config = Arc::clone(config);
    let settings = move |tenant: &_| {
        let limits = config.limits(tenant);
        let streams = limits.retention_stream.iter().map(|rule| StreamPeriod {
            selector: rule.selector.clone(),
            priority: rule.priority,
            period: rule.period,
        });
        ForgetSettings {
            retention_period: limits.retention_period,
            retention_streams: streams.collect(),
            deletes: match limits.deletion_mode {
                DeletionMode::Disabled => Deletes::Ignored,
                DeletionMode::FilterOnly => Deletes::Hide,
                DeletionMode::FilterAndDelete => {
                    Deletes::Delete { after: config.compactor.delete_request_cancel_period }
                }
            },
        }
    };
    Policy::new(settings, crate::config::now_ns)
}

/// How long garbage stays: longer than a query may take. One that may take forever, or is allowed more time later on, begins again
/// when what it reads is collected.
pub(crate) fn grace(config: &Config) -> Grace {
    config.query_timeout_longest().map_or_else(Grace::default, Grace::for_queries)
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
