//! Finds the segments that a time range needs.
//!
//! In: tenant and range. Out: the fresh segments that no manifest has consumed, and the merged ones, in time order. A day costs one
//! LIST (fresh segments come first in it, the newest manifest right behind, and there the reading stops) and one GET of that
//! manifest, unless it is known already. In this order a batch is seen exactly once on whichever side of a merge we land: what was
//! listed as fresh is subtracted if the manifest, which is read later, has consumed it. Long ranges ask first which days exist.
//! Prunes by key and manifest alone, opens no segment.

use std::ops::Range;

use futures::stream::{self, StreamExt, TryStreamExt};
use model::{Day, TenantId, TimeRange};
use object_store::ObjectStore as _;

use crate::paths::{self, FreshKey, Key, Object};
use crate::{Current, Error, Marks, Store};

/// Ranges of more days than this first ask which days exist.
const DAYS_UNASKED_MAX: usize = 3;
/// Days that are listed at the same time.
const DAYS_CONCURRENT_MAX: usize = 16;

/// A segment, as far as its key or its manifest tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRef {
    /// The name of the object. Its bytes never change, so it may name things in caches.
    pub key: Key,
    /// Bytes of the object.
    pub size: u64,
    /// The earliest entry.
    pub min_ts: i64,
    /// The latest entry.
    pub max_ts: i64,
    /// How many entries there are.
    pub rows: u64,
    /// Written by a push, and not merged yet.
    pub fresh: bool,
    /// What was forgotten of it for good.
    pub forgot: Marks,
    /// Where its index can be read together with those of others.
    pub catalog: Option<Box<IndexCopy>>,
}

/// A copy of the parts of a segment that are needed to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexCopy {
    /// The object that has it.
    pub key: Key,
    /// Where it begins there.
    pub at: u64,
    /// The parts of the segment that lie there one behind the other; the last one is the segment's end.
    pub parts: Vec<Range<u64>>,
}

impl IndexCopy {
    /// Where it lies in the catalog.
    pub fn range(&self) -> Range<u64> {
        let bytes = self.parts.iter().map(|part| part.end.saturating_sub(part.start));
        self.at..bytes.fold(self.at, u64::saturating_add)
    }
}

/// What one LIST of a day shows.
pub(crate) struct DayListing {
    pub(crate) fresh: Vec<(FreshKey, SegmentRef)>,
    pub(crate) newest: Option<(u64, Key)>,
}

impl Store {
    /// The segments that may hold entries of the range, by earliest entry. An entry may be in two of them after a retry that was
    /// grouped otherwise; such copies are equal to the byte.
    pub async fn segments(&self, tenant: &TenantId, range: TimeRange) -> Result<Vec<SegmentRef>, Error> {
        let mut days: Vec<Day> = range.days().take(DAYS_UNASKED_MAX + 1).collect();
        if days.len() > DAYS_UNASKED_MAX {
            let (first, last) = (Day::of(range.start_ns()), Day::of(range.end_ns() - 1));
            days = self.days(tenant).await?;
            days.retain(|day| (first..=last).contains(day));
        }
        let each = stream::iter(days).map(|day| self.day_segments(tenant, day, range)).buffered(DAYS_CONCURRENT_MAX);
        let mut segments: Vec<SegmentRef> = each.try_concat().await?;
        segments.sort_by(|a, b| (a.min_ts, &a.key).cmp(&(b.min_ts, &b.key)));
        Ok(segments)
    }

    /// The fresh segments of a day, also those that a merge has consumed and that were not taken away yet: for whoever waits for new
    /// ones, and asks again and again. One LIST.
    pub async fn fresh_segments(&self, tenant: &TenantId, day: Day) -> Result<Vec<SegmentRef>, Error> {
        let listing = self.list_day(tenant, day).await?;
        Ok(listing.fresh.into_iter().map(|(_, segment)| segment).collect())
    }

    /// The tenants that have objects.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        let prefix = paths::tenants();
        let listing =
            self.objects.list_with_delimiter(Some(&prefix)).await.map_err(|e| Error::from_store(&prefix, e))?;
        Ok(listing.common_prefixes.iter().filter_map(paths::tenant_of).collect())
    }

    /// The days of which the tenant has objects, oldest first.
    pub async fn days(&self, tenant: &TenantId) -> Result<Vec<Day>, Error> {
        let prefix = paths::tenant(tenant);
        let listing =
            self.objects.list_with_delimiter(Some(&prefix)).await.map_err(|e| Error::from_store(&prefix, e))?;
        let mut days: Vec<Day> = listing.common_prefixes.iter().filter_map(paths::day_of).collect();
        days.sort();
        Ok(days)
    }

    async fn day_segments(&self, tenant: &TenantId, day: Day, range: TimeRange) -> Result<Vec<SegmentRef>, Error> {
        let (manifest, fresh) = match self.current_by_names(tenant, day).await? {
            Some(current) => current,
            None => {
                let Current { manifest, fresh, .. } = self.current(tenant, day).await?;
                (manifest, fresh.into_iter().map(|(_, segment)| segment).collect())
            }
        };
        if let Some(watch) = &self.watch.0 {
            watch.listed(tenant, day, fresh.len(), fresh.iter().map(|segment| segment.size).sum());
        }
        let all = fresh.into_iter().chain(manifest.segments.iter().map(|merged| merged.segment(tenant, day)));
        Ok(all.filter(|segment| range.overlaps(segment.min_ts, segment.max_ts)).collect())
    }

    /// One LIST of a day: all fresh segments, and the newest manifest.
    pub(crate) async fn list_day(&self, tenant: &TenantId, day: Day) -> Result<DayListing, Error> {
        let prefix = paths::day(tenant, day);
        let mut objects = self.objects.list(Some(&prefix));
        let mut listing = DayListing { fresh: Vec::new(), newest: None };
        let mut last = None;
        while let Some(meta) = objects.try_next().await.map_err(|e| Error::from_store(&prefix, e))? {
            if last.as_ref().is_some_and(|last| *last >= meta.location) {
                return Err(Error::invalid(
                    "this store does not list keys in byte order, as S3 does; Logbarn cannot work on it",
                ));
            }
            match paths::listed(&meta.location) {
                Some((key, Object::Fresh(facts))) => {
                    let FreshKey { min_ts, max_ts, rows, .. } = facts;
                    let segment = SegmentRef {
                        key,
                        size: meta.size,
                        min_ts,
                        max_ts,
                        rows,
                        fresh: true,
                        forgot: Marks::default(),
                        catalog: None,
                    };
                    listing.fresh.push((facts, segment));
                }
                Some((key, Object::Manifest { version })) => {
                    listing.newest = Some((version, key));
                    break;
                }
                // What merges wrote comes behind all manifests: there is none.
                Some((_, Object::Merged(_) | Object::Catalog(_))) => break,
                // A segment that we cannot read is no answer with a hole: a newer version may have written it.
                None if meta.location.as_ref().ends_with(".seg") => {
                    return Err(Error::corrupt(&meta.location, "not a key that this version writes"));
                }
                None => tracing::debug!(key = %meta.location, "ignoring an object that is not ours"),
            }
            last = Some(meta.location);
        }
        Ok(listing)
    }
}
