//! What is current for a day: which merged segments there are, and which fresh ones they replace.
//!
//! In and out: [`Manifest`]s. Versions of a day's manifest are written create-if-absent and never change; the newest counts. Who
//! loses the race for a version has to read the winner's and plan again. As bytes:
//! ```text
//! logbarn manifest 1 <xxh3 of all that follows, 16 hex digits>\n
//! {"version":7,"segments":[{"id":"…32 hex…-7","size":1,"rows":1,"min_ts":0,"max_ts":0}],
//!  "consumed":[{"since":7,"names":["…name of a fresh segment…"]}],"gone":[…],"dropped":[{"since":7,"names":["…32 hex…-5"]}]}
//! ```
//! A segment has `"forgot":["…"]` besides if something was forgotten of it for good, and
//! `"catalog":{"id":"…32 hex…-9","at":0,"parts":[[700,900],[950,1000]]}` if a copy of these parts of it lies in that catalog, from
//! `at` on. A copy is there for speed alone: who does not know of it, or finds it gone, opens the segment itself.
//! Each version tells all that is current, so nobody has to follow a chain; what it says about objects that are gone is left out of
//! the next, so that it stays small.
//! A reader refuses a format above its own, a wrong checksum and a version other than its key's; fields that it does not know it
//! ignores. So a field may be added when old readers answer rightly without it; else the format number goes up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use model::{Day, TenantId};
use object_store::GetOptions;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::list::DayListing;
use crate::paths::{self, FreshKey, Key, MergedKey};
use crate::{Committed, Error, IndexCopy, Marks, SegmentRef, Store};

/// The first words of every manifest.
const MAGIC: &str = "logbarn manifest ";
/// The format that this version writes, and the highest that it reads.
const FORMAT: u32 = 1;
/// The longest manifest that is read: some 500,000 fresh segments, about a day of pushes at the shortest commit window.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Parts of a segment that a catalog may hold.
const PARTS_MAX: usize = 8;
/// Manifests kept decoded. One is a few kilobytes as a rule.
const MANIFESTS_KEPT_MAX: usize = 128;

/// A version of what is current for a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Counts from 1; 0 says that nothing was ever merged.
    pub version: u64,
    /// The merged segments.
    pub segments: Vec<MergedSegment>,
    /// Fresh segments whose entries are in the merged ones, and the version that consumed each.
    pub consumed: BTreeMap<FreshKey, u64>,
    /// Those of them whose objects were found gone, and the version whose author found it. Such a name may be forgotten, but only a
    /// grace later: a listing under way may have shown the object before it went, and meets this manifest after.
    pub gone: BTreeMap<FreshKey, u64>,
    /// Merged segments that others have replaced, and the version that did. They too are forgotten once they are gone.
    pub dropped: BTreeMap<MergedKey, u64>,
}

/// A merged segment, named by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedSegment {
    /// Its name.
    pub key: MergedKey,
    /// Bytes of the object.
    pub size: u64,
    /// How many entries there are.
    pub rows: u64,
    /// The earliest entry.
    pub min_ts: i64,
    /// The latest entry.
    pub max_ts: i64,
    /// What was forgotten of it for good: nobody has to look for that in it any more.
    pub forgot: Marks,
    /// Where its index lies beside those of others.
    pub catalog: Option<InCatalog>,
}

/// A place in a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InCatalog {
    /// Which.
    pub catalog: MergedKey,
    /// Where it begins there.
    pub at: u64,
    /// The parts of the segment that lie there one behind the other.
    pub parts: Vec<Range<u64>>,
}

impl Manifest {
    /// The catalogs in which its segments have places.
    pub fn catalogs(&self) -> BTreeSet<MergedKey> {
        self.segments.iter().filter_map(|merged| Some(merged.catalog.as_ref()?.catalog)).collect()
    }
}

impl MergedSegment {
    /// Where it is.
    pub fn segment(&self, tenant: &TenantId, day: Day) -> SegmentRef {
        let MergedSegment { key, size, rows, min_ts, max_ts, forgot, catalog } = self.clone();
        let copy =
            |InCatalog { catalog, at, parts }| IndexCopy { key: paths::catalog(tenant, day, catalog), at, parts };
        let catalog = catalog.map(|place| Box::new(copy(place)));
        SegmentRef { key: paths::merged(tenant, day, key), size, min_ts, max_ts, rows, fresh: false, forgot, catalog }
    }
}

/// What a day holds at a moment.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// The newest manifest.
    pub manifest: Arc<Manifest>,
    /// The fresh segments that it has not consumed, in the order of their names.
    pub fresh: Vec<(FreshKey, SegmentRef)>,
    /// Those that it has consumed and that are still there.
    pub consumed: Vec<(FreshKey, SegmentRef)>,
}

impl Store {
    /// What a day holds: one LIST, and one GET of the newest manifest unless it is known.
    pub async fn current(&self, tenant: &TenantId, day: Day) -> Result<Current, Error> {
        let DayListing { fresh, newest } = self.list_day(tenant, day).await?;
        let manifest = match newest {
            Some((version, key)) => self.read_manifest(&key, version).await?,
            None => Arc::default(),
        };
        let (consumed, fresh) = fresh.into_iter().partition(|(facts, _)| manifest.consumed.contains_key(facts));
        Ok(Current { manifest, fresh, consumed })
    }

    /// A version of a day's manifest.
    pub async fn manifest(&self, tenant: &TenantId, day: Day, version: u64) -> Result<Arc<Manifest>, Error> {
        self.read_manifest(&paths::manifest(tenant, day, version)?, version).await
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

    /// Stores a merged segment under a name made of its content and of the version that is to introduce it. It counts only when
    /// that version names it; if another merge wins the version, it never will.
    pub async fn put_merged(
        &self,
        tenant: &TenantId,
        day: Day,
        born: u64,
        rows: u64,
        (min_ts, max_ts): (i64, i64),
        segment: Bytes,
    ) -> Result<MergedSegment, Error> {
        let key = MergedKey { content_id: xxh3_128(&segment), born };
        let size = segment.len() as u64;
        let merged = MergedSegment { key, size, rows, min_ts, max_ts, forgot: Marks::default(), catalog: None };
        self.create(&paths::merged(tenant, day, key), segment).await?;
        Ok(merged)
    }

    /// Stores a catalog; it counts when the version for which it is written names it.
    pub async fn put_catalog(&self, tenant: &TenantId, day: Day, born: u64, bytes: Bytes) -> Result<MergedKey, Error> {
        let key = MergedKey { content_id: xxh3_128(&bytes), born };
        self.create(&paths::catalog(tenant, day, key), bytes).await?;
        Ok(key)
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
    consumed: Vec<Since>,
    #[serde(default)]
    gone: Vec<Since>,
    #[serde(default)]
    dropped: Vec<Since>,
}

/// Names by the version that did away with them.
#[derive(Serialize, Deserialize)]
struct Since {
    since: u64,
    names: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct BodySegment {
    id: String,
    size: u64,
    rows: u64,
    min_ts: i64,
    max_ts: i64,
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    forgot: Marks,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    catalog: Option<BodyPlace>,
}

#[derive(Serialize, Deserialize)]
struct BodyPlace {
    id: String,
    at: u64,
    parts: Vec<(u64, u64)>,
}

impl BodyPlace {
    fn of(place: &InCatalog) -> Self {
        let parts = place.parts.iter().map(|part| (part.start, part.end)).collect();
        BodyPlace { id: place.catalog.name(), at: place.at, parts }
    }

    /// The place, if this is one in a copy of a segment of `size` bytes.
    fn read(self, size: u64) -> Option<InCatalog> {
        let parts: Vec<Range<u64>> = self.parts.into_iter().map(|(start, end)| start..end).collect();
        let is_sound = parts.iter().all(|part| part.start <= part.end && part.end <= size);
        let is_whole = parts.last().is_some_and(|last| last.end == size);
        let catalog = MergedKey::from_name(&self.id).filter(|_| is_sound && is_whole && parts.len() <= PARTS_MAX)?;
        Some(InCatalog { catalog, at: self.at, parts })
    }
}

fn encode(manifest: &Manifest) -> Bytes {
    let segments = manifest.segments.iter().map(|m| BodySegment {
        id: m.key.name(),
        size: m.size,
        rows: m.rows,
        min_ts: m.min_ts,
        max_ts: m.max_ts,
        forgot: m.forgot.clone(),
        catalog: m.catalog.as_ref().map(BodyPlace::of),
    });
    let body = Body {
        version: manifest.version,
        segments: segments.collect(),
        consumed: by_version(&manifest.consumed, FreshKey::name),
        gone: by_version(&manifest.gone, FreshKey::name),
        dropped: by_version(&manifest.dropped, |key| key.name()),
    };
    let body = serde_json::to_string(&body).expect("numbers and strings are always JSON");
    format!("{MAGIC}{FORMAT} {:016x}\n{body}", xxh3_64(body.as_bytes())).into()
}

fn by_version<K>(names: &BTreeMap<K, u64>, name: impl Fn(&K) -> String) -> Vec<Since> {
    let mut versions: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    names.iter().for_each(|(key, since)| versions.entry(*since).or_default().push(name(key)));
    versions.into_iter().map(|(since, names)| Since { since, names }).collect()
}

fn from_versions<K: Ord>(versions: Vec<Since>, key: impl Fn(&str) -> Option<K>) -> Result<BTreeMap<K, u64>, String> {
    let names =
        versions.into_iter().flat_map(|Since { since, names }| names.into_iter().map(move |name| (name, since)));
    names.map(|(name, since)| Ok((key(&name).ok_or_else(|| format!("not a segment: \"{name}\""))?, since))).collect()
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
    let named = |id: &str| MergedKey::from_name(id).ok_or_else(|| format!("not an id: \"{id}\""));
    let segments = body.segments.into_iter().map(|m| {
        let BodySegment { id, size, rows, min_ts, max_ts, forgot, catalog } = m;
        let catalog = match catalog {
            Some(place) => Some(place.read(size).ok_or_else(|| format!("no place in a catalog: \"{id}\""))?),
            None => None,
        };
        Ok(MergedSegment { key: named(&id)?, size, rows, min_ts, max_ts, forgot, catalog })
    });
    Ok(Manifest {
        version: body.version,
        segments: segments.collect::<Result<_, String>>()?,
        consumed: from_versions(body.consumed, FreshKey::from_name)?,
        gone: from_versions(body.gone, FreshKey::from_name)?,
        dropped: from_versions(body.dropped, MergedKey::from_name)?,
    })
}

/// A manifest for people.
pub(crate) fn describe(bytes: &[u8], version: u64) -> Result<String, String> {
    let Manifest { version, segments, consumed, gone, dropped } = decode(bytes, version)?;
    let merged: String = segments
        .iter()
        .map(|m| {
            let forgot: String = m.forgot.iter().map(|mark| format!(", forgot {mark}")).collect();
            let (name, size, rows) = (m.key.name(), m.size, m.rows);
            let catalog =
                m.catalog.as_ref().map(|place| format!(", index in {} at {}", place.catalog.name(), place.at));
            let catalog = catalog.unwrap_or_default();
            format!("  {name}  {size} bytes, {rows} rows, {} to {}{forgot}{catalog}\n", m.min_ts, m.max_ts)
        })
        .collect();
    let consumed_names: String =
        consumed.iter().map(|(fresh, since)| format!("  {} since {since}\n", fresh.name())).collect();
    let dropped_names: String =
        dropped.iter().map(|(merged, since)| format!("  {} since {since}\n", merged.name())).collect();
    Ok(format!(
        "manifest v{FORMAT}, version {version}, {} bytes\nmerged segments: {}\n{merged}consumed fresh segments: {}, {} of them gone\n\
         {consumed_names}dropped merged segments: {}\n{dropped_names}",
        bytes.len(),
        segments.len(),
        consumed.len(),
        gone.len(),
        dropped.len(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Manifest {
        let key = |content_id, born| MergedKey { content_id, born };
        let merged = MergedSegment {
            key: key(7, 2),
            size: 1000,
            rows: 20,
            min_ts: 5,
            max_ts: i64::MAX,
            forgot: Marks::default(),
            catalog: None,
        };
        let fresh = FreshKey { day: Day::of(5), min_ts: 5, max_ts: 6, batch_id: u128::MAX, rows: 3 };
        Manifest {
            version: 3,
            segments: vec![merged],
            consumed: [(fresh, 2)].into(),
            gone: [(fresh, 3)].into(),
            dropped: [(key(6, 1), 2)].into(),
        }
    }

    /// This text is in buckets. If it changes, FORMAT goes up.
    #[test]
    fn the_bytes_of_format_1() {
        let want = concat!(
            "logbarn manifest 1 1bf2bdba81396daa\n",
            r#"{"version":3,"segments":[{"id":"00000000000000000000000000000007-2","size":1000,"rows":20,"min_ts":5,"#,
            r#""max_ts":9223372036854775807}],"consumed":[{"since":2,"names":["0000000000000000005-0000000000000000006-"#,
            r#"ffffffffffffffffffffffffffffffff-3.seg"]}],"gone":[{"since":3,"names":["0000000000000000005-"#,
            r#"0000000000000000006-ffffffffffffffffffffffffffffffff-3.seg"]}],"dropped":[{"since":2,"names":["#,
            r#""00000000000000000000000000000006-1"]}]}"#
        );
        assert_eq!(encode(&sample()), want);
        assert_eq!(decode(want.as_bytes(), 3), Ok(sample()));
        assert_eq!(decode(want.as_bytes(), 4), Err("holds version 3".into()));
    }

    /// Older readers pass over what was forgotten, and answer rightly: the entries are not there.
    #[test]
    fn what_was_forgotten_is_written_down() {
        let mut manifest = sample();
        manifest.segments[0].forgot = ["d1", "r2"].into_iter().collect();
        let bytes = encode(&manifest);
        assert!(String::from_utf8_lossy(&bytes).contains(r#""max_ts":9223372036854775807,"forgot":["d1","r2"]}]"#));
        assert_eq!(decode(&bytes, 3), Ok(manifest));
    }

    /// Older readers pass over a place in a catalog too, and open the segment itself.
    #[test]
    fn a_place_in_a_catalog_is_written_down() {
        let mut manifest = sample();
        let catalog = MergedKey { content_id: 9, born: 3 };
        manifest.segments[0].catalog = Some(InCatalog { catalog, at: 50, parts: vec![700..900, 950..1000] });
        let bytes = encode(&manifest);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(
            r#""catalog":{"id":"00000000000000000000000000000009-3","at":50,"parts":[[700,900],[950,1000]]}"#
        ));
        assert_eq!(decode(&bytes, 3), Ok(manifest.clone()));
        let segment = manifest.segments[0].segment(&TenantId::single(), Day::of(0));
        assert_eq!(segment.catalog.expect("a place").range(), 50..300);
        let wrong: [&[(u64, u64)]; 4] = [&[(700, 900)], &[(900, 700), (950, 1000)], &[(700, 1001)], &[]];
        for parts in wrong {
            let parts = parts.iter().map(|(start, end)| *start..*end).collect();
            manifest.segments[0].catalog = Some(InCatalog { catalog, at: 50, parts });
            assert!(decode(&encode(&manifest), 3).is_err());
        }
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
