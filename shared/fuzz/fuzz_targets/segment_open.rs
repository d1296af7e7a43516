//! Damaged segments: an error that names a part or an answer, never a panic, never an allocation beyond the format's limits
//! (the run gives `-malloc_limit_mb`); whole ones give back every row.

#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use segment::*;
use xxhash_rust::xxh3::xxh3_64;

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else { return };
    let mut u = Unstructured::new(rest);
    match mode % 4 {
        0 => read(rest),
        1 => {
            let _ = made_up(&mut u);
        }
        _ => {
            let Some(bytes) = written(&mut u) else { return };
            read(&bytes);
            // Cut, and otherwise damaged.
            let length = u.choose_index(bytes.len()).unwrap_or(0);
            let _ = describe(&bytes[..length]);
            let _ = open_tail(&bytes[length..], bytes.len() as u64);
            if let Some(bytes) = fuzz::reseal::reseal(&bytes, &mut u) {
                read(&bytes);
            }
        }
    }
});

/// A segment as it is written, in blocks of any size.
fn written(u: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let streams = fuzz::data::streams(u).ok()?;
    let block_bytes_max = u.int_in_range(1..=200).ok()?;
    let options = Options {
        block_bytes_max,
        block_bytes_min: u.int_in_range(0..=block_bytes_max).ok()?,
        block_rows_max: u.int_in_range(1..=9).ok()?,
        slice_keys_max: u.int_in_range(1..=50).ok()?,
        ..Options::default()
    };
    let mut writer = Writer::new(options);
    for stream in &streams {
        writer.add(&stream.labels, &stream.entries);
    }
    let segment = writer.finish().ok()?;
    let Ok(Opened::Footer(footer)) = open_tail(&segment.bytes, segment.bytes.len() as u64) else {
        panic!("what was written does not open");
    };
    let mut rows: Vec<_> = streams.iter().flat_map(|s| s.entries.iter().map(|e| (s.labels.to_string(), e))).collect();
    rows.sort_by(|left, right| {
        let key = |(labels, entry): &(String, &model::Entry)| (labels.clone(), entry.timestamp_ns, entry.line.clone());
        key(left).cmp(&key(right)).then_with(|| left.1.metadata.cmp(&right.1.metadata))
    });
    rows.dedup();
    assert_eq!(footer.rows(), rows.len() as u64, "equal entries of a stream count once");
    describe(&segment.bytes).expect("what was written is described");
    Some(segment.bytes)
}

/// Opens and decodes all that can be.
fn read(bytes: &[u8]) {
    let _ = describe(bytes);
    let Ok(Opened::Footer(footer)) = open_tail(bytes, bytes.len() as u64) else { return };
    let at = |range: &std::ops::Range<u64>| {
        bytes.get(range.start as usize..range.end as usize).expect("a footer points into its file")
    };
    let _ = footer.decode_counts(at(&footer.counts_range()));
    for block in footer.blocks() {
        let timestamps = block.column(&ColumnKind::Timestamps);
        let timestamps = timestamps.and_then(|column| decode_timestamps(column, at(&column.range)).ok()).unwrap_or_default();
        for column in &block.columns {
            decode(column, at(&column.range), &timestamps);
        }
        let _ = Filter::decode(&block.filter, at(&block.filter.range)).map(|filter| filter.contains(Key::token("x")));
    }
    let slice = footer.filter(Key::label("app", "a"));
    let _ = slice.map(|meta| Filter::decode(meta, at(&meta.range)));
    let run_rows: u64 = footer.streams().iter().map(|stream| stream.rows).sum();
    assert_eq!(run_rows, footer.rows());
}

/// One column or filter whose checksum agrees, whatever else it says.
fn made_up(u: &mut Unstructured<'_>) -> Result<()> {
    let kinds = [
        ColumnKind::Timestamps,
        ColumnKind::LineLengths,
        ColumnKind::Lines,
        ColumnKind::Metadata("m".into()),
        ColumnKind::Unknown(7),
    ];
    let kind = u.choose(&kinds)?.clone();
    let (encoding, rows, values) = (u.int_in_range(0..=6)?, u.int_in_range(0..=300)?, u.int_in_range(0..=300)?);
    let (rows, values) = if u.ratio(1, 8)? { (u.arbitrary()?, u.arbitrary()?) } else { (rows, values) };
    let (codec, odd_len) = (*u.choose(&[Codec::Raw, Codec::Raw, Codec::Zstd])?, u.arbitrary::<Option<u32>>()?);
    let zstd_len = u.int_in_range(0..=2000u64)?;
    let spread = *u.choose(&[Spread::Own, Spread::SipHash])?;
    let length = u.len();
    let raw = u.bytes(length)?;
    let stored = if codec == Codec::Zstd && odd_len.is_none() {
        zstd::bulk::compress(raw, 1).expect("a few bytes can be compressed")
    } else {
        raw.to_vec()
    };
    let raw_len = match (odd_len, codec) {
        (None, _) => raw.len() as u64,
        (Some(length), Codec::Raw) => length.into(),
        (Some(_), _) => zstd_len,
    };
    let checksum = (xxh3_64(&stored) & 0xffff_ffff) as u32;
    let range = 0..stored.len() as u64;
    decode(&ColumnMeta { kind, range: range.clone(), raw_len, text_len: raw_len, codec, encoding, checksum, rows, values }, &stored, &vec![0; rows.min(BLOCK_ROWS_MAX) as usize]);
    let _ = Filter::decode(&FilterMeta { range, hashes: values, checksum, spread }, &stored)
        .map(|filter| filter.contains(Key::token("x")));
    Ok(())
}

/// Decodes a column as what it is; as many rows come out as were promised.
fn decode(column: &ColumnMeta, stored: &[u8], timestamps: &[i64]) {
    let rows = match column.kind {
        ColumnKind::Timestamps => decode_timestamps(column, stored).map(|times| times.len()),
        ColumnKind::LineLengths => decode_lengths(column, stored).map(|lengths| lengths.len()),
        ColumnKind::Lines => decode_lines(column, stored, timestamps).map(|_| column.rows as usize),
        ColumnKind::Metadata(_) => decode_metadata(column, stored).map(|dictionary| {
            for row in 0..column.rows as usize + 1 {
                dictionary.get(row);
            }
            dictionary.codes.len()
        }),
        ColumnKind::Unknown(_) => return,
    };
    if let Ok(rows) = rows {
        assert_eq!(rows, column.rows as usize, "{column:?}");
    }
}
