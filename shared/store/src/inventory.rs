//! Everything that tenants have in a store, a day at a time.
//!
//! In: a store, perhaps one tenant. Out: in the order of the keys, each day with all its objects, requests for deletes, and objects
//! that nobody here has written. One LIST for 1000 objects; held is one day.

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use model::{Day, TenantId};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _};

use crate::paths::{self, Key, Place};
use crate::{DayObjects, Error, Listed, Store};

/// What an inventory comes across.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A day, all of it.
    Day(TenantId, Day, DayObjects),
    /// A request for deletes.
    Deletes(TenantId, Listed),
    /// Something that no version of this code writes.
    Unknown(Listed),
}

/// A walk through a store.
pub struct Inventory {
    objects: BoxStream<'static, object_store::Result<ObjectMeta>>,
    prefix: Path,
    last: Option<Path>,
    day: Option<(TenantId, Day, DayObjects)>,
    /// What comes behind the day that was told last.
    next: Option<Found>,
}

impl Store {
    /// Walks through what one tenant has, or all.
    pub fn inventory(&self, tenant: Option<&TenantId>) -> Inventory {
        let prefix = tenant.map_or_else(paths::tenants, paths::tenant);
        // Behind the last object there is a day to be told, and the end to be asked for again.
        let objects = self.objects.list(Some(&prefix)).fuse().boxed();
        Inventory { objects, prefix, last: None, day: None, next: None }
    }
}

impl Inventory {
    /// What comes next; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Found>, Error> {
        if let Some(found) = self.next.take() {
            return Ok(Some(found));
        }
        while let Some(meta) = self.objects.try_next().await.map_err(|e| Error::from_store(&self.prefix, e))? {
            if self.last.as_ref().is_some_and(|last| *last >= meta.location) {
                return Err(Error::invalid("this store does not list keys in byte order, as S3 does"));
            }
            let ObjectMeta { location, last_modified, size, .. } = meta;
            let listed = Listed { key: Key::of(&location), size, modified_ms: last_modified.timestamp_millis() };
            self.last = Some(location);
            if let Some(found) = self.take(listed) {
                return Ok(Some(found));
            }
        }
        Ok(self.day.take().map(|(tenant, day, objects)| Found::Day(tenant, day, objects)))
    }

    /// Puts an object to its day; gives what is complete by that.
    fn take(&mut self, listed: Listed) -> Option<Found> {
        match paths::place(listed.key.path()) {
            // Inside a day it is told before the day.
            None => Some(Found::Unknown(listed)),
            Some(Place::Deletes(tenant)) => {
                let deletes = Found::Deletes(tenant, listed);
                match self.day.take() {
                    None => Some(deletes),
                    Some((tenant, day, objects)) => {
                        self.next = Some(deletes);
                        Some(Found::Day(tenant, day, objects))
                    }
                }
            }
            Some(Place::Day(tenant, day, object)) => {
                let goes_on = self.day.as_ref().is_some_and(|(t, d, _)| (t, *d) == (&tenant, day));
                let before = if goes_on { None } else { self.day.replace((tenant, day, DayObjects::default())) };
                if let Some((_, _, objects)) = &mut self.day {
                    objects.add(object, listed);
                }
                before.map(|(tenant, day, objects)| Found::Day(tenant, day, objects))
            }
        }
    }
}
