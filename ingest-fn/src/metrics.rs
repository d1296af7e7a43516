//! What ingest counts, under Loki's names where Loki has one.
//!
//! In: events. Out: families that a Prometheus registry prints. Tenants beyond a bound are counted together, so that a
//! client cannot fill the memory with names.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::TenantId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::refusal::Refusals;

/// Tenants that are counted by name.
const TENANTS_NAMED_MAX: usize = 1_000;
/// The name under which the other tenants are counted.
const OTHER_TENANTS: &str = "_other";
/// Upper bounds of request durations, seconds.
const DURATION_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabels {
    tenant: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiscardedLabels {
    reason: &'static str,
    tenant: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status_code: u16,
}

/// The counters.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    discarded_samples: Family<DiscardedLabels, Counter>,
    discarded_bytes: Family<DiscardedLabels, Counter>,
    bytes_received: Family<TenantLabels, Counter>,
    lines_received: Family<TenantLabels, Counter>,
    requests: Family<RequestLabels, Histogram>,
    named: Arc<Mutex<HashSet<TenantId>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            discarded_samples: Family::default(),
            discarded_bytes: Family::default(),
            bytes_received: Family::default(),
            lines_received: Family::default(),
            requests: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            named: Arc::default(),
        }
    }
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
        let help = "Time from request to answer";
        registry.register_with_unit("logbarn_ingest_request_duration", help, Unit::Seconds, self.requests.clone());
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

    /// Counts a request.
    pub(crate) fn count_request(&self, route: &'static str, status: http::StatusCode, elapsed: Duration) {
        let labels = RequestLabels { method: "POST", route, status_code: status.as_u16() };
        self.requests.get_or_create(&labels).observe(elapsed.as_secs_f64());
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
