//! A load with known entries, and what an engine reads of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::collections::BTreeMap;

use engine::{Direction, Engine, EngineSettings, Limits, QueryRequest, When};
use model::{Day, Entry, Labels, Stream, TenantId, Value};
use segment::{Options, Writer};
use store::{Committed, Error, FreshKey, Store};
use testkit::generate;

/// An hour into a day.
pub const START_NS: i64 = 1_795_132_800_000_000_000 + 3_600_000_000_000;

/// Whose logs.
pub fn tenant() -> TenantId {
    TenantId::single()
}

/// Their day.
pub fn day() -> Day {
    Day::of(START_NS)
}

/// Labels, time, line, structured metadata; and how often.
pub type Seen = BTreeMap<(String, i64, String, String), usize>;

/// Batches of entries.
pub struct Load {
    /// Each is one push.
    pub batches: Vec<Vec<Stream>>,
}

impl Load {
    /// So many batches of so many entries. Their times overlap, and every batch but the first repeats some of the one before.
    pub fn new(batches: usize, entries: usize) -> Self {
        let batch = |seed: usize| {
            let start_ns = START_NS + (seed * entries / 2) as i64 * 1_000_000;
            let plan = generate::Plan { seed: seed as u64 + 1, entries, streams: 6, start_ns, step_ns: 1_000_000 };
            generate::streams(plan)
        };
        let mut all: Vec<Vec<Stream>> = (0..batches).map(batch).collect();
        for index in 1..all.len() {
            let first = |stream: &Stream| Stream {
                labels: stream.labels.clone(),
                entries: stream.entries.iter().take(2).cloned().collect(),
            };
            let repeated: Vec<Stream> = all[index - 1].iter().map(first).filter(|s| !s.entries.is_empty()).collect();
            all[index].extend(repeated);
        }
        Load { batches: all }
    }

    /// The segment of a batch, and its key.
    pub fn segment(&self, batch: usize) -> (FreshKey, Vec<u8>) {
        let mut writer = Writer::new(Options::default());
        for Stream { labels, entries } in &self.batches[batch] {
            writer.add(labels, entries);
        }
        let segment = writer.finish().unwrap();
        let (min_ts, max_ts, rows) = (segment.min_ts, segment.max_ts, segment.rows);
        (FreshKey { day: day(), min_ts, max_ts, batch_id: batch as u128 + 1, rows }, segment.bytes)
    }

    /// Commits a batch as a push does.
    pub async fn put(&self, store: &Store, batch: usize) -> Result<Committed, Error> {
        let (key, bytes) = self.segment(batch);
        store.put_fresh(&tenant(), key, bytes.into()).await
    }

    /// Commits all.
    pub async fn put_all(&self, store: &Store) {
        for batch in 0..self.batches.len() {
            self.put(store, batch).await.unwrap();
        }
    }

    /// The distinct entries of some batches, each once.
    pub fn entries_of(&self, batches: impl IntoIterator<Item = usize>) -> Seen {
        let streams = batches.into_iter().flat_map(|batch| &self.batches[batch]);
        let seen = |labels: &Labels, entry: &Entry| {
            (labels.to_string(), entry.timestamp_ns, entry.line.clone(), entry.metadata.to_string())
        };
        streams.flat_map(|stream| stream.entries.iter().map(move |entry| (seen(&stream.labels, entry), 1))).collect()
    }

    /// All distinct entries, each once.
    pub fn entries(&self) -> Seen {
        self.entries_of(0..self.batches.len())
    }
}

/// A query for everything.
pub fn everything() -> QueryRequest {
    let start_ns = day().start_ns();
    QueryRequest {
        tenants: vec![tenant()],
        query: r#"{service_name=~".+"}"#.to_owned(),
        when: When::Range { start_ns, end_ns: start_ns + 86_400_000_000_000, step_ns: 1_000_000_000, interval_ns: 0 },
        direction: Direction::Forward,
        limit: 1_000_000,
        limits: Limits { max_entries_limit_per_query: 0, ..Limits::default() },
        partial_series: false,
    }
}

/// All entries that a new engine finds, and how often each.
pub async fn read(store: &Store) -> Seen {
    read_with(&Engine::new(store.clone(), EngineSettings::default())).await
}

/// The same by an engine that is there.
pub async fn read_with(engine: &Engine) -> Seen {
    let answer = engine.query(everything()).await.unwrap();
    let Value::Entries(entries) = answer.value else { panic!("a log query gives entries") };
    let mut seen = Seen::new();
    for entry in entries {
        let key = (entry.stream.to_string(), entry.timestamp_ns, entry.line, entry.metadata.to_string());
        *seen.entry(key).or_default() += 1;
    }
    seen
}
