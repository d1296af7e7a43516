//! Opened segments, kept between queries: footers and the bytes around them, keyed by object name, with what was decoded of them.
//!
//! Segments are immutable, so nothing here is stale unless a damaged one was repaired: that one is removed. What was used longest ago goes first when the bound is passed.
//! Equal label sets of all segments are one in memory, so that comparing streams looks at no text.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use foldhash::fast::RandomState;
use model::Labels;
use segment::{Cell, Counts, Filter, FilterMeta, Footer, GramFilter, LevelCounts};
use store::SegmentRef;

use crate::block_cache::Place;

/// A segment whose footer was read.
#[derive(Debug)]
pub struct OpenSegment {
    /// Which.
    pub segment: SegmentRef,
    /// What it says about itself.
    pub footer: Footer,
    /// The end of the object as it was read: all of it, if it is small.
    tail: Bytes,
    /// The name under which it is kept.
    name: String,
    /// The object's own name.
    object: Arc<str>,
    /// Its gram filter, once it was asked.
    grams: OnceLock<GramFilter>,
    /// Filters that were asked, by where they lie.
    filters: Mutex<HashMap<u64, Arc<Filter>, RandomState>>,
    /// Its counts by the minute, once they were asked.
    counts: OnceLock<Counts>,
}

impl OpenSegment {
    pub(crate) fn new(name: String, segment: SegmentRef, footer: Footer, tail: Bytes) -> Self {
        let (grams, filters, counts) = Default::default();
        let object = segment.key.to_string().into();
        OpenSegment { segment, footer, tail, name, object, grams, filters, counts }
    }

    /// A range of it, as the block cache names it.
    pub(crate) fn place(&self, range: &Range<u64>) -> Place {
        Place { object: self.object.clone(), range: range.clone() }
    }

    /// The bytes of a range, if they were read when the segment was opened.
    pub(crate) fn held(&self, range: &Range<u64>) -> Option<Bytes> {
        let tail_start = self.segment.size - self.tail.len() as u64;
        let from = usize::try_from(range.start.checked_sub(tail_start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(tail_start)?).ok()?;
        (from <= to && to <= self.tail.len()).then(|| self.tail.slice(from..to))
    }

    /// The gram filter, if it was decoded before.
    pub(crate) fn grams(&self) -> Option<&GramFilter> {
        self.grams.get()
    }

    /// The counts, if they were decoded before.
    pub(crate) fn counts(&self) -> Option<&Counts> {
        self.counts.get()
    }

    /// A filter, if it was decoded before.
    pub(crate) fn filter(&self, meta: &FilterMeta) -> Option<Arc<Filter>> {
        self.lock_filters().get(&meta.range.start).cloned()
    }

    fn lock_filters(&self) -> MutexGuard<'_, HashMap<u64, Arc<Filter>, RandomState>> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// About how much memory it takes, but for what is decoded later.
    fn memory_bytes(&self) -> usize {
        let streams = self.footer.streams().iter().map(|stream| size_of_val(stream) + stream.labels.byte_len());
        let blocks = self.footer.blocks().iter().map(|block| {
            size_of_val(block) + size_of_val(block.runs.as_slice()) + size_of_val(block.columns.as_slice())
        });
        self.tail.len() + streams.sum::<usize>() + blocks.sum::<usize>()
    }
}

/// The cache.
pub(crate) struct Footers {
    bytes_max: usize,
    inner: Mutex<Inner>,
    labels: Mutex<Interned>,
}

#[derive(Default)]
struct Inner {
    opened: HashMap<String, Kept, RandomState>,
    /// By last use; the clock counts uses.
    uses: BTreeMap<u64, String>,
    clock: u64,
    bytes: usize,
}

struct Kept {
    last_use: u64,
    opened: Arc<OpenSegment>,
    bytes: usize,
}

/// One of each label set.
#[derive(Default)]
struct Interned {
    all: HashSet<Labels, RandomState>,
    bytes: usize,
}

impl Footers {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Footers { bytes_max, inner: Mutex::default(), labels: Mutex::default() }
    }

    /// A segment that was opened before.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<OpenSegment>> {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let kept = inner.opened.get_mut(name)?;
        let (before, opened) = (std::mem::replace(&mut kept.last_use, now), kept.opened.clone());
        if let Some(name) = inner.uses.remove(&before) {
            inner.uses.insert(now, name);
        }
        Some(opened)
    }

    /// Keeps an opened segment, if it fits.
    pub(crate) fn put(&self, opened: Arc<OpenSegment>) {
        let (bytes, name) = (opened.memory_bytes(), opened.name.clone());
        if bytes > self.bytes_max {
            return;
        }
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        inner.bytes += bytes;
        inner.uses.insert(now, name.clone());
        if let Some(old) = inner.opened.insert(name, Kept { last_use: now, opened, bytes }) {
            inner.uses.remove(&old.last_use);
            inner.bytes -= old.bytes;
        }
        inner.shrink_to(self.bytes_max);
    }

    /// Forgets an object, under whichever names.
    pub(crate) fn remove(&self, object: &str) {
        let mut inner = self.lock();
        let Inner { opened, uses, bytes, .. } = &mut *inner;
        for (_, old) in opened.extract_if(|_, kept| &*kept.opened.object == object) {
            uses.remove(&old.last_use);
            *bytes = bytes.saturating_sub(old.bytes);
        }
    }

    /// Equal labels as one in memory, whoever came first.
    pub(crate) fn interned(&self, labels: &Labels) -> Labels {
        let mut known = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.all.get(labels) {
            return known.clone();
        }
        let bytes = size_of_val(labels) + labels.byte_len() + labels.len() * size_of::<(Box<str>, Box<str>)>();
        if known.bytes + bytes > self.bytes_max / INTERNED_PART {
            *known = Interned::default();
        }
        known.bytes += bytes;
        known.all.insert(labels.clone());
        labels.clone()
    }

    /// Keeps a decoded gram filter with its segment.
    pub(crate) fn keep_grams<'o>(&self, opened: &'o OpenSegment, grams: GramFilter) -> &'o GramFilter {
        opened.grams.get_or_init(|| {
            self.grew(opened, grams.byte_len());
            grams
        })
    }

    /// Keeps a decoded filter with its segment.
    pub(crate) fn keep_filter(&self, opened: &OpenSegment, meta: &FilterMeta, filter: Filter) -> Arc<Filter> {
        let filter = Arc::new(filter);
        if opened.lock_filters().insert(meta.range.start, filter.clone()).is_none() {
            let bytes = usize::try_from(meta.range.end.saturating_sub(meta.range.start)).unwrap_or(usize::MAX);
            self.grew(opened, bytes.saturating_add(FILTER_OVERHEAD_BYTES));
        }
        filter
    }

    /// Keeps decoded counts with their segment.
    pub(crate) fn keep_counts<'o>(&self, opened: &'o OpenSegment, counts: Counts) -> &'o Counts {
        opened.counts.get_or_init(|| {
            let group_bytes = |group: &LevelCounts| size_of::<LevelCounts>() + group.cells.len() * size_of::<Cell>();
            self.grew(opened, counts.groups.iter().map(group_bytes).sum());
            counts
        })
    }

    /// A kept segment takes more memory than before.
    fn grew(&self, opened: &OpenSegment, bytes: usize) {
        let mut inner = self.lock();
        if let Some(kept) = inner.opened.get_mut(&opened.name) {
            kept.bytes = kept.bytes.saturating_add(bytes);
            inner.bytes = inner.bytes.saturating_add(bytes);
            inner.shrink_to(self.bytes_max);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The label sets that are kept as one may take this part of the bound besides it.
const INTERNED_PART: usize = 4;
/// What a kept filter takes besides its bits.
const FILTER_OVERHEAD_BYTES: usize = 128;

impl Inner {
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            if let Some(old) = self.opened.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(old.bytes);
            }
        }
    }
}
