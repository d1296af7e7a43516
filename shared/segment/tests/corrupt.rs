//! Bytes from outside that are cut, flipped or made up give an error that names the part: never a panic, never more memory
//! than the limits allow.

mod samples;

use proptest::prelude::*;
use segment::*;
use xxhash_rust::xxh3::xxh3_64;

#[test]
fn every_flipped_bit_is_noticed() {
    for bytes in [samples::blocks().bytes, samples::templates().bytes] {
        describe(&bytes).unwrap();
        for index in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << (index % 8);
            let error = describe(&flipped).expect_err("a flipped bit");
            assert!(!error.to_string().is_empty(), "byte {index}");
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    let bytes = samples::blocks().bytes;
    for length in 0..bytes.len() {
        assert!(describe(&bytes[..length]).is_err(), "{length} first bytes");
        match open_tail(&bytes[bytes.len() - length..], bytes.len() as u64) {
            Ok(Opened::NeedMore { from }) => {
                assert!((from as usize) < bytes.len() - length, "{length} last bytes make progress")
            }
            Ok(Opened::Footer(_)) => {}
            Err(error) => panic!("{length} last bytes: {error}"),
        }
    }
}

/// The name of each thing that can be wrong with the end of a file.
#[test]
fn errors_name_their_cause() {
    let bytes = samples::blocks().bytes;
    let end = bytes.len();
    let check = |change: &dyn Fn(&mut Vec<u8>), want: &str| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        assert_eq!(describe(&bytes).expect_err(want).to_string(), want);
    };
    check(&|bytes| bytes.clear(), "not a segment: header has no magic number");
    check(&|bytes| bytes.truncate(20), "segment is cut short: needs 40 bytes, has 20");
    check(&|bytes| bytes[end - 1] = 0, "not a segment: trailer has no magic number");
    check(&|bytes| bytes[end - 16] = 9, "segment version 9, this build reads versions up to 2");
    check(&|bytes| bytes[end - 14] = 7, "footer: unknown codec 7");
    check(&|bytes| bytes[end - 13] = 1, "checksum of footer does not match");
    check(&|bytes| bytes[end - 32] ^= 1, "trailer is malformed: the footer does not end where the trailer begins");
    check(&|bytes| bytes[end - 20..end - 16].fill(0xff), "footer: 4294967295 passes the limit of 268435456");
    check(&|bytes| bytes[9] ^= 1, "checksum of timestamps column does not match");
}

/// A promise of the gram filter's part is checked as all others are.
#[test]
fn gram_filters_are_checked() {
    let bytes = samples::blocks().bytes;
    let Ok(Opened::Footer(footer)) = open_tail(&bytes, bytes.len() as u64) else { panic!("a segment") };
    let range = footer.grams().expect("a gram filter").range.clone();
    let mut stored = bytes[range.start as usize..range.end as usize].to_vec();
    assert!(footer.decode_grams(&stored).expect("a filter").contains(b"USERS/1"));
    assert!(!footer.decode_grams(&stored).expect("a filter").contains(b"segfault"));
    let cut = footer.decode_grams(&stored[1..]).expect_err("cut");
    assert!(matches!(cut, Error::Truncated { part: "gram filter", .. }), "{cut}");
    stored[0] ^= 1;
    assert_eq!(footer.decode_grams(&stored), Err(Error::Checksum { part: "gram filter" }));
}

fn column(
    kind: ColumnKind,
    stored: &[u8],
    encoding: u8,
    rows: u32,
    values: u32,
    codec: Codec,
    raw_len: u64,
) -> ColumnMeta {
    let checksum = (xxh3_64(stored) & 0xffff_ffff) as u32;
    ColumnMeta { kind, range: 0..stored.len() as u64, raw_len, codec, encoding, checksum, rows, values }
}

/// Decodes the bytes as every kind of column.
fn decode_all(
    stored: &[u8],
    encoding: u8,
    rows: u32,
    values: u32,
    codec: Codec,
    raw_len: u64,
) -> Vec<Result<usize, Error>> {
    let column = |kind| column(kind, stored, encoding, rows, values, codec, raw_len);
    vec![
        decode_timestamps(&column(ColumnKind::Timestamps), stored).map(|times| times.len()),
        decode_lengths(&column(ColumnKind::LineLengths), stored).map(|lengths| lengths.len()),
        decode_lines(&column(ColumnKind::Lines), stored, &vec![0; rows as usize]).map(|_| rows as usize),
        decode_metadata(&column(ColumnKind::Metadata("m".into())), stored).map(|dictionary| {
            let all = (0..rows as usize).filter_map(|row| dictionary.get(row)).count();
            assert!(all <= dictionary.codes.len());
            dictionary.codes.len()
        }),
    ]
}

proptest! {
    #[test]
    fn made_up_columns_never_panic(stored: Vec<u8>, encoding in 0u8..6, rows in 1u32..300, values in 0u32..300) {
        for decoded in decode_all(&stored, encoding, rows, values, Codec::Raw, stored.len() as u64).into_iter().flatten() {
            prop_assert_eq!(decoded, rows as usize);
        }
        decode_all(&stored, encoding, rows, values, Codec::Zstd, 1 << 20);
        prop_assert!(decode_all(&stored, encoding, rows, values, Codec::Unknown(9), 1).iter().all(Result::is_err));
    }

    #[test]
    fn made_up_tails_never_panic(bytes: Vec<u8>, object_len: u64) {
        let _ = open_tail(&bytes, object_len);
        let _ = open_tail(&bytes, bytes.len() as u64);
        let _ = describe(&bytes);
    }

    #[test]
    fn made_up_filters_never_panic(stored: Vec<u8>, hashes: u32, old: bool) {
        let checksum = (xxh3_64(&stored) & 0xffff_ffff) as u32;
        let spread = if old { Spread::SipHash } else { Spread::Own };
        let meta = FilterMeta { range: 0..stored.len() as u64, hashes, checksum, spread };
        if let Ok(filter) = Filter::decode(&meta, &stored) {
            filter.contains(Key::token("x"));
        }
    }
}

/// A few bytes that promise much are refused before anything is allocated.
#[test]
fn promises_are_compared_before_memory_is_taken() {
    let bomb = zstd::bulk::compress(&vec![0u8; 10 << 20], 3).unwrap();
    let lines = |raw_len| decode_lines(&column(ColumnKind::Lines, &bomb, 1, 1, 0, Codec::Zstd, raw_len), &bomb, &[0]);
    let mismatch = Error::Malformed { part: "lines column", why: "its length is not the promised one" };
    assert_eq!(lines(100), Err(mismatch.clone()));
    assert_eq!(lines(COLUMN_BYTES_MAX), Err(mismatch));
    let limit = Error::Limit { part: "lines column", value: u64::MAX, limit: COLUMN_BYTES_MAX };
    assert_eq!(lines(u64::MAX), Err(limit));
    assert_eq!(lines(10 << 20).unwrap().len(), 10 << 20);
}
