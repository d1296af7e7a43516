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
    inputs.truncate(apart(&inputs, count.max(1)));
    inputs
}

/// How many of the first `count` inputs are taken, at least half of them: where they share the least time with those that follow. What
/// lies in two merged segments at the same time, questions compare entry by entry.
pub(crate) fn apart(inputs: &[Chosen], count: usize) -> usize {
    let (mut latest, mut best) = (i64::MIN, (i64::MAX, count));
    for (taken, pair) in (1..=count).zip(inputs.windows(2)) {
        let [input, next] = pair else { continue };
        latest = latest.max(input.segment.max_ts);
        let shared = latest.saturating_sub(next.segment.min_ts).max(0);
        if taken >= count.div_ceil(2).max(2) && shared <= best.0 {
            best = (shared, taken);
        }
    }
    if count < inputs.len() { best.1 } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Key, Marks};

    #[test]
    fn a_merge_ends_where_little_overlaps() {
        let check = |times: &[(i64, i64)], count: usize, want: usize| {
            let chosen = |(min_ts, max_ts): &(i64, i64)| {
                let facts = FreshKey { day: Day::of(0), min_ts: *min_ts, max_ts: *max_ts, batch_id: 1, rows: 1 };
                let key = Key::parse("t/fake/2026-11-20/seg/00000000000000000000000000000001-1.seg").expect("a key");
                let (min_ts, max_ts, forgot) = (*min_ts, *max_ts, Marks::default());
                let segment = SegmentRef { key, size: 1, min_ts, max_ts, rows: 1, fresh: true, forgot, catalog: None };
                Chosen { origin: Origin::Fresh(facts), segment }
            };
            let inputs: Vec<Chosen> = times.iter().map(chosen).collect();
            assert_eq!(apart(&inputs, count), want, "{times:?} {count}");
        };
        let three_times_two = [(0, 9), (1, 10), (10, 19), (11, 20), (21, 29), (22, 30)];
        check(&three_times_two, 5, 4);
        check(&three_times_two, 4, 4);
        check(&three_times_two, 3, 2);
        // All are taken, or there is no better place.
        check(&three_times_two, 6, 6);
        check(&[(0, 9), (0, 9), (0, 9), (0, 9)], 3, 3);
        check(&[(0, 9), (20, 29)], 1, 1);
        // Half of them at least.
        check(&[(0, 9), (0, 9), (10, 90), (20, 80), (30, 80), (40, 80), (50, 80)], 6, 6);
    }
}
