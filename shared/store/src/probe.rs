//! Proves, once per store, that it keeps the promise on which merging rests.
//!
//! In: a store. Out: whether a second create-if-absent of a key is refused, also when several race. Some servers answer 200 and
//! overwrite: fresh segments are safe there, since a key always carries the same bytes, but two mergers could commit the same
//! version of a manifest and lose data. What was proved is remembered in the store under a name with the version of this check, so
//! a later start costs one GET. Delete the remembered object to have it proved again.

use bytes::Bytes;
use futures::future::try_join_all;
use object_store::{ObjectStore as _, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use crate::{Committed, Error, Store, paths};

/// Writers that race for one key.
const RACERS: usize = 8;

/// What the probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// A second create of a key is refused, so merging is safe. Otherwise merge only if this process is the only merger.
    pub refuses_second_create: bool,
}

impl Store {
    /// Reads what is remembered, or finds it out by trying.
    pub async fn probe(&self) -> Result<Probe, Error> {
        let key = paths::probe_result();
        match self.read(&key).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|why| Error::corrupt(&key, why)),
            Err(Error::NotFound { .. }) => {
                let probe = Probe { refuses_second_create: self.try_twice().await? };
                let bytes = serde_json::to_vec(&probe).expect("a flag is always JSON");
                let options = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
                let put = self.objects.put_opts(key.path(), bytes.into(), options).await;
                put.map_err(|e| Error::from_store(&key, e))?;
                Ok(probe)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates one key several times at once, and once more: at most one may succeed. None succeeds when a probe that was
    /// killed has left the key behind, which is proof as well.
    async fn try_twice(&self) -> Result<bool, Error> {
        let key = paths::probe_attempt("create");
        let racers = (0..RACERS).map(|i| self.create(&key, Bytes::from(format!("racer {i}\n"))));
        let mut outcomes = try_join_all(racers).await?;
        outcomes.push(self.create(&key, Bytes::from_static(b"latecomer\n")).await?);
        Ok(outcomes.iter().filter(|outcome| **outcome == Committed::Created).count() <= 1)
    }
}
