//! How fast pushes become durable segments: the bench set, frame by frame, through the router into a store in memory.
//!
//! `cargo bench -p ingest-fn -- <frames.bin>`: a file of frames, each a 4-byte little-endian length and a snappy push.
//! Prints CPU seconds of the whole process, so that the figure is one per core whatever the number of threads.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use axum::body::Body;
use http::{Request, StatusCode};
use ingest_fn::{CommitSettings, Ingest, router};
use loki_api::config::Config;
use loki_api::push::{decode_protobuf, unsnap};
use store::{Store, StoreUrl};
use tower::ServiceExt as _;

const BODY_BYTES_MAX: u64 = 1 << 30;
const LIMITS: &str = "auth_enabled: false
limits_config: {reject_old_samples: false, ingestion_rate_mb: 10000, ingestion_burst_size_mb: 10000, per_stream_rate_limit: 10GB, per_stream_rate_limit_burst: 10GB}
";

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn main() -> anyhow::Result<()> {
    let Some(path) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!("give a file of frames: cargo bench -p ingest-fn -- <frames.bin>");
        return Ok(());
    };
    let frames = frames(&std::fs::read(&path).with_context(|| path.clone())?)?;
    let raw = frames.iter().map(|frame| raw_bytes(frame)).sum::<anyhow::Result<u64>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for round in 1..=3 {
        let config = Config::from_yaml(LIMITS)?;
        let commit = CommitSettings::new(&config, false);
        let store = Store::open(&StoreUrl::memory(), [])?;
        let ingest = Ingest::new(store.clone(), Arc::new(config), commit);
        let (wall, cpu) = (Instant::now(), cpu_seconds()?);
        runtime.block_on(push_all(&ingest, &frames))?;
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        let counts = store.counters().snapshot();
        let megabytes = raw as f64 / 1e6;
        println!(
            "round {round}: {megabytes:.1} MB raw, {cpu:.2} s CPU, {wall:.2} s wall, {:.0} MB/s per core, {} PUTs, {:.1} MB stored",
            megabytes / cpu,
            counts.puts,
            counts.bytes_out as f64 / 1e6
        );
    }
    Ok(())
}

async fn push_all(ingest: &Ingest, frames: &[Vec<u8>]) -> anyhow::Result<()> {
    for frame in frames {
        let request = Request::post("/loki/api/v1/push").header("Content-Type", "application/x-protobuf");
        let response = router(ingest.clone()).oneshot(request.body(Body::from(frame.clone()))?).await?;
        anyhow::ensure!(response.status() == StatusCode::NO_CONTENT, "a push was answered {}", response.status());
    }
    Ok(())
}

fn frames(mut bytes: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) =
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).context("a frame is cut off")?;
        frames.push(frame.to_vec());
        bytes = rest;
    }
    Ok(frames)
}

/// Bytes of lines and metadata.
fn raw_bytes(frame: &[u8]) -> anyhow::Result<u64> {
    let body = unsnap(frame, BODY_BYTES_MAX)?;
    let size = |stream: &loki_api::push::PushStream<'_>| {
        let lines: usize = stream.entries.iter().map(|entry| entry.line.len()).sum();
        lines + stream.metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    };
    Ok(decode_protobuf(&body)?.streams.iter().map(size).sum::<usize>() as u64)
}

/// User and system time of this process, as Linux tells it.
fn cpu_seconds() -> anyhow::Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks =
        |i: usize| fields.get(i).and_then(|text| text.parse::<f64>().ok()).context("no times in /proc/self/stat");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}
