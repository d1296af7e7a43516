//! Writes objects, each once.
//!
//! In: a segment and what decides its key. Out: it is stored, by us or before us. A put is one request, create-if-absent; repeats
//! after errors happen below (see `wire`) and are safe, since a key always carries the same bytes. An error acknowledges nothing.

use bytes::Bytes;
use model::TenantId;
use object_store::{Error as StoreError, ObjectStore as _, PutMode, PutOptions};

use crate::paths::{FreshKey, Key};
use crate::{Error, Store};

/// How a create-if-absent ended. Either way the object is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// We made it.
    Created,
    /// It was there already: an earlier attempt, or another writer.
    Existed,
}

impl Store {
    /// Stores a fresh segment. When it returns, the segment is durable and the next [`Store::segments`] shows it.
    pub async fn put_fresh(&self, tenant: &TenantId, fresh: FreshKey, segment: Bytes) -> Result<Committed, Error> {
        let bytes = segment.len() as u64;
        let committed = self.create(&fresh.key(tenant)?, segment).await?;
        if let (Some(watch), Committed::Created) = (&self.watch.0, committed) {
            watch.wrote(tenant, fresh.day, bytes);
        }
        Ok(committed)
    }

    /// Creates an object unless it exists.
    pub(crate) async fn create(&self, key: &Key, bytes: Bytes) -> Result<Committed, Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(key.path(), bytes.into(), options).await {
            Ok(_) => Ok(Committed::Created),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Committed::Existed),
            Err(error) => Err(Error::from_store(key, error)),
        }
    }
}
