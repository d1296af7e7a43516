//! The bench set: frames of snappy-compressed push requests, as streams of entries.
//!
//! The path comes from `LOGBARN_BENCH_FRAMES`; without it, benches skip, loudly.

use std::collections::BTreeMap;

use model::{Entry, Labels};
use prost::Message;

#[derive(Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<PushStream>,
}

#[derive(Message)]
struct PushStream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<PushEntry>,
}

#[derive(Message)]
struct PushEntry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<PushTime>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<PushLabel>,
}

#[derive(Message)]
struct PushTime {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Message)]
struct PushLabel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// Streams of one push.
pub(crate) type Batch = BTreeMap<Labels, Vec<Entry>>;

/// All pushes, or nothing if no path is set.
pub(crate) fn load() -> Option<Vec<Batch>> {
    #[expect(clippy::disallowed_methods, reason = "a bench is an edge")]
    let Ok(path) = std::env::var("LOGBARN_BENCH_FRAMES") else {
        eprintln!("SKIPPED: set LOGBARN_BENCH_FRAMES to the path of frames-64m.bin");
        return None;
    };
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut rest = bytes.as_slice();
    let mut batches = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (frame, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        let raw = snap::raw::Decoder::new().decompress_vec(frame).expect("a snappy frame");
        batches.push(batch(PushRequest::decode(raw.as_slice()).expect("a push request")));
        rest = after;
    }
    Some(batches)
}

fn batch(request: PushRequest) -> Batch {
    let mut batch = Batch::new();
    for stream in request.streams {
        let entries = stream.entries.into_iter().map(|entry| {
            let time = entry.timestamp.unwrap_or_default();
            Entry {
                timestamp_ns: time.seconds * 1_000_000_000 + i64::from(time.nanos),
                line: entry.line,
                metadata: entry.metadata.into_iter().map(|pair| (pair.name, pair.value)).collect(),
            }
        });
        batch.entry(labels(&stream.labels)).or_default().extend(entries);
    }
    batch
}

/// The set's labels hold no quotes or commas in values.
fn labels(text: &str) -> Labels {
    let pairs = text.trim_matches(['{', '}']).split(", ").filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name, value.trim_matches('"'))).collect()
}

/// All pushes as one.
pub(crate) fn merged(batches: &[Batch]) -> Batch {
    let mut all = Batch::new();
    for (labels, entries) in batches.iter().flatten() {
        all.entry(labels.clone()).or_default().extend(entries.iter().cloned());
    }
    all
}

/// Bytes of lines and metadata.
pub(crate) fn raw_bytes(batch: &Batch) -> usize {
    batch.values().flatten().map(|entry| entry.line.len() + entry.metadata.byte_len()).sum()
}
