//! What the tests of ingest share: a function on a store, requests to it, and everything that the store holds.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use ingest_fn::{CommitSettings, Ingest, router};
use loki_api::config::Config;
use model::{Labels, TenantId, TimeRange};
use object_store::memory::InMemory;
use segment::{ColumnKind, Opened};
use store::{Store, faulty::Faulty};
use tower::ServiceExt as _;

/// The recorded pushes lie in the first hour of this day: 2026-11-19.
pub const NOW_NS: i64 = 1_795_200_000_000_000_000;

/// A stored row: labels, time, line, metadata.
pub type Row = (Labels, i64, String, Labels);

/// An ingest function, and what is around it.
pub struct World {
    pub router: Router,
    pub ingest: Ingest,
    pub store: Store,
    pub faulty: Faulty,
}

/// A function on a memory store, under these settings.
pub fn world(yaml: &str) -> World {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(faulty.clone()));
    let config = Config::from_yaml(yaml).expect("the configuration loads");
    let commit = CommitSettings::new(&config, false);
    let ingest = Ingest::new(store.clone(), Arc::new(config), commit).with_clock(|| NOW_NS);
    World { router: router(ingest.clone()), ingest, store, faulty }
}

impl World {
    /// Sends a body; gives status and text.
    pub async fn send(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> (StatusCode, String) {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response =
            self.router.clone().oneshot(request.body(body.into()).expect("a request")).await.expect("never fails");
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends a JSON push.
    pub async fn push(&self, body: impl Into<Body>) -> (u16, String) {
        let (status, text) = self.send("/loki/api/v1/push", &[("Content-Type", "application/json")], body).await;
        (status.as_u16(), text)
    }

    /// Everything that the tenant has stored, sorted; equal rows of two segments come twice.
    pub async fn rows(&self, tenant: &str) -> Vec<Row> {
        rows(&self.store, tenant).await
    }

    /// PUTs so far, failed ones too.
    pub fn puts(&self) -> u64 {
        self.store.counters().snapshot().puts
    }
}

/// Everything that a tenant has in a store, sorted; equal rows of two segments come twice.
pub async fn rows(store: &Store, tenant: &str) -> Vec<Row> {
    let tenant = TenantId::new(tenant).expect("a tenant");
    let all = TimeRange::new(0, i64::MAX).expect("ordered");
    let mut rows = Vec::new();
    for segment in store.segments(&tenant, all).await.expect("lists") {
        let bytes = store.read_tail(&segment, segment.size).await.expect("reads");
        let before = rows.len();
        read_rows(&bytes, &mut rows);
        assert_eq!(rows.len() - before, segment.rows as usize, "the key tells the rows");
    }
    rows.sort_by(|a, b| (a.0.to_string(), a.1, &a.2).cmp(&(b.0.to_string(), b.1, &b.2)));
    rows
}

fn read_rows(bytes: &[u8], rows: &mut Vec<Row>) {
    let Ok(Opened::Footer(footer)) = segment::open_tail(bytes, bytes.len() as u64) else {
        panic!("a whole segment opens")
    };
    for block in footer.blocks() {
        let stored = |column: &segment::ColumnMeta| &bytes[column.range.start as usize..column.range.end as usize];
        let column = |kind: &ColumnKind| block.column(kind).expect("every block has it");
        let (times, lengths, lines) = (ColumnKind::Timestamps, ColumnKind::LineLengths, ColumnKind::Lines);
        let times = segment::decode_timestamps(column(&times), stored(column(&times))).expect("times");
        let lengths = segment::decode_lengths(column(&lengths), stored(column(&lengths))).expect("lengths");
        let lines = segment::decode_lines(column(&lines), stored(column(&lines)), &times).expect("lines");
        let metadata: Vec<(&str, segment::Dictionary)> = block
            .columns
            .iter()
            .filter_map(|column| match &column.kind {
                ColumnKind::Metadata(name) => {
                    Some((&**name, segment::decode_metadata(column, stored(column)).expect("metadata")))
                }
                _ => None,
            })
            .collect();
        let mut line_start = 0;
        for (row, (time, length)) in times.iter().zip(&lengths).enumerate() {
            let line = &lines[line_start..line_start + *length as usize];
            line_start += *length as usize;
            let run = block.runs.iter().find(|run| (run.first_row..run.first_row + run.rows).contains(&(row as u32)));
            let labels = footer.streams()[run.expect("every row is in a run").stream as usize].labels.clone();
            let metadata = metadata.iter().filter_map(|(name, values)| Some((*name, values.get(row)?))).collect();
            rows.push((labels, *time, line.to_owned(), metadata));
        }
    }
}

/// A push of one stream.
pub fn body(stream: &str, values: &str) -> String {
    format!(r#"{{"streams":[{{"stream":{stream},"values":[{values}]}}]}}"#)
}
