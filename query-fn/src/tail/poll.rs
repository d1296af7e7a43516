//! The store, asked again and again while a tail is open: what other processes push becomes live here.
//!
//! In: tenants with a tail. Out: the entries of every segment that was not there before, brought to the tails. One task a tenant,
//! one LIST of today's fresh segments an interval; it ends with the tenant's last tail, so that an idle hour is no request at all.
//! What cannot be read is tried again at the next turn.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::Engine;
use model::{Day, NANOS_PER_SECOND, TenantId};
use store::{Key, SegmentRef, Store};
use tokio::sync::watch;

use super::hub::Hub;
use crate::request::now_ns;

/// Time between two looks: an entry is told within a second of its push.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Days are listed that hold entries so much older than now, or so much younger (`creation_grace_period` is ten minutes).
const AROUND_NOW_NS: i64 = 3600 * NANOS_PER_SECOND;

/// Asks the store on behalf of all tails. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct Poller(Arc<Inner>);

struct Inner {
    store: Store,
    engine: Engine,
    hub: Hub,
    /// The tenants that are asked for; each value is up once what was there before is known.
    tenants: Mutex<HashMap<TenantId, watch::Receiver<bool>>>,
}

impl Poller {
    pub(crate) fn new(store: Store, engine: Engine, hub: Hub) -> Self {
        Poller(Arc::new(Inner { store, engine, hub, tenants: Mutex::default() }))
    }

    /// Done when everything that is stored from now on comes to the tails of the tenant, of which there is one already.
    pub(crate) async fn watch(&self, tenant: &TenantId) {
        let mut ready = self.ready(tenant);
        // A task that ended without being ready ended with the runtime.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    fn ready(&self, tenant: &TenantId) -> watch::Receiver<bool> {
        let mut tenants = self.lock();
        if let Some(ready) = tenants.get(tenant) {
            return ready.clone();
        }
        let (sender, ready) = watch::channel(false);
        tenants.insert(tenant.clone(), ready.clone());
        tokio::spawn(self.clone().ask(tenant.clone(), sender));
        ready
    }

    async fn ask(self, tenant: TenantId, ready: watch::Sender<bool>) {
        let mut seen: Option<HashSet<Key>> = None;
        while self.is_wanted(&tenant) {
            match self.list(&tenant).await {
                Ok(listed) => {
                    let keys = listed.iter().map(|segment| segment.key.clone());
                    match &mut seen {
                        None => seen = Some(keys.collect()),
                        Some(before) => {
                            // What is listed no more is forgotten, so this is as large as a listing.
                            let still: HashSet<Key> = keys.collect();
                            before.retain(|key| still.contains(key));
                            self.bring_new(&tenant, listed, before).await;
                        }
                    }
                    ready.send_replace(true);
                }
                Err(error) => tracing::warn!(%tenant, %error, "tails cannot see what is new, trying again"),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Whether the tenant still has a tail; if not, the next one starts anew.
    fn is_wanted(&self, tenant: &TenantId) -> bool {
        let mut tenants = self.lock();
        let wanted = !self.0.hub.followers(tenant).is_empty();
        if !wanted {
            tenants.remove(tenant);
        }
        wanted
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<SegmentRef>, store::Error> {
        let now_ns = now_ns();
        let days: BTreeSet<Day> = [now_ns - AROUND_NOW_NS, now_ns, now_ns + AROUND_NOW_NS].map(Day::of).into();
        let mut listed = Vec::new();
        for day in days {
            listed.extend(self.0.store.fresh_segments(tenant, day).await?);
        }
        Ok(listed)
    }

    async fn bring_new(&self, tenant: &TenantId, listed: Vec<SegmentRef>, seen: &mut HashSet<Key>) {
        for segment in listed.into_iter().filter(|segment| !seen.contains(&segment.key)).collect::<Vec<_>>() {
            let followers = self.0.hub.followers(tenant);
            let (hub, of_tenant) = (self.0.hub.clone(), tenant.clone());
            let wanted = |stream: &_| followers.iter().any(|follower| follower.wants(stream));
            let bring = move |entries: &dyn model::StoredEntries| hub.bring(&of_tenant, entries);
            match self.0.engine.walk_segment(tenant, &segment, wanted, bring).await {
                Ok(()) => drop(seen.insert(segment.key)),
                Err(error @ engine::Error::Corrupt { .. }) => {
                    tracing::error!(%tenant, %error, "tails go on without it");
                    seen.insert(segment.key);
                }
                Err(error) => tracing::warn!(%tenant, %error, "tails cannot read what is new, trying again"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, watch::Receiver<bool>>> {
        self.0.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::TailMetrics;
    use engine::{EngineSettings, LiveQuery};
    use store::StoreUrl;

    /// The clock stands still but for sleeps, so hours pass at once and every request is counted.
    #[tokio::test(start_paused = true)]
    async fn asks_only_while_a_tail_is_open() {
        let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
        let engine = Engine::new(store.clone(), EngineSettings::default());
        let hub = Hub::new(engine.clone(), TailMetrics::default());
        let poller = Poller::new(store.clone(), engine, hub.clone());
        let (tenant, hour) = (TenantId::single(), Duration::from_secs(3600));
        let requests = || store.counters().snapshot().requests();
        for _ in 0..2 {
            let query = LiveQuery::parse(r#"{app="x"}"#).expect("LogQL").expect("of logs");
            let following = hub.follow(&tenant, query, 1).expect("the first");
            poller.watch(&tenant).await;
            let before = requests();
            tokio::time::sleep(hour).await;
            assert!(requests() >= before + 3600, "at least one LIST a second");
            drop(following);
            tokio::time::sleep(POLL_INTERVAL).await;
            let after = requests();
            tokio::time::sleep(hour).await;
            assert_eq!(requests(), after, "an idle hour is no request");
        }
    }
}
