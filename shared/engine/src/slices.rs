//! Cuts questions, so that what is opened at the same time stays within a bound.
//!
//! In: a range and the segments in it. Out: slices of time that cover the range, in order, each with all segments that reach into it;
//! or waves of segments, where time does not matter. Segments that reach far across each other are left together: slices would open
//! the same ones again and again.

use model::TimeRange;
use store::SegmentRef;

use crate::EngineSettings;
use crate::shard::cut;

/// Most slices of one question.
const SLICES_MAX: usize = 4096;
/// How many times over slices may open what there is.
const OPENED_AGAIN_MAX: u64 = 2;
/// Of a large segment more than its tail may be wanted: counts and filters are about such a part of it.
const INDEX_PART: u64 = 16;

/// A part of a question.
pub(crate) struct Slice {
    pub(crate) range: TimeRange,
    pub(crate) segments: Vec<SegmentRef>,
}

/// The memory that an opened segment takes, about.
pub(crate) fn open_bytes(segment: &SegmentRef, settings: &EngineSettings) -> u64 {
    match segment.size <= settings.whole_object_bytes_max {
        true => segment.size,
        false => settings.tail_bytes.saturating_add(segment.size / INDEX_PART).min(segment.size),
    }
}

/// The slices of a range; those without segments are left out.
pub(crate) fn slices(range: TimeRange, segments: Vec<SegmentRef>, settings: &EngineSettings) -> Vec<Slice> {
    let all: u64 = segments.iter().map(|segment| open_bytes(segment, settings)).sum();
    let together = |segments| vec![Slice { range, segments }];
    if all <= settings.open_bytes_max {
        return together(segments);
    }
    let weighed = |segment: &SegmentRef| SegmentRef { size: open_bytes(segment, settings), ..segment.clone() };
    let weighed: Vec<SegmentRef> = segments.iter().map(weighed).collect();
    let slice = |range: TimeRange| {
        let within = segments.iter().filter(|segment| range.overlaps(segment.min_ts, segment.max_ts));
        Slice { range, segments: within.cloned().collect() }
    };
    let slices: Vec<Slice> = cut(range, &weighed, SLICES_MAX, settings.open_bytes_max).into_iter().map(slice).collect();
    let opened = slices.iter().flat_map(|slice| &slice.segments).map(|segment| open_bytes(segment, settings));
    if opened.sum::<u64>() > all.saturating_mul(OPENED_AGAIN_MAX) {
        return together(segments);
    }
    slices.into_iter().filter(|slice| !slice.segments.is_empty()).collect()
}

/// The same segments in the same order, as many together as may be open.
pub(crate) fn waves(segments: Vec<SegmentRef>, settings: &EngineSettings) -> Vec<Vec<SegmentRef>> {
    let mut waves: Vec<Vec<SegmentRef>> = Vec::new();
    let mut bytes = 0;
    for segment in segments {
        bytes += open_bytes(&segment, settings);
        match waves.last_mut().filter(|_| bytes <= settings.open_bytes_max) {
            Some(wave) => wave.push(segment),
            None => {
                bytes = open_bytes(&segment, settings);
                waves.push(vec![segment]);
            }
        }
    }
    waves
}
