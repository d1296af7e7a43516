//! What goes in comes out: every column of every block, the footer's sums, the counts, and no key that a filter misses.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod samples;

use std::collections::{BTreeMap, HashSet};

use model::{Entry, Labels};
use proptest::prelude::*;
use samples::{Rows, read_all};
use segment::*;

/// What a segment of these streams must hold: sorted by time, stably, equal entries once.
fn expected(streams: &[(Labels, Vec<Entry>)]) -> BTreeMap<Labels, Rows> {
    let mut all: BTreeMap<Labels, Rows> = BTreeMap::new();
    for (labels, entries) in streams {
        let rows = entries.iter().map(|entry| (entry.timestamp_ns, entry.line.clone(), entry.metadata.clone()));
        all.entry(labels.clone()).or_default().extend(rows);
    }
    all.retain(|_, rows| !rows.is_empty());
    for rows in all.values_mut() {
        rows.sort_by_key(|row| row.0);
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(row.clone()));
    }
    all
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec(("[a-c]", "[a-cé]{0,2}"), 0..3).prop_map(Labels::from_pairs)
}

fn entry() -> impl Strategy<Value = Entry> {
    let timestamp =
        prop_oneof![0i64..5, any::<i64>(), (0i64..200).prop_map(|n| n * 1_000_000_000), Just(60_000_000_000)];
    let line = prop_oneof!["[ab]", "[a-d ]{0,6}", "\\PC{0,40}", "[a-z0-9 =_-]{0,200}"];
    let value = prop_oneof!["[a-b]{0,2}", "[0-9a-f]{32}", "\\PC{0,9}"];
    let metadata = prop::collection::vec((prop_oneof![Just("detected_level".to_owned()), "[a-dé]{0,1}"], value), 0..4);
    (timestamp, line, metadata).prop_map(|(timestamp_ns, line, metadata)| Entry {
        timestamp_ns,
        line,
        metadata: Labels::from_pairs(metadata),
    })
}

fn options() -> impl Strategy<Value = Options> {
    (prop_oneof![Just(1usize), 50..500usize, Just(1 << 20)], 0usize..300, 1u32..50, 1usize..60, any::<bool>()).prop_map(
        |(block_bytes_max, block_bytes_min, block_rows_max, slice_keys_max, lines_by_template)| Options {
            lines_by_template,
            gram_line_bytes_min: 1,
            block_bytes_max,
            block_bytes_min,
            block_rows_max,
            slice_keys_max,
            ..Options::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A thread's second segment is written with the tools of its first, a new thread's with new ones.
    #[test]
    fn kept_tools_do_not_show(batches in prop::collection::vec(prop::collection::vec((labels(), prop::collection::vec(entry(), 1..25)), 1..4), 1..4), options in options()) {
        let write = |streams: &[(Labels, Vec<Entry>)]| {
            let mut writer = Writer::new(options.clone());
            streams.iter().for_each(|(labels, entries)| writer.add(labels, entries));
            writer.finish().unwrap()
        };
        for streams in &batches {
            let anew = std::thread::scope(|scope| scope.spawn(|| write(streams)).join().unwrap());
            prop_assert_eq!(write(streams), anew);
        }
    }

    #[test]
    fn segments_round_trip(streams in prop::collection::vec((labels(), prop::collection::vec(entry(), 0..25)), 1..6), options in options()) {
        let mut writer = Writer::new(options);
        for (labels, entries) in &streams {
            writer.add(labels, entries);
        }
        let want = expected(&streams);
        if want.is_empty() {
            prop_assert_eq!(writer.finish(), Err(Error::Empty));
            return Ok(());
        }
        let segment = writer.finish().unwrap();
        let (footer, got) = read_all(&segment.bytes);
        prop_assert_eq!(&got, &want);
        let all = || want.values().flatten();
        prop_assert_eq!(segment.rows, all().count() as u64);
        prop_assert_eq!((segment.min_ts, segment.max_ts), (all().map(|row| row.0).min().unwrap(), all().map(|row| row.0).max().unwrap()));
        prop_assert_eq!(segment.rows + segment.rows_dropped, streams.iter().map(|stream| stream.1.len() as u64).sum::<u64>());
        for (stream, (labels, rows)) in footer.streams().iter().zip(&want) {
            let info = StreamInfo {
                labels: labels.clone(),
                rows: rows.len() as u64,
                line_bytes: rows.iter().map(|row| row.1.len() as u64).sum(),
                metadata_bytes: rows.iter().map(|row| row.2.byte_len() as u64).sum(),
                min_ts: rows[0].0,
                max_ts: rows[rows.len() - 1].0,
            };
            prop_assert_eq!(stream, &info);
        }
        check_counts(&footer, &segment.bytes, &want);
    }
}

/// Each cell of the counts, counted again from the rows.
fn check_counts(footer: &Footer, bytes: &[u8], want: &BTreeMap<Labels, Rows>) {
    let range = footer.counts_range();
    let counts = footer.decode_counts(&bytes[range.start as usize..range.end as usize]).unwrap();
    let mut cells: BTreeMap<(Labels, Option<String>, i64), (u64, u64)> = BTreeMap::new();
    for (labels, rows) in want {
        for (timestamp, line, metadata) in rows {
            let minute = (i128::from(*timestamp) + 59_999_999_999).div_euclid(60_000_000_000) as i64;
            let level = metadata.get(LEVEL_NAME).map(str::to_owned);
            let cell = cells.entry((labels.clone(), level, minute)).or_default();
            *cell = (cell.0 + 1, cell.1 + line.len() as u64);
        }
    }
    for group in &counts.groups {
        let labels = footer.streams()[group.stream as usize].labels.clone();
        let level = group.level.map(|level| counts.levels[level as usize].clone());
        for cell in &group.cells {
            let want = cells.remove(&(labels.clone(), level.clone(), cell.minute));
            assert_eq!(want, Some((cell.rows, cell.line_bytes)), "{labels} {level:?} {}", cell.minute);
        }
    }
    assert!(cells.is_empty(), "cells that no group holds: {cells:?}");
}

/// A reader that starts with a few bytes is led to the whole footer in at most three steps.
#[test]
fn a_short_tail_asks_for_more() {
    let labels = Labels::from_pairs([("app", "api")]);
    let entries = [Entry { timestamp_ns: 1, line: "hello".into(), metadata: Labels::default() }];
    let mut writer = Writer::new(Options::default());
    writer.add(&labels, &entries);
    let bytes = writer.finish().unwrap().bytes;
    let mut from = bytes.len() - 1;
    for step in 0.. {
        match open_tail(&bytes[from..], bytes.len() as u64).unwrap() {
            Opened::NeedMore { from: earlier } => from = usize::try_from(earlier).unwrap(),
            Opened::Footer(footer) => {
                assert_eq!(footer.streams()[0].labels, labels);
                break;
            }
        }
        assert!(step < 3);
    }
}

/// Merging feeds rows in order and takes finished blocks away: the bytes are those of one writer that keeps everything.
#[test]
fn drained_bytes_are_the_segment() {
    let streams: Vec<Labels> = (0..5).map(|i| Labels::from_pairs([("app", format!("app-{i}"))])).collect();
    let write = |drain: bool| {
        let mut writer = SortedWriter::new(Options { block_bytes_max: 300, ..Options::default() }).unwrap();
        let mut bytes = Vec::new();
        for labels in &streams {
            writer.start_stream(labels).unwrap();
            for i in 0..50 {
                let line = format!("line {i} of {labels}");
                writer.push(model::EntryRef { timestamp_ns: i, line: &line, metadata: &[("i", "x")] }).unwrap();
                if drain {
                    bytes.extend(writer.drain());
                }
            }
        }
        let segment = writer.finish().unwrap();
        bytes.extend_from_slice(&segment.bytes);
        assert_eq!(segment.object_len, bytes.len() as u64);
        bytes
    };
    let bytes = write(true);
    assert!(bytes == write(false));
    assert_eq!(read_all(&bytes).0.rows(), 250);
}

/// The sorted writer refuses what would make a reader's binary searches wrong.
#[test]
fn rows_out_of_order_are_refused() {
    let (a, b) = (Labels::from_pairs([("app", "a")]), Labels::from_pairs([("app", "b")]));
    let row = |timestamp_ns| model::EntryRef { timestamp_ns, line: "", metadata: &[] };
    let mut writer = SortedWriter::new(Options::default()).unwrap();
    assert!(matches!(writer.push(row(1)), Err(Error::Order { .. })));
    writer.start_stream(&b).unwrap();
    writer.push(row(2)).unwrap();
    assert!(matches!(writer.push(row(1)), Err(Error::Order { .. })));
    assert!(matches!(writer.start_stream(&a), Err(Error::Order { .. })));
    assert!(matches!(writer.start_stream(&b), Err(Error::Order { .. })));
}
