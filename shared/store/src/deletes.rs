//! Delete requests as objects: one a request, never changed; a second object beside it cancels it.
//!
//! In: a request that somebody checked. Out: it is stored, and from then on in every listing until it is cancelled. What it means is
//! LogQL, which is not known here. As bytes:
//! ```text
//! logbarn delete 1 <xxh3 of all that follows, 16 hex digits>\n
//! {"query":"{app=\"x\"} |= \"secret\"","start_ns":0,"end_ns":1}
//! ```
//! When a request was taken, and its id, stand in its key. The id is made of the request, so that one that is sent again is found.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::TenantId;
use object_store::{GetOptions, ObjectStore as _};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::paths::{self, DeleteKey, Deletion, Key};
use crate::{Committed, Error, Store};

/// The first words of every request.
const MAGIC: &str = "logbarn delete 1 ";
/// The longest request that is read: a query has at most 128 KiB, and JSON may write a byte as six.
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// Names that a request is given in turn, if it was cancelled under the ones before.
const NAMES_TRIED_MAX: usize = 8;
/// Requests kept decoded, of all tenants.
const REQUESTS_KEPT_MAX: usize = 10_000;
/// Requests that are read at the same time.
const READS_CONCURRENT_MAX: usize = 16;

/// A delete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Its id, and when it was taken.
    pub key: DeleteKey,
    /// A selector, with filters perhaps.
    pub query: String,
    /// The first nanosecond that is deleted.
    pub start_ns: i64,
    /// The last one.
    pub end_ns: i64,
}

#[derive(Serialize, Deserialize)]
struct Body {
    query: String,
    start_ns: i64,
    end_ns: i64,
}

impl DeleteRequest {
    /// A request that is taken at a time.
    pub fn new(query: &str, start_ns: i64, end_ns: i64, created_ns: i64) -> Self {
        let body = Body { query: query.to_owned(), start_ns, end_ns };
        let id = xxh3_128(json(&body).as_bytes());
        DeleteRequest { key: DeleteKey { created_ns: created_ns.max(0), id }, query: body.query, start_ns, end_ns }
    }

    /// What a client calls it.
    pub fn id(&self) -> String {
        self.key.id_text()
    }

    /// What no other request is called: a request that was cancelled and is sent again has another one.
    pub fn name(&self) -> String {
        self.key.name()
    }
}

impl Store {
    /// The requests of a tenant that are not cancelled, oldest first: one LIST, and a GET for each that is not known yet.
    pub async fn deletes(&self, tenant: &TenantId) -> Result<Vec<Arc<DeleteRequest>>, Error> {
        let prefix = paths::deletes(tenant);
        let mut objects = self.objects.list(Some(&prefix));
        let (mut requests, mut cancelled) = (BTreeSet::new(), BTreeSet::new());
        while let Some(meta) = objects.try_next().await.map_err(|e| Error::from_store(&prefix, e))? {
            match paths::deletion(&meta.location) {
                Some(Deletion::Request(delete)) => drop(requests.insert(delete)),
                Some(Deletion::Cancelled(delete)) => drop(cancelled.insert(delete)),
                // Entries that are to be hidden must not show because we cannot read why.
                None => return Err(Error::corrupt(&meta.location, "not a delete request that this version writes")),
            }
        }
        requests.retain(|delete| !cancelled.contains(delete));
        let reads = stream::iter(requests).map(|delete| self.read_delete(delete, paths::delete(tenant, delete)));
        reads.buffered(READS_CONCURRENT_MAX).try_collect().await
    }

    /// Stores a request, unless one that asks the same is there; gives the one that is.
    pub async fn put_delete(&self, tenant: &TenantId, mut request: DeleteRequest) -> Result<Arc<DeleteRequest>, Error> {
        for _ in 0..NAMES_TRIED_MAX {
            if let Some(known) = self.deletes(tenant).await?.iter().find(|known| known.key.id == request.key.id) {
                return Ok(Arc::clone(known));
            }
            match self.create(&paths::delete(tenant, request.key), encode(&request)).await? {
                Committed::Created => return Ok(Arc::new(request)),
                // One of this very name was cancelled, as may be when a clock was set back; or somebody was faster, and it is found.
                Committed::Existed => request.key.created_ns = request.key.created_ns.saturating_add(1),
            }
        }
        Err(Error::corrupt(paths::delete(tenant, request.key), "it was cancelled, as were all of nearly this name"))
    }

    /// Cancels a request: it is in no listing any more.
    pub async fn cancel_delete(&self, tenant: &TenantId, request: &DeleteRequest) -> Result<(), Error> {
        self.create(&paths::delete_cancelled(tenant, request.key), Bytes::from_static(b"cancelled\n")).await?;
        Ok(())
    }

    async fn read_delete(&self, delete: DeleteKey, key: Key) -> Result<Arc<DeleteRequest>, Error> {
        if let Some(request) = self.delete_requests.get(&key) {
            return Ok(request);
        }
        let (bytes, _) = self.get(&key, GetOptions::default(), REQUEST_BYTES_MAX).await?;
        let request = decode(&bytes, delete).map_err(|why| Error::corrupt(&key, why))?;
        Ok(self.delete_requests.insert(key, request))
    }
}

/// Decoded requests by key. They never change, so nothing here can be stale.
#[derive(Debug, Default)]
pub(crate) struct DeleteCache(Mutex<HashMap<Key, Arc<DeleteRequest>>>);

impl DeleteCache {
    fn get(&self, key: &Key) -> Option<Arc<DeleteRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn insert(&self, key: Key, request: DeleteRequest) -> Arc<DeleteRequest> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= REQUESTS_KEPT_MAX {
            kept.clear();
        }
        Arc::clone(kept.entry(key).or_insert_with(|| Arc::new(request)))
    }
}

fn json(body: &Body) -> String {
    serde_json::to_string(body).expect("numbers and strings are always JSON")
}

fn encode(request: &DeleteRequest) -> Bytes {
    let &DeleteRequest { start_ns, end_ns, .. } = request;
    let body = json(&Body { query: request.query.clone(), start_ns, end_ns });
    format!("{MAGIC}{:016x}\n{body}", xxh3_64(body.as_bytes())).into()
}

fn decode(bytes: &[u8], key: DeleteKey) -> Result<DeleteRequest, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not text".to_owned())?;
    let (head, body) = text.split_once('\n').ok_or("no first line")?;
    let checksum = head.strip_prefix(MAGIC).ok_or("not a delete request of a format that this version reads")?;
    if checksum != format!("{:016x}", xxh3_64(body.as_bytes())) {
        return Err("wrong checksum".to_owned());
    }
    let Body { query, start_ns, end_ns } = serde_json::from_str(body).map_err(|why| why.to_string())?;
    Ok(DeleteRequest { key, query, start_ns, end_ns })
}

/// A request for people.
pub(crate) fn describe(bytes: &[u8], key: DeleteKey) -> Result<String, String> {
    let request = decode(bytes, key)?;
    let (id, created_ns) = (request.id(), key.created_ns);
    Ok(format!(
        "delete request {id}, taken at {created_ns}\nfrom {} to {}: {}\n",
        request.start_ns, request.end_ns, request.query
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This text is in buckets. If it changes, the number in its first line goes up.
    #[test]
    fn the_bytes_of_format_1() {
        let request = DeleteRequest::new(r#"{app="x"} |= "y""#, 1, 9, 5);
        let want = concat!(
            "logbarn delete 1 06d0337bcbf29616\n",
            r#"{"query":"{app=\"x\"} |= \"y\"","start_ns":1,"end_ns":9}"#
        );
        assert_eq!(encode(&request), want);
        assert_eq!(decode(want.as_bytes(), request.key), Ok(request.clone()));
        assert_eq!(decode(want.replace('9', "8").as_bytes(), request.key), Err("wrong checksum".to_owned()));
        let again = DeleteRequest::new(r#"{app="x"} |= "y""#, 1, 9, 6);
        assert!(again.id() == request.id() && again.name() != request.name(), "the id is made of the request alone");
    }

    #[tokio::test]
    async fn requests_are_listed_until_they_are_cancelled() {
        let (store, tenant) = (Store::new(Arc::new(object_store::memory::InMemory::new())), TenantId::single());
        let put = async |query: &str, created_ns| {
            store.put_delete(&tenant, DeleteRequest::new(query, 1, 9, created_ns)).await.expect("stored")
        };
        let ids = async || -> Vec<i64> {
            store.deletes(&tenant).await.expect("listed").iter().map(|request| request.key.created_ns).collect()
        };
        let first = put("{}", 5).await;
        put("{x}", 3).await;
        assert_eq!(put("{}", 7).await, first, "a request that is sent again is the one that is there");
        assert_eq!(ids().await, [3, 5]);
        let before = store.counters().snapshot().requests();
        ids().await;
        assert_eq!(store.counters().snapshot().requests() - before, 1, "requests are read once");
        store.cancel_delete(&tenant, &first).await.expect("stored");
        assert_eq!(ids().await, [3]);
        put("{}", 5).await;
        assert_eq!(ids().await, [3, 6], "after that it can be sent again, also at the same time");
        assert!(store.days(&tenant).await.expect("listed").is_empty(), "deletes are no day");
    }
}
