//! Reads what opens many segments by few requests, from the catalogs in which merges have put it side by side.
//!
//! In: segments that are about to be opened. Out: for those that have a place in a catalog, the parts of them that lie there. Never an
//! error: a segment whose copy cannot be read, or is not to be trusted, is opened by itself.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures::stream::{self, StreamExt as _};
use store::{IndexCopy, Key, SegmentRef};

use crate::reader::Reader;

/// Segments that must be wanted of a catalog: a single one is opened as fast by itself.
const COPIES_MIN: usize = 2;
/// Bytes that are read of a catalog by one request.
const SPAN_BYTES_MAX: u64 = 8 << 20;

/// Parts of segments, by the segment: where each begins, and its bytes.
pub(crate) type Copies = HashMap<Key, Vec<(u64, Bytes)>, RandomState>;

/// A range of a catalog, and the segments whose copies lie in it.
struct Span<'s> {
    catalog: &'s Key,
    range: Range<u64>,
    copies: Vec<(&'s Key, &'s IndexCopy)>,
}

impl Reader {
    /// The copies that catalogs have of segments which are not open yet.
    pub(crate) async fn copies(&self, segments: &[&SegmentRef]) -> Copies {
        let is_wanted =
            |segment: &&&SegmentRef| !self.is_open(segment) && !self.blocks().is_distrusted(segment.key.as_str());
        let mut wanted: BTreeMap<&Key, Vec<(&Key, &IndexCopy)>> = BTreeMap::new();
        for segment in segments.iter().filter(is_wanted) {
            let copy = segment.catalog.iter();
            copy.for_each(|copy| wanted.entry(&copy.key).or_default().push((&segment.key, copy)));
        }
        wanted.retain(|_, copies| copies.len() >= COPIES_MIN);
        let spans = wanted.into_iter().flat_map(|(catalog, copies)| self.catalog_spans(catalog, copies));
        let read = spans.map(|span| self.read_copies(span)).collect::<Vec<_>>();
        let read = stream::iter(read).buffer_unordered(self.settings().store_concurrency_max.max(1));
        read.fold(Copies::default(), |mut all, some| async {
            all.extend(some);
            all
        })
        .await
    }

    /// Copies that lie near each other are read together.
    fn catalog_spans<'s>(&self, catalog: &'s Key, mut copies: Vec<(&'s Key, &'s IndexCopy)>) -> Vec<Span<'s>> {
        copies.sort_by_key(|(_, copy)| copy.at);
        let mut spans: Vec<Span<'s>> = Vec::new();
        for (segment, copy) in copies {
            let range = copy.range();
            let reach = |span: &&mut Span<'_>| {
                range.start <= span.range.end.saturating_add(self.settings().coalesce_gap_bytes_max)
                    && range.end.saturating_sub(span.range.start) <= SPAN_BYTES_MAX
            };
            match spans.last_mut().filter(reach) {
                Some(span) => {
                    span.range.end = span.range.end.max(range.end);
                    span.copies.push((segment, copy));
                }
                None => spans.push(Span { catalog, range, copies: vec![(segment, copy)] }),
            }
        }
        spans
    }

    async fn read_copies(&self, span: Span<'_>) -> Copies {
        let Span { catalog, range, copies } = span;
        match self.store().read_catalog(catalog, range.clone()).await {
            Ok(bytes) => copies
                .into_iter()
                .filter_map(|(segment, copy)| {
                    Some((segment.clone(), cut(&bytes, copy.at.checked_sub(range.start)?, copy)?))
                })
                .collect(),
            Err(why) => {
                tracing::debug!(%catalog, %why, "a catalog cannot be read; its segments are opened by themselves");
                Copies::default()
            }
        }
    }
}

/// The parts of a copy that begins at `at` of some bytes. Copied: a slice would keep alive the copies of all others.
fn cut(bytes: &Bytes, at: u64, copy: &IndexCopy) -> Option<Vec<(u64, Bytes)>> {
    let mut at = usize::try_from(at).ok()?;
    let part = |part: &Range<u64>| {
        let end = at.checked_add(usize::try_from(part.end.checked_sub(part.start)?).ok()?)?;
        let copied = Bytes::copy_from_slice(bytes.get(at..end)?);
        at = end;
        Some((part.start, copied))
    };
    copy.parts.iter().map(part).collect()
}
