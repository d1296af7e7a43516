//! Decides which entries live on.
//!
//! What a query hides and what a merge drops is one thing: engine's [`Forget`]. Here is how a merge asks it, and what it writes down
//! when it has: marks, so that nobody looks for the same again.

use std::sync::{Arc, Mutex, PoisonError};

use engine::{Forget, Policy, Rules, StreamForget};
use model::{EntryRef, Labels, TenantId};
use store::{Marks, Store};

use crate::Error;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// What a merge asks of each entry, and before that of segments.
pub trait Keep: Send + Sync {
    /// Whether the entry of that stream is written into the merged segment.
    fn keeps(&self, stream: &Labels, entry: &EntryRef<'_>) -> bool;

    /// The marks of a segment with such times, once each of its entries was asked for.
    fn marks(&self, min_ts: i64, max_ts: i64) -> Marks {
        let _ = (min_ts, max_ts);
        Marks::default()
    }

    /// Whether no entry up to a time is kept.
    fn is_past(&self, max_ts: i64) -> bool {
        let _ = max_ts;
        false
    }

    /// Whether perhaps not all entries of a stream between two times are kept.
    fn touches(&self, stream: &Labels, min_ts: i64, max_ts: i64) -> bool {
        let _ = (stream, min_ts, max_ts);
        true
    }
}

/// Keeps everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepAll;

impl Keep for KeepAll {
    fn keeps(&self, _: &Labels, _: &EntryRef<'_>) -> bool {
        true
    }
}

/// What is kept of a tenant now. Now is the earlier one of what our clock and the store's say: a process whose clock has jumped ahead
/// hides what it takes for past, but deletes none of it.
pub async fn keep_of(store: &Store, tenant: &TenantId, policy: &Policy) -> Result<Arc<dyn Keep>, Error> {
    let rules = policy.rules(tenant).map_err(|why| Error::Internal(why.to_string()))?;
    if rules.is_nothing() {
        return Ok(Arc::new(KeepAll));
    }
    let store_ns = store.clock_ms().await?.saturating_mul(NANOS_PER_MILLI);
    Forgetting::of(store, tenant, rules.no_later_than(store_ns)).await
}

/// What is forgotten of a tenant: asks the store for its delete requests, if they are heeded.
pub(crate) async fn forget_of(store: &Store, tenant: &TenantId, rules: Rules) -> Result<Forget, Error> {
    let requests = if rules.heeds_deletes() { store.deletes(tenant).await? } else { Vec::new() };
    Forget::new(rules, &requests).map_err(|why| Error::Internal(why.to_string()))
}

/// Keeps what is not past its retention, nor deleted for good.
pub struct Forgetting {
    forget: Forget,
    /// Of the stream that was asked about last: a merge goes stream by stream.
    last: Mutex<Option<(Labels, Arc<StreamForget>)>>,
}

impl Forgetting {
    /// Of a tenant.
    pub async fn of(store: &Store, tenant: &TenantId, rules: Rules) -> Result<Arc<dyn Keep>, Error> {
        let forget = forget_of(store, tenant, rules).await?.for_good();
        Ok(Arc::new(Forgetting { forget, last: Mutex::default() }))
    }

    fn of_stream(&self, stream: &Labels) -> Arc<StreamForget> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((of, known)) if of == stream => Arc::clone(known),
            _ => {
                let found = Arc::new(self.forget.of_stream(stream, &Marks::default()));
                *last = Some((stream.clone(), Arc::clone(&found)));
                found
            }
        }
    }
}

impl Keep for Forgetting {
    fn keeps(&self, stream: &Labels, entry: &EntryRef<'_>) -> bool {
        !self.of_stream(stream).hides(*entry)
    }

    fn marks(&self, min_ts: i64, max_ts: i64) -> Marks {
        self.forget.marks(min_ts, max_ts)
    }

    fn is_past(&self, max_ts: i64) -> bool {
        self.forget.is_past(max_ts)
    }

    fn touches(&self, stream: &Labels, min_ts: i64, max_ts: i64) -> bool {
        !self.of_stream(stream).spares(min_ts, max_ts)
    }
}
