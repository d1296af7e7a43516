//! What is current for a day: which merged segments there are, and which fresh ones they replace.
//!
//! In and out: [`Manifest`]s. Versions of a day's manifest are written create-if-absent and never change; the newest counts. Who
//! loses the race for a version has to read the winner's and plan again. As bytes:
//! ```text
//! logbarn manifest 1 <xxh3 of all that follows, 16 hex digits>\n
//! {"version":7,"segments":[{"id":"…32 hex…","size":1,"rows":1,"min_ts":0,"max_ts":0}],"consumed":["…name of a fresh segment…"]}
//! ```
//! A reader refuses a format above its own, a wrong checksum and a version other than its key's; fields that it does not know it
//! ignores. So a field may be added when old readers answer rightly without it; else the format number goes up.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use model::{Day, TenantId};
use object_store::GetOptions;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::paths::{self, FreshKey, Key};
use crate::{Committed, Error, SegmentRef, Store};

/// The first words of every manifest.
const MAGIC: &str = "logbarn manifest ";
/// The format that this version writes, and the highest that it reads.
const FORMAT: u32 = 1;
/// The longest manifest that is read: some 500,000 fresh segments, about a day of pushes at the shortest commit window.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Manifests kept decoded. One is a few kilobytes as a rule.
const MANIFESTS_KEPT_MAX: usize = 128;

/// A version of what is current for a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Counts from 1; 0 says that nothing was ever merged.
    pub version: u64,
    /// The merged segments.
    pub segments: Vec<MergedSegment>,
    /// Fresh segments whose entries are in the merged ones. A name may be forgotten once its object is gone.
    pub consumed: BTreeSet<FreshKey>,
}

/// A merged segment, named by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedSegment {
    /// A hash of the bytes.
    pub content_id: u128,
    /// Bytes of the object.
    pub size: u64,
    /// How many entries there are.
    pub rows: u64,
    /// The earliest entry.
    pub min_ts: i64,
    /// The latest entry.
    pub max_ts: i64,
}

impl MergedSegment {
    /// Where it is.
    pub fn segment(&self, tenant: &TenantId, day: Day) -> SegmentRef {
        let &MergedSegment { content_id, size, rows, min_ts, max_ts } = self;
        SegmentRef { key: paths::merged(tenant, day, content_id), size, min_ts, max_ts, rows, fresh: false }
    }
}

impl Store {
    /// The newest manifest of a day, and the fresh segments that it has not consumed.
    pub async fn manifest(&self, tenant: &TenantId, day: Day) -> Result<(Arc<Manifest>, Vec<FreshKey>), Error> {
        let listing = self.list_day(tenant, day).await?;
        let manifest = match listing.newest {
            Some((version, key)) => self.read_manifest(&key, version).await?,
            None => Arc::default(),
        };
        let fresh = listing
            .fresh
            .into_iter()
            .map(|(facts, _)| facts)
            .filter(|facts| !manifest.consumed.contains(facts))
            .collect();
        Ok((manifest, fresh))
    }

    /// Commits a manifest as the version that it names, which must be the newest plus one. `Existed`: somebody else has committed
    /// this version; delete nothing, read it and plan again.
    pub async fn commit_manifest(&self, tenant: &TenantId, day: Day, manifest: &Manifest) -> Result<Committed, Error> {
        let key = paths::manifest(tenant, day, manifest.version)?;
        let bytes = encode(manifest);
        match self.create(&key, bytes.clone()).await? {
            // The answer to our first attempt may have been lost; equal bytes are our own commit, or one that is as good.
            Committed::Existed if self.read(&key).await? == bytes => Ok(Committed::Created),
            committed => Ok(committed),
        }
    }

    /// Stores a merged segment under a name made of its content. It counts only when a manifest names it.
    pub async fn put_merged(
        &self,
        tenant: &TenantId,
        day: Day,
        rows: u64,
        (min_ts, max_ts): (i64, i64),
        segment: Bytes,
    ) -> Result<MergedSegment, Error> {
        let merged = MergedSegment { content_id: xxh3_128(&segment), size: segment.len() as u64, rows, min_ts, max_ts };
        self.create(&paths::merged(tenant, day, merged.content_id), segment).await?;
        Ok(merged)
    }

    pub(crate) async fn read_manifest(&self, key: &Key, version: u64) -> Result<Arc<Manifest>, Error> {
        if let Some(manifest) = self.manifests.get(key) {
            return Ok(manifest);
        }
        let (bytes, _) = self.get(key, GetOptions::default(), MANIFEST_BYTES_MAX).await?;
        let manifest = decode(&bytes, version).map_err(|why| Error::corrupt(key, why))?;
        Ok(self.manifests.insert(key, manifest))
    }
}

/// Decoded manifests by key. They never change, so nothing here can be stale.
#[derive(Debug, Default)]
pub(crate) struct ManifestCache(Mutex<HashMap<Key, Arc<Manifest>>>);

impl ManifestCache {
    fn get(&self, key: &Key) -> Option<Arc<Manifest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn insert(&self, key: &Key, manifest: Manifest) -> Arc<Manifest> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MANIFESTS_KEPT_MAX {
            // Starting over is cheap (one GET a day asked) and needs no order of use.
            kept.clear();
        }
        Arc::clone(kept.entry(key.clone()).or_insert_with(|| Arc::new(manifest)))
    }
}

/// The body of a manifest as JSON.
#[derive(Serialize, Deserialize)]
struct Body {
    version: u64,
    segments: Vec<BodySegment>,
    consumed: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct BodySegment {
    id: String,
    size: u64,
    rows: u64,
    min_ts: i64,
    max_ts: i64,
}

fn encode(manifest: &Manifest) -> Bytes {
    let segments = manifest.segments.iter().map(|m| BodySegment {
        id: format!("{:032x}", m.content_id),
        size: m.size,
        rows: m.rows,
        min_ts: m.min_ts,
        max_ts: m.max_ts,
    });
    let consumed = manifest.consumed.iter().map(FreshKey::name);
    let body = Body { version: manifest.version, segments: segments.collect(), consumed: consumed.collect() };
    let body = serde_json::to_string(&body).expect("numbers and strings are always JSON");
    format!("{MAGIC}{FORMAT} {:016x}\n{body}", xxh3_64(body.as_bytes())).into()
}

/// Reads the bytes under the key of a version.
fn decode(bytes: &[u8], version: u64) -> Result<Manifest, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not text".to_string())?;
    let (head, body) = text.split_once('\n').ok_or("no first line")?;
    let (format, checksum) = head.strip_prefix(MAGIC).and_then(|rest| rest.split_once(' ')).ok_or("not a manifest")?;
    let format: u32 = format.parse().map_err(|_| "no format number")?;
    if format != FORMAT {
        return Err(format!("format {format}, this version reads {FORMAT}"));
    }
    if checksum != format!("{:016x}", xxh3_64(body.as_bytes())) {
        return Err("wrong checksum".into());
    }
    let body: Body = serde_json::from_str(body).map_err(|why| why.to_string())?;
    if body.version != version {
        return Err(format!("holds version {}", body.version));
    }
    let segments = body.segments.into_iter().map(|m| {
        let content_id = paths::id(&m.id).ok_or_else(|| format!("not an id: \"{}\"", m.id))?;
        Ok(MergedSegment { content_id, size: m.size, rows: m.rows, min_ts: m.min_ts, max_ts: m.max_ts })
    });
    let consumed = body.consumed.into_iter();
    let consumed =
        consumed.map(|name| FreshKey::from_name(&name).ok_or_else(|| format!("not a fresh segment: \"{name}\"")));
    Ok(Manifest {
        version: body.version,
        segments: segments.collect::<Result<_, String>>()?,
        consumed: consumed.collect::<Result<_, String>>()?,
    })
}

/// A manifest for people.
pub(crate) fn describe(bytes: &[u8], version: u64) -> Result<String, String> {
    let Manifest { version, segments, consumed } = decode(bytes, version)?;
    let merged = segments
        .iter()
        .map(|m| format!("  {:032x}  {} bytes, {} rows, {} to {}\n", m.content_id, m.size, m.rows, m.min_ts, m.max_ts));
    let consumed_names = consumed.iter().map(|fresh| format!("  {}\n", fresh.name()));
    Ok(format!(
        "manifest v{FORMAT}, version {version}, {} bytes\nmerged segments: {}\n{}consumed fresh segments: {}\n{}",
        bytes.len(),
        segments.len(),
        merged.collect::<String>(),
        consumed.len(),
        consumed_names.collect::<String>(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Manifest {
        let merged = MergedSegment { content_id: 7, size: 1000, rows: 20, min_ts: 5, max_ts: i64::MAX };
        let fresh = FreshKey { day: Day::of(5), min_ts: 5, max_ts: 6, batch_id: u128::MAX, rows: 3 };
        Manifest { version: 3, segments: vec![merged], consumed: [fresh].into() }
    }

    /// This text is in buckets. If it changes, FORMAT goes up.
    #[test]
    fn the_bytes_of_format_1() {
        let want = "logbarn manifest 1 4500c03dd27d54da\n{\"version\":3,\"segments\":[{\"id\":\"00000000000000000000000000000007\",\
                    \"size\":1000,\"rows\":20,\"min_ts\":5,\"max_ts\":9223372036854775807}],\"consumed\":[\"0000000000000000005-\
                    0000000000000000006-ffffffffffffffffffffffffffffffff-3.seg\"]}";
        assert_eq!(encode(&sample()), want);
        assert_eq!(decode(want.as_bytes(), 3), Ok(sample()));
        assert_eq!(decode(want.as_bytes(), 4), Err("holds version 3".into()));
    }

    #[test]
    fn a_newer_writer_may_add_fields_or_raise_the_format() {
        let sealed = |format: u32, body: &str| format!("{MAGIC}{format} {:016x}\n{body}", xxh3_64(body.as_bytes()));
        let body = r#"{"version":1,"segments":[],"consumed":[],"since":"tomorrow"}"#;
        assert_eq!(decode(sealed(1, body).as_bytes(), 1).map(|m| m.version), Ok(1));
        assert_eq!(decode(sealed(2, body).as_bytes(), 1), Err("format 2, this version reads 1".into()));
    }

    #[test]
    fn damage_is_found() {
        let good = encode(&sample());
        for cut in 0..good.len() {
            assert!(decode(&good[..cut], 3).is_err(), "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(decode(&bad, 3).is_err(), "bit flipped at {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), tail in ".{0,100}") {
            let _ = decode(&bytes, 1);
            let _ = decode(format!("{MAGIC}1 {:016x}\n{tail}", xxh3_64(tail.as_bytes())).as_bytes(), 1);
        }
    }
}
