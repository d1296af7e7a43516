//! Packs the batches of one commit: a segment for each day of theirs.
//!
//! In: accepted batches. Out: keys and bytes. Pure: the same batches give the same keys and bytes. Copies no text but into blocks.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{Day, Labels};
use segment::NamesId;
use store::FreshKey;
use xxhash_rust::xxh3::Xxh3;

use crate::batch::{Batch, Row};

/// The rows of each stream, each with the place of its batch.
type Streams<'a> = BTreeMap<&'a Labels, Vec<(usize, &'a Row)>>;

/// One segment for each day of a group's rows.
pub(crate) fn pack(batches: &[Batch]) -> Result<Vec<(FreshKey, Bytes)>, segment::Error> {
    let batch_id = group_id(batches);
    let mut days: BTreeMap<Day, Streams<'_>> = BTreeMap::new();
    for (number, batch) in batches.iter().enumerate() {
        for (labels, day, rows) in batch.runs() {
            days.entry(day).or_default().entry(labels).or_default().extend(rows.iter().map(|row| (number, row)));
        }
    }
    let mut segments = Vec::with_capacity(days.len());
    for (day, streams) in days {
        let mut writer = segment::SortedWriter::new(segment::Options::default())?;
        // The writer's numbers for the lists of columns of each batch: only for those that this day has.
        let mut names: Vec<Vec<Option<NamesId>>> = vec![Vec::new(); batches.len()];
        // A row's values, cut out of the text once, since the writer looks at them several times.
        let mut values: Vec<&str> = Vec::new();
        for (labels, mut rows) in streams {
            rows.sort_by_key(|(_, row)| row.timestamp_ns);
            writer.start_stream(labels)?;
            for (number, row) in rows {
                let batch = &batches[number];
                let (names, columns) = (&mut names[number], row.columns as usize);
                if names.len() <= columns {
                    names.resize(columns + 1, None);
                }
                let names_id = *names[columns].get_or_insert_with(|| writer.add_names(batch.names(row)));
                values.clear();
                values.extend(batch.values(row));
                writer.push_values(row.timestamp_ns, batch.line(row), names_id, values.iter().copied())?;
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
