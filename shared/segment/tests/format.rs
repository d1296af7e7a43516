//! The documented bytes are the written bytes, and old files stay readable.

mod samples;

use model::{Entry, Labels};
use segment::{Options, Segment, Writer, describe};

const FORMAT: &str = include_str!("../FORMAT.md");

/// The segment of the worked example in FORMAT.md.
fn example() -> Segment {
    let labels = Labels::from_pairs([("app", "api")]);
    let level = |level: &str| Labels::from_pairs([("detected_level", level)]);
    let entries = [
        Entry { timestamp_ns: 1_704_067_200_000_000_000, line: "GET /a 200".into(), metadata: level("info") },
        Entry { timestamp_ns: 1_704_067_201_000_000_000, line: "GET /b 500".into(), metadata: level("error") },
    ];
    let mut writer = Writer::new(Options::default());
    writer.add(&labels, &entries);
    writer.finish().expect("two rows")
}

/// Each line of the example is `offset | bytes in hex | what they are`; offsets and bytes must be those of the writer.
#[test]
fn the_worked_example_is_true() {
    let bytes = example().bytes;
    let (_, listing) = FORMAT.split_once("```hex\n").expect("FORMAT.md has a worked example");
    let (listing, _) = listing.split_once("```").expect("the listing ends");
    let mut documented = Vec::new();
    for line in listing.lines() {
        let mut cells = line.split('|').map(str::trim);
        let offset: usize =
            cells.next().and_then(|cell| cell.parse().ok()).unwrap_or_else(|| panic!("no offset: {line}"));
        assert_eq!(offset, documented.len(), "{line}");
        let hex = cells.next().unwrap_or_default().split_whitespace();
        documented.extend(hex.map(|byte| u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("no hex: {line}"))));
    }
    let spell = |bytes: &[u8]| bytes.chunks(16).map(|row| format!("{row:02x?}\n")).collect::<String>();
    assert!(documented == bytes, "documented:\n{}\nwritten:\n{}", spell(&documented), spell(&bytes));
}

/// Files of every released version, kept for ever and never edited: each must be read as it was on the day it was written.
#[test]
fn old_files_are_read() {
    let mut files = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compat")).expect("fixtures") {
        let path = file.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).expect("a fixture");
        let want = std::fs::read_to_string(path.with_extension("txt")).expect("a description beside the fixture");
        assert_eq!(spell(&bytes), want, "{path:?}");
    }
    assert!(files > 0);
}

/// All that a segment says of itself, and all of its rows.
fn spell(bytes: &[u8]) -> String {
    let rows = samples::read_all(bytes).1.into_iter().flat_map(|(labels, rows)| {
        rows.into_iter().map(move |(timestamp, line, metadata)| format!("{timestamp} {labels} {metadata} {line}\n"))
    });
    describe(bytes).expect("a readable segment") + &rows.collect::<String>()
}

/// Run by hand after a change of the format, before its release: prints the example's bytes for FORMAT.md and writes the
/// fixtures that are not there yet.
#[test]
#[ignore = "writes files"]
fn write_fixtures() {
    for (offset, row) in example().bytes.chunks(16).enumerate() {
        println!("{:4} | {}", offset * 16, row.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
    }
    for (name, segment) in
        [("v2-example", example()), ("v2-blocks", samples::blocks()), ("v2-templates", samples::templates())]
    {
        let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compat")).join(name);
        if !path.with_extension("seg").exists() {
            std::fs::write(path.with_extension("txt"), spell(&segment.bytes)).expect("a description");
            std::fs::write(path.with_extension("seg"), segment.bytes).expect("a fixture");
        }
    }
}
