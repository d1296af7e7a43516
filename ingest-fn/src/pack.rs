//! Packs the batches of one commit: a segment for each day of theirs.
//!
//! In: accepted batches. Out: keys and bytes. Pure: the same batches give the same keys and bytes. Copies no text but into blocks.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{Day, EntryRef, Labels};
use store::FreshKey;
use xxhash_rust::xxh3::Xxh3;

use crate::batch::{Batch, RowId};

/// The rows of each stream, from whichever batches.
type Streams<'a> = BTreeMap<&'a Labels, Vec<(&'a Batch, RowId)>>;

/// One segment for each day of a group's rows.
pub(crate) fn pack(batches: &[Batch]) -> Result<Vec<(FreshKey, Bytes)>, segment::Error> {
    let batch_id = group_id(batches);
    let mut days: BTreeMap<Day, Streams<'_>> = BTreeMap::new();
    for batch in batches {
        for (labels, day, rows) in batch.runs() {
            days.entry(day).or_default().entry(labels).or_default().extend(rows.map(|row| (batch, row)));
        }
    }
    let mut segments = Vec::with_capacity(days.len());
    for (day, streams) in days {
        let mut writer = segment::SortedWriter::new(segment::Options::default())?;
        let mut metadata = Vec::new();
        for (labels, mut rows) in streams {
            rows.sort_by_key(|(_, row)| row.timestamp_ns);
            writer.start_stream(labels)?;
            for (batch, row) in rows {
                let line = batch.entry(row, &mut metadata);
                let entry = EntryRef { timestamp_ns: row.timestamp_ns, line, metadata: &metadata };
                writer.push(entry)?;
            }
        }
        let segment = writer.finish()?;
        let key = FreshKey { day, min_ts: segment.min_ts, max_ts: segment.max_ts, batch_id, rows: segment.rows };
        segments.push((key, segment.bytes.into()));
    }
    Ok(segments)
}

/// The id of a group: a single batch's own, or one made of all of them in their order.
fn group_id(batches: &[Batch]) -> u128 {
    match batches {
        [one] => one.id,
        many => {
            let mut hasher = Xxh3::new();
            many.iter().for_each(|batch| hasher.update(&batch.id.to_le_bytes()));
            hasher.digest128()
        }
    }
}
