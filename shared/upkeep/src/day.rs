//! Merges a day until nothing is due.
//!
//! In: a tenant's day. Out: what was merged. Each merge reads the newest manifest, writes its outputs under names of the next version
//! and creates that version. Who finds it created already has lost: it deletes nothing, and plans again from what the winner wrote.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use model::{Day, TenantId};
use store::{Committed, DayObjects, Manifest, MergedKey, MergedSegment, SegmentRef, Store};

use crate::input::Input;
use crate::merge::Merge;
use crate::plan::{self, Chosen, Origin, Work};
use crate::{Error, Keep, MergeSettings, catalog};

/// Inputs that are opened at the same time.
const OPEN_CONCURRENT_MAX: usize = 8;
/// Races lost in a row after which a day is left to the others.
const RACES_LOST_MAX: usize = 3;
/// How long a manifest names a consumed segment that is gone: longer than any listing takes.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Stored bytes of one input that are fetched at once, at most and at least.
const SPAN_BYTES: (u64, u64) = (4 << 20, 64 << 10);
/// Stored bytes of all inputs that are fetched ahead are such a part of the memory.
const SPANS_PART: u64 = 4;
/// What the making of an output takes in memory, about, for each of its bytes: the bytes, room to grow, keys of filters and counts.
const MEMORY_PER_OUTPUT_BYTE: u64 = 2;

/// What merging a day has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Merges that were committed.
    pub merges: u64,
    /// Catalogs that were written of complete segments.
    pub catalogs: u64,
    /// Merges that somebody else was faster with.
    pub races_lost: u64,
    /// Segments taken.
    pub segments_in: u64,
    /// Segments written in their stead.
    pub segments_out: u64,
    /// Bytes of the segments taken.
    pub bytes_in: u64,
    /// Bytes of those written.
    pub bytes_out: u64,
    /// Entries read.
    pub rows_in: u64,
    /// Entries written; fewer by those that were there twice or are to be forgotten.
    pub rows_out: u64,
    /// Entries that [`Keep`] did not keep.
    pub rows_forgotten: u64,
    /// The most memory that one merge has held in blocks and output.
    pub memory_bytes_peak: u64,
}

/// Merges what is due in a day.
pub async fn merge_day(
    store: &Store,
    tenant: &TenantId,
    day: Day,
    settings: &MergeSettings,
    keep: Arc<dyn Keep>,
) -> Result<Merged, Error> {
    let (mut done, mut lost) = (Merged::default(), 0);
    while done.commits() < settings.merges_max as u64 && lost < RACES_LOST_MAX {
        let objects = store.day_objects(tenant, day).await?;
        let manifest = newest(store, tenant, day, &objects).await?;
        if let Some((_, listed)) = objects.merged.iter().find(|(key, _)| key.born > manifest.version + 1) {
            // Somebody has just committed two versions, or they are lost. Then others in their place would make garbage of what they named.
            lost += 1;
            done.races_lost += 1;
            if lost == RACES_LOST_MAX {
                let why = "the manifest of the version before it is lost; `logbarn rebuild` makes another".to_owned();
                return Err(Error::Input { key: listed.key.to_string(), why });
            }
            continue;
        }
        let Some(work) = plan::next(tenant, day, &objects, &manifest, settings, &*keep) else { break };
        let job = Job { store, tenant, day, settings, manifest: &manifest, objects: &objects };
        match job.run(work, keep.clone()).await {
            Ok(Some(merged)) => {
                lost = 0;
                done.add(merged);
            }
            // An input may be gone: somebody else has merged and collected it meanwhile.
            Ok(None) | Err(Error::Store(store::Error::NotFound { .. })) => {
                lost += 1;
                done.races_lost += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The newest manifest of a listing.
pub(crate) async fn newest(
    store: &Store,
    tenant: &TenantId,
    day: Day,
    objects: &DayObjects,
) -> Result<Arc<Manifest>, store::Error> {
    match objects.manifests.first() {
        Some((version, _)) => store.manifest(tenant, day, *version).await,
        None => Ok(Arc::default()),
    }
}

/// One merge.
struct Job<'a> {
    store: &'a Store,
    tenant: &'a TenantId,
    day: Day,
    settings: &'a MergeSettings,
    manifest: &'a Manifest,
    objects: &'a DayObjects,
}

impl Job<'_> {
    /// Merges and commits; nothing if somebody else has committed this version.
    async fn run(&self, work: Work, keep: Arc<dyn Keep>) -> Result<Option<Merged>, Error> {
        let (chosen, inputs, spared) = match work {
            Work::Catalog(complete) => return self.catalogue(&complete).await,
            Work::Drop(past) => (past, Vec::new(), BTreeSet::new()),
            Work::Merge(chosen) => {
                let (chosen, inputs) = self.open(chosen).await?;
                (chosen, inputs, BTreeSet::new())
            }
            Work::Forget(chosen) => self.open_owing(chosen, &*keep).await?,
        };
        let span_bytes = (self.settings.memory_bytes_max / SPANS_PART / chosen.len().max(1) as u64)
            .clamp(SPAN_BYTES.1, SPAN_BYTES.0);
        let mut merge = Merge::new(inputs, keep.clone(), self.settings.output_bytes);
        let mut outputs = Vec::new();
        loop {
            let (rest, output) = merge.next(self.store, span_bytes).await?;
            merge = rest;
            let Some(output) = output else { break };
            let (facts, version) = (output.facts, self.manifest.version + 1);
            let times = (facts.min_ts, facts.max_ts);
            let bytes = output.bytes.into();
            let output = self.store.put_merged(self.tenant, self.day, version, facts.rows, times, bytes).await?;
            outputs.push(MergedSegment { forgot: keep.marks(facts.min_ts, facts.max_ts), ..output });
        }
        let mut next = self.next_manifest(&chosen, &outputs);
        for spared in next.segments.iter_mut().filter(|merged| spared.contains(&merged.key)) {
            spared.forgot = keep.marks(spared.min_ts, spared.max_ts);
        }
        if self.store.commit_manifest(self.tenant, self.day, &next).await? == Committed::Existed {
            return Ok(None);
        }
        Ok(Some(Merged {
            merges: 1,
            catalogs: 0,
            races_lost: 0,
            segments_in: chosen.len() as u64,
            segments_out: outputs.len() as u64,
            bytes_in: chosen.iter().map(|chosen| chosen.segment.size).sum(),
            bytes_out: outputs.iter().map(|output| output.size).sum(),
            rows_in: merge.counts.rows_in,
            rows_out: outputs.iter().map(|output| output.rows).sum(),
            rows_forgotten: merge.counts.rows_forgotten,
            memory_bytes_peak: merge.counts.memory_bytes_peak,
        }))
    }

    /// Writes a catalog and commits where in it each segment's index lies.
    async fn catalogue(&self, complete: &[Chosen]) -> Result<Option<Merged>, Error> {
        let segments: Vec<&SegmentRef> = complete.iter().map(|chosen| &chosen.segment).collect();
        let version = self.manifest.version + 1;
        let places = catalog::write(self.store, self.tenant, self.day, version, &segments).await?;
        let mut next = self.next_manifest(&[], &[]);
        for (chosen, place) in complete.iter().zip(places) {
            let named = next.segments.iter_mut().find(|merged| chosen.origin == Origin::Merged(merged.key));
            named.into_iter().for_each(|named| named.catalog = Some(place.clone()));
        }
        let committed = self.store.commit_manifest(self.tenant, self.day, &next).await?;
        Ok((committed == Committed::Created).then(|| Merged { catalogs: 1, ..Merged::default() }))
    }

    /// Opens segments, and tells those that hold something to be forgotten, which are merged, from merged ones that do not.
    async fn open_owing(
        &self,
        chosen: Vec<Chosen>,
        keep: &dyn Keep,
    ) -> Result<(Vec<Chosen>, Vec<Input>, BTreeSet<MergedKey>), Error> {
        let (chosen, inputs) = self.open(chosen).await?;
        let (mut owing, mut owing_inputs, mut spared) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (chosen, input) in chosen.into_iter().zip(inputs) {
            match chosen.origin {
                Origin::Merged(key) if !input.owes(keep) => drop(spared.insert(key)),
                _ => {
                    owing.push(chosen);
                    owing_inputs.push(input);
                }
            }
        }
        Ok((owing, owing_inputs, spared))
    }

    /// Opens as many inputs as their blocks fit into memory, at least two.
    async fn open(&self, mut chosen: Vec<Chosen>) -> Result<(Vec<Chosen>, Vec<Input>), Error> {
        let MergeSettings { memory_bytes_max, output_bytes, .. } = *self.settings;
        let memory = memory_bytes_max - memory_bytes_max / SPANS_PART;
        let (mut inputs, mut labels) = (Vec::new(), HashSet::new());
        let (mut blocks, mut stored) = (0, 0);
        'all: for part in chosen.chunks(OPEN_CONCURRENT_MAX) {
            for mut input in try_join_all(part.iter().map(|c| Input::open(self.store, c.segment.clone()))).await? {
                blocks += input.opened_bytes();
                stored += input.stored_bytes();
                let output = MEMORY_PER_OUTPUT_BYTE * output_bytes.min(stored);
                if blocks + output > memory && inputs.len() >= 2 {
                    break 'all;
                }
                input.share_labels(&mut labels);
                inputs.push(input);
            }
        }
        let count = plan::apart(&chosen, inputs.len());
        chosen.truncate(count);
        inputs.truncate(count);
        Ok((chosen, inputs))
    }

    /// Whether a version was written long before the newest, by the times that the store wrote down for both.
    fn is_long_ago(&self, version: u64) -> bool {
        let times: BTreeMap<u64, i64> =
            self.objects.manifests.iter().map(|(v, listed)| (*v, listed.modified_ms)).collect();
        let then = times.range(version..).next().map(|(_, modified_ms)| *modified_ms);
        let now = times.last_key_value().map(|(_, modified_ms)| *modified_ms);
        let passed = then.zip(now).and_then(|(then, now)| u64::try_from(now - then).ok());
        passed.is_some_and(|ms| Duration::from_millis(ms) > FORGET_AFTER)
    }

    /// The version that follows. Of what is gone it says nothing any more, once no listing can still show it.
    fn next_manifest(&self, chosen: &[Chosen], outputs: &[MergedSegment]) -> Manifest {
        let version = self.manifest.version + 1;
        let fresh: BTreeSet<_> = self.objects.fresh.iter().map(|(facts, _)| *facts).collect();
        let merged: BTreeSet<_> = self.objects.merged.iter().map(|(key, _)| *key).collect();
        let Manifest { mut segments, mut consumed, mut gone, mut dropped, .. } = self.manifest.clone();
        dropped.retain(|key, _| merged.contains(key));
        gone.retain(|facts, _| !fresh.contains(facts));
        for facts in consumed.keys().filter(|facts| !fresh.contains(facts)) {
            gone.entry(*facts).or_insert(version);
        }
        let forgotten: Vec<_> = gone.extract_if(.., |_, since| self.is_long_ago(*since)).collect();
        for (facts, _) in forgotten {
            consumed.remove(&facts);
        }
        for chosen in chosen {
            match chosen.origin {
                Origin::Fresh(facts) => consumed.insert(facts, version),
                Origin::Merged(key) => dropped.insert(key, version),
            };
        }
        segments.retain(|merged| !dropped.contains_key(&merged.key));
        // Two outputs of the same bytes would be one object: it cannot happen, since an output holds each row once.
        segments.extend(outputs.iter().cloned());
        segments.sort_by_key(|merged| (merged.min_ts, merged.key));
        Manifest { version, segments, consumed, gone, dropped }
    }
}

impl Merged {
    /// Versions that were committed.
    pub fn commits(&self) -> u64 {
        self.merges + self.catalogs
    }

    pub(crate) fn add(&mut self, other: Merged) {
        self.merges += other.merges;
        self.catalogs += other.catalogs;
        self.races_lost += other.races_lost;
        self.segments_in += other.segments_in;
        self.segments_out += other.segments_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.rows_in += other.rows_in;
        self.rows_out += other.rows_out;
        self.rows_forgotten += other.rows_forgotten;
        self.memory_bytes_peak = self.memory_bytes_peak.max(other.memory_bytes_peak);
    }
}
