//! What tests share: a segment with something of everything, and a reader of all rows.

#![allow(dead_code, reason = "not every test needs all of it")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, HashMap};

use model::{Entry, Labels};
use segment::*;
use xxhash_rust::xxh3::xxh3_64;

/// A segment of several blocks that has every kind of column and encoding.
pub(crate) fn blocks() -> Segment {
    let streams: Vec<(Labels, Vec<Entry>)> = (0..3u64)
        .map(|stream| {
            let labels = Labels::from_pairs([("app", format!("app-{stream}")), ("env", "prod".into())]);
            let entry = |i: u64| Entry {
                timestamp_ns: (i * i) as i64 * 1_000_000,
                line: format!("GET /users/{i} took {}ms for {}", i % 7, "x".repeat(20)),
                metadata: Labels::from_pairs([
                    ("detected_level", ["info", "warn"][(i % 2) as usize].to_owned()),
                    ("trace_id", format!("{:032x}", xxh3_64(&[stream as u8, i as u8]))),
                    ("user", format!("user {}", i % 5)),
                ]),
            };
            (labels, (0..20).map(entry).collect())
        })
        .collect();
    let mut writer = Writer::new(Options {
        block_bytes_max: 700,
        block_bytes_min: 700,
        gram_line_bytes_min: 8,
        ..Options::default()
    });
    for (labels, entries) in &streams {
        writer.add(labels, entries);
    }
    writer.finish().expect("rows")
}

/// A segment of one block whose lines are kept by template, with values of each kind.
pub(crate) fn templates() -> Segment {
    let entry = |i: u64| {
        let (second, id) = (i % 60, xxh3_64(&[i as u8]));
        let (word, path) = (["get", "put"][(i % 2) as usize], "a".repeat((id % 9) as usize));
        let line = match i % 4 {
            0 => format!(r#"{{"ts":"2024-01-01T00:00:{second:02}.25Z","method":"{word}","took":{}}}"#, id % 1000),
            1 => format!("ts=2024-01-01T00:00:{second:02}Z method={word} trace={id:016x} é=1"),
            2 => format!("10.0.0.{} [01/Jan/2024:00:00:{second:02} +0000] \"{path}\"", id % 250),
            _ => "nothing of note".to_owned(),
        };
        let timestamp_ns = 1_704_067_200_250_000_000 + second as i64 * 1_000_000_000;
        Entry { timestamp_ns, line, metadata: Labels::default() }
    };
    let entries: Vec<Entry> = (0..60).map(entry).collect();
    let labels = Labels::from_pairs([("app", "a")]);
    let mut writer = Writer::new(Options::merged());
    writer.add(&labels, &entries);
    writer.finish().expect("rows")
}

/// Rows of one stream as they are read back.
pub(crate) type Rows = Vec<(i64, String, Labels)>;

/// Reads a segment as a query would, and asks its filters for every key that they must hold.
pub(crate) fn read_all(bytes: &[u8]) -> (Footer, BTreeMap<Labels, Rows>) {
    let Opened::Footer(footer) = open_tail(bytes, bytes.len() as u64).unwrap() else { panic!("the tail is the whole") };
    let at = |range: &std::ops::Range<u64>| &bytes[range.start as usize..range.end as usize];
    let segment_filters: HashMap<u64, Filter> = match footer.slices() {
        [] => footer.blocks().iter().map(|block| &block.filter).collect(),
        slices => slices.iter().collect::<Vec<_>>(),
    }
    .into_iter()
    .map(|meta| (meta.range.start, Filter::decode(meta, at(&meta.range)).unwrap()))
    .collect();
    let mut streams: BTreeMap<Labels, Rows> = BTreeMap::new();
    for block in footer.blocks() {
        let column = |kind| block.column(&kind).unwrap();
        let timestamps = column(ColumnKind::Timestamps);
        let timestamps = decode_timestamps(timestamps, at(&timestamps.range)).unwrap();
        let lengths = column(ColumnKind::LineLengths);
        let lengths = decode_lengths(lengths, at(&lengths.range)).unwrap();
        let lines = column(ColumnKind::Lines);
        let lines = decode_lines(lines, at(&lines.range), &timestamps).unwrap();
        let metadata: Vec<(String, Dictionary)> = block
            .columns
            .iter()
            .filter_map(|column| match &column.kind {
                ColumnKind::Metadata(name) => {
                    Some((name.to_string(), decode_metadata(column, at(&column.range)).unwrap()))
                }
                _ => None,
            })
            .collect();
        let mut rest = lines.as_str();
        let mut block_lines = Vec::new();
        let mut rows = timestamps.into_iter().zip(lengths).enumerate();
        for run in &block.runs {
            let labels = &footer.streams()[run.stream as usize].labels;
            for (row, (timestamp, length)) in rows.by_ref().take(run.rows as usize) {
                let (line, after) = rest.split_at(length as usize);
                rest = after;
                block_lines.push(line);
                let pairs =
                    metadata.iter().filter_map(|(name, column)| Some((name.clone(), column.get(row)?.to_owned())));
                let entry = (timestamp, line.to_owned(), Labels::from_pairs(pairs));
                assert!(run.min_ts <= timestamp && timestamp <= run.max_ts);
                streams.entry(labels.clone()).or_default().push(entry);
            }
        }
        assert!(rest.is_empty() && rows.next().is_none());
        let filter = Filter::decode(&block.filter, at(&block.filter.range)).unwrap();
        let may_hold =
            |key: Key| filter.contains(key) && segment_filters[&footer.filter(key).unwrap().range.start].contains(key);
        for run in &block.runs {
            assert!(
                footer.streams()[run.stream as usize]
                    .labels
                    .iter()
                    .all(|(name, value)| may_hold(Key::label(name, value)))
            );
        }
        for (name, column) in &metadata {
            assert!(column.values.iter().all(|value| may_hold(Key::metadata(name, value))));
        }
        assert!(block_lines.iter().flat_map(|line| tokens(line)).all(|token| may_hold(Key::token(token))));
    }
    if let Some(section) = footer.grams() {
        let grams = footer.decode_grams(at(&section.range)).unwrap();
        let mut lines = streams.values().flatten().map(|(_, line, _)| line);
        assert!(lines.all(|line| grams.contains(line.as_bytes())));
    }
    (footer, streams)
}
