//! Ranges of segments that were read from the store, kept: in memory, and on disk if there is a folder for them.
//!
//! In: an object's name and a range. Out: its bytes, or nothing. Segments are immutable, so nothing here is stale, unless a damaged
//! one was repaired: what was found damaged is not read from here again. Both places are bounded. Never an error: what cannot be kept
//! or read back is read from the store again. Lines that are decoded a second time are kept decoded, in the place of their range: most
//! of what a repeated search costs is to decompress them.

mod disk;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use foldhash::fast::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use crate::EngineSettings;
use crate::rows::Lines;
use disk::Disk;

/// Ranges are expected to be about so large; it decides nothing but how much room the table starts with.
const RANGE_BYTES_EXPECTED: usize = 16 << 10;
/// What a kept range takes besides its bytes.
const OVERHEAD_BYTES: u64 = 160;

/// Most ranges of which it is known that their lines were decoded once; beyond that all are forgotten.
const DECODED_KNOWN_MAX: usize = 4096;
/// Most objects that are distrusted; beyond that all are trusted again.
const DISTRUSTED_MAX: usize = 1024;

/// A range of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) object: Arc<str>,
    pub(crate) range: Range<u64>,
}

/// What is kept of a range.
#[derive(Clone)]
enum Kept {
    Stored(Bytes),
    Lines(Arc<Lines>),
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Place, Kept> for ByBytes {
    fn weight(&self, _: &Place, kept: &Kept) -> u64 {
        let bytes = match kept {
            Kept::Stored(bytes) => bytes.len(),
            Kept::Lines(lines) => lines.memory_bytes(),
        };
        bytes as u64 + OVERHEAD_BYTES
    }
}

/// The cache.
pub(crate) struct BlockCache {
    memory: Option<Cache<Place, Kept, ByBytes, RandomState>>,
    disk: Option<Arc<Disk>>,
    /// Ranges whose lines were decoded once.
    decoded: Mutex<HashSet<Place, RandomState>>,
    /// Objects of which nothing is read from disk, but what is read from the store is written there.
    distrusted: Mutex<HashSet<String, RandomState>>,
}

impl BlockCache {
    pub(crate) fn new(settings: &EngineSettings) -> Self {
        let bytes_max = settings.block_cache_memory_bytes_max;
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity((bytes_max / RANGE_BYTES_EXPECTED).max(1))
            .weight_capacity(bytes_max as u64)
            .build();
        let cache =
            |options| Cache::with_options(options, ByBytes, RandomState::default(), DefaultLifecycle::default());
        let memory = options.ok().filter(|_| bytes_max > 0).map(cache);
        let disk = settings
            .block_cache_directory
            .as_ref()
            .map(|directory| Arc::new(Disk::new(directory.clone(), settings.block_cache_disk_bytes_max)));
        BlockCache { memory, disk, decoded: Mutex::default(), distrusted: Mutex::default() }
    }

    /// Forgets what is kept of an object. True: for the first time.
    pub(crate) fn distrust(&self, object: &str) -> bool {
        self.memory.iter().for_each(|memory| memory.retain(|place, _| &*place.object != object));
        let mut distrusted = self.lock_distrusted();
        if distrusted.len() >= DISTRUSTED_MAX {
            distrusted.clear();
        }
        distrusted.insert(object.to_owned())
    }

    /// Whether an object was found damaged.
    pub(crate) fn is_distrusted(&self, object: &str) -> bool {
        self.lock_distrusted().contains(object)
    }

    fn lock_distrusted(&self) -> MutexGuard<'_, HashSet<String, RandomState>> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk, as far as this object is concerned.
    fn disk_for(&self, object: &str) -> Option<&Arc<Disk>> {
        self.disk.as_ref().filter(|_| !self.is_distrusted(object))
    }

    /// Bytes that are kept in memory.
    pub(crate) fn in_memory(&self, place: &Place) -> Option<Bytes> {
        match self.memory.as_ref()?.get(place)? {
            Kept::Stored(bytes) => Some(bytes),
            Kept::Lines(_) => None,
        }
    }

    /// The lines of a range, if they are kept decoded.
    pub(crate) fn lines(&self, place: &Place) -> Option<Arc<Lines>> {
        match self.memory.as_ref()?.get(place)? {
            Kept::Lines(lines) => Some(lines),
            Kept::Stored(_) => None,
        }
    }

    /// Lines that were decoded: kept if they were before, so that a search over more than there is room for does not pay for
    /// keeping what goes before it is asked again.
    pub(crate) fn keep_lines(&self, place: Place, mut lines: Lines) -> Arc<Lines> {
        let Some(memory) = &self.memory else { return Arc::new(lines) };
        let mut decoded = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if !decoded.remove(&place) {
            if decoded.len() >= DECODED_KNOWN_MAX {
                decoded.clear();
            }
            decoded.insert(place);
            return Arc::new(lines);
        }
        drop(decoded);
        lines.shrink();
        let lines = Arc::new(lines);
        memory.insert(place, Kept::Lines(lines.clone()));
        lines
    }

    /// Whether a range is kept anywhere. Reads nothing.
    pub(crate) fn has(&self, place: &Place) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.contains_key(place))
            || self.disk_for(&place.object).is_some_and(|disk| disk.has(place))
    }

    /// Bytes that are kept on disk, for each place, all of one object. They move to memory, if they are to stay there.
    pub(crate) async fn on_disk(&self, places: Vec<Place>, keep_in_memory: bool) -> Vec<Option<Bytes>> {
        let disk = places.first().and_then(|place| self.disk_for(&place.object)).cloned();
        let Some(disk) = disk else { return vec![None; places.len()] };
        let reading = tokio::task::spawn_blocking(move || {
            let found: Vec<Option<Bytes>> = places.iter().map(|place| disk.get(place)).collect();
            (places, found)
        });
        let Ok((places, found)) = reading.await else { return Vec::new() };
        for (place, bytes) in places.into_iter().zip(&found).filter(|_| keep_in_memory) {
            bytes.iter().for_each(|bytes| self.keep_in_memory(place.clone(), bytes.clone()));
        }
        found
    }

    /// Keeps bytes that were read from the store.
    pub(crate) async fn put(&self, read: Vec<(Place, Bytes)>, keep_in_memory: bool) {
        for (place, bytes) in read.iter().filter(|_| keep_in_memory) {
            self.keep_in_memory(place.clone(), bytes.clone());
        }
        let Some(disk) = self.disk.clone().filter(|_| !read.is_empty()) else { return };
        let writing =
            tokio::task::spawn_blocking(move || read.iter().for_each(|(place, bytes)| disk.put(place, bytes)));
        if let Err(failure) = writing.await {
            tracing::warn!(%failure, "the block cache could not be written");
        }
    }

    /// Keeps ranges in memory that were held elsewhere until now.
    pub(crate) fn keep(&self, ranges: Vec<(Place, Bytes)>) {
        let Some(memory) = &self.memory else { return };
        for (place, bytes) in ranges {
            if !memory.contains_key(&place) {
                self.keep_in_memory(place, bytes);
            }
        }
    }

    fn keep_in_memory(&self, place: Place, bytes: Bytes) {
        // A slice would keep alive all of the answer that it was cut from.
        let kept = Kept::Stored(Bytes::copy_from_slice(&bytes));
        self.memory.iter().for_each(|memory| memory.insert(place.clone(), kept.clone()));
    }

    /// The bytes in memory.
    #[cfg(test)]
    fn memory_bytes(&self) -> u64 {
        self.memory.as_ref().map_or(0, Cache::weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(object: &str, range: Range<u64>) -> Place {
        Place { object: object.into(), range }
    }

    fn cache(memory: usize, directory: Option<&std::path::Path>, disk: u64) -> BlockCache {
        BlockCache::new(&EngineSettings {
            block_cache_memory_bytes_max: memory,
            block_cache_directory: directory.map(Into::into),
            block_cache_disk_bytes_max: disk,
            ..EngineSettings::default()
        })
    }

    #[tokio::test]
    async fn memory_stays_within_its_bound() {
        let cache = cache(10_000, None, 0);
        for start in 0..100 {
            cache.put(vec![(place("a", start..start + 1000), Bytes::from(vec![0; 1000]))], true).await;
            assert!(cache.memory_bytes() <= 10_000);
        }
        assert!(cache.memory_bytes() > 5_000);
        assert!((0..100).any(|start| cache.in_memory(&place("a", start..start + 1000)).is_some()));
        cache.put(vec![(place("large", 0..20_000), Bytes::from(vec![0; 20_000]))], true).await;
        assert_eq!(cache.in_memory(&place("large", 0..20_000)), None);
    }

    #[tokio::test]
    async fn what_is_on_disk_outlives_the_process_and_is_shared() {
        let directory = tempfile::tempdir().expect("a folder");
        let (one, other) = (cache(0, Some(directory.path()), 1 << 20), cache(1 << 20, Some(directory.path()), 1 << 20));
        let (kept, not) = (place("t/a/x", 5..10), place("t/a/x", 5..11));
        one.put(vec![(kept.clone(), Bytes::from_static(b"hello"))], true).await;
        assert!(other.has(&kept) && !other.has(&not));
        let found = other.on_disk(vec![kept.clone(), not], true).await;
        assert_eq!(found, [Some(Bytes::from_static(b"hello")), None]);
        assert_eq!(other.in_memory(&kept), found[0]);
    }
}
