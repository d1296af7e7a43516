//! Opened segments, kept between queries: footers and the bytes around them, keyed by object name, with what was decoded of them.
//!
//! Segments are immutable, so nothing here is stale unless a damaged one was repaired: that one is removed. What was used longest ago
//! goes first when the bound is passed: first the blocks of small segments, which came with their footers, then footers. What was
//! asked of such blocks goes into the block cache.
//! Equal label sets of all segments are one in memory, so that comparing streams looks at no text.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use foldhash::fast::RandomState;
use model::Labels;
use segment::{Cell, Counts, Filter, FilterMeta, Footer, GramFilter, LevelCounts};
use store::SegmentRef;

use crate::block_cache::{BlockCache, Place};

/// A segment whose footer was read.
#[derive(Debug)]
pub struct OpenSegment {
    index: Arc<SegmentIndex>,
    /// All of a small object, for as long as whoever opened it may come to its blocks.
    whole: Mutex<Option<Bytes>>,
    /// Held by who reads it again.
    pub(crate) refilling: tokio::sync::Mutex<()>,
}

/// What is known of a segment without its blocks.
#[derive(Debug)]
pub struct SegmentIndex {
    /// Which.
    pub segment: SegmentRef,
    /// What it says about itself.
    pub footer: Footer,
    /// Parts of the object that came with the footer, and where each begins; of a small one what lies behind its blocks.
    parts: Vec<(u64, Bytes)>,
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
    /// Ranges of blocks that were asked of the whole object.
    asked: Mutex<HashSet<Range<u64>, RandomState>>,
}

impl Deref for OpenSegment {
    type Target = SegmentIndex;

    fn deref(&self) -> &SegmentIndex {
        &self.index
    }
}

impl OpenSegment {
    pub(crate) fn new(name: String, segment: SegmentRef, footer: Footer, read: Vec<(u64, Bytes)>) -> Self {
        let (grams, filters, counts, asked) = Default::default();
        let object = segment.key.to_string().into();
        let behind = footer.block_filters_range().start..segment.size;
        let whole = read.iter().find(|(_, part)| part.len() as u64 == segment.size).map(|(_, whole)| whole.clone());
        let parts = match whole.as_ref().and_then(|whole| part(whole, 0, &behind)) {
            // A slice would keep the blocks with it.
            Some(bytes) => vec![(behind.start, Bytes::copy_from_slice(&bytes))],
            None => read,
        };
        let index = SegmentIndex { segment, footer, parts, name, object, grams, filters, counts, asked };
        OpenSegment::of(Arc::new(index), whole)
    }

    fn of(index: Arc<SegmentIndex>, whole: Option<Bytes>) -> Self {
        OpenSegment { index, whole: Mutex::new(whole), refilling: tokio::sync::Mutex::default() }
    }

    /// The bytes of a range, if they were read when the segment was opened.
    pub(crate) fn held(&self, range: &Range<u64>) -> Option<Bytes> {
        if let Some(found) = self.parts.iter().find_map(|(start, bytes)| part(bytes, *start, range)) {
            return Some(found);
        }
        let found = self.lock_whole().as_ref().and_then(|whole| part(whole, 0, range))?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(range.clone());
        Some(found)
    }

    fn lock_whole(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A range of an object, of which the bytes from some place on are at hand.
fn part(bytes: &Bytes, start: u64, range: &Range<u64>) -> Option<Bytes> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
}

impl SegmentIndex {
    /// A range of it, as the block cache names it.
    pub(crate) fn place(&self, range: &Range<u64>) -> Place {
        Place { object: self.object.clone(), range: range.clone() }
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

    /// What was asked of the whole object so far, which goes.
    fn take_asked(&self, whole: &Bytes) -> Vec<(Place, Bytes)> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let start = self.segment.size - whole.len() as u64;
        asked.iter().filter_map(|range| Some((self.place(range), part(whole, start, range)?))).collect()
    }

    /// About how much memory it takes, but for what is decoded later.
    fn memory_bytes(&self) -> usize {
        let blocks = self.footer.blocks().iter().map(|block| {
            size_of_val(block) + size_of_val(block.runs.as_slice()) + size_of_val(block.columns.as_slice())
        });
        let parts = self.parts.iter().map(|(_, bytes)| bytes.len());
        parts.sum::<usize>() + size_of_val(self.footer.streams()) + blocks.sum::<usize>()
    }
}

/// The cache.
pub(crate) struct Footers {
    bytes_max: usize,
    inner: Mutex<Inner>,
    labels: Mutex<Interned>,
    /// Where the hot part of an object goes when the whole of it is dropped.
    blocks: Arc<BlockCache>,
}

#[derive(Default)]
struct Inner {
    opened: HashMap<String, Kept, RandomState>,
    /// By last use; the clock counts uses.
    uses: BTreeMap<u64, String>,
    /// The same of those that are kept whole.
    wholes: BTreeMap<u64, String>,
    clock: u64,
    bytes: usize,
}

struct Kept {
    last_use: u64,
    index: Arc<SegmentIndex>,
    bytes: usize,
    whole: Option<Bytes>,
}

/// One of each label set.
#[derive(Default)]
struct Interned {
    all: HashSet<Labels, RandomState>,
    bytes: usize,
}

impl Footers {
    pub(crate) fn new(bytes_max: usize, blocks: Arc<BlockCache>) -> Self {
        Footers { bytes_max, inner: Mutex::default(), labels: Mutex::default(), blocks }
    }

    /// A segment that was opened before.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<OpenSegment>> {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let kept = inner.opened.get_mut(name)?;
        let before = std::mem::replace(&mut kept.last_use, now);
        let opened = OpenSegment::of(kept.index.clone(), kept.whole.clone());
        let Inner { uses, wholes, .. } = &mut *inner;
        for uses in [uses, wholes] {
            if let Some(name) = uses.remove(&before) {
                uses.insert(now, name);
            }
        }
        Some(Arc::new(opened))
    }

    /// Whether a segment was opened before.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lock().opened.contains_key(name)
    }

    /// Keeps an opened segment, if it fits; the whole of it for as long as there is room.
    pub(crate) fn put(&self, opened: &OpenSegment) {
        let (index, whole) = (opened.index.clone(), opened.lock_whole().clone());
        let (mut bytes, name) = (index.memory_bytes(), index.name.clone());
        if bytes > self.bytes_max {
            return;
        }
        bytes += whole.as_ref().map_or(0, Bytes::len);
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        inner.bytes += bytes;
        inner.uses.insert(now, name.clone());
        if whole.is_some() {
            inner.wholes.insert(now, name.clone());
        }
        if let Some(old) = inner.opened.insert(name, Kept { last_use: now, index, bytes, whole }) {
            inner.uses.remove(&old.last_use);
            inner.wholes.remove(&old.last_use);
            inner.bytes -= old.bytes;
        }
        self.shrink(inner);
    }

    /// Gives a small segment the whole of its object again, which was dropped meanwhile.
    pub(crate) fn refill(&self, opened: &OpenSegment, whole: Bytes) {
        if whole.len() as u64 != opened.segment.size {
            return;
        }
        *opened.lock_whole() = Some(whole.clone());
        let mut inner = self.lock();
        let Some(kept) = inner.opened.get_mut(&opened.name).filter(|kept| kept.whole.is_none()) else { return };
        let (last_use, bytes) = (kept.last_use, whole.len());
        kept.bytes += bytes;
        kept.whole = Some(whole);
        inner.bytes += bytes;
        inner.wholes.insert(last_use, opened.name.clone());
        self.shrink(inner);
    }

    /// Back to the bound.
    fn shrink(&self, mut inner: MutexGuard<'_, Inner>) {
        let asked = inner.shrink_to(self.bytes_max);
        drop(inner);
        self.blocks.keep(asked);
    }

    /// Forgets an object, under whichever names.
    pub(crate) fn remove(&self, object: &str) {
        let mut inner = self.lock();
        let Inner { opened, uses, wholes, bytes, .. } = &mut *inner;
        for (_, old) in opened.extract_if(|_, kept| &*kept.index.object == object) {
            uses.remove(&old.last_use);
            wholes.remove(&old.last_use);
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
    /// They are larger than all else that is known of a segment, so they do not drive out another one's index; without room they are given back.
    pub(crate) fn keep_counts<'o>(&self, opened: &'o OpenSegment, counts: Counts) -> Result<&'o Counts, Counts> {
        let group_bytes = |group: &LevelCounts| size_of::<LevelCounts>() + group.cells.len() * size_of::<Cell>();
        let bytes = counts.groups.iter().map(group_bytes).sum();
        if !self.has_room(bytes) {
            return Err(counts);
        }
        Ok(opened.counts.get_or_init(|| {
            self.grew(opened, bytes);
            counts
        }))
    }

    /// Whether so many bytes fit, where whole objects may have to go for them.
    fn has_room(&self, bytes: usize) -> bool {
        let mut inner = self.lock();
        let asked = inner.drop_wholes(self.bytes_max.saturating_sub(bytes));
        let has_room = inner.bytes.saturating_add(bytes) <= self.bytes_max;
        drop(inner);
        self.blocks.keep(asked);
        has_room
    }

    /// A kept segment takes more memory than before.
    fn grew(&self, opened: &OpenSegment, bytes: usize) {
        let mut inner = self.lock();
        if let Some(kept) = inner.opened.get_mut(&opened.name) {
            kept.bytes = kept.bytes.saturating_add(bytes);
            inner.bytes = inner.bytes.saturating_add(bytes);
            self.shrink(inner);
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
    /// Drops whole objects first, then all that is known of a segment. What was asked of the former is given back.
    fn shrink_to(&mut self, bytes_max: usize) -> Vec<(Place, Bytes)> {
        let asked = self.drop_wholes(bytes_max);
        while self.bytes > bytes_max
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            if let Some(old) = self.opened.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(old.bytes);
            }
        }
        asked
    }

    fn drop_wholes(&mut self, bytes_max: usize) -> Vec<(Place, Bytes)> {
        let mut asked = Vec::new();
        while self.bytes > bytes_max
            && let Some((_, oldest)) = self.wholes.pop_first()
        {
            if let Some(kept) = self.opened.get_mut(&oldest)
                && let Some(whole) = kept.whole.take()
            {
                kept.bytes = kept.bytes.saturating_sub(whole.len());
                self.bytes = self.bytes.saturating_sub(whole.len());
                asked.extend(kept.index.take_asked(&whole));
            }
        }
        asked
    }
}
