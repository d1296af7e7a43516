//! Whether a store holds what it says: every object read, every reference followed.
//!
//! In: a store and a part of it. Out: findings as they come, and totals. Reads only. What merges and collections do meanwhile is told
//! apart from damage: what seems to be missing is asked for again by a new listing. Held are a day's listing and a bounded number of
//! bytes of segments.

mod orphans;
mod segment;

pub(crate) use orphans::is_seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use model::{Day, TenantId};
use store::{DayObjects, Found, Key, Listed, Manifest, MergedKey, MergedSegment, SegmentRef, Store};

use crate::budget::Budget;
use crate::current::{self, fresh, undescribed};
use crate::day::newest;
use crate::garbage::garbage;
use crate::{Error, Finding, FindingKind, Grace, Progress, Scope};
use segment::{Check, Checked};

/// Segments that are read at the same time.
const READ_CONCURRENT_MAX: usize = 8;

/// How to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifySettings {
    /// Read of each segment the end alone, not its blocks.
    pub quick: bool,
    /// The time now, milliseconds since 1970: an object in the making that is older than the grace was left behind.
    pub now_ms: i64,
}

/// What was verified, and how many findings there were of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Days.
    pub days: u64,
    /// Objects read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries in segments that are current.
    pub entries: u64,
    /// Objects that do not hold what they must.
    pub bad: u64,
    /// Objects that are needed, and not there.
    pub missing: u64,
    /// Merged segments that no manifest has named.
    pub orphans: u64,
    /// Objects that collections will take.
    pub garbage: u64,
    /// Objects that are not ours.
    pub unknown: u64,
    /// Findings by which entries are lost, or cannot be read.
    pub losses: u64,
}

/// Verifies a part of a store.
pub async fn verify(
    store: &Store,
    scope: &Scope,
    settings: &VerifySettings,
    progress: &dyn Progress,
) -> Result<Verified, Error> {
    let budget = Arc::new(Budget::new());
    let mut verifier = Verifier { store, settings, progress, budget, totals: Verified::default() };
    let mut inventory = store.inventory(scope.tenant.as_ref());
    while let Some(found) = inventory.next().await? {
        match found {
            Found::Day(tenant, day, objects) if scope.holds(day) => verifier.day(&tenant, day, &objects).await?,
            Found::Unknown(listed) => verifier.unknown(&listed),
            Found::Deletes(_, listed) => verifier.delete(&listed).await?,
            Found::Day(..) => {}
        }
    }
    Ok(verifier.totals)
}

struct Verifier<'a> {
    store: &'a Store,
    settings: &'a VerifySettings,
    progress: &'a dyn Progress,
    budget: Arc<Budget>,
    totals: Verified,
}

impl Verifier<'_> {
    fn found(&mut self, kind: FindingKind, key: impl ToString, loses: bool, why: impl ToString) {
        match kind {
            FindingKind::Bad => self.totals.bad += 1,
            FindingKind::Missing => self.totals.missing += 1,
            FindingKind::Orphan => self.totals.orphans += 1,
            FindingKind::Unknown => self.totals.unknown += 1,
            FindingKind::Garbage | FindingKind::Foreign => {}
        }
        self.totals.losses += u64::from(loses);
        self.progress.found(&Finding { kind, key: key.to_string(), why: why.to_string(), loses });
    }

    fn unknown(&mut self, listed: &Listed) {
        // A query cannot know whether entries are in it.
        let loses = listed.key.as_str().ends_with(".seg") && listed.key.as_str().contains("/l0/");
        let why = if loses { "not a key that this version writes: queries of its day fail" } else { "not ours" };
        self.found(FindingKind::Unknown, &listed.key, loses, why);
    }

    /// A request that cannot be read hides everything: nobody knows what it is about.
    async fn delete(&mut self, listed: &Listed) -> Result<(), Error> {
        self.progress.more(1, listed.size);
        match self.store.inspect(listed.key.as_str()).await {
            Ok(_) | Err(store::Error::NotFound { .. }) => {}
            Err(store::Error::Corrupt { why, .. } | store::Error::Invalid { why }) => {
                let why =
                    format!("{why}: all queries of its tenant fail; delete the object, and make the request again");
                self.found(FindingKind::Bad, &listed.key, true, why);
            }
            Err(error) => return Err(error.into()),
        }
        self.totals.objects += 1;
        self.totals.bytes += listed.size;
        self.progress.done(1, listed.size);
        Ok(())
    }

    async fn day(&mut self, tenant: &TenantId, day: Day, objects: &DayObjects) -> Result<(), Error> {
        self.totals.days += 1;
        let bytes = objects.fresh.iter().map(|(_, l)| l.size).chain(objects.merged.iter().map(|(_, l)| l.size)).sum();
        let count = objects.fresh.len() + objects.merged.len() + objects.manifests.len();
        self.progress.more(count as u64, bytes);
        let known = self.manifests(tenant, day, objects).await?;
        let manifest = known.clone().unwrap_or_default();
        let missing = match &known {
            Some(manifest) => self.references(tenant, day, objects, manifest),
            None => Vec::new(),
        };
        let garbage: BTreeSet<&str> = match &known {
            Some(manifest) => self.garbage(tenant, day, objects, manifest),
            None => BTreeSet::new(),
        };
        self.catalogs(tenant, day, objects, &manifest).await?;
        let gone = self.segments(checks(tenant, day, objects, &manifest, &garbage)).await?;
        self.ask_again(tenant, day, missing, gone).await?;
        if known.is_some() {
            self.orphans(tenant, day, objects, &manifest).await?;
        }
        Ok(())
    }

    /// Reads all manifests; gives the newest, unless it cannot be read.
    async fn manifests(
        &mut self,
        tenant: &TenantId,
        day: Day,
        objects: &DayObjects,
    ) -> Result<Option<Arc<Manifest>>, Error> {
        let mut known = if objects.manifests.is_empty() { Some(Arc::default()) } else { None };
        for (place, (version, listed)) in objects.manifests.iter().enumerate() {
            match self.store.manifest(tenant, day, *version).await {
                Ok(manifest) if place == 0 => known = Some(manifest),
                // Replaced and collected since the listing; the newest is never collected.
                Ok(_) | Err(store::Error::NotFound { .. }) => {}
                Err(store::Error::Corrupt { why, .. }) if place == 0 => {
                    let why = format!("{why}: queries of its day fail; `logbarn rebuild` makes another");
                    self.found(FindingKind::Bad, &listed.key, true, why);
                }
                Err(store::Error::Corrupt { why, .. }) => {
                    self.found(FindingKind::Bad, &listed.key, false, format!("{why}; it was replaced since"));
                }
                Err(error) => return Err(error.into()),
            }
            self.totals.objects += 1;
            self.totals.bytes += listed.size;
            self.progress.done(1, listed.size);
        }
        Ok(known)
    }

    /// Compares what the manifest names with what is there; gives what is not.
    fn references(
        &mut self,
        tenant: &TenantId,
        day: Day,
        objects: &DayObjects,
        manifest: &Manifest,
    ) -> Vec<(MergedKey, SegmentRef)> {
        let there: BTreeMap<MergedKey, u64> = objects.merged.iter().map(|(key, listed)| (*key, listed.size)).collect();
        let mut missing = Vec::new();
        for merged in &manifest.segments {
            let segment = merged.segment(tenant, day);
            match there.get(&merged.key) {
                Some(size) if *size == merged.size => {}
                Some(size) => {
                    let why = format!("{size} bytes long, the manifest says {}", merged.size);
                    self.found(FindingKind::Bad, segment.key, true, why);
                }
                None => missing.push((merged.key, segment)),
            }
        }
        missing
    }

    /// Reads the catalogs that the manifest names. No entry is lost with one.
    async fn catalogs(
        &mut self,
        tenant: &TenantId,
        day: Day,
        objects: &DayObjects,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let there: BTreeMap<MergedKey, &Listed> = objects.catalogs.iter().map(|(key, listed)| (*key, listed)).collect();
        let named =
            |merged: &MergedSegment| Some((merged.catalog.as_ref()?.catalog, merged.segment(tenant, day).catalog?.key));
        let needed: BTreeMap<MergedKey, Key> = manifest.segments.iter().filter_map(named).collect();
        for (catalog, key) in needed {
            let Some(listed) = there.get(&catalog) else {
                let why = "the manifest names it; its segments are opened by themselves";
                self.found(FindingKind::Missing, key, false, why);
                continue;
            };
            self.progress.more(1, listed.size);
            let bytes = match self.store.read(&listed.key).await {
                Ok(bytes) => bytes,
                // Replaced and collected since the listing.
                Err(store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if !listed.key.fits(&bytes) {
                let why = "its name is not the hash of its content; its segments are opened by themselves";
                self.found(FindingKind::Bad, &listed.key, false, why);
            }
            self.totals.objects += 1;
            self.totals.bytes += listed.size;
            self.progress.done(1, listed.size);
        }
        Ok(())
    }

    /// One finding for all of a day's garbage.
    fn garbage<'a>(
        &mut self,
        tenant: &TenantId,
        day: Day,
        objects: &'a DayObjects,
        manifest: &Manifest,
    ) -> BTreeSet<&'a str> {
        let garbage = garbage(objects, manifest, &Grace::default());
        if !garbage.is_empty() {
            let due = garbage.iter().filter(|garbage| garbage.is_due(self.settings.now_ms)).count();
            let bytes: u64 = garbage.iter().map(|garbage| garbage.listed.size).sum();
            let count = garbage.len();
            self.totals.garbage += count as u64;
            let why =
                format!("{count} objects, {bytes} bytes that merges have left behind, {due} of them past their grace");
            self.found(FindingKind::Garbage, format!("t/{tenant}/{day}"), false, why);
        }
        garbage.into_iter().map(|garbage| garbage.listed.key.as_str()).collect()
    }

    /// Reads segments; gives those that are gone.
    async fn segments(&mut self, checks: Vec<Check>) -> Result<Vec<SegmentRef>, Error> {
        let (store, quick, progress) = (self.store, self.settings.quick, self.progress);
        let budget = &Arc::clone(&self.budget);
        let work = checks.into_iter().map(|check| async move {
            let _room = budget.take(check.segment.size).await?;
            let checked = check.run(store, quick).await?;
            progress.done(1, check.segment.size);
            Ok::<_, Error>((check, checked))
        });
        let mut work = stream::iter(work.collect::<Vec<_>>()).buffer_unordered(READ_CONCURRENT_MAX);
        let mut gone = Vec::new();
        while let Some(done) = work.next().await {
            let (check, checked) = done?;
            match checked {
                Checked::Gone => {
                    gone.push(check.segment);
                    continue;
                }
                Checked::Sound { rows } => self.totals.entries += if check.needed { rows } else { 0 },
                Checked::Bad(why) => {
                    let why = if check.needed { why } else { format!("{why}; nothing needs it") };
                    self.found(FindingKind::Bad, &check.segment.key, check.needed, why);
                }
            }
            self.totals.objects += 1;
            self.totals.bytes += check.segment.size;
        }
        Ok(gone)
    }

    /// Lists the day again, to tell what is lost from what was merged and collected meanwhile.
    async fn ask_again(
        &mut self,
        tenant: &TenantId,
        day: Day,
        missing: Vec<(MergedKey, SegmentRef)>,
        gone: Vec<SegmentRef>,
    ) -> Result<(), Error> {
        if missing.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let objects = self.store.day_objects(tenant, day).await?;
        let manifest = newest(self.store, tenant, day, &objects).await?;
        for (merged, segment) in missing {
            let needed = manifest.segments.iter().any(|needed| needed.key == merged);
            if needed && !objects.merged.iter().any(|(key, _)| *key == merged) {
                let why = format!("the manifest of version {} needs it: {} entries", manifest.version, segment.rows);
                self.found(FindingKind::Missing, segment.key, true, why);
            }
        }
        for segment in gone {
            let listed = objects.fresh.iter().map(|(_, l)| l).chain(objects.merged.iter().map(|(_, l)| l));
            if listed.into_iter().any(|listed| listed.key == segment.key) {
                self.found(FindingKind::Missing, segment.key, true, "it is listed, but not there");
            }
        }
        Ok(())
    }

    /// Judges merged segments of versions that there are not.
    async fn orphans(
        &mut self,
        tenant: &TenantId,
        day: Day,
        objects: &DayObjects,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let grace = Grace::default().rest;
        let is_old = |listed: &Listed| {
            let age = self.settings.now_ms.checked_sub(listed.modified_ms).and_then(|ms| u64::try_from(ms).ok());
            age.is_some_and(|ms| Duration::from_millis(ms) > grace)
        };
        let is_orphan = |(key, listed): &&(MergedKey, Listed)| {
            // The version before its own was there once, or is: a merge follows the newest.
            key.born > manifest.version + 1 || (key.born == manifest.version + 1 && is_old(listed))
        };
        let found: Vec<_> = objects.merged.iter().filter(is_orphan).collect();
        if found.is_empty() {
            return Ok(());
        }
        let current = current::segments(tenant, day, objects, manifest);
        for (key, listed) in found {
            let seen = is_seen(self.store, listed, &current).await;
            let lost_version = key.born > manifest.version + 1;
            let (loses, why) = match seen {
                _ if lost_version => {
                    (true, format!("the manifest of version {} is lost; `logbarn rebuild` makes another", key.born - 1))
                }
                Ok(true) => (false, "left behind by a merge that died; its entries are elsewhere".to_owned()),
                Ok(false) => (true, "it has entries that are nowhere else; `logbarn rebuild` takes it up".to_owned()),
                Err(Error::Store(store::Error::NotFound { .. })) => continue,
                Err(Error::Store(error)) if !matches!(error, store::Error::Corrupt { .. }) => return Err(error.into()),
                Err(error) => (false, format!("left behind, and cannot be read: {error}")),
            };
            self.found(FindingKind::Orphan, &listed.key, loses, why);
        }
        Ok(())
    }
}

/// What is to be read of a day: all its segments.
fn checks(
    tenant: &TenantId,
    day: Day,
    objects: &DayObjects,
    manifest: &Manifest,
    garbage: &BTreeSet<&str>,
) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for (facts, listed) in &objects.fresh {
        let needed = !garbage.contains(listed.key.as_str());
        checks.push(Check { segment: fresh(facts, listed), has_facts: true, needed });
    }
    let named: BTreeMap<MergedKey, SegmentRef> =
        manifest.segments.iter().map(|merged| (merged.key, merged.segment(tenant, day))).collect();
    for (key, listed) in &objects.merged {
        let check = match named.get(key) {
            // A wrong size was told already.
            Some(segment) if segment.size != listed.size => continue,
            Some(segment) => Check { segment: segment.clone(), has_facts: true, needed: true },
            None => Check { segment: undescribed(listed), has_facts: false, needed: false },
        };
        checks.push(check);
    }
    checks
}
