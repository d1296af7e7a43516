//! Opened segments, kept between queries: footers and the bytes around them, keyed by object name.
//!
//! Segments are immutable, so nothing here is ever stale. What was used longest ago goes first when the bound is passed.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use segment::{Footer, GramFilter};
use store::SegmentRef;

/// A segment whose footer was read.
#[derive(Debug)]
pub struct OpenSegment {
    /// Which.
    pub segment: SegmentRef,
    /// What it says about itself.
    pub footer: Footer,
    /// The end of the object as it was read: all of it, if it is small.
    pub(crate) tail: Bytes,
    /// Its gram filter, once it was asked.
    pub(crate) grams: OnceLock<GramFilter>,
}

impl OpenSegment {
    /// The bytes of a range, if they were read when the segment was opened.
    pub(crate) fn held(&self, range: &Range<u64>) -> Option<Bytes> {
        let tail_start = self.segment.size - self.tail.len() as u64;
        let from = usize::try_from(range.start.checked_sub(tail_start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(tail_start)?).ok()?;
        (from <= to && to <= self.tail.len()).then(|| self.tail.slice(from..to))
    }

    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let streams = self.footer.streams().iter().map(|stream| size_of_val(stream) + stream.labels.byte_len());
        let blocks = self.footer.blocks().iter().map(|block| {
            size_of_val(block) + size_of_val(block.runs.as_slice()) + size_of_val(block.columns.as_slice())
        });
        let grams = self.footer.grams().map_or(0, |section| usize::try_from(section.raw_len).unwrap_or(usize::MAX));
        (self.tail.len() + streams.sum::<usize>() + blocks.sum::<usize>()).saturating_add(grams)
    }
}

/// The cache.
pub(crate) struct Footers {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    opened: HashMap<String, (u64, Arc<OpenSegment>)>,
    /// By last use; the clock counts uses.
    uses: BTreeMap<u64, String>,
    clock: u64,
    bytes: usize,
}

impl Footers {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Footers { bytes_max, inner: Mutex::default() }
    }

    /// A segment that was opened before.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<OpenSegment>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let (last_use, opened) = inner.opened.get_mut(name)?;
        let (before, opened) = (std::mem::replace(last_use, now), opened.clone());
        if let Some(name) = inner.uses.remove(&before) {
            inner.uses.insert(now, name);
        }
        Some(opened)
    }

    /// Keeps an opened segment, if it fits.
    pub(crate) fn put(&self, name: &str, opened: Arc<OpenSegment>) {
        let bytes = opened.memory_bytes();
        if bytes > self.bytes_max {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        inner.bytes += bytes;
        inner.uses.insert(now, name.to_owned());
        if let Some((before, old)) = inner.opened.insert(name.to_owned(), (now, opened)) {
            inner.uses.remove(&before);
            inner.bytes -= old.memory_bytes();
        }
        while inner.bytes > self.bytes_max
            && let Some((_, oldest)) = inner.uses.pop_first()
        {
            if let Some((_, old)) = inner.opened.remove(&oldest) {
                inner.bytes -= old.memory_bytes();
            }
        }
    }
}
