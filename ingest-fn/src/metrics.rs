//! What ingest counts, under Loki's names where Loki has one.
//!
//! In: events. Out: families that a Prometheus registry prints. Tenants beyond a bound are counted together, so that a
//! client cannot fill the memory with names.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use model::TenantId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::refusal::Refusals;

/// Tenants that are counted by name.
const TENANTS_NAMED_MAX: usize = 1_000;
/// The name under which the other tenants are counted.
const OTHER_TENANTS: &str = "_other";
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabels {
    tenant: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiscardedLabels {
    reason: &'static str,
    tenant: String,
}

/// The counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    discarded_samples: Family<DiscardedLabels, Counter>,
    discarded_bytes: Family<DiscardedLabels, Counter>,
    bytes_received: Family<TenantLabels, Counter>,
    lines_received: Family<TenantLabels, Counter>,
    named: Arc<Mutex<HashSet<TenantId>>>,
}

impl Metrics {
    /// Adds the families to a registry; they stay the same families.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let loki = registry.sub_registry_with_prefix("loki");
        loki.register("discarded_samples", "Lines that were refused", self.discarded_samples.clone());
        loki.register("discarded_bytes", "Bytes that were refused", self.discarded_bytes.clone());
        loki.register(
            "distributor_bytes_received",
            "Bytes of lines and metadata received",
            self.bytes_received.clone(),
        );
        loki.register("distributor_lines_received", "Lines received", self.lines_received.clone());
    }

    /// Counts a push and what was refused of it.
    pub(crate) fn count_push(&self, tenant: &TenantId, lines: u64, bytes: u64, refusals: &Refusals) {
        let tenant = self.name(tenant);
        self.bytes_received.get_or_create(&TenantLabels { tenant: tenant.clone() }).inc_by(bytes);
        self.lines_received.get_or_create(&TenantLabels { tenant: tenant.clone() }).inc_by(lines);
        for (reason, lines, bytes) in refusals.discarded() {
            let labels = DiscardedLabels { reason: reason.as_str(), tenant: tenant.clone() };
            self.discarded_samples.get_or_create(&labels).inc_by(*lines);
            self.discarded_bytes.get_or_create(&labels).inc_by(*bytes);
        }
    }

    /// A tenant's name, as long as there is room for another one.
    fn name(&self, tenant: &TenantId) -> String {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < TENANTS_NAMED_MAX {
            named.insert(tenant.clone());
        }
        if named.contains(tenant) { tenant.to_string() } else { OTHER_TENANTS.to_owned() }
    }
}
