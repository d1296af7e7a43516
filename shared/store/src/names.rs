//! Lists a day of a folder by names alone.
//!
//! In: a day of a store that is a folder. Out: its newest manifest and the fresh segments that it has not consumed, or nothing: where
//! a day holds anything but what pushes and merges write, where an object vanishes meanwhile, and where the folder cannot be read,
//! the listing that all stores have is to decide. Names come first, then the manifest, and only then the sizes of what the manifest
//! leaves: consumed segments lie there for an hour, and to ask the system about each of them is dearer than many a question.
//! Counts as the listing that it stands for.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use model::{Day, TenantId};

use crate::counting::Counters;
use crate::paths::{self, FreshKey};
use crate::{Error, Manifest, SegmentRef, Store};

/// A store's folder, and who counts what is asked of it.
#[derive(Debug, Clone)]
pub(crate) struct NamedFolder {
    root: Arc<FilePath>,
    counters: Vec<Arc<Counters>>,
}

impl NamedFolder {
    pub(crate) fn new(root: &FilePath) -> Self {
        NamedFolder { root: root.into(), counters: Vec::new() }
    }

    /// The same, counted by one more.
    pub(crate) fn counted(&self, counters: &Arc<Counters>) -> Self {
        let mut folder = self.clone();
        folder.counters.push(Arc::clone(counters));
        folder
    }
}

/// The names of a day.
struct DayNames {
    fresh: Vec<FreshKey>,
    /// The version of the newest manifest.
    newest: Option<u64>,
}

impl Store {
    /// What is current for a day, if names can tell.
    pub(crate) async fn current_by_names(
        &self,
        tenant: &TenantId,
        day: Day,
    ) -> Result<Option<(Arc<Manifest>, Vec<SegmentRef>)>, Error> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let path = folder.root.join(paths::day(tenant, day).as_ref());
        let names = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || read_day(&path, day)).await
        };
        let Ok(Ok(Some(DayNames { mut fresh, newest }))) = names else { return Ok(None) };
        folder.counters.iter().for_each(|counters| counters.list(fresh.len() + usize::from(newest.is_some())));
        let manifest = match newest {
            Some(version) => self.manifest(tenant, day, version).await?,
            None => Arc::default(),
        };
        fresh.retain(|facts| !manifest.consumed.contains_key(facts));
        if fresh.is_empty() {
            return Ok(Some((manifest, Vec::new())));
        }
        let sizes = {
            let (fresh, path) = (fresh.clone(), path.join(paths::FRESH));
            tokio::task::spawn_blocking(move || sizes(&path, &fresh)).await
        };
        // Who is gone now may have been consumed by a manifest that is newer than ours.
        let Ok(Ok(sizes)) = sizes else { return Ok(None) };
        let segments = fresh.iter().zip(sizes).map(|(facts, size)| segment(tenant, facts, size));
        Ok(Some((manifest, segments.collect::<Result<_, _>>()?)))
    }
}

fn segment(tenant: &TenantId, facts: &FreshKey, size: u64) -> Result<SegmentRef, Error> {
    let FreshKey { min_ts, max_ts, rows, .. } = *facts;
    let (forgot, catalog) = Default::default();
    Ok(SegmentRef { key: facts.key(tenant)?, size, min_ts, max_ts, rows, fresh: true, forgot, catalog })
}

/// Reads the names of a day, those of fresh segments before those of manifests; `None` if there are others.
fn read_day(path: &FilePath, day: Day) -> io::Result<Option<DayNames>> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_ours = [paths::FRESH, paths::MANIFESTS, paths::MERGED].iter().any(|name| entry.file_name() == *name);
        if !is_ours || !entry.file_type()?.is_dir() {
            return Ok(None);
        }
    }
    let mut fresh = Vec::new();
    for name in file_names(path.join(paths::FRESH))? {
        let facts = name.and_then(|name| FreshKey::from_name(&name)).filter(|facts| facts.day == day);
        let Some(facts) = facts else { return Ok(None) };
        fresh.push(facts);
    }
    // The newest sorts first.
    let names: Option<Vec<String>> = file_names(path.join(paths::MANIFESTS))?.into_iter().collect();
    let Some(first) = names.map(|names| names.into_iter().min()) else { return Ok(None) };
    let newest = first.as_deref().map(paths::manifest_version);
    match newest {
        Some(None) => Ok(None),
        newest => Ok(Some(DayNames { fresh, newest: newest.flatten() })),
    }
}

/// The names in a folder, which may be missing; `None` for what is no file or no text.
fn file_names(path: PathBuf) -> io::Result<Vec<Option<String>>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let name = |entry: fs::DirEntry| Ok(entry.file_name().into_string().ok().filter(|_| is_file(&entry)));
    entries.map(|entry| entry.and_then(name)).collect()
}

fn is_file(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// The bytes of fresh segments, if all of them are there.
fn sizes(path: &FilePath, fresh: &[FreshKey]) -> io::Result<Vec<u64>> {
    fresh.iter().map(|facts| Ok(fs::metadata(path.join(facts.name()))?.len())).collect()
}
