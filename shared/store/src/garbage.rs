//! What merging needs to clear away: everything of a day with its age, the store's own time, and deletes.
//!
//! In: tenant and day. Out: all objects, each with the time that the store wrote down for it. Ages are differences of two such times:
//! no clock of ours is asked, so one that jumps cannot make an object old. Decides nothing about what may go.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use model::{Day, TenantId};
use object_store::{Error as StoreError, GetOptions, ObjectMeta, ObjectStore as _, PutMode, PutOptions};

use crate::paths::{self, FreshKey, Key, MergedKey, Object};
use crate::{Error, Store};

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub key: Key,
    /// Its bytes.
    pub size: u64,
    /// When the store says that it was written, milliseconds since 1970.
    pub modified_ms: i64,
}

/// Everything that a day has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayObjects {
    /// Fresh segments, consumed or not.
    pub fresh: Vec<(FreshKey, Listed)>,
    /// Manifests by version, the newest first.
    pub manifests: Vec<(u64, Listed)>,
    /// Merged segments, needed or not.
    pub merged: Vec<(MergedKey, Listed)>,
    /// Catalogs, needed or not.
    pub catalogs: Vec<(MergedKey, Listed)>,
}

impl DayObjects {
    pub(crate) fn add(&mut self, object: Object, listed: Listed) {
        match object {
            Object::Fresh(facts) => self.fresh.push((facts, listed)),
            Object::Manifest { version } => self.manifests.push((version, listed)),
            Object::Merged(merged) => self.merged.push((merged, listed)),
            Object::Catalog(catalog) => self.catalogs.push((catalog, listed)),
        }
    }
}

impl Store {
    /// Lists all objects of a day, in as many pages as it takes.
    pub async fn day_objects(&self, tenant: &TenantId, day: Day) -> Result<DayObjects, Error> {
        let prefix = paths::day(tenant, day);
        let mut objects = self.objects.list(Some(&prefix));
        let mut all = DayObjects::default();
        while let Some(meta) = objects.try_next().await.map_err(|e| Error::from_store(&prefix, e))? {
            let ObjectMeta { location, last_modified, size, .. } = meta;
            let Some((key, object)) = paths::listed(&location) else { continue };
            let listed = Listed { key, size, modified_ms: last_modified.timestamp_millis() };
            all.add(object, listed);
        }
        Ok(all)
    }

    /// The store's own time, milliseconds since 1970: writes a small object and asks when it was written.
    pub async fn clock_ms(&self) -> Result<i64, Error> {
        let key = paths::clock();
        let options = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
        let put = self.objects.put_opts(key.path(), Bytes::from_static(b"what time is it?\n").into(), options).await;
        put.map_err(|e| Error::from_store(&key, e))?;
        let head = GetOptions { head: true, ..GetOptions::default() };
        let found = self.objects.get_opts(key.path(), head).await.map_err(|e| Error::from_store(&key, e))?;
        Ok(found.meta.last_modified.timestamp_millis())
    }

    /// Deletes objects. One that is gone already is no error. Gives how many are gone when it ends well.
    pub async fn delete(&self, keys: Vec<Key>) -> Result<u64, Error> {
        let count = keys.len() as u64;
        let paths = futures::stream::iter(keys.into_iter().map(|key| Ok(key.path().clone())));
        let mut deleted = self.objects.delete_stream(paths.boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(Error::from_store("a day's garbage", error)),
            }
        }
        Ok(count)
    }
}
