//! What a segment of the bench set takes, part by part, and how fast it is written: `cargo run --release --example sizes`.
//!
//! Arguments are `name=value` for any option, `rounds=value` and `decodes=value` to write and decode more often, `merged` for one segment of
//! all pushes, `plain` to compare with zstd alone, `needle=text` to see in how many segments the grams of a text are.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

#[path = "../benches/frames/mod.rs"]
mod frames;

use std::collections::BTreeMap;

use frames::{Batch, load, merged, raw_bytes};
use segment::{ColumnKind, Footer, Opened, Options, Writer, open_tail};

fn main() {
    let Some(batches) = load() else { return };
    let mut options = Options::default();
    let (mut merge, mut plain, mut rounds, mut decodes) = (false, false, 1, 20);
    let mut needles = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("level", value)) => options.level = value.parse().unwrap(),
            Some(("max", value)) => options.block_bytes_max = value.parse().unwrap(),
            Some(("min", value)) => options.block_bytes_min = value.parse().unwrap(),
            Some(("rows", value)) => options.block_rows_max = value.parse().unwrap(),
            Some(("bloom", value)) => options.block_filter_error_rate = value.parse().unwrap(),
            Some(("slice", value)) => options.segment_filter_error_rate = value.parse().unwrap(),
            Some(("grams", value)) => options.gram_bits = value.parse().unwrap(),
            Some(("gramlines", value)) => options.gram_line_bytes_min = value.parse().unwrap(),
            Some(("needle", value)) => needles.push(value.to_lowercase()),
            Some(("rounds", value)) => rounds = value.parse().unwrap(),
            Some(("decodes", value)) => decodes = value.parse().unwrap(),
            _ if argument == "merged" => (merge, options) = (true, Options::merged()),
            Some(("templates", value)) => options.lines_by_template = value == "1",
            _ => (merge, plain) = (merge || argument == "merged", plain || argument == "plain"),
        }
    }
    let batches = if merge { vec![merged(&batches)] } else { batches };
    let raw: usize = batches.iter().map(raw_bytes).sum();
    let mut parts = BTreeMap::new();
    let mut stored = 0;
    let start = cpu_seconds();
    let segments: Vec<Vec<u8>> = batches.iter().map(|batch| write(batch, &options)).collect();
    for _ in 1..rounds {
        batches.iter().for_each(|batch| drop(write(batch, &options)));
    }
    let seconds = cpu_seconds() - start;
    for bytes in &segments {
        stored += bytes.len();
        let Opened::Footer(footer) = open_tail(bytes, bytes.len() as u64).unwrap() else { panic!() };
        add_parts(&mut parts, &footer, bytes.len());
    }
    needles.iter().for_each(|needle| find(needle, &batches, &segments));
    println!("{options:?}");
    if plain {
        calibrate(&batches, options.level);
    }
    println!(
        "{} segments, raw {raw}, stored {stored} = {:.2} %, {:.0} MB/s of CPU time",
        segments.len(),
        stored as f64 * 100.0 / raw as f64,
        raw as f64 * f64::from(rounds) / 1e6 / seconds
    );
    let start = cpu_seconds();
    let lines: usize = (0..decodes).map(|_| segments.iter().map(|bytes| decode(bytes)).sum::<usize>()).sum();
    println!("lines decoded at {:.0} MB/s of CPU time", lines as f64 / 1e6 / (cpu_seconds() - start));
    for (part, bytes) in parts {
        println!("{bytes:>9} {:5.2} % {part}", bytes as f64 * 100.0 / raw as f64);
    }
}

/// Not inlined, so that a profiler can be told to look at nothing else: `callgrind --toggle-collect='sizes::write*'`.
#[inline(never)]
fn write(batch: &Batch, options: &Options) -> Vec<u8> {
    let mut writer = Writer::new(options.clone());
    for (labels, entries) in batch {
        writer.add(labels, entries);
    }
    writer.finish().unwrap().bytes
}

/// How many segments hold a text in any case, and how many their grams would have a query read.
fn find(needle: &str, batches: &[Batch], segments: &[Vec<u8>]) {
    let holds = |batch: &&Batch| batch.values().flatten().any(|entry| entry.line.to_lowercase().contains(needle));
    let may_hold = |bytes: &&Vec<u8>| {
        let Opened::Footer(footer) = open_tail(bytes, bytes.len() as u64).unwrap() else { panic!() };
        footer.grams().is_none_or(|section| {
            let stored = &bytes[section.range.start as usize..section.range.end as usize];
            footer.decode_grams(stored).unwrap().contains(needle.as_bytes())
        })
    };
    let (held, read) = (batches.iter().filter(holds).count(), segments.iter().filter(may_hold).count());
    println!("{needle:?}: in {held} segments, read {read} of {}", segments.len());
}

/// Decodes all lines; gives their bytes.
fn decode(bytes: &[u8]) -> usize {
    let Opened::Footer(footer) = open_tail(bytes, bytes.len() as u64).unwrap() else { panic!() };
    let at = |range: &std::ops::Range<u64>| bytes.get(range.start as usize..range.end as usize).unwrap();
    let mut lines = String::new();
    let decode = |block: &segment::BlockMeta| {
        let (times, text) = (block.column(&ColumnKind::Timestamps), block.column(&ColumnKind::Lines));
        let (times, text) = (times.unwrap(), text.unwrap());
        let times = segment::decode_timestamps(times, at(&times.range)).unwrap();
        segment::decode_lines_into(text, at(&text.range), &times, &mut lines).unwrap();
        lines.len()
    };
    footer.blocks().iter().map(decode).sum()
}

fn add_parts(parts: &mut BTreeMap<String, u64>, footer: &Footer, object_len: usize) {
    let mut add = |part: &str, bytes: u64| *parts.entry(part.to_owned()).or_default() += bytes;
    let mut end = 0;
    for block in footer.blocks() {
        add("block filters", block.filter.range.end - block.filter.range.start);
        end = block.filter.range.end;
        for column in &block.columns {
            match &column.kind {
                ColumnKind::Metadata(name) => {
                    add(&format!("metadata {name}"), column.stored_len());
                    add("metadata", column.stored_len());
                }
                kind => add(&format!("{kind:?}"), column.stored_len()),
            }
        }
    }
    add("blocks", footer.blocks().len() as u64);
    add("slices", footer.slices().len() as u64);
    for slice in footer.slices() {
        add("segment filter", slice.range.end - slice.range.start);
        end = slice.range.end;
    }
    let counts = footer.counts_range();
    add("counts", counts.end - counts.start);
    end = end.max(counts.end);
    if let Some(grams) = footer.grams() {
        add("gram filter", grams.range.end - grams.range.start);
        end += grams.range.end - grams.range.start;
    }
    add("streams, footer, trailer", object_len as u64 - end);
}

/// What zstd alone makes of the same bytes in the same order, as text, and how fast.
fn calibrate(batches: &[Batch], level: i32) {
    let mut text = Vec::new();
    for (labels, entries) in batches.iter().flatten() {
        for entry in entries {
            text.extend_from_slice(
                format!("{}{labels}{}{}\n", entry.timestamp_ns, entry.metadata, entry.line).as_bytes(),
            );
        }
    }
    let start = cpu_seconds();
    let stored: usize = text.chunks(1 << 20).map(|chunk| zstd::bulk::compress(chunk, level).unwrap().len()).sum();
    let speed = text.len() as f64 / 1e6 / (cpu_seconds() - start);
    println!("plain zstd -{level} of {} MB text: {stored} bytes, {speed:.0} MB/s of CPU time", text.len() / 1_000_000);
}

/// Processor time of this process so far: other work on the machine does not count. Linux only.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: f64 = stat.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}
