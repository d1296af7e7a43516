//! What a person sees who asks for an object, and what is said of one that is damaged.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use model::{Day, Entry, Labels, TenantId, TimeRange};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use segment::{Options, Segment, Writer};
use store::{Error, FreshKey, Manifest, Store};

fn segment() -> Segment {
    let entries = [Entry { timestamp_ns: 1, line: "hello".into(), ..Entry::default() }];
    let labels = Labels::from_pairs([("app", "api")]);
    let mut writer = Writer::new(Options::default());
    writer.add(&labels, &entries);
    writer.finish().unwrap()
}

#[tokio::test]
async fn objects_are_shown_and_damage_is_named() {
    let inner = Arc::new(InMemory::new());
    let store = Store::new(Arc::clone(&inner) as Arc<dyn ObjectStore>);
    let (tenant, day, segment) = (TenantId::single(), Day::of(0), segment());
    let fresh = FreshKey { day, min_ts: 1, max_ts: 1, batch_id: 1, rows: 1 };
    store.put_fresh(&tenant, fresh, segment.bytes.clone().into()).await.unwrap();
    let merged = store.put_merged(&tenant, day, 1, 1, (1, 1), segment.bytes.clone().into()).await.unwrap();
    let manifest =
        Manifest { version: 1, segments: vec![merged.clone()], consumed: [(fresh, 1)].into(), ..Manifest::default() };
    store.commit_manifest(&tenant, day, &manifest).await.unwrap();

    let fresh = "t/fake/1970-01-01/l0/0000000000000000001-0000000000000000001-00000000000000000000000000000001-1.seg";
    let merged = merged.segment(&tenant, day).key;
    for key in [fresh, merged.as_str()] {
        let text = store.inspect(key).await.unwrap();
        assert!(text.contains("segment v") && text.contains(r#"{app="api"}"#), "{text}");
    }
    let manifest = "t/fake/1970-01-01/manifest/9999999998-1.json";
    let text = store.inspect(manifest).await.unwrap();
    assert!(text.contains("merged segments: 1") && text.contains("consumed fresh segments: 1"), "{text}");

    for key in [fresh, merged.as_str(), manifest] {
        let whole = inner.get(&Path::from(key)).await.unwrap().bytes().await.unwrap();
        inner.put(&Path::from(key), whole.slice(..whole.len() - 1).into()).await.unwrap();
        assert!(matches!(store.inspect(key).await, Err(Error::Corrupt { key: named, .. }) if named == key), "{key}");
    }
    // The index page of a damaged day is an error too, not an empty answer. (The other store holds no decoded manifest.)
    let other = Store::new(inner);
    assert!(matches!(other.segments(&tenant, TimeRange::new(0, 9).unwrap()).await, Err(Error::Corrupt { .. })));
    assert!(matches!(
        store.inspect("t/fake/1970-01-01/seg/00000000000000000000000000000001-1.seg").await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(store.inspect("../etc/passwd").await, Err(Error::Invalid { .. })));
}
