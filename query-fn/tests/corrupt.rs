//! A damaged segment over HTTP: each part is found damaged and named, or its damage changes no answer; and questions can go on without
//! the segment.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use loki_api::config::Config;
use model::{Day, Entry, Labels, TenantId};
use query_fn::{Query, router};
use segment::{ColumnKind, Opened, TRAILER_BYTES};
use serde_json::Value;
use store::{FreshKey, Store, StoreUrl};
use tower::ServiceExt as _;

const START_NS: i64 = 1_795_168_800_000_000_000;
const RANGE: &str = "start=1795168800000000000&end=1795172400000000000&limit=5000&direction=forward";
const ROWS: i64 = 3000;

/// Two segments of an hour in a folder; gives the file of the second.
async fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreUrl::folder(folder.path()).unwrap(), []).unwrap();
    for part in 0..2 {
        let entry = |i: i64| Entry {
            timestamp_ns: START_NS + i * 1_000_000_000,
            line: format!("line {i} of a request for /items/{}", i * 7919 % 300),
            metadata: Labels::from_pairs([("detected_level", if i % 3 == 0 { "error" } else { "info" })]),
        };
        let entries: Vec<Entry> = (0..ROWS).filter(|i| i % 2 == part).map(entry).collect();
        let labels = Labels::from_pairs([("app", if part == 0 { "a" } else { "b" })]);
        let options = segment::Options { block_bytes_max: 8_000, ..segment::Options::default() };
        let mut writer = segment::Writer::new(options);
        writer.add(&labels, &entries);
        let built = writer.finish().unwrap();
        let (min_ts, max_ts, rows) = (built.min_ts, built.max_ts, built.rows);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: 1 + part as u128, rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.unwrap();
    }
    let day = folder.path().join(format!("t/fake/{}/l0", Day::of(START_NS)));
    let mut files: Vec<PathBuf> = std::fs::read_dir(day).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let file = files.pop().unwrap();
    (folder, file)
}

/// The parts of a segment: a name, and the middle of its bytes.
fn parts(bytes: &[u8]) -> BTreeMap<&'static str, usize> {
    let Opened::Footer(footer) = segment::open_tail(bytes, bytes.len() as u64).unwrap() else { panic!("all bytes") };
    let middle = |range: &std::ops::Range<u64>| usize::try_from((range.start + range.end) / 2).unwrap();
    let mut parts = BTreeMap::from([("header", 3)]);
    let block = &footer.blocks()[1];
    for column in &block.columns {
        let name = match &column.kind {
            ColumnKind::Timestamps => "timestamps",
            ColumnKind::LineLengths => "line lengths",
            ColumnKind::Lines => "lines",
            ColumnKind::Metadata(_) => "metadata",
            ColumnKind::Unknown(_) => continue,
        };
        parts.insert(name, middle(&column.range));
    }
    parts.insert("block filter", middle(&block.filter.range));
    parts.insert("slice", middle(&footer.slices()[0].range));
    parts.insert("counts", middle(&footer.counts_range()));
    let trailer = bytes.len() - TRAILER_BYTES;
    let footer_at = usize::try_from(u64::from_le_bytes(bytes[trailer..trailer + 8].try_into().unwrap())).unwrap();
    let counts_end = usize::try_from(footer.counts_range().end).unwrap();
    let streams_end = footer.grams().map_or(footer_at, |grams| usize::try_from(grams.range.start).unwrap());
    parts.insert("stream table", (counts_end + streams_end) / 2);
    if let Some(grams) = footer.grams() {
        parts.insert("grams", middle(&grams.range));
    }
    parts.insert("footer", (footer_at + trailer) / 2);
    parts.insert("trailer", trailer + 22);
    parts
}

fn open(folder: &Path, skip: bool) -> Router {
    let store = Store::open(&StoreUrl::folder(folder).unwrap(), []).unwrap();
    let mut config = Config { auth_enabled: false, ..Config::default() };
    config.logbarn.skip_corrupt_segments = skip;
    router(Query::new(store, Arc::new(config)))
}

async fn get(router: &Router, path: &str, skip: bool) -> (u16, String) {
    let mut request = Request::get(path);
    if skip {
        request = request.header("X-Logbarn-Skip-Corrupt-Segments", "true");
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Questions that read different parts.
fn questions() -> BTreeMap<&'static str, String> {
    let range = |query: &str| {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        format!("/loki/api/v1/query_range?query={query}&{RANGE}&step=60")
    };
    BTreeMap::from([
        ("entries", range(r#"{app=~"a|b"}"#)),
        ("needle", range(r#"{app=~"a|b"} |= "items/219""#)),
        ("token", range(r#"{app=~"a|b"} |= " 219 ""#)),
        ("rate", range(r#"sum by (app) (rate({app=~"a|b"}[1m]))"#)),
        ("levels", range(r#"sum by (detected_level) (count_over_time({app=~"a|b"}[1m]))"#)),
        ("grouped", range(r#"sum by (item) (count_over_time({app=~"a|b"} | pattern `<_> /items/<item>` [30m]))"#)),
        ("series", format!("/loki/api/v1/series?match[]=%7Bapp%3D~%22a%7Cb%22%7D&{RANGE}")),
        ("volume", format!("/loki/api/v1/index/volume?query=%7Bapp%3D~%22a%7Cb%22%7D&{RANGE}")),
    ])
}

/// The answer without what it cost.
fn result(text: &str) -> Value {
    let answer: Value = serde_json::from_str(text).unwrap();
    if answer["data"]["result"].is_null() { answer["data"].clone() } else { answer["data"]["result"].clone() }
}

#[tokio::test]
async fn a_flipped_byte_in_each_part_is_named_or_changes_nothing() {
    let (folder, file) = folder().await;
    let key = file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
    let good = std::fs::read(&file).unwrap();
    let mut sound = BTreeMap::new();
    let router = open(folder.path(), false);
    for (name, path) in questions() {
        let (status, text) = get(&router, &path, false).await;
        assert_eq!(status, 200, "{name}: {text}");
        sound.insert(name, result(&text));
    }
    assert!(parts(&good).contains_key("grams") && parts(&good).contains_key("slice"), "the segment has all parts");

    let mut harmless = BTreeSet::new();
    for (part, at) in parts(&good) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&file, &bad).unwrap();
        let (strict, lenient) = (open(folder.path(), false), open(folder.path(), true));
        let mut named = 0;
        for (name, path) in questions() {
            let (status, text) = get(&strict, &path, false).await;
            match status {
                200 => assert_eq!(result(&text), sound[name], "{name} with a damaged {part}"),
                500 => {
                    assert!(text.contains(&format!("object {key} is corrupt")), "{name} with a damaged {part}: {text}");
                    named += 1;
                    for (router, by_header) in [(&lenient, false), (&strict, true)] {
                        let (status, text) = get(router, &path, by_header).await;
                        // Those without limits of their own go on by the setting alone.
                        if by_header && name == "series" {
                            assert_eq!(status, 500);
                            continue;
                        }
                        assert_eq!(status, 200, "{name} without a damaged {part}: {text}");
                        assert_ne!(result(&text), sound[name], "{name} without a damaged {part}");
                        assert!(name == "series" || text.contains(&key), "{name} without a damaged {part}: {text}");
                    }
                }
                _ => panic!("{name} with a damaged {part}: {status} {text}"),
            }
        }
        let (_, metrics) = get(&strict, "/metrics", false).await;
        let counted: u64 = metrics
            .lines()
            .find_map(|line| line.strip_prefix("logbarn_corrupt_segments_total "))
            .map_or(0, |count| count.parse().unwrap());
        assert!((named > 0) == (counted > 0), "{part}: {named} named, {counted} counted");
        if named == 0 {
            harmless.insert(part);
        }
        println!("{part}: {named} of {} questions name it", sound.len());
    }
    // No query reads it; `logbarn verify` does.
    assert_eq!(harmless, BTreeSet::from(["header"]));
}
