//! How much there is of which stream: answered from footers and their counts by the minute, no block is read.
//!
//! A stream that lies in the range as a whole counts by its totals, one that reaches out of it by the minutes that touch
//! the range. As in Loki the figures are close, not exact: an entry that lies in two segments counts in both.

use std::collections::{BTreeSet, HashMap};

use logql::matcher::Selector;
use model::{Labels, TimeRange};
use segment::Counts;

use crate::footers::OpenSegment;
use crate::reader::{Reader, corrupt};
use crate::{Error, LabelsRequest};

const MINUTE_NS: i64 = 60_000_000_000;

/// What the streams of a selector hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Distinct streams.
    pub streams: u64,
    /// Pieces of streams: one for each segment that has entries of a stream.
    pub chunks: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// Entries and bytes of one stream in one segment.
pub(crate) struct Piece {
    pub(crate) labels: Labels,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// The pieces of the chosen streams in the range.
pub(crate) async fn pieces(request: &LabelsRequest, reader: &Reader) -> Result<Vec<Piece>, Error> {
    let selectors: Vec<Selector> = (request.selectors.iter())
        .map(|text| logql::parse_selector(text).and_then(|matchers| Selector::new(&matchers)))
        .collect::<Result<_, _>>()?;
    let segments = reader.segments(request.range).await?;
    let mut found = Vec::new();
    for opened in reader.open(segments).await? {
        let counts = counts_if_needed(&opened, request.range, reader).await?;
        for (number, stream) in opened.footer.streams().iter().enumerate() {
            let chosen = selectors.is_empty() || selectors.iter().any(|selector| selector.matches(&stream.labels));
            if !chosen || !request.range.overlaps(stream.min_ts, stream.max_ts) {
                continue;
            }
            let whole = request.range.contains(stream.min_ts) && request.range.contains(stream.max_ts);
            let (rows, bytes) = match &counts {
                Some(counts) if !whole => within(counts, number, request.range),
                _ => (stream.rows, stream.line_bytes),
            };
            if rows > 0 {
                found.push(Piece { labels: stream.labels.clone(), rows, bytes });
            }
        }
    }
    Ok(found)
}

/// Counts by the minute matter only where a segment reaches out of the range.
async fn counts_if_needed(opened: &OpenSegment, range: TimeRange, reader: &Reader) -> Result<Option<Counts>, Error> {
    let footer = &opened.footer;
    if range.contains(footer.min_ts()) && range.contains(footer.max_ts()) {
        return Ok(None);
    }
    let stored = reader.read(opened, &[footer.counts_range()]).await?;
    let stored = stored.first().map(|bytes| &bytes[..]).unwrap_or_default();
    footer.decode_counts(stored).map(Some).map_err(|why| corrupt(&opened.segment, &why))
}

/// Entries and bytes of the minutes that touch the range. A minute is named by its end, which belongs to it.
fn within(counts: &Counts, stream: usize, range: TimeRange) -> (u64, u64) {
    let groups = counts.groups.iter().filter(|group| group.stream as usize == stream);
    let cells = groups.flat_map(|group| &group.cells).filter(|cell| {
        let end = cell.minute.saturating_mul(MINUTE_NS);
        range.overlaps(end.saturating_sub(MINUTE_NS - 1), end)
    });
    cells.fold((0, 0), |(rows, bytes), cell| (rows + cell.rows, bytes + cell.line_bytes))
}

/// Sums over all pieces.
pub(crate) fn stats(pieces: &[Piece]) -> IndexStats {
    IndexStats {
        streams: pieces.iter().map(|piece| &piece.labels).collect::<BTreeSet<_>>().len() as u64,
        chunks: pieces.len() as u64,
        bytes: pieces.iter().map(|piece| piece.bytes).sum(),
        entries: pieces.iter().map(|piece| piece.rows).sum(),
    }
}

/// By what volumes are summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeBy {
    /// The values of these labels together; none: those that the selector names, or all if it names none.
    Series(Vec<String>),
    /// Each label by itself; none: all.
    Labels(Vec<String>),
}

/// Bytes by label set, the largest first.
pub(crate) fn volumes(pieces: &[Piece], selectors: &[String], by: &VolumeBy) -> Result<Vec<(Labels, u64)>, Error> {
    let mut named: Vec<String> = Vec::new();
    for selector in selectors {
        named.extend(logql::parse_selector(selector)?.into_iter().map(|matcher| matcher.name));
    }
    let mut sums: HashMap<Labels, u64> = HashMap::new();
    for piece in pieces {
        match by {
            VolumeBy::Series(targets) => {
                let names = if targets.is_empty() { &named } else { targets };
                // A label that is asked for must be there.
                if targets.iter().all(|name| piece.labels.contains(name)) {
                    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
                    let labels = piece.labels.iter().filter(|(name, _)| wanted(name)).collect();
                    *sums.entry(labels).or_default() += piece.bytes;
                }
            }
            VolumeBy::Labels(targets) => {
                let wanted = |name: &str| targets.is_empty() || targets.iter().any(|n| n == name);
                for (name, _) in piece.labels.iter().filter(|(name, _)| wanted(name)) {
                    *sums.entry(Labels::from_pairs([(name, "")])).or_default() += piece.bytes;
                }
            }
        }
    }
    let mut sums: Vec<(Labels, u64)> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(sums)
}
