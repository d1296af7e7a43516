//! What a small push costs: bytes of a segment beyond the bytes of its lines.

use model::{Entry, Labels};
use segment::{Options, Writer};

#[test]
fn small_segments_are_small() {
    let labels = Labels::from_pairs([("cluster", "eu-1"), ("namespace", "shop"), ("service_name", "checkout")]);
    let entry = |i: i64| Entry {
        timestamp_ns: 1_795_168_800_123_000_000 + i * 250_000_000,
        line: format!(
            "{{\"level\":\"info\",\"msg\":\"order stored\",\"order\":{},\"took_ms\":{}}}",
            81_000 + 37 * i,
            3 + i % 11
        ),
        metadata: Labels::from_pairs([("detected_level", "info")]),
    };
    // rows, most bytes of the whole segment
    for (rows, object_bytes_max) in [(1, 400), (10, 550), (100, 1000)] {
        let entries: Vec<Entry> = (0..rows).map(entry).collect();
        let mut writer = Writer::new(Options::default());
        writer.add(&labels, &entries);
        let segment = writer.finish().unwrap();
        let size = segment.bytes.len();
        println!(
            "{rows} rows: {} bytes of lines, {} of metadata, segment {size}",
            segment.line_bytes, segment.metadata_bytes
        );
        assert!(size < object_bytes_max, "{rows} rows take {size} bytes");
    }
}
