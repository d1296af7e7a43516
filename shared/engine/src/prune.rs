//! Asks the filters which blocks cannot match.
//!
//! In: a plan. Out: the same plan with blocks marked as skipped. First one small read a segment for the slices that answer
//! for the wanted keys, then the filters of the blocks that are left. A filter's "no" is certain, its "perhaps" is not.

use std::collections::BTreeMap;

use segment::{Filter, FilterMeta, Key};

use crate::needles::Need;
use crate::plan::{Plan, PlannedSegment, Skip};
use crate::reader::{Reader, at_once, corrupt};
use crate::{Error, footers::OpenSegment};

/// Marks the blocks that the filters prove empty of matches.
pub(crate) async fn prune(plan: &mut Plan, reader: &Reader) -> Result<(), Error> {
    if plan.need != Need::Nothing {
        let need = &plan.need;
        let segments = plan.segments.iter_mut().filter(|segment| !segment.blocks.is_empty());
        let work = segments.map(|segment| prune_segment(segment, need, reader)).collect();
        at_once(reader.settings().store_concurrency_max, work).await?;
    }
    let blocks: usize = plan.segments.iter().map(|segment| segment.blocks.len()).sum();
    let skipped = plan.skipped(Skip::SegmentFilter) + plan.skipped(Skip::BlockFilter);
    reader.count(|stats| {
        stats.blocks += blocks as u64;
        stats.blocks_skipped += skipped as u64;
    });
    Ok(())
}

async fn prune_segment(segment: &mut PlannedSegment, need: &Need, reader: &Reader) -> Result<(), Error> {
    let opened = segment.opened.clone();
    if !segment_may_match(&opened, need, reader).await? {
        segment.blocks.iter_mut().for_each(|block| block.skipped = Some(Skip::SegmentFilter));
        return Ok(());
    }
    // With one block the segment's answer is the block's.
    if opened.footer.blocks().len() < 2 {
        return Ok(());
    }
    let metas: Vec<&FilterMeta> =
        segment.blocks.iter().filter_map(|block| Some(&opened.footer.blocks().get(block.index)?.filter)).collect();
    let filters = read_filters(&opened, &metas, reader).await?;
    for (block, filter) in segment.blocks.iter_mut().zip(&filters) {
        if !possible(need, |key| filter.contains(key)) {
            block.skipped = Some(Skip::BlockFilter);
        }
    }
    Ok(())
}

async fn segment_may_match(opened: &OpenSegment, need: &Need, reader: &Reader) -> Result<bool, Error> {
    let mut keys = Vec::new();
    collect_keys(need, &mut keys);
    // Filters are told apart by where they lie.
    let slices: BTreeMap<u64, &FilterMeta> =
        keys.iter().filter_map(|key| opened.footer.filter(*key)).map(|meta| (meta.range.start, meta)).collect();
    let metas: Vec<&FilterMeta> = slices.values().copied().collect();
    let filters = read_filters(opened, &metas, reader).await?;
    let filters: BTreeMap<u64, Filter> = slices.keys().copied().zip(filters).collect();
    Ok(possible(need, |key| {
        let filter = opened.footer.filter(key).and_then(|meta| filters.get(&meta.range.start));
        filter.is_none_or(|filter| filter.contains(key))
    }))
}

fn possible(need: &Need, has: impl Fn(Key) -> bool) -> bool {
    let token = |token: &str| has(Key::token(token));
    let pair = |name: &str, value: &str| has(Key::label(name, value)) || has(Key::metadata(name, value));
    need.possible(&token, &pair)
}

fn collect_keys(need: &Need, keys: &mut Vec<Key>) {
    match need {
        Need::Nothing => {}
        Need::Token(token) => keys.push(Key::token(token)),
        Need::Pair { name, value } => keys.extend([Key::label(name, value), Key::metadata(name, value)]),
        Need::All(parts) | Need::OneOf(parts) => parts.iter().for_each(|part| collect_keys(part, keys)),
    }
}

async fn read_filters(opened: &OpenSegment, metas: &[&FilterMeta], reader: &Reader) -> Result<Vec<Filter>, Error> {
    let ranges: Vec<_> = metas.iter().map(|meta| meta.range.clone()).collect();
    let stored = reader.read(opened, &ranges).await?;
    let filters = metas.iter().zip(&stored).map(|(meta, stored)| Filter::decode(meta, stored));
    filters.collect::<Result<_, _>>().map_err(|why| corrupt(&opened.segment, &why))
}
