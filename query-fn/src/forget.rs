//! What a configuration says about forgetting: nothing, unless `compactor.retention_enabled` is set.

use std::sync::Arc;

use engine::{Deletes, ForgetSettings, Policy, StreamPeriod};
use loki_api::config::{Config, DeletionMode};

use crate::request::now_ns;

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
    Policy::new(settings, now_ns)
}
