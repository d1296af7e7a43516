//! Copies a store into another: a backup, or what is restored from one.
//!
//! In: two stores, a part, a direction. Out: what the source's readers see is in the target. Never deletes and never overwrites, so a
//! target may hold what the source has collected since; equal entries count once, so that changes no answer.
//!
//! The source may be written, merged and collected meanwhile. At each moment the target is a store that a query can read: delete requests
//! come first, then the segments of a day that are current, and last its newest manifest, which names nothing else. A segment that was
//! collected before it could be copied has been merged: its day is listed anew. Objects never change, so what is there with the same
//! size is not copied again, and a copy that was killed goes on where it was. What was acknowledged before a copy began is in it.
//!
//! A manifest follows from the one before, so a target must not have had a history of its own: a backup is marked as one, and nobody
//! merges it; days of a target that have gone another way than the source are refused.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};
use model::{Day, TenantId};
use store::{Backup, Committed, DayObjects, Found, Inventory, Key, Listed, Manifest, Store};

use crate::budget::Budget;
use crate::day::newest;
use crate::{Error, Finding, FindingKind, Progress, Scope, current};

/// Days that are copied at the same time.
const DAYS_CONCURRENT_MAX: usize = 4;
/// Objects of a day that are copied at the same time.
const OBJECTS_CONCURRENT_MAX: usize = 8;
/// How often a day is begun that is merged and collected meanwhile.
const STARTS_MAX: usize = 10;

/// Which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// Into a backup, which is marked as one.
    Backup {
        /// The source, as the mark names it.
        of: String,
        /// The source is the one that the mark names, under another name.
        moved: bool,
    },
    /// Into a store that is to be used.
    Restore,
}

/// How to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySettings {
    /// Which way.
    pub direction: Direction,
    /// Decode every segment, and compare what lies in the target with the source, byte by byte.
    pub verify: bool,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Days.
    pub days: u64,
    /// Objects that were copied.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there.
    pub there: u64,
    /// Their bytes.
    pub there_bytes: u64,
    /// Days that were begun again, since they were collected meanwhile.
    pub started_over: u64,
    /// Findings by which entries are not in the copy, or damaged.
    pub losses: u64,
}

/// Copies a part of a store.
pub async fn copy(
    from: &Store,
    to: &Store,
    scope: &Scope,
    settings: &CopySettings,
    progress: &dyn Progress,
) -> Result<Copied, Error> {
    let (budget, totals) = (Budget::new(), Mutex::default());
    let copier = Copier { from, to, settings, progress, budget, totals };
    copier.prepare().await?;
    let walk = Walk { inventory: from.inventory(scope.tenant.as_ref()), tenant: None };
    let days = stream::try_unfold((walk, &copier), |(mut walk, copier)| async move {
        Ok(walk.next_day(copier, scope).await?.map(|day| (day, (walk, copier))))
    });
    let each = |(tenant, day, objects)| {
        let copier = &copier;
        async move { copier.day(&tenant, day, objects).await }
    };
    days.try_for_each_concurrent(DAYS_CONCURRENT_MAX, each).await?;
    let copied = *copier.totals.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(copied)
}

/// The source's days, in order.
struct Walk {
    inventory: Inventory,
    /// Whose delete requests were copied.
    tenant: Option<TenantId>,
}

impl Walk {
    /// The next day. What a tenant wants to be forgotten is copied before the first of its days.
    async fn next_day(
        &mut self,
        copier: &Copier<'_>,
        scope: &Scope,
    ) -> Result<Option<(TenantId, Day, DayObjects)>, Error> {
        while let Some(found) = self.inventory.next().await? {
            match found {
                Found::Day(tenant, day, objects) if scope.holds(day) => {
                    if self.tenant.as_ref() != Some(&tenant) {
                        copier.deletes(&tenant).await?;
                        self.tenant = Some(tenant.clone());
                    }
                    return Ok(Some((tenant, day, objects)));
                }
                Found::Deletes(tenant, _) if self.tenant.as_ref() != Some(&tenant) => {
                    copier.deletes(&tenant).await?;
                    self.tenant = Some(tenant);
                }
                Found::Unknown(listed) => {
                    copier.found(FindingKind::Unknown, &listed.key, false, "not ours, and not copied");
                }
                Found::Day(..) | Found::Deletes(..) => {}
            }
        }
        Ok(None)
    }
}

struct Copier<'a> {
    from: &'a Store,
    to: &'a Store,
    settings: &'a CopySettings,
    progress: &'a dyn Progress,
    budget: Budget,
    totals: Mutex<Copied>,
}

impl Copier<'_> {
    fn count(&self, change: impl FnOnce(&mut Copied)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn found(&self, kind: FindingKind, key: impl ToString, loses: bool, why: impl ToString) {
        self.count(|totals| totals.losses += u64::from(loses));
        self.progress.found(&Finding { kind, key: key.to_string(), why: why.to_string(), loses });
    }

    /// Makes sure that the target may be written, and marks a new backup before anything else is in it.
    async fn prepare(&self) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::Store(store::Error::Invalid { why }));
        match (&self.settings.direction, self.to.backup().await?) {
            (Direction::Backup { of, moved }, Some(mark)) if mark.of != *of && !moved => refuse(format!(
                "the target is a backup of {}, not of {of}; if that is the same store under another name, say --moved",
                mark.of
            )),
            (Direction::Backup { .. }, Some(_)) | (Direction::Restore, None) => Ok(()),
            (Direction::Backup { of, .. }, None) => match self.to.is_empty().await? {
                true => Ok(self.to.mark_backup(&Backup { of: of.clone() }).await.map(drop)?),
                false => refuse("the target holds logs and is no backup: give an empty place".to_owned()),
            },
            (Direction::Restore, Some(mark)) => {
                refuse(format!("the target is a backup of {}: restore to another place", mark.of))
            }
        }
    }

    /// Copies what a tenant wants to be forgotten.
    async fn deletes(&self, tenant: &TenantId) -> Result<(), Error> {
        let there: BTreeMap<Key, u64> = sizes(self.to.delete_objects(tenant).await?);
        let wanted = self.from.delete_objects(tenant).await?;
        self.progress.more(wanted.len() as u64, 0);
        for Listed { key, size, .. } in wanted {
            self.object(&key, size, &there).await?;
        }
        Ok(())
    }

    async fn day(&self, tenant: &TenantId, day: Day, mut objects: DayObjects) -> Result<(), Error> {
        self.count(|totals| totals.days += 1);
        for _ in 0..STARTS_MAX {
            match self.try_day(tenant, day, &objects).await {
                Ok(()) => return Ok(()),
                Err(Error::Store(store::Error::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
            self.count(|totals| totals.started_over += 1);
            objects = self.from.day_objects(tenant, day).await?;
        }
        let why = format!("objects that are listed were not there, {STARTS_MAX} times");
        self.found(FindingKind::Missing, format!("t/{tenant}/{day}"), true, why);
        Ok(())
    }

    /// Copies what is current by a listing: segments, then the manifest.
    async fn try_day(&self, tenant: &TenantId, day: Day, objects: &DayObjects) -> Result<(), Error> {
        let there = self.to.day_objects(tenant, day).await?;
        let manifest = match newest(self.from, tenant, day, objects).await {
            Ok(manifest) => manifest,
            Err(store::Error::Corrupt { key, why }) => {
                self.found(
                    FindingKind::Bad,
                    key,
                    true,
                    format!("{why}; its day is not copied before `logbarn rebuild`"),
                );
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(why) = self.is_foreign((tenant, day), objects, &there, &manifest).await? {
            self.found(FindingKind::Foreign, format!("t/{tenant}/{day}"), true, why);
            return Ok(());
        }
        let wanted = current::segments(tenant, day, objects, &manifest);
        let DayObjects { fresh, merged, catalogs, manifests } = there;
        let merged = merged.into_iter().chain(catalogs).map(|(_, listed)| listed);
        let held = sizes(fresh.into_iter().map(|(_, listed)| listed).chain(merged).collect());
        let needed = manifest.catalogs();
        let catalogs = objects.catalogs.iter().filter(|(key, _)| needed.contains(key)).map(|(_, listed)| listed);
        let segments = wanted.iter().map(|segment| (&segment.key, segment.size));
        let wanted: Vec<_> = segments.chain(catalogs.map(|listed| (&listed.key, listed.size))).collect();
        self.progress.more(wanted.len() as u64, wanted.iter().map(|(_, size)| size).sum());
        let work = wanted.into_iter().map(|(key, size)| self.object(key, size, &held));
        let mut work = stream::iter(work.collect::<Vec<_>>()).buffer_unordered(OBJECTS_CONCURRENT_MAX);
        while let Some(copied) = work.next().await {
            copied?;
        }
        drop(work);
        if let Some((version, listed)) = objects.manifests.first()
            && manifests.first().is_none_or(|(there, _)| there < version)
        {
            self.progress.more(1, listed.size);
            self.object(&listed.key, listed.size, &BTreeMap::new()).await?;
        }
        Ok(())
    }

    /// Why the target's day does not go on as the source's does, if it does not.
    async fn is_foreign(
        &self,
        (tenant, day): (&TenantId, Day),
        objects: &DayObjects,
        there: &DayObjects,
        manifest: &Manifest,
    ) -> Result<Option<String>, Error> {
        let Some((version, target)) = there.manifests.first() else { return Ok(None) };
        if *version > manifest.version {
            let source = manifest.version;
            return Ok(Some(format!("the target has version {version}, the source {source}: it has gone its own way")));
        }
        if let Some((_, source)) = objects.manifests.iter().find(|(v, _)| v == version) {
            let (source, target) =
                futures::future::try_join(self.from.read(&source.key), self.to.read(&target.key)).await?;
            if source == target {
                return Ok(None);
            }
            // One that is damaged here, and was rebuilt since, says nothing about what it was.
            let read = self.from.manifest(tenant, day, *version).await;
            if !matches!(read, Err(store::Error::Corrupt { .. })) {
                return Ok(Some(format!("its version {version} is not that of the source: it has gone its own way")));
            }
        }
        // Collected or damaged at the source. Nobody merges a backup, so there it came from the source.
        let is_backup = self.settings.direction != Direction::Restore;
        let why = || format!("its version {version} is not known to the source: restore to an empty place");
        Ok((!is_backup).then(why))
    }

    /// Copies an object, unless it is there.
    async fn object(&self, key: &Key, size: u64, there: &BTreeMap<Key, u64>) -> Result<(), Error> {
        let _room = self.budget.take(size).await?;
        match there.get(key) {
            Some(same) if *same == size => {
                if self.settings.verify {
                    let (source, target) = futures::future::try_join(self.from.read(key), self.to.read(key)).await?;
                    self.compare(key, &source, &target);
                }
                self.count(|totals| (totals.there, totals.there_bytes) = (totals.there + 1, totals.there_bytes + size));
            }
            Some(other) => {
                let why = format!("the target has {other} bytes, the source {size}: delete it there and copy again");
                self.found(FindingKind::Bad, key, true, why);
            }
            None => {
                let bytes = self.from.read(key).await?;
                if bytes.len() as u64 != size || !key.fits(&bytes) {
                    self.found(FindingKind::Bad, key, true, "damaged at the source; copied as it is");
                }
                let committed = self.to.put_copy(key, bytes.clone()).await?;
                if self.settings.verify {
                    self.compare(key, &bytes, &self.to.read(key).await?);
                }
                if committed == Committed::Created {
                    self.count(|totals| (totals.objects, totals.bytes) = (totals.objects + 1, totals.bytes + size));
                }
            }
        }
        self.progress.done(1, size);
        Ok(())
    }

    /// Tells what is wrong with the source, or with the target.
    fn compare(&self, key: &Key, source: &[u8], target: &[u8]) {
        if key.as_str().ends_with(".seg")
            && let Err(why) = segment::check(source)
        {
            self.found(FindingKind::Bad, key, true, format!("damaged at the source: {why}"));
        } else if source != target {
            self.found(FindingKind::Bad, key, true, "the target's differs: delete it there and copy again");
        }
    }
}

fn sizes(listed: Vec<Listed>) -> BTreeMap<Key, u64> {
    listed.into_iter().map(|listed| (listed.key, listed.size)).collect()
}
