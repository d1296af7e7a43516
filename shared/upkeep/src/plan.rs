//! Chooses what one merge takes.
//!
//! In: what a day holds, and settings. Out: inputs in time order, or nothing if the day is not due. Pure. Fresh segments come first,
//! the oldest of them; then merged ones of about one size, so that an entry is rewritten about as often as sizes multiply.

use std::collections::BTreeMap;

use model::{Day, TenantId};
use segment::TRAILER_BYTES;
use store::{DayObjects, FreshKey, Manifest, MergedKey, SegmentRef};

use crate::{Keep, MergeSettings};

/// Merged segments whose sizes differ by less than this factor count as of one size.
const TIER_FACTOR: u64 = 4;
/// Segments up to this size are all of the first tier.
const TIER_FIRST_BYTES: u64 = 1 << 18;

/// Segments of one catalog at most.
const CATALOG_COUNT_MAX: usize = 64;

/// A segment that a merge takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) origin: Origin,
    pub(crate) segment: SegmentRef,
}

/// What the manifest will say about an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Fresh(FreshKey),
    Merged(MergedKey),
}

/// What is done next.
#[derive(Debug)]
pub(crate) enum Work {
    /// Nothing in these is kept: a manifest without them is enough.
    Drop(Vec<Chosen>),
    /// These hold perhaps what is to be forgotten: those that do are merged anew, the others are marked.
    Forget(Vec<Chosen>),
    /// These become fewer.
    Merge(Vec<Chosen>),
    /// These are complete; a catalog is written of them.
    Catalog(Vec<Chosen>),
}

/// What is to be done next with a day: first what is past goes, then what is deleted, then segments become fewer,
/// then those that are complete get a catalog.
pub(crate) fn next(
    tenant: &TenantId,
    day: Day,
    objects: &DayObjects,
    manifest: &Manifest,
    settings: &MergeSettings,
    keep: &dyn Keep,
) -> Option<Work> {
    let fresh = objects.fresh.iter().filter(|(facts, _)| !manifest.consumed.contains_key(facts));
    let fresh = fresh
        .map(|(facts, listed)| Chosen { origin: Origin::Fresh(*facts), segment: crate::current::fresh(facts, listed) });
    let merged = manifest.segments.iter();
    let merged =
        merged.map(|merged| Chosen { origin: Origin::Merged(merged.key), segment: merged.segment(tenant, day) });
    let (past, rest): (Vec<Chosen>, Vec<Chosen>) =
        fresh.chain(merged).partition(|chosen| keep.is_past(chosen.segment.max_ts));
    if !past.is_empty() {
        return Some(Work::Drop(past));
    }
    let owes = |Chosen { segment, .. }: &Chosen| {
        keep.marks(segment.min_ts, segment.max_ts).iter().any(|mark| !segment.forgot.contains(mark))
    };
    let owing: Vec<Chosen> = rest.iter().filter(|chosen| owes(chosen)).cloned().collect();
    if !owing.is_empty() {
        return Some(Work::Forget(bounded(owing, settings)));
    }
    choose(&rest, settings).map(Work::Merge).or_else(|| complete(rest, settings).map(Work::Catalog))
}

/// Segments that are never merged again and have no place in a catalog, if they are enough for one.
fn complete(current: Vec<Chosen>, settings: &MergeSettings) -> Option<Vec<Chosen>> {
    let is_complete = |Chosen { segment, .. }: &Chosen| {
        !segment.fresh && segment.size >= settings.output_bytes && segment.catalog.is_none()
    };
    let mut complete: Vec<Chosen> = current.into_iter().filter(is_complete).collect();
    complete.truncate(CATALOG_COUNT_MAX);
    Some(complete).filter(|complete| complete.len() >= settings.catalog_count_min.max(1))
}

/// The inputs of the next merge, of all that is current.
fn choose(current: &[Chosen], settings: &MergeSettings) -> Option<Vec<Chosen>> {
    let (fresh, merged): (Vec<Chosen>, Vec<Chosen>) = current.iter().cloned().partition(|chosen| chosen.segment.fresh);
    let bytes: u64 = fresh.iter().map(|chosen| chosen.segment.size).sum();
    if !fresh.is_empty() && settings.is_due(fresh.len(), bytes) {
        return Some(bounded(fresh, settings));
    }
    let mut tiers: BTreeMap<u32, Vec<Chosen>> = BTreeMap::new();
    for chosen in merged.into_iter().filter(|chosen| chosen.segment.size < settings.output_bytes) {
        tiers.entry(tier(chosen.segment.size)).or_default().push(chosen);
    }
    let due = tiers.into_values().find(|tier| tier.len() >= settings.tier_count_min.max(2))?;
    Some(bounded(due, settings)).filter(|inputs| inputs.len() > 1)
}

/// Which size a segment is of.
fn tier(size: u64) -> u32 {
    (size.max(TRAILER_BYTES as u64) / TIER_FIRST_BYTES).checked_ilog(TIER_FACTOR).map_or(0, |tier| tier + 1)
}

/// As many as one merge takes, in time order.
fn bounded(mut inputs: Vec<Chosen>, settings: &MergeSettings) -> Vec<Chosen> {
    inputs.sort_by(|a, b| (a.segment.min_ts, &a.segment.key).cmp(&(b.segment.min_ts, &b.segment.key)));
    let mut bytes = 0;
    let fits = |chosen: &&Chosen| {
        bytes += chosen.segment.size;
        bytes <= settings.input_bytes_max
    };
    let count = inputs.iter().take(settings.inputs_max.max(2)).take_while(fits).count();
    inputs.truncate(count.max(1));
    inputs
}
