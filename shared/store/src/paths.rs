//! Spells every key of a store, and reads them back. Nobody else does.
//!
//! In: tenant, day, times, ids. Out: keys, and what a listed key means. Per tenant and UTC day:
//! ```text
//! t/<tenant>/<day>/l0/<minTs>-<maxTs>-<batchId>-<rows>.seg     fresh segments, one per acknowledged batch
//! t/<tenant>/<day>/manifest/<9999999999 - version>-<version>.json   what is merged; the newest sorts first
//! t/<tenant>/<day>/seg/<contentId>-<born>.seg                  merged segments
//! t/<tenant>/<day>/seg/<contentId>-<born>.cat                  catalogs: the indexes of merged segments side by side
//! t/<tenant>/deletes/<created>-<id>.json, ….cancelled          delete requests, and what cancels them
//! probe/v1.json, probe/v1/…, probe/clock                       what the start-up probe proved; what time it is there
//! probe/copy.json                                              that the store is a backup, and of what
//! ```
//! Times are 19 digits, so keys sort as times do; times before 1970 have no key. In a day's listing the fresh segments come
//! first and the newest manifest right behind them, so that one short LIST tells both: nothing may ever be named to sort before
//! `manifest` except `l0`. `born` is the version of the manifest for which a merged object was written: no other may introduce it,
//! so what a version has not taken up can never be needed again, and collecting it needs no agreement. A key holds no text of a client but the tenant id, which its type has checked.

use std::fmt;

use model::{Day, TenantId};
use object_store::path::Path;

use crate::Error;

/// The highest version that a manifest can have.
pub(crate) const VERSION_MAX: u64 = 9_999_999_999;
/// Digits of [`VERSION_MAX`].
const VERSION_DIGITS: usize = 10;
/// Digits of the largest `i64`.
const TIMESTAMP_DIGITS: usize = 19;
/// Hexadecimal digits of a 128-bit id.
const ID_DIGITS: usize = 32;
/// What all keys of tenants begin with.
const TENANTS: &str = "t";
/// What lies beside a tenant's days: requests for deletes.
const DELETES: &str = "deletes";
/// The folder of a day's fresh segments.
pub(crate) const FRESH: &str = "l0";
/// The folder of a day's manifests.
pub(crate) const MANIFESTS: &str = "manifest";
/// The folder of what merges wrote.
pub(crate) const MERGED: &str = "seg";
/// Where the probe keeps its result.
const PROBE: &str = "probe/v1";
/// The object that is written to learn the store's time.
const CLOCK: &str = "probe/clock";
/// The object that says that the store is a copy.
const COPY: &str = "probe/copy.json";

/// The name of an object. Only this file makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Path);

impl Key {
    /// Reads a key that somebody typed; it must be one that a store can hold.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let key = Path::parse(text).map(Key).map_err(|_| Error::invalid(format!("not a key: \"{text}\"")))?;
        match key.object().is_some() || deletion(&key.0).is_some() {
            true => Ok(key),
            false => Err(Error::invalid(format!("not a key of a segment, a manifest or a delete request: \"{text}\""))),
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// A listed object, whatever it is.
    pub(crate) fn of(path: &Path) -> Self {
        Key(path.clone())
    }

    /// Whose it is; `None` for what belongs to no tenant.
    pub fn tenant(&self) -> Option<&str> {
        self.as_str().strip_prefix("t/")?.split('/').next()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What the key means, if it is one of a tenant's day.
    pub(crate) fn object(&self) -> Option<Object> {
        parse(&self.0)
    }

    fn new(text: String) -> Self {
        Key(Path::parse(&text).expect("tenant ids hold no slash, no control character, and are no dots"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything that decides the key of a fresh segment: a function of the batch, never of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FreshKey {
    /// The UTC day of all entries.
    pub day: Day,
    /// The earliest entry, nanoseconds since 1970.
    pub min_ts: i64,
    /// The latest entry.
    pub max_ts: i64,
    /// The id of the batch, or of the batches that were committed together.
    pub batch_id: u128,
    /// How many entries there are.
    pub rows: u64,
}

impl FreshKey {
    /// Spells the key, unless the facts contradict each other or lie before 1970.
    pub(crate) fn key(&self, tenant: &TenantId) -> Result<Key, Error> {
        if !self.is_sound() {
            return Err(Error::invalid(format!("these facts make no key: {self:?}")));
        }
        Ok(Key::new(format!("{}/{FRESH}/{}", day_text(tenant, self.day), self.name())))
    }

    /// The last part of the key; a manifest names what it consumed by it.
    pub(crate) fn name(&self) -> String {
        format!("{:019}-{:019}-{:032x}-{}.seg", self.min_ts, self.max_ts, self.batch_id, self.rows)
    }

    /// Reads the last part of a key back; `None` unless [`FreshKey::name`] would write the very same text. A listing does so
    /// for each of its objects.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".seg")?.split('-');
        let (min_ts, max_ts) = (timestamp(parts.next()?)?, timestamp(parts.next()?)?);
        let batch_id = id(parts.next()?)?;
        let rows = parts.next().filter(|text| !text.starts_with(['0', '+']))?.parse().ok()?;
        let fresh = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id, rows };
        (parts.next().is_none() && fresh.is_sound()).then_some(fresh)
    }

    fn is_sound(&self) -> bool {
        let days = [Day::of(self.min_ts), Day::of(self.max_ts)];
        0 <= self.min_ts && self.min_ts <= self.max_ts && days == [self.day; 2] && self.rows > 0
    }
}

/// What a listed key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Fresh(FreshKey),
    Manifest { version: u64 },
    Merged(MergedKey),
    Catalog(MergedKey),
}

/// What names an object that a merge wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MergedKey {
    /// A hash of the bytes.
    pub content_id: u128,
    /// The version of the manifest for which it was written.
    pub born: u64,
}

impl MergedKey {
    /// The last part of the key, without its ending.
    pub(crate) fn name(self) -> String {
        format!("{:032x}-{}", self.content_id, self.born)
    }

    /// Reads [`MergedKey::name`] back.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (content_id, born) = name.split_once('-')?;
        let key = MergedKey { content_id: id(content_id)?, born: born.parse().ok()? };
        ((1..=VERSION_MAX).contains(&key.born) && key.name() == name).then_some(key)
    }
}

/// Where the tenants are.
pub(crate) fn tenants() -> Path {
    Key::new(TENANTS.to_owned()).0
}

/// What names a delete request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeleteKey {
    /// When it was taken, nanoseconds since 1970.
    pub created_ns: i64,
    /// A hash of what it asks.
    pub id: u128,
}

impl DeleteKey {
    /// What a client calls it.
    pub(crate) fn id_text(self) -> String {
        format!("{:032x}", self.id)
    }

    /// The last part of the key, without its ending.
    pub(crate) fn name(self) -> String {
        format!("{:019}-{:032x}", self.created_ns, self.id)
    }

    /// Reads [`DeleteKey::name`] back.
    fn from_name(name: &str) -> Option<Self> {
        let (created_ns, text) = name.split_once('-')?;
        Some(DeleteKey { created_ns: timestamp(created_ns)?, id: id(text)? })
    }
}

/// Where a tenant's delete requests are.
pub(crate) fn deletes(tenant: &TenantId) -> Path {
    Key::new(format!("t/{tenant}/{DELETES}")).0
}

/// The key of a delete request.
pub(crate) fn delete(tenant: &TenantId, delete: DeleteKey) -> Key {
    Key::new(format!("t/{tenant}/{DELETES}/{}.json", delete.name()))
}

/// The key of what cancels it.
pub(crate) fn delete_cancelled(tenant: &TenantId, delete: DeleteKey) -> Key {
    Key::new(format!("t/{tenant}/{DELETES}/{}.cancelled", delete.name()))
}

/// Where a tenant's days are.
pub(crate) fn tenant(tenant: &TenantId) -> Path {
    Key::new(format!("t/{tenant}")).0
}

/// Where the objects of a day are.
pub(crate) fn day(tenant: &TenantId, day: Day) -> Path {
    Key::new(day_text(tenant, day)).0
}

/// The key of a merged segment.
pub(crate) fn merged(tenant: &TenantId, day: Day, merged: MergedKey) -> Key {
    Key::new(format!("{}/{MERGED}/{}.seg", day_text(tenant, day), merged.name()))
}

/// The key of a catalog.
pub(crate) fn catalog(tenant: &TenantId, day: Day, catalog: MergedKey) -> Key {
    Key::new(format!("{}/{MERGED}/{}.cat", day_text(tenant, day), catalog.name()))
}

/// Where the store's time is asked for.
pub(crate) fn clock() -> Key {
    Key::new(CLOCK.to_owned())
}

/// Where a copy says of what.
pub(crate) fn copy() -> Key {
    Key::new(COPY.to_owned())
}

/// The key of a version of a day's manifest; versions count from 1.
pub(crate) fn manifest(tenant: &TenantId, day: Day, version: u64) -> Result<Key, Error> {
    match version {
        1..=VERSION_MAX => {
            let inverted = VERSION_MAX - version;
            Ok(Key::new(format!("{}/{MANIFESTS}/{inverted:010}-{version}.json", day_text(tenant, day))))
        }
        _ => Err(Error::invalid(format!("no such manifest version: {version}"))),
    }
}

/// Where the probe writes down what it proved.
pub(crate) fn probe_result() -> Key {
    Key::new(format!("{PROBE}.json"))
}

/// An object that the probe tries to create twice.
pub(crate) fn probe_attempt(name: &str) -> Key {
    Key::new(format!("{PROBE}/{name}"))
}

/// The tenant that the last part of a listed prefix names.
pub(crate) fn tenant_of(prefix: &Path) -> Option<TenantId> {
    let name = prefix.filename()?;
    TenantId::new(name).ok().filter(|checked| checked.as_str() == name)
}

/// The day that the last part of a listed prefix names.
pub(crate) fn day_of(prefix: &Path) -> Option<Day> {
    parse_day(prefix.filename()?)
}

/// A listed key; `None` for what no version of this file has written.
pub(crate) fn listed(path: &Path) -> Option<(Key, Object)> {
    parse(path).map(|object| (Key(path.clone()), object))
}

fn day_text(tenant: &TenantId, day: Day) -> String {
    format!("t/{tenant}/{day}")
}

/// Where an object lies that belongs to a tenant.
pub(crate) enum Place {
    /// In a day.
    Day(TenantId, Day, Object),
    /// Among the requests for deletes.
    Deletes(TenantId),
}

/// The place of a listed object; `None` for what no version of this file has written.
pub(crate) fn place(path: &Path) -> Option<Place> {
    let mut parts = path.as_ref().split('/');
    if parts.next() != Some(TENANTS) {
        return None;
    }
    let tenant = parts.next()?;
    let tenant = TenantId::new(tenant).ok().filter(|checked| checked.as_str() == tenant)?;
    let day = match parts.next()? {
        DELETES => return Some(Place::Deletes(tenant)),
        day => parse_day(day)?,
    };
    let (kind, name) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let object = match kind {
        FRESH => FreshKey::from_name(name).filter(|fresh| fresh.day == day).map(Object::Fresh),
        MANIFESTS => manifest_version(name).map(|version| Object::Manifest { version }),
        MERGED => match name.split_once('.')? {
            (name, "seg") => MergedKey::from_name(name).map(Object::Merged),
            (name, "cat") => MergedKey::from_name(name).map(Object::Catalog),
            _ => None,
        },
        _ => None,
    };
    object.map(|object| Place::Day(tenant, day, object))
}

fn parse(path: &Path) -> Option<Object> {
    match place(path)? {
        Place::Day(_, _, object) => Some(object),
        Place::Deletes(_) => None,
    }
}

/// What is listed among the requests for deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    Request(DeleteKey),
    Cancelled(DeleteKey),
}

/// A listed object that is one of the requests for deletes.
pub(crate) fn deletion(path: &Path) -> Option<Deletion> {
    let Place::Deletes(_) = place(path)? else { return None };
    let mut parts = path.as_ref().split('/').skip(3);
    let (name, ending) = parts.next()?.split_once('.')?;
    let delete = DeleteKey::from_name(name).filter(|_| parts.next().is_none())?;
    match ending {
        "json" => Some(Deletion::Request(delete)),
        "cancelled" => Some(Deletion::Cancelled(delete)),
        _ => None,
    }
}

/// The version that the last part of a manifest's key tells.
pub(crate) fn manifest_version(name: &str) -> Option<u64> {
    let (inverted, version) = name.strip_suffix(".json")?.split_once('-')?;
    let (inverted, version) = (digits(inverted, VERSION_DIGITS)?, version.parse::<u64>().ok()?);
    let canonical = format!("{inverted:010}-{version}.json") == name;
    (canonical && version >= 1 && inverted.checked_add(version) == Some(VERSION_MAX)).then_some(version)
}

fn parse_day(text: &str) -> Option<Day> {
    text.parse::<Day>().ok().filter(|day| day.to_string() == text)
}

fn timestamp(text: &str) -> Option<i64> {
    i64::try_from(digits(text, TIMESTAMP_DIGITS)?).ok()
}

fn digits(text: &str, count: usize) -> Option<u64> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// A 128-bit id in lower-case hexadecimal.
pub(crate) fn id(text: &str) -> Option<u128> {
    let ok = text.len() == ID_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    ok.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn fresh(min_ts: i64, max_ts: i64, batch_id: u128, rows: u64) -> FreshKey {
        FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id, rows }
    }

    #[test]
    fn keys_look_like_this() {
        let tenant = TenantId::single();
        let facts = fresh(1_795_168_800_000_000_000, 1_795_168_800_000_000_001, 0xabc, 7);
        assert_eq!(
            facts.key(&tenant).unwrap().as_str(),
            "t/fake/2026-11-20/l0/1795168800000000000-1795168800000000001-00000000000000000000000000000abc-7.seg"
        );
        assert_eq!(manifest(&tenant, facts.day, 1).unwrap().as_str(), "t/fake/2026-11-20/manifest/9999999998-1.json");
        assert_eq!(
            merged(&tenant, facts.day, MergedKey { content_id: 1, born: 12 }).as_str(),
            "t/fake/2026-11-20/seg/00000000000000000000000000000001-12.seg"
        );
    }

    #[test]
    fn facts_that_make_no_key_are_refused() {
        let tenant = TenantId::single();
        for bad in [
            fresh(-1, 5, 1, 1),
            fresh(-5, -1, 1, 1),
            fresh(9, 8, 1, 1),
            fresh(1, 2, 1, 0),
            fresh(1, 24 * HOUR, 1, 1),
            FreshKey { day: Day::of(24 * HOUR), ..fresh(1, 2, 1, 1) },
        ] {
            assert!(bad.key(&tenant).is_err(), "{bad:?}");
        }
        assert!(manifest(&tenant, Day::of(0), 0).is_err());
        assert!(manifest(&tenant, Day::of(0), VERSION_MAX + 1).is_err());
    }

    #[test]
    fn what_we_never_wrote_is_not_a_key() {
        let good = "t/a/1970-01-01/l0/0000000000000000001-0000000000000000002-000000000000000000000000000000ff-3.seg";
        assert!(Key::parse(good).is_ok());
        for bad in [
            good.replace("0002-", "002-"),
            good.replace("ff-3", "FF-3"),
            good.replace("-3.seg", "-03.seg"),
            good.replace("-3.seg", "-+3.seg"),
            good.replace("-3.seg", "-3-4.seg"),
            good.replace("-3.seg", "-3.seg/x"),
            good.replace("1970-01-01", "1970-01-02"),
            good.replace("1970-01-01", "19700101"),
            good.replace("t/a/", "t/a:b/"),
            good.replace("t/a/", "t/../"),
            good.replace("t/a/", "x/a/"),
            good.replace("l0", "l1"),
            "t/a/1970-01-01/manifest/9999999998-2.json".into(),
            "t/a/1970-01-01/manifest/9999999998-01.json".into(),
            "t/a/1970-01-01/manifest/9999999999-0.json".into(),
            "t/a/1970-01-01/seg/1.seg".into(),
            "t/a/1970-01-01/seg/00000000000000000000000000000001.seg".into(),
            "t/a/1970-01-01/seg/00000000000000000000000000000001-0.seg".into(),
            "t/a/1970-01-01/seg/00000000000000000000000000000001-07.seg".into(),
            "t/a/deletes".into(),
            "t/a/deletes/1-00000000000000000000000000000001.json".into(),
            "t/a/deletes/0000000000000000001-00000000000000000000000000000001.json/x".into(),
            "probe/v1.json".into(),
            "".into(),
            "t/a".into(),
        ] {
            assert!(Key::parse(&bad).is_err(), "{bad}");
        }
    }

    /// One LIST of a day must show what is fresh, then the newest manifest, before anything else.
    #[test]
    fn a_day_sorts_fresh_first_then_the_newest_manifest() {
        let (tenant, day) = (TenantId::single(), Day::of(0));
        let keys = [
            fresh(1, 9, u128::MAX, 1).key(&tenant).unwrap(),
            fresh(23 * HOUR, 23 * HOUR, 0, u64::MAX).key(&tenant).unwrap(),
            manifest(&tenant, day, 1_000_000).unwrap(),
            manifest(&tenant, day, 10).unwrap(),
            manifest(&tenant, day, 9).unwrap(),
            manifest(&tenant, day, 1).unwrap(),
            merged(&tenant, day, MergedKey { content_id: 0, born: 1 }),
        ];
        assert!(keys.is_sorted_by(|a, b| a.as_str() < b.as_str()), "{keys:#?}");
    }

    proptest! {
        #[test]
        fn delete_keys_round_trip(created_ns in 0..i64::MAX, id: u128) {
            let (tenant, key) = (TenantId::single(), DeleteKey { created_ns, id });
            prop_assert_eq!(deletion(delete(&tenant, key).path()), Some(Deletion::Request(key)));
            prop_assert_eq!(deletion(delete_cancelled(&tenant, key).path()), Some(Deletion::Cancelled(key)));
        }

        #[test]
        fn fresh_keys_round_trip(start in 0..i64::MAX, length in 0..HOUR, batch_id: u128, rows in 1u64..) {
            let facts = fresh(start, start.saturating_add(length), batch_id, rows);
            if let Ok(key) = facts.key(&TenantId::new("team!-_.*'()1").unwrap()) {
                prop_assert_eq!(key.object(), Some(Object::Fresh(facts)));
                prop_assert_eq!(Key::parse(key.as_str()).unwrap(), key);
            } else {
                prop_assert_ne!(Day::of(facts.min_ts), Day::of(facts.max_ts));
            }
        }

        #[test]
        fn no_other_name_is_that_of_a_fresh_segment(start in 0..HOUR, rows in 1..200u64, at in 0..90usize, byte in "[0-9a-fA-F+. -]?") {
            let mut name = fresh(start, start, start as u128, rows).name();
            if name.is_char_boundary(at) {
                name.replace_range(at..(at + 1).min(name.len()).max(at), &byte);
            }
            if let Some(facts) = FreshKey::from_name(&name) {
                prop_assert_eq!(facts.name(), name);
            }
        }

        #[test]
        fn manifest_keys_round_trip(version in 1..=VERSION_MAX, older in 1..=VERSION_MAX) {
            let key = |version| manifest(&TenantId::single(), Day::of(0), version).unwrap();
            prop_assert_eq!(key(version).object(), Some(Object::Manifest { version }));
            prop_assert_eq!(key(version).as_str() < key(older).as_str(), version > older);
        }

        #[test]
        fn merged_keys_round_trip(content_id: u128, born in 1..=VERSION_MAX) {
            let named = MergedKey { content_id, born };
            prop_assert_eq!(merged(&TenantId::single(), Day::of(0), named).object(), Some(Object::Merged(named)));
            prop_assert_eq!(catalog(&TenantId::single(), Day::of(0), named).object(), Some(Object::Catalog(named)));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,80}", name in "[0-9a-f.-]{0,90}") {
            let _ = Key::parse(&text);
            let _ = FreshKey::from_name(&name);
            let _ = manifest_version(&name);
        }
    }
}
