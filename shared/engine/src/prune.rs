//! Asks the filters which blocks cannot match.
//!
//! In: a plan. Out: the same plan with blocks marked as skipped. First one small read a segment for the slices that answer
//! for the wanted keys, then its grams, then the filters of the blocks that are left. A filter's "no" is certain, its
//! "perhaps" is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use segment::{Filter, FilterMeta, GramFilter, Key};

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
    let skipped: usize = Skip::ALL.into_iter().map(|why| plan.skipped(why)).sum();
    reader.count(|stats| {
        stats.blocks += blocks as u64;
        stats.blocks_skipped += skipped as u64;
    });
    Ok(())
}

async fn prune_segment(segment: &mut PlannedSegment, need: &Need, reader: &Reader) -> Result<(), Error> {
    let opened = segment.opened.clone();
    let (mut keys, mut texts) = (Vec::new(), false);
    need.visit(&mut |part| {
        texts |= matches!(part, Need::Text(_));
        keys.extend(keys_of(part));
    });
    let filters = segment_filters(&opened, &keys, reader).await?;
    let has_key = |key| {
        let filter = opened.footer.filter(key).and_then(|meta| filters.get(&meta.range.start));
        filter.is_none_or(|filter| filter.contains(key))
    };
    if !possible(need, has_key, None) {
        return skip_all(segment, Skip::SegmentFilter);
    }
    let grams = if texts { segment_grams(&opened, reader).await? } else { None };
    if !possible(need, has_key, grams) {
        return skip_all(segment, Skip::GramFilter);
    }
    // With one block the segment's answer is the block's.
    if keys.is_empty() || opened.footer.blocks().len() < 2 {
        return Ok(());
    }
    let metas: Vec<&FilterMeta> =
        segment.blocks.iter().filter_map(|block| Some(&opened.footer.blocks().get(block.index)?.filter)).collect();
    let filters = read_filters(&opened, &metas, reader).await?;
    for (block, filter) in segment.blocks.iter_mut().zip(&filters) {
        if !possible(need, |key| filter.contains(key), grams) {
            block.skipped = Some(Skip::BlockFilter);
        }
    }
    Ok(())
}

fn skip_all(segment: &mut PlannedSegment, why: Skip) -> Result<(), Error> {
    segment.blocks.iter_mut().for_each(|block| block.skipped = Some(why));
    Ok(())
}

fn possible(need: &Need, has_key: impl Fn(Key) -> bool, grams: Option<&GramFilter>) -> bool {
    need.possible(&|part| match part {
        Need::Text(text) => grams.is_none_or(|grams| grams.contains(text.as_bytes())),
        other => keys_of(other).any(&has_key),
    })
}

/// The keys of which a token or pair has one.
fn keys_of(part: &Need) -> impl Iterator<Item = Key> {
    let keys = match part {
        Need::Token(token) => [Some(Key::token(token)), None],
        Need::Pair { name, value } => [Some(Key::label(name, value)), Some(Key::metadata(name, value))],
        Need::Nothing | Need::Text(_) | Need::All(_) | Need::OneOf(_) => [None, None],
    };
    keys.into_iter().flatten()
}

/// The slices that answer for the keys, by where they lie.
async fn segment_filters(
    opened: &OpenSegment,
    keys: &[Key],
    reader: &Reader,
) -> Result<BTreeMap<u64, Arc<Filter>>, Error> {
    let slices: BTreeMap<u64, &FilterMeta> =
        keys.iter().filter_map(|key| opened.footer.filter(*key)).map(|meta| (meta.range.start, meta)).collect();
    let metas: Vec<&FilterMeta> = slices.values().copied().collect();
    let filters = read_filters(opened, &metas, reader).await?;
    Ok(slices.into_keys().zip(filters).collect())
}

/// Filters, in the order given: those that were asked before are kept with the segment.
async fn read_filters(opened: &OpenSegment, metas: &[&FilterMeta], reader: &Reader) -> Result<Vec<Arc<Filter>>, Error> {
    let mut filters: Vec<Option<Arc<Filter>>> = metas.iter().map(|meta| opened.filter(meta)).collect();
    let missing = metas.iter().zip(&filters).filter(|(_, filter)| filter.is_none()).map(|(meta, _)| *meta);
    let missing: Vec<&FilterMeta> = missing.collect();
    let ranges: Vec<_> = missing.iter().map(|meta| meta.range.clone()).collect();
    let stored = reader.read(opened, &ranges).await?;
    let mut decoded = Vec::with_capacity(missing.len());
    for (meta, stored) in missing.into_iter().zip(&stored) {
        let filter = Filter::decode(meta, stored).map_err(|why| corrupt(&opened.segment, &why))?;
        decoded.push(reader.footers().keep_filter(opened, meta, filter));
    }
    let mut decoded = decoded.into_iter();
    filters.iter_mut().filter(|filter| filter.is_none()).for_each(|filter| *filter = decoded.next());
    Ok(filters.into_iter().flatten().collect())
}

/// The segment's grams, if it has some: decoded once while the segment stays open.
async fn segment_grams<'o>(opened: &'o OpenSegment, reader: &Reader) -> Result<Option<&'o GramFilter>, Error> {
    let Some(section) = opened.footer.grams() else { return Ok(None) };
    if let Some(grams) = opened.grams() {
        return Ok(Some(grams));
    }
    let stored = reader.read(opened, std::slice::from_ref(&section.range)).await?;
    let stored = stored.first().map(|bytes| &bytes[..]).unwrap_or_default();
    let grams = opened.footer.decode_grams(stored).map_err(|why| corrupt(&opened.segment, &why))?;
    Ok(Some(reader.footers().keep_grams(opened, grams)))
}
