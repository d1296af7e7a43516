//! What a store holds, in numbers.
//!
//! In: a store and a part of it. Out: objects, bytes, entries and streams of each tenant's days. Reads the listings, the newest manifest of
//! each day, and the end of each segment that is current. Entries that lie in two segments count twice here.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::AddAssign;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use model::{Day, TenantId};
use store::{DayObjects, Found, Store};

use crate::day::newest;
use crate::garbage::garbage;
use crate::{Error, Grace, Progress, Scope, current, footer};

/// Segments that are opened at the same time.
const OPEN_CONCURRENT_MAX: usize = 16;
/// Streams of a tenant that are told apart. Beyond them they are not counted any more.
const STREAMS_COUNTED_MAX: usize = 10_000_000;

/// Objects and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pile {
    /// How many.
    pub objects: u64,
    /// How large.
    pub bytes: u64,
}

/// What a day, a tenant or a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    /// Segments as they were pushed, and not merged yet.
    pub fresh: Pile,
    /// Segments that merges have made.
    pub merged: Pile,
    /// Manifests that are current.
    pub manifests: Pile,
    /// What merges have left behind, and collections will take.
    pub garbage: Pile,
    /// Requests for deletes, and what is in the making.
    pub others: Pile,
    /// Entries of current segments.
    pub entries: u64,
    /// Their bytes: lines, and structured metadata with its names.
    pub raw_bytes: u64,
    /// Distinct streams.
    pub streams: u64,
}

impl Holding {
    /// Everything that is stored.
    pub fn all(&self) -> Pile {
        let piles = [self.fresh, self.merged, self.manifests, self.garbage, self.others];
        Pile { objects: piles.iter().map(|pile| pile.objects).sum(), bytes: piles.iter().map(|pile| pile.bytes).sum() }
    }

    /// Stored bytes of current segments for each raw byte.
    pub fn ratio(&self) -> Option<f64> {
        (self.raw_bytes > 0).then(|| (self.fresh.bytes + self.merged.bytes) as f64 / self.raw_bytes as f64)
    }
}

impl Pile {
    fn put(&mut self, bytes: u64) {
        *self += Pile { objects: 1, bytes };
    }
}

impl AddAssign for Pile {
    fn add_assign(&mut self, other: Pile) {
        (self.objects, self.bytes) = (self.objects + other.objects, self.bytes + other.bytes);
    }
}

/// Adds everything but streams, which may be the same.
impl AddAssign for Holding {
    fn add_assign(&mut self, other: Holding) {
        self.fresh += other.fresh;
        self.merged += other.merged;
        self.manifests += other.manifests;
        self.garbage += other.garbage;
        self.others += other.others;
        self.entries += other.entries;
        self.raw_bytes += other.raw_bytes;
    }
}

/// A tenant's days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantStats {
    /// The days, oldest first.
    pub days: Vec<(Day, Holding)>,
    /// All of them; its streams are those of all days, each once.
    pub total: Holding,
}

/// Counts a store.
pub async fn stats(
    store: &Store,
    scope: &Scope,
    progress: &dyn Progress,
) -> Result<Vec<(TenantId, TenantStats)>, Error> {
    let mut inventory = store.inventory(scope.tenant.as_ref());
    let mut all: Vec<(TenantId, TenantStats)> = Vec::new();
    let mut streams = HashSet::new();
    while let Some(found) = inventory.next().await? {
        match found {
            Found::Day(tenant, day, objects) if scope.holds(day) => {
                let stats = of_tenant(&mut all, &mut streams, tenant.clone());
                let holding = count(store, &tenant, day, &objects, &mut streams, progress).await?;
                stats.days.push((day, holding));
                stats.total += holding;
                stats.total.streams = streams.len() as u64;
            }
            Found::Deletes(tenant, listed) => of_tenant(&mut all, &mut streams, tenant).total.others.put(listed.size),
            Found::Day(..) | Found::Unknown(_) => {}
        }
    }
    Ok(all)
}

/// The figures of the tenant that is at hand.
fn of_tenant<'a>(
    all: &'a mut Vec<(TenantId, TenantStats)>,
    streams: &mut HashSet<u64>,
    tenant: TenantId,
) -> &'a mut TenantStats {
    let index = match all.last() {
        Some((last, _)) if *last == tenant => all.len() - 1,
        _ => {
            streams.clear();
            all.push((tenant, TenantStats::default()));
            all.len() - 1
        }
    };
    &mut all[index].1
}

/// Counts a day; its streams are put to those of its tenant.
async fn count(
    store: &Store,
    tenant: &TenantId,
    day: Day,
    objects: &DayObjects,
    streams: &mut HashSet<u64>,
    progress: &dyn Progress,
) -> Result<Holding, Error> {
    let manifest = newest(store, tenant, day, objects).await?;
    let mut holding = Holding::default();
    for garbage in garbage(objects, &manifest, &Grace::default()) {
        holding.garbage.put(garbage.listed.size);
    }
    let in_the_making = objects.merged.iter().filter(|(key, _)| key.born > manifest.version);
    in_the_making.for_each(|(_, listed)| holding.others.put(listed.size));
    let needed = manifest.catalogs();
    let catalogs = objects.catalogs.iter().filter(|(key, _)| needed.contains(key)).map(|(_, listed)| listed);
    for listed in catalogs.chain(objects.manifests.first().map(|(_, listed)| listed)) {
        holding.manifests.put(listed.size);
    }
    let current = current::segments(tenant, day, objects, &manifest);
    progress.more(current.len() as u64, 0);
    let opened = current.iter().map(|segment| async move {
        let (footer, _) = footer::open(store, segment).await?;
        progress.done(1, 0);
        Ok::<_, Error>(footer)
    });
    let mut footers = stream::iter(opened.collect::<Vec<_>>()).buffer_unordered(OPEN_CONCURRENT_MAX);
    let mut of_day = HashSet::new();
    while let Some(footer) = footers.try_next().await? {
        for stream in footer.streams() {
            holding.raw_bytes += stream.line_bytes + stream.metadata_bytes;
            let mut hasher = DefaultHasher::new();
            stream.labels.hash(&mut hasher);
            for counted in [&mut of_day, &mut *streams] {
                if counted.len() < STREAMS_COUNTED_MAX {
                    counted.insert(hasher.finish());
                }
            }
        }
    }
    drop(footers);
    for segment in &current {
        holding.entries += segment.rows;
        if segment.fresh { holding.fresh.put(segment.size) } else { holding.merged.put(segment.size) }
    }
    holding.streams = of_day.len() as u64;
    Ok(holding)
}
