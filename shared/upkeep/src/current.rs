//! What of a day is current.
//!
//! In: all its objects and its newest manifest. Out: the segments that a query would read. Pure.

use model::{Day, TenantId};
use store::{DayObjects, FreshKey, Listed, Manifest, Marks, SegmentRef};

/// The fresh segments that no merge has consumed, and the merged ones.
pub(crate) fn segments(tenant: &TenantId, day: Day, objects: &DayObjects, manifest: &Manifest) -> Vec<SegmentRef> {
    let unconsumed = objects.fresh.iter().filter(|(facts, _)| !manifest.consumed.contains_key(facts));
    let fresh = unconsumed.map(|(facts, listed)| fresh(facts, listed));
    fresh.chain(manifest.segments.iter().map(|merged| merged.segment(tenant, day))).collect()
}

/// A merged segment that no manifest describes: nothing is known of it before it is opened.
pub(crate) fn undescribed(listed: &Listed) -> SegmentRef {
    SegmentRef {
        key: listed.key.clone(),
        size: listed.size,
        min_ts: 0,
        max_ts: 0,
        rows: 0,
        fresh: false,
        forgot: Marks::default(),
        catalog: None,
    }
}

/// A fresh segment, as far as its name tells.
pub(crate) fn fresh(facts: &FreshKey, listed: &Listed) -> SegmentRef {
    let FreshKey { min_ts, max_ts, rows, .. } = *facts;
    SegmentRef {
        key: listed.key.clone(),
        size: listed.size,
        min_ts,
        max_ts,
        rows,
        fresh: true,
        forgot: Marks::default(),
        catalog: None,
    }
}
