//! Whether a merged segment that no manifest names holds anything that queries do not see.
//!
//! In: it, and what is current. Out: whether each of its streams has as many rows in each minute, by the counts that segments carry,
//! as the current ones have together. A merge that died leaves such a one; after a lost manifest there are none.

use std::collections::HashMap;

use model::Labels;
use store::{Listed, SegmentRef, Store};

use crate::current::undescribed;
use crate::{Error, footer};

/// Rows by stream and minute.
type Cells = HashMap<(Labels, i64), u64>;

/// Whether the current segments hold as much.
pub(crate) async fn is_seen(store: &Store, orphan: &Listed, current: &[SegmentRef]) -> Result<bool, Error> {
    let orphan = undescribed(orphan);
    let mut left = Cells::new();
    let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
    count(store, &orphan, |labels, minute, rows| {
        *left.entry((labels.clone(), minute)).or_default() += rows;
    })
    .await
    .map(|(min_ts, max_ts)| (earliest, latest) = (min_ts, max_ts))?;
    for segment in current.iter().filter(|segment| segment.min_ts <= latest && segment.max_ts >= earliest) {
        if left.is_empty() {
            break;
        }
        count(store, segment, |labels, minute, rows| {
            let cell = (labels.clone(), minute);
            if let Some(wanted) = left.get_mut(&cell) {
                *wanted = wanted.saturating_sub(rows);
                if *wanted == 0 {
                    left.remove(&cell);
                }
            }
        })
        .await?;
    }
    Ok(left.is_empty())
}

/// Tells the rows of each stream and minute; gives the earliest and the latest time.
async fn count(
    store: &Store,
    segment: &SegmentRef,
    mut tell: impl FnMut(&Labels, i64, u64),
) -> Result<(i64, i64), Error> {
    let (footer, _) = footer::open(store, segment).await?;
    let stored = store.read_range(segment, footer.counts_range()).await?;
    let counts = footer.decode_counts(&stored).map_err(|why| footer::bad(segment, why))?;
    for group in &counts.groups {
        let Some(stream) = footer.streams().get(group.stream as usize) else { continue };
        group.cells.iter().for_each(|cell| tell(&stream.labels, cell.minute, cell.rows));
    }
    Ok((footer.min_ts(), footer.max_ts()))
}
