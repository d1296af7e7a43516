//! What a configuration says about looking after a store: what is forgotten, what is merged and when.
//!
//! In: a configuration. Out: upkeep's settings, the same for whoever answers and for whoever merges. Starts nothing.

use std::sync::Arc;

use ::upkeep::{Deletes, ForgetSettings, Grace, MergeSettings, Permission, Policy, StreamPeriod};
use loki_api::config::{Config, DeletionMode};

/// What is to be forgotten of whom, by the limits as they are when it is asked.
pub fn policy(config: &Arc<Config>, now_ns: fn() -> i64) -> Policy {
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
    Policy::new(settings, now_ns)
}

/// How long garbage stays: longer than a query may take. One that may take forever, or is allowed more time later on, begins again
/// when what it reads is collected.
pub fn grace(config: &Config) -> Grace {
    config.query_timeout_longest().map_or_else(Grace::default, Grace::for_queries)
}

/// Whether merging is allowed.
pub fn permission(config: &Config) -> Permission {
    match (config.logbarn.merge, config.logbarn.only_merger) {
        (false, _) => Permission::Never,
        (true, false) => Permission::IfSafe,
        (true, true) => Permission::OnlyMerger,
    }
}

/// When a day is due.
pub fn merge_settings(config: &Config) -> MergeSettings {
    MergeSettings {
        fresh_count_min: config.logbarn.merge_objects_min.max(1),
        fresh_bytes_min: config.logbarn.merge_bytes_min.max(1),
        ..MergeSettings::default()
    }
}
