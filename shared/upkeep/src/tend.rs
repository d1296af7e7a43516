//! Looks after one day within a given time, for a process that has to be done before it is stopped.
//!
//! In: a tenant's day, and until when. Out: what was done, and whether there is more. Each merge that was committed stays, however the
//! next one ends: one that runs out of time leaves only objects that are garbage already.

use std::sync::Arc;
use std::time::Duration;

use model::{Day, TenantId};
use store::Store;
use tokio::time::{Instant, timeout_at};

use crate::{Collected, Error, Grace, Keep, MergeSettings, Merged, collect_day, merge_day};

/// What looking after a day has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tended {
    /// What was merged.
    pub merged: Merged,
    /// What was collected.
    pub collected: Collected,
    /// Whether the time was up before all was done.
    pub more: bool,
}

/// Merges what is due in a day and collects its garbage, until there is no time for another merge.
pub async fn tend_day(
    store: &Store,
    tenant: &TenantId,
    day: Day,
    (settings, grace): (&MergeSettings, &Grace),
    keep: Arc<dyn Keep>,
    until: Instant,
) -> Result<Tended, Error> {
    let one = MergeSettings { merges_max: 1, ..settings.clone() };
    let (mut tended, mut longest) = (Tended::default(), Duration::ZERO);
    loop {
        let begun = Instant::now();
        // A merge that would be cut off is not worth its beginning.
        if begun + longest >= until || tended.merged.commits() >= settings.merges_max as u64 {
            tended.more = true;
            return Ok(tended);
        }
        match timeout_at(until, merge_day(store, tenant, day, &one, keep.clone())).await {
            Ok(merged) => {
                let merged = merged?;
                tended.merged.add(merged);
                if merged.commits() == 0 {
                    break;
                }
            }
            Err(_) => {
                tracing::warn!(%tenant, %day, "a merge did not end in the time that was left");
                tended.more = true;
                return Ok(tended);
            }
        }
        longest = longest.max(begun.elapsed());
    }
    match timeout_at(until, collect_day(store, tenant, day, grace)).await {
        Ok(collected) => tended.collected = collected?,
        Err(_) => tended.more = true,
    }
    Ok(tended)
}
