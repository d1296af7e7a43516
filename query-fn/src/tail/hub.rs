//! Who follows what: brings stored entries to the tails of their tenant.
//!
//! In: stored entries, from a feed or from the store. Out: what matches, in each tail's queue. With no tail open it costs one look at
//! a number. Each tail runs its own pipeline, once an entry; nothing here waits for a client.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{Engine, LiveQuery};
use loki_api::tail::Dropped;
use model::{EntryRef, EntryVisitor, Labels, StoredEntries, TenantId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::queue::Queue;
use crate::metrics::TailMetrics;

/// The tails of one process. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    /// Knows what is not to be told.
    engine: Engine,
    followers: Mutex<HashMap<TenantId, Vec<Arc<Follower>>>>,
    /// How many there are, over all tenants.
    open: watch::Sender<usize>,
    /// The same, to be read without a lock on every commit.
    open_now: AtomicUsize,
    /// What was handed over and has not come to the tails yet.
    pending: watch::Sender<usize>,
    /// Set once: tails end.
    stopping: watch::Sender<bool>,
    metrics: TailMetrics,
}

/// One tail, as those see it who bring entries.
pub(crate) struct Follower {
    query: LiveQuery,
    pub(crate) queue: Queue,
}

/// A tail's place in the hub, given back when it is dropped.
pub(crate) struct Following {
    hub: Hub,
    tenant: TenantId,
    pub(crate) follower: Arc<Follower>,
}

/// The tenant has as many tails as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("max concurrent tail requests limit exceeded, count > limit ({} > {limit})", limit + 1)]
pub(crate) struct TooMany {
    limit: usize,
}

impl Hub {
    pub(crate) fn new(engine: Engine, metrics: TailMetrics) -> Self {
        let (open, pending, stopping) = (watch::Sender::new(0), watch::Sender::new(0), watch::Sender::new(false));
        let (followers, open_now) = (Mutex::default(), AtomicUsize::new(0));
        Hub(Arc::new(Inner { engine, followers, open, open_now, pending, stopping, metrics }))
    }

    /// From now on, everything that is stored and matches comes into the follower's queue.
    pub(crate) fn follow(&self, tenant: &TenantId, query: LiveQuery, tails_max: usize) -> Result<Following, TooMany> {
        let mut followers = self.lock();
        let of_tenant = followers.entry(tenant.clone()).or_default();
        if tails_max > 0 && of_tenant.len() >= tails_max {
            return Err(TooMany { limit: tails_max });
        }
        let follower = Arc::new(Follower { query, queue: Queue::default() });
        of_tenant.push(Arc::clone(&follower));
        self.count(1);
        Ok(Following { hub: self.clone(), tenant: tenant.clone(), follower })
    }

    /// Whether anyone follows anything. A commit that is stored and then sees nobody is seen by the history of whoever comes.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.open_now.load(Ordering::SeqCst) == 0
    }

    /// The tails of a tenant.
    pub(crate) fn followers(&self, tenant: &TenantId) -> Vec<Arc<Follower>> {
        self.lock().get(tenant).cloned().unwrap_or_default()
    }

    /// Brings entries to all tails of a tenant. Takes as long as their pipelines take.
    pub(crate) fn bring(&self, tenant: &TenantId, entries: &dyn StoredEntries) {
        let (now, followers) = (Instant::now(), self.followers(tenant));
        if followers.is_empty() {
            return;
        }
        let forget = match self.0.engine.known_forget(tenant) {
            Ok(forget) => forget,
            Err(error) => return tracing::warn!(%tenant, %error, "tails are not told what came"),
        };
        for follower in followers {
            let (mut found, mut dropped) = (false, 0);
            follower.query.run(entries, &forget, &mut |entry| {
                found = true;
                dropped += u64::from(!follower.queue.put(entry, now));
            });
            if found {
                self.0.metrics.dropped.inc_by(dropped);
                follower.queue.wake();
            }
        }
    }

    /// Tells all tails of a tenant that entries of their streams did not come through. Filters are not asked: that would be the work
    /// that there was no time for.
    pub(crate) fn miss(&self, tenant: &TenantId, entries: &dyn StoredEntries) {
        for follower in self.followers(tenant) {
            let mut missed = Missed { follower: &follower, labels: Labels::default(), count: 0 };
            entries.walk(&mut missed);
            if missed.count > 0 {
                self.0.metrics.dropped.inc_by(missed.count);
                follower.queue.wake();
            }
        }
    }

    /// Something is on its way to the tails, until this is dropped.
    pub(crate) fn pending(&self) -> Pending {
        self.0.pending.send_modify(|pending| *pending += 1);
        Pending(self.clone())
    }

    /// Ends all tails once they have what was handed over, and waits until they have ended.
    pub(crate) async fn stop(&self) {
        // The senders live in `self`, so waiting cannot fail.
        let _ = self.0.pending.subscribe().wait_for(|pending| *pending == 0).await;
        self.0.stopping.send_replace(true);
        let _ = self.0.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Up once tails are to end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    fn count(&self, change: isize) {
        self.0.open.send_modify(|open| {
            *open = open.saturating_add_signed(change);
            self.0.open_now.store(*open, Ordering::SeqCst);
            self.0.metrics.active.set(i64::try_from(*open).unwrap_or(i64::MAX));
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Vec<Arc<Follower>>>> {
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Hub::pending`].
pub(crate) struct Pending(Hub);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.0.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
    }
}

impl Follower {
    /// Whether a stream may hold something for it.
    pub(crate) fn wants(&self, stream: &Labels) -> bool {
        self.query.matches_stream(stream)
    }

    /// What it follows.
    pub(crate) fn query(&self) -> &LiveQuery {
        &self.query
    }
}

impl Following {
    /// Counts bytes that go to the client.
    pub(crate) fn sent(&self, bytes: usize) {
        self.hub.0.metrics.bytes.inc_by(bytes as u64);
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut followers = self.hub.lock();
        if let Some(of_tenant) = followers.get_mut(&self.tenant) {
            of_tenant.retain(|follower| !Arc::ptr_eq(follower, &self.follower));
            if of_tenant.is_empty() {
                followers.remove(&self.tenant);
            }
        }
        drop(followers);
        self.hub.count(-1);
    }
}

/// Notes the entries of a follower's streams as dropped.
struct Missed<'f> {
    follower: &'f Follower,
    labels: Labels,
    count: u64,
}

impl EntryVisitor for Missed<'_> {
    fn stream(&mut self, labels: &Labels) -> bool {
        self.labels = labels.clone();
        self.follower.wants(labels)
    }

    fn entry(&mut self, entry: EntryRef<'_>) {
        self.count += 1;
        self.follower.queue.miss(Dropped { timestamp_ns: entry.timestamp_ns, labels: self.labels.clone() });
    }
}
