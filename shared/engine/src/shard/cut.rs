//! Cuts a range of time into slices that hold about the same stored bytes.
//!
//! In: a range, and the segments in it with their times and sizes. Out: slices that cover the range, in order. A segment's bytes are
//! taken as spread evenly over its time. Cuts lie where minutes end, as the footers count them, so that no minute that could be
//! counted as a whole is cut in two; near the end of a day they lie there, since no segment goes on behind it.

use model::{Day, TimeRange};
use store::SegmentRef;

const MINUTE_NS: i64 = 60_000_000_000;
/// A cut may move by this part of a slice to lie between two days.
const MOVED_PART: f64 = 0.25;

/// The slices of a range: as many as there are full portions of `slice_bytes`, within `slices_max`, but at least one.
pub(crate) fn cut(range: TimeRange, segments: &[SegmentRef], slices_max: usize, slice_bytes: u64) -> Vec<TimeRange> {
    let pieces: Vec<Piece> = segments.iter().filter_map(|segment| Piece::of(segment, range)).collect();
    let bytes: f64 = pieces.iter().map(|piece| piece.bytes).sum();
    let slices = ((bytes / slice_bytes.max(1) as f64).ceil() as usize).min(slices_max).max(1);
    let slice_bytes = bytes / slices as f64;
    let curve = Curve::new(pieces);
    let mut edges = vec![range.start_ns()];
    for slice in 1..slices {
        let at = |part: f64| curve.time_of(slice_bytes * (slice as f64 + part));
        let edge = edge_near(at(0.0), at(-MOVED_PART), at(MOVED_PART));
        if edges.last().is_some_and(|last| *last < edge) && edge < range.end_ns() {
            edges.push(edge);
        }
    }
    edges.push(range.end_ns());
    let slices = edges.iter().zip(edges.iter().skip(1)).filter_map(|(from, to)| TimeRange::new(*from, *to).ok());
    slices.collect()
}

/// The end of a day between two times, or that of the nearest minute: the first time behind it.
fn edge_near(time_ns: i64, least_ns: i64, most_ns: i64) -> i64 {
    let day_ns = Day::of(most_ns).start_ns();
    if day_ns >= least_ns {
        return day_ns;
    }
    let minute_ns = time_ns.saturating_add(MINUTE_NS / 2);
    minute_ns.saturating_sub(minute_ns.rem_euclid(MINUTE_NS)).saturating_add(1)
}

/// What a segment holds of a range.
struct Piece {
    from_ns: i64,
    to_ns: i64,
    bytes: f64,
}

impl Piece {
    fn of(segment: &SegmentRef, range: TimeRange) -> Option<Self> {
        let (from_ns, to_ns) = (segment.min_ts.max(range.start_ns()), segment.max_ts.min(range.end_ns() - 1));
        if from_ns > to_ns {
            return None;
        }
        let part = (span(from_ns, to_ns) / span(segment.min_ts, segment.max_ts)).min(1.0);
        Some(Piece { from_ns, to_ns, bytes: segment.size as f64 * part })
    }
}

/// Nanoseconds from one time to another, both included.
fn span(from_ns: i64, to_ns: i64) -> f64 {
    to_ns.abs_diff(from_ns) as f64 + 1.0
}

/// The bytes up to a time, as a rising line: times with the bytes before them, in order.
struct Curve(Vec<(i64, f64)>);

impl Curve {
    fn new(pieces: Vec<Piece>) -> Self {
        let mut changes: Vec<(i64, f64)> = Vec::with_capacity(2 * pieces.len());
        for piece in pieces {
            let per_ns = piece.bytes / span(piece.from_ns, piece.to_ns);
            changes.extend([(piece.from_ns, per_ns), (piece.to_ns.saturating_add(1), -per_ns)]);
        }
        changes.sort_by_key(|(time_ns, _)| *time_ns);
        let (mut bytes, mut per_ns, mut points) = (0.0, 0.0_f64, Vec::<(i64, f64)>::new());
        for (time_ns, change) in changes {
            if let Some((before_ns, _)) = points.last() {
                bytes += per_ns.max(0.0) * time_ns.abs_diff(*before_ns) as f64;
            }
            per_ns += change;
            points.push((time_ns, bytes));
        }
        Curve(points)
    }

    /// The time before which so many bytes lie.
    fn time_of(&self, bytes: f64) -> i64 {
        let behind = self.0.partition_point(|(_, before)| *before < bytes);
        match (behind.checked_sub(1).and_then(|at| self.0.get(at)), self.0.get(behind)) {
            (Some((from_ns, from)), Some((to_ns, to))) => {
                let part = (bytes - from) / (to - from);
                from_ns.saturating_add_unsigned((part * to_ns.abs_diff(*from_ns) as f64) as u64)
            }
            (None, Some((time_ns, _))) | (Some((time_ns, _)), None) => *time_ns,
            (None, None) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use store::Key;

    const START_NS: i64 = 1_795_168_800_000_000_000;

    fn segment(from_min: i64, to_min: i64, size: u64) -> SegmentRef {
        let key = "t/fake/2026-11-20/seg/00000000000000000000000000000001-1.seg";
        let key = Key::parse(key).expect("a key");
        let (min_ts, max_ts) = (START_NS + from_min * MINUTE_NS, START_NS + to_min * MINUTE_NS);
        SegmentRef { key, size, min_ts, max_ts, rows: 1, fresh: false, forgot: store::Marks::default(), catalog: None }
    }

    fn range(from_min: i64, to_min: i64) -> TimeRange {
        TimeRange::new(START_NS + from_min * MINUTE_NS, START_NS + to_min * MINUTE_NS).expect("a range")
    }

    /// The inner edges, in minutes from the start.
    fn edges(range: TimeRange, segments: &[SegmentRef], slices_max: usize, slice_bytes: u64) -> Vec<f64> {
        let slices = cut(range, segments, slices_max, slice_bytes);
        slices.iter().skip(1).map(|slice| (slice.start_ns() - START_NS - 1) as f64 / MINUTE_NS as f64).collect()
    }

    #[test]
    fn slices_hold_the_same_bytes() {
        assert_eq!(edges(range(0, 60), &[segment(0, 60, 100)], 9, 25), [15.0, 30.0, 45.0]);
        assert_eq!(edges(range(0, 60), &[segment(0, 60, 100)], 2, 25), [30.0]);
        assert_eq!(edges(range(0, 60), &[segment(0, 60, 100)], 9, 100), [0.0; 0]);
        assert_eq!(edges(range(0, 60), &[], 9, 1), [0.0; 0]);
        // Half of the bytes lie in ten minutes; half of a segment lies in the range.
        assert_eq!(edges(range(0, 60), &[segment(0, 10, 50), segment(10, 60, 50)], 9, 50), [10.0]);
        assert_eq!(edges(range(0, 60), &[segment(0, 120, 100)], 9, 25), [30.0]);
        // Midnight is 14 hours away.
        assert_eq!(
            edges(range(800, 900), &[segment(800, 839, 50), segment(840, 900, 55)], 9, 60),
            [840.0 - 1.0 / 60e9]
        );
    }

    proptest! {
        #[test]
        fn slices_cover_the_range(
            pieces in prop::collection::vec((-100i64..3000, 0i64..900, 0u64..1000), 0..20),
            (from, length, slices_max, slice_bytes) in (-50i64..3000, 0i64..2000, 1usize..40, 1u64..5000),
        ) {
            let segments: Vec<SegmentRef> = pieces.iter().map(|(at, long, size)| segment(*at, at + long, *size)).collect();
            let asked = range(from, from + length);
            let slices = cut(asked, &segments, slices_max, slice_bytes);
            prop_assert!(!slices.is_empty() && slices.len() <= slices_max);
            prop_assert_eq!(slices[0].start_ns(), asked.start_ns());
            prop_assert_eq!(slices[slices.len() - 1].end_ns(), asked.end_ns());
            prop_assert!(slices.windows(2).all(|pair| pair[0].end_ns() == pair[1].start_ns()));
            prop_assert!(slices.windows(2).all(|pair| pair[0].start_ns() < pair[0].end_ns()));
        }
    }

    #[test]
    fn any_time_can_be_cut() {
        let huge = SegmentRef { min_ts: i64::MIN, max_ts: i64::MAX, ..segment(0, 1, 1 << 40) };
        let all = TimeRange::new(i64::MIN, i64::MAX).expect("a range");
        assert_eq!(cut(all, &[huge], 8, 1).len(), 8);
    }
}
