//! Makes a manifest anew that is lost or damaged, from the segments that are there.
//!
//! In: days. Out: for each that needs it a version higher than any that is or was, found by the names of its objects. It names what the
//! newest readable version named and is still there, and every sound merged segment besides that this version cannot know of, under a new
//! name: whoever might still collect the old one, by whatever it has read, does not touch the new one. Equal entries count once, so
//! what is named too much changes no answer. Fresh segments count again if anything is missing that they were merged into.

use std::sync::Arc;

use model::{Day, TenantId};
use store::{Committed, DayObjects, Found, Listed, Manifest, MergedKey, MergedSegment, Store};

use crate::verify::is_seen;
use crate::{Error, Finding, FindingKind, Progress, Scope, current};

/// How often a day is begun whose next version somebody else has created meanwhile.
const STARTS_MAX: usize = 3;

/// A day that was rebuilt, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub day: Day,
    /// Why it had to be.
    pub why: String,
    /// The new version.
    pub version: u64,
    /// Segments that it names.
    pub segments: u64,
    /// Those of them that were taken up again.
    pub taken_up: u64,
}

/// Rebuilds the days of a store that need it. `dry` writes nothing.
pub async fn rebuild(store: &Store, scope: &Scope, dry: bool, progress: &dyn Progress) -> Result<Vec<Rebuilt>, Error> {
    let mut inventory = store.inventory(scope.tenant.as_ref());
    let mut rebuilt = Vec::new();
    while let Some(found) = inventory.next().await? {
        let Found::Day(tenant, day, mut objects) = found else { continue };
        if !scope.holds(day) {
            continue;
        }
        progress.more(1, 0);
        for _ in 0..STARTS_MAX {
            let work = Rebuild { store, tenant: &tenant, day, objects: &objects, dry, progress };
            match work.run().await? {
                Outcome::Rebuilt(done) => rebuilt.push(done),
                Outcome::Sound => {}
                Outcome::RaceLost => {
                    objects = store.day_objects(&tenant, day).await?;
                    continue;
                }
            }
            break;
        }
        progress.done(1, 0);
    }
    Ok(rebuilt)
}

enum Outcome {
    /// Nothing is wrong with the day.
    Sound,
    Rebuilt(Rebuilt),
    /// Somebody else has created the version.
    RaceLost,
}

/// One day.
struct Rebuild<'a> {
    store: &'a Store,
    tenant: &'a TenantId,
    day: Day,
    objects: &'a DayObjects,
    dry: bool,
    progress: &'a dyn Progress,
}

impl Rebuild<'_> {
    async fn run(&self) -> Result<Outcome, Error> {
        let (base, unreadable) = self.newest_readable().await?;
        let (kept, missing): (Vec<_>, Vec<_>) = base
            .segments
            .iter()
            .cloned()
            .partition(|merged| self.objects.merged.iter().any(|(key, _)| *key == merged.key));
        let Some(why) = self.reason(&base, unreadable, missing.len()).await? else { return Ok(Outcome::Sound) };
        for merged in &missing {
            let why = format!("left out: {} entries, unless what it was made of is still there", merged.rows);
            self.found(FindingKind::Missing, merged.segment(self.tenant, self.day).key, why);
        }
        let versions = self.objects.manifests.iter().map(|(version, _)| *version);
        let born = self.objects.merged.iter().map(|(key, _)| key.born);
        let version = versions.chain(born).max().unwrap_or(0) + 1;
        let mut next = Manifest { version, segments: kept, ..Manifest::clone(&base) };
        if !missing.is_empty() {
            (next.consumed, next.gone) = Default::default();
        }
        let mut taken_up = 0;
        for (key, listed) in self.unknown_to(&base, missing.is_empty()) {
            let Some(taken) = self.take_up(key, listed, version).await? else { continue };
            next.dropped.insert(*key, version);
            next.segments.push(taken);
            taken_up += 1;
        }
        next.segments.sort_by_key(|merged| (merged.min_ts, merged.key));
        next.segments.dedup_by_key(|merged| merged.key);
        let rebuilt = Rebuilt {
            tenant: self.tenant.clone(),
            day: self.day,
            why,
            version,
            segments: next.segments.len() as u64,
            taken_up,
        };
        if !self.dry && self.store.commit_manifest(self.tenant, self.day, &next).await? == Committed::Existed {
            return Ok(Outcome::RaceLost);
        }
        Ok(Outcome::Rebuilt(rebuilt))
    }

    fn found(&self, kind: FindingKind, key: impl ToString, why: String) {
        self.progress.found(&Finding { kind, key: key.to_string(), why, loses: true });
    }

    /// The newest manifest that can be read, and whether newer ones cannot.
    async fn newest_readable(&self) -> Result<(Arc<Manifest>, bool), Error> {
        for (place, (version, listed)) in self.objects.manifests.iter().enumerate() {
            match self.store.manifest(self.tenant, self.day, *version).await {
                Ok(manifest) => return Ok((manifest, place > 0)),
                Err(store::Error::Corrupt { why, .. }) => self.found(FindingKind::Bad, &listed.key, why),
                Err(store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((Arc::default(), !self.objects.manifests.is_empty()))
    }

    /// Why the day must be rebuilt, if it must.
    async fn reason(&self, base: &Manifest, unreadable: bool, missing: usize) -> Result<Option<String>, Error> {
        if unreadable {
            return Ok(Some("its newest manifest cannot be read".to_owned()));
        }
        if missing > 0 {
            return Ok(Some(format!("{missing} segments that its manifest names are not there")));
        }
        if let Some((key, _)) = self.objects.merged.iter().find(|(key, _)| key.born > base.version + 1) {
            return Ok(Some(format!("its manifest of version {} is lost", key.born - 1)));
        }
        let current = current::segments(self.tenant, self.day, self.objects, base);
        for (_, listed) in self.objects.merged.iter().filter(|(key, _)| key.born > base.version) {
            match is_seen(self.store, listed, &current).await {
                Ok(true) | Err(Error::Input { .. } | Error::Store(store::Error::NotFound { .. })) => {}
                Ok(false) => return Ok(Some(format!("{} has entries that are nowhere else", listed.key))),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Merged segments that may hold entries of which the version says nothing: later ones; and if anything of it is missing, those
    /// that were merged into it.
    fn unknown_to(&self, base: &Manifest, is_whole: bool) -> impl Iterator<Item = &(MergedKey, Listed)> {
        let named: Vec<MergedKey> = base.segments.iter().map(|merged| merged.key).collect();
        let version = base.version;
        self.objects.merged.iter().filter(move |(key, _)| !named.contains(key) && (key.born > version || !is_whole))
    }

    /// Stores a segment under a name of the new version, if it is sound.
    async fn take_up(&self, named: &MergedKey, listed: &Listed, version: u64) -> Result<Option<MergedSegment>, Error> {
        let read = match self.store.read(&listed.key).await {
            Ok(bytes) if listed.key.fits(&bytes) => {
                let checked = bytes.clone();
                let checked = tokio::task::spawn_blocking(move || segment::check(&checked)).await;
                let checked = checked.map_err(|why| Error::Internal(why.to_string()))?;
                checked.map(|footer| (bytes, footer)).map_err(|why| why.to_string())
            }
            Ok(_) => Err("its name is not the hash of its content".to_owned()),
            Err(store::Error::Corrupt { why, .. }) => Err(why),
            Err(store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (bytes, footer) = match read {
            Ok(read) => read,
            Err(why) => {
                self.found(FindingKind::Bad, &listed.key, format!("left out: {why}"));
                return Ok(None);
            }
        };
        let (rows, times) = (footer.rows(), (footer.min_ts(), footer.max_ts()));
        if self.dry {
            let key = MergedKey { content_id: named.content_id, born: version };
            return Ok(Some(MergedSegment {
                key,
                size: listed.size,
                rows,
                min_ts: times.0,
                max_ts: times.1,
                forgot: Default::default(),
                catalog: None,
            }));
        }
        Ok(Some(self.store.put_merged(self.tenant, self.day, version, rows, times, bytes).await?))
    }
}
