//! How much a tenant and each of its streams may push: token buckets and active streams, in this process.
//!
//! In: bytes and the time now. Out: go, or Loki's refusal. Nothing is shared between processes: each allows what the
//! limits say. What is remembered is bounded, and forgotten when it has been idle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use loki_api::config::Limits;
use model::{Labels, NANOS_PER_SECOND, TenantId};

use crate::refusal::Refusal;

/// A stream that was not written to for so long is no longer active.
const STREAM_IDLE_NS: i64 = 30 * 60 * NANOS_PER_SECOND;
/// Streams remembered for their rate if nothing limits their number.
const STREAMS_REMEMBERED_MAX: usize = 100_000;
/// Tenants remembered; beyond them those that are idle are forgotten.
const TENANTS_REMEMBERED_MAX: usize = 10_000;

/// A bucket that fills by the second.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    updated_ns: i64,
}

impl Bucket {
    fn full(burst: f64, now_ns: i64) -> Self {
        Bucket { tokens: burst, updated_ns: now_ns }
    }

    /// Takes so many tokens, or none if there are fewer.
    fn take(&mut self, amount: f64, rate: f64, burst: f64, now_ns: i64) -> bool {
        // A clock that steps back fills nothing.
        let elapsed_ns = now_ns.saturating_sub(self.updated_ns).max(0);
        self.tokens = (self.tokens + rate * elapsed_ns as f64 / NANOS_PER_SECOND as f64).min(burst);
        self.updated_ns = now_ns;
        let enough = self.tokens >= amount;
        self.tokens -= if enough { amount } else { 0.0 };
        enough
    }
}

/// Every tenant's rates.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    tenants: Mutex<HashMap<TenantId, Arc<Mutex<TenantRates>>>>,
}

/// One tenant's rates.
#[derive(Debug)]
pub(crate) struct TenantRates {
    bucket: Bucket,
    /// By the hash of their labels.
    streams: HashMap<u64, Bucket, RandomState>,
    swept_ns: i64,
}

impl Rates {
    /// The rates of a tenant.
    pub(crate) fn of(&self, tenant: &TenantId, limits: &Limits, now_ns: i64) -> Arc<Mutex<TenantRates>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= TENANTS_REMEMBERED_MAX && !tenants.contains_key(tenant) {
            tenants.retain(|_, rates| {
                let rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
                now_ns.saturating_sub(rates.bucket.updated_ns) < STREAM_IDLE_NS
            });
            // All of them busy: forget everything once rather than grow.
            if tenants.len() >= TENANTS_REMEMBERED_MAX {
                tenants.clear();
            }
        }
        let fresh = || TenantRates {
            bucket: Bucket::full(burst(limits), now_ns),
            streams: HashMap::default(),
            swept_ns: now_ns,
        };
        Arc::clone(tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(Mutex::new(fresh()))))
    }
}

fn burst(limits: &Limits) -> f64 {
    limits.ingestion_burst_size_mb * f64::from(1 << 20)
}

impl TenantRates {
    /// May the tenant push these lines, all of them?
    pub(crate) fn take(
        &mut self,
        tenant: &TenantId,
        limits: &Limits,
        lines: u64,
        bytes: u64,
        now_ns: i64,
    ) -> Result<(), Refusal> {
        let rate = limits.ingestion_rate_mb * f64::from(1 << 20);
        let enough = self.bucket.take(bytes as f64, rate, burst(limits), now_ns);
        if enough { Ok(()) } else { Err(Refusal::tenant_rate(tenant, rate as u64, lines, bytes)) }
    }

    /// May this stream take so many bytes, and if it is a new one, may there be another?
    pub(crate) fn take_stream(
        &mut self,
        tenant: &TenantId,
        stream: &Labels,
        limits: &Limits,
        bytes: u64,
        now_ns: i64,
    ) -> Result<(), Refusal> {
        let (rate, burst) = (limits.per_stream_rate_limit as f64, limits.per_stream_rate_limit_burst as f64);
        let key = stream.process_hash();
        if !self.streams.contains_key(&key) {
            let limit =
                [limits.max_streams_per_user, limits.max_global_streams_per_user].into_iter().filter(|n| *n > 0).min();
            if self.streams.len() >= limit.unwrap_or(STREAMS_REMEMBERED_MAX) {
                self.forget_idle(now_ns);
            }
            match limit {
                Some(limit) if self.streams.len() >= limit => return Err(Refusal::stream_limit(tenant, stream)),
                None if self.streams.len() >= STREAMS_REMEMBERED_MAX => self.streams.clear(),
                _ => {}
            }
        }
        let bucket = self.streams.entry(key).or_insert_with(|| Bucket::full(burst, now_ns));
        let enough = bucket.take(bytes as f64, rate, burst, now_ns);
        if enough { Ok(()) } else { Err(Refusal::stream_rate(stream, limits.per_stream_rate_limit, bytes)) }
    }

    /// Forgets idle streams, at most once a second: a full set must not be walked for every refused stream.
    fn forget_idle(&mut self, now_ns: i64) {
        if now_ns.saturating_sub(self.swept_ns) >= NANOS_PER_SECOND {
            self.swept_ns = now_ns;
            self.streams.retain(|_, bucket| now_ns.saturating_sub(bucket.updated_ns) < STREAM_IDLE_NS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = NANOS_PER_SECOND;

    fn stream(name: &str) -> Labels {
        [("app", name)].into_iter().collect()
    }

    #[test]
    fn a_tenant_fills_up_by_the_second() {
        let limits = Limits { ingestion_rate_mb: 1.0, ingestion_burst_size_mb: 2.0, ..Limits::default() };
        let (tenant, rates) = (TenantId::single(), Rates::default());
        let rates = rates.of(&tenant, &limits, 0);
        let mut rates = rates.lock().expect("not poisoned");
        let mut push = |bytes, now_ns| rates.take(&tenant, &limits, 1, bytes, now_ns).is_ok();
        assert!(!push(3 << 20, 0), "more than the burst never fits");
        assert!(push(2 << 20, 0));
        assert!(!push(1 << 20, SECOND / 2));
        assert!(push(1 << 20, SECOND));
        assert!(!push(1, SECOND / 2), "a clock that steps back fills nothing");
    }

    #[test]
    fn streams_are_counted_and_forgotten() {
        let limits = Limits {
            max_global_streams_per_user: 2,
            per_stream_rate_limit: 10,
            per_stream_rate_limit_burst: 20,
            ..Limits::default()
        };
        let (tenant, rates) = (TenantId::single(), Rates::default());
        let rates = rates.of(&tenant, &limits, 0);
        let mut rates = rates.lock().expect("not poisoned");
        let mut push =
            |name, bytes, now_ns| rates.take_stream(&tenant, &stream(name), &limits, bytes, now_ns).map_err(|r| r.text);
        assert_eq!(push("a", 20, 0), Ok(()));
        assert_eq!(push("b", 1, 0), Ok(()));
        assert!(
            push("a", 1, 0).expect_err("empty bucket").starts_with("Per stream rate limit exceeded (limit: 10B/sec)")
        );
        assert!(push("c", 1, SECOND).expect_err("third").contains("create stream {app=\"c\"}"));
        assert_eq!(push("c", 1, STREAM_IDLE_NS + SECOND), Ok(()));
    }
}
