//! What a copy of a store needs: objects under the names that they have elsewhere, and a mark that says what the copy is.
//!
//! In: keys and bytes of another store. Out: they are stored, each once. Whoever would merge asks for the mark: a copy is never
//! merged, since its next version has to come from the store that it is a copy of.

use bytes::Bytes;
use futures::TryStreamExt as _;
use model::TenantId;
use object_store::{ObjectMeta, ObjectStore as _};
use serde::{Deserialize, Serialize};

use crate::paths::{self, Key};
use crate::{Committed, Error, Listed, Store};

/// The mark of a store that is a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Of which store, as its URL was given.
    pub of: String,
}

impl Store {
    /// Stores an object of another store under its name there, unless it is here.
    pub async fn put_copy(&self, key: &Key, bytes: Bytes) -> Result<Committed, Error> {
        self.create(key, bytes).await
    }

    /// What a tenant has beside its days: requests for deletes, and what cancels them.
    pub async fn delete_objects(&self, tenant: &TenantId) -> Result<Vec<Listed>, Error> {
        let prefix = paths::deletes(tenant);
        let listed = |meta: ObjectMeta| Listed {
            key: Key::of(&meta.location),
            size: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
        };
        let all: Result<Vec<Listed>, _> = self.objects.list(Some(&prefix)).map_ok(listed).try_collect().await;
        all.map_err(|e| Error::from_store(&prefix, e))
    }

    /// Whether any tenant has anything here. One LIST.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        let prefix = paths::tenants();
        let first = self.objects.list(Some(&prefix)).try_next().await;
        Ok(first.map_err(|e| Error::from_store(&prefix, e))?.is_none())
    }

    /// The mark, if this is a copy. One GET.
    pub async fn backup(&self) -> Result<Option<Backup>, Error> {
        let key = paths::copy();
        match self.read(&key).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|why| Error::corrupt(&key, why)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Marks this as a copy.
    pub async fn mark_backup(&self, backup: &Backup) -> Result<Committed, Error> {
        let bytes = serde_json::to_vec(backup).expect("a text is always JSON");
        self.create(&paths::copy(), bytes.into()).await
    }
}
