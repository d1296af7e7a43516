//! Collects what no manifest needs, once no query can be reading it.
//!
//! In: a day. Out: deletes. Everything is judged by one listing and the newest manifest in it; an age is the difference of two times
//! that the store wrote down, so that no clock of ours counts: one that jumps here changes nothing, a store's own that is set back
//! makes garbage stay longer. (A store's clock that jumps ahead by more than the grace can take an object from a query that is
//! reading it; the query then starts anew. Nothing that counts is ever deleted for its age alone.)
//!
//! Why this may run anywhere, at any time, also late: an object is only ever deleted that a manifest has replaced, or that the version
//! it was written for has not taken up. Neither can be needed again. A fresh segment that a client sends again after all that holds
//! what the merged ones hold already.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Day, TenantId};
use store::{DayObjects, Key, Listed, Manifest, Store};

use crate::day::newest;
use crate::{Error, Grace};

/// Objects that one collection deletes at most; the next takes the rest.
const DELETES_MAX: usize = 50_000;
/// How long the deletes may go on after the listing that chose them.
const DELETE_TIME_MAX: Duration = Duration::from_secs(300);

/// What a collection has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects deleted.
    pub deleted: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that will go when their grace has passed.
    pub waiting: u64,
}

/// Something that is not needed, since when, and for how long it stays nevertheless.
pub(crate) struct Garbage<'a> {
    pub(crate) listed: &'a Listed,
    since_ms: i64,
    grace: Duration,
}

impl Garbage<'_> {
    /// Whether its grace has passed, by the store's own time.
    pub(crate) fn is_due(&self, now_ms: i64) -> bool {
        let passed = now_ms.checked_sub(self.since_ms).and_then(|ms| u64::try_from(ms).ok());
        passed.is_some_and(|ms| Duration::from_millis(ms) > self.grace)
    }
}

/// Deletes a day's garbage whose grace has passed.
pub async fn collect_day(store: &Store, tenant: &TenantId, day: Day, grace: &Grace) -> Result<Collected, Error> {
    let objects = store.day_objects(tenant, day).await?;
    let manifest = newest(store, tenant, day, &objects).await?;
    let garbage = garbage(&objects, &manifest, grace);
    if garbage.is_empty() {
        return Ok(Collected::default());
    }
    let now_ms = store.clock_ms().await?;
    let due: Vec<&Garbage<'_>> = garbage.iter().filter(|garbage| garbage.is_due(now_ms)).take(DELETES_MAX).collect();
    let keys: Vec<Key> = due.iter().map(|garbage| garbage.listed.key.clone()).collect();
    if !keys.is_empty() {
        let late = |_| Error::Internal("the deletes took too long".to_owned());
        tokio::time::timeout(DELETE_TIME_MAX, store.delete(keys)).await.map_err(late)??;
    }
    Ok(Collected {
        deleted: due.len() as u64,
        bytes: due.iter().map(|garbage| garbage.listed.size).sum(),
        waiting: (garbage.len() - due.len()) as u64,
    })
}

/// What the newest manifest does not need, or no longer. Pure.
pub(crate) fn garbage<'a>(objects: &'a DayObjects, manifest: &Manifest, grace: &Grace) -> Vec<Garbage<'a>> {
    let written: BTreeMap<u64, i64> =
        objects.manifests.iter().map(|(version, listed)| (*version, listed.modified_ms)).collect();
    // A version that is gone itself was replaced by a later one: its time will do.
    let time_of = |version: u64| written.range(version..).next().map_or(i64::MAX, |(_, modified_ms)| *modified_ms);
    let needed: BTreeSet<_> = manifest.segments.iter().map(|merged| merged.key).collect();
    let mut garbage = Vec::new();
    // One that was found gone and came again stays until a manifest has seen it again: its name could be forgotten any time.
    for (facts, listed) in objects.fresh.iter().filter(|(facts, _)| !manifest.gone.contains_key(facts)) {
        if let Some(since) = manifest.consumed.get(facts) {
            garbage.push(Garbage { listed, since_ms: time_of(*since), grace: grace.fresh });
        }
    }
    // What was written for a version above the newest is in the making.
    for (key, listed) in objects.merged.iter().filter(|(key, _)| !needed.contains(key) && key.born <= manifest.version)
    {
        // Either current once, or left behind by a merge that lost or died.
        let since_ms = manifest.dropped.get(key).map_or(listed.modified_ms, |since| time_of(*since));
        garbage.push(Garbage { listed, since_ms, grace: grace.rest });
    }
    let catalogs = manifest.catalogs();
    for (_, listed) in
        objects.catalogs.iter().filter(|(key, _)| !catalogs.contains(key) && key.born <= manifest.version)
    {
        // Who still goes by an older manifest and finds it gone opens the segments themselves.
        garbage.push(Garbage { listed, since_ms: listed.modified_ms, grace: grace.rest });
    }
    for (version, listed) in objects.manifests.iter().filter(|(version, _)| *version < manifest.version) {
        garbage.push(Garbage { listed, since_ms: time_of(*version + 1), grace: grace.rest });
    }
    garbage
}
