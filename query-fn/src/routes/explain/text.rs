//! An explanation as a person reads it: the sum first, then each part with what it skips and what it reads.

use std::fmt::Write as _;

use engine::{Explained, PartExplained, Reads};
use jiff::Timestamp;

use crate::price::{PRICES_OF, Price};

/// The text, with a line break at its end.
pub(super) fn of(explained: &Explained, price: &Price) -> String {
    let mut out = format!("{}\n", explained.query);
    let bound = if explained.exact { "" } else { "at most " };
    let _ = writeln!(out, "reads {bound}{}, {}", requests(explained.reads()), dollars(price.dollars()));
    let _ = writeln!(
        out,
        "  LIST {}, GET {}, Lambda {} for about {:.3} s ({PRICES_OF})",
        dollars(price.list_dollars),
        dollars(price.get_dollars),
        dollars(price.lambda_dollars),
        price.lambda_seconds
    );
    let _ = writeln!(out, "  {} to find out what to read", requests(explained.planning));
    for part in &explained.parts {
        write_part(&mut out, part);
    }
    out
}

fn write_part(out: &mut String, part: &PartExplained) {
    let PartExplained { segments, blocks, .. } = part;
    let _ = writeln!(out, "\n{}", part.query);
    let mut row = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<9} {text}");
    };
    row("time", format!("{} to {}", time(part.range.start_ns()), time(part.range.end_ns())));
    let skipped = [
        (segments.outside_range, "outside of this time"),
        (segments.beyond_limit, "behind the limit"),
        (segments.opened, "opened"),
        (segments.cached, "of them from memory"),
        (segments.without_streams, "without chosen streams"),
    ];
    row("segments", format!("{}{}", segments.listed, listed(&skipped)));
    row("streams", format!("{} chosen of {}", part.streams, part.streams_seen));
    row("filters", part.need.as_ref().map_or("asked for nothing".to_owned(), |need| format!("asked for {need}")));
    let skipped = [
        (blocks.outside_range, "outside of this time"),
        (blocks.other_streams, "of other streams"),
        (blocks.by_segment_filter, "ruled out by their segment's filter"),
        (blocks.by_block_filter, "ruled out by their own filter"),
        (blocks.by_gram_filter, "ruled out by their segment's grams"),
        (blocks.counted, "counted by footers"),
        (blocks.beyond_limit, "behind the limit"),
        (blocks.read, "read"),
    ];
    row("blocks", format!("{}{}", blocks.all, listed(&skipped)));
    let (columns, rows) = (part.columns.join(", "), part.rows);
    row("columns", format!("{columns}: {rows} entries, {} uncompressed", bytes(part.column_bytes)));
    let steps = [
        ("listings", part.listing),
        ("footers", part.footers),
        ("filters", part.filters),
        ("doubles", part.doubles),
        ("counts", part.counts),
        ("columns", part.columns_read),
    ];
    let steps = steps.into_iter().filter(|(_, reads)| reads.requests() > 0);
    let steps: Vec<String> = steps.map(|(name, reads)| format!("{name} {}", requests(reads))).collect();
    let steps = if steps.is_empty() { "nothing".to_owned() } else { steps.join("; ") };
    row(if part.exact { "reads" } else { "at most" }, steps);
}

/// `: 3 of this, 4 of that`; what there is none of is left out.
fn listed(figures: &[(u64, &str)]) -> String {
    let figures: Vec<String> =
        figures.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if figures.is_empty() { String::new() } else { format!(": {}", figures.join(", ")) }
}

fn requests(reads: Reads) -> String {
    let kinds = [(reads.lists, "LIST"), (reads.gets, "GET")];
    let kinds: Vec<String> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { "no request".to_owned() } else { kinds.join(" + ") };
    if reads.bytes == 0 { kinds } else { format!("{kinds}, {}", bytes(reads.bytes)) }
}

/// Two figures that mean something, and never in powers of ten.
fn dollars(dollars: f64) -> String {
    let decimals = if dollars > 0.0 { (1.0 - dollars.log10().floor()).clamp(2.0, 12.0) } else { 2.0 };
    format!("${dollars:.0$}", decimals as usize)
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1e3, unit + 1);
    }
    let decimals = usize::from(unit > 0);
    format!("{value:.decimals$} {}", UNITS.get(unit).copied().unwrap_or_default())
}

fn time(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let check = |got: String, want: &str| assert_eq!(got, want);
        check(dollars(0.0), "$0.00");
        check(dollars(12.345), "$12.35");
        check(dollars(0.000_012_34), "$0.000012");
        check(bytes(999), "999 B");
        check(bytes(1_234_567), "1.2 MB");
        check(requests(Reads::default()), "no request");
        check(requests(Reads { lists: 1, gets: 2, bytes: 3 }), "1 LIST + 2 GET, 3 B");
        check(time(0), "1970-01-01T00:00:00Z");
    }
}
