//! A segment of given streams, damaged inside and sealed again, so that the checksums agree and the decoders are reached.
//!
//! In: a valid segment and edits. Out: the same file with its footer, stream table and counts stored raw, edited, and every
//! length and checksum of sections and footer made right again. Columns keep their checksums: their decoders are asked
//! with made-up columns instead.

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const TRAILER_BYTES: usize = 32;
/// The footer's section that lists the parts of the file behind the filters.
const SECTIONS: u64 = 1;

/// Seals a segment again after edits chosen by `u`; none if it is not as the writer writes it.
pub fn reseal(bytes: &[u8], u: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let (file, trailer) = bytes.split_at_checked(bytes.len().checked_sub(TRAILER_BYTES)?)?;
    let footer_offset = usize::try_from(u64::from_le_bytes(trailer.get(..8)?.try_into().ok()?)).ok()?;
    let raw_len = u32::from_le_bytes(trailer.get(12..16)?.try_into().ok()?) as usize;
    let footer = unpack(*trailer.get(18)?, file.get(footer_offset..)?, raw_len)?;
    let mut parts = Vec::new();
    let mut cursor = footer.as_slice();
    while !cursor.is_empty() {
        let (kind, length) = (varint(&mut cursor)?, varint(&mut cursor)? as usize);
        let (payload, rest) = cursor.split_at_checked(length)?;
        cursor = rest;
        parts.push((kind, payload.to_vec()));
    }
    let sections = parts.iter_mut().find(|(kind, _)| *kind == SECTIONS)?;
    let listed = list(&sections.1)?;
    let stored_len: usize = listed.iter().map(|section| section.stored).sum();
    let mut at = footer_offset.checked_sub(stored_len)?;
    let mut out = file.get(..at)?.to_vec();
    let mut records = Vec::new();
    put_varint(&mut records, listed.len() as u64);
    for section in listed {
        let mut raw = unpack(section.codec, file.get(at..at + section.stored)?, section.raw)?;
        at += section.stored;
        edit(&mut raw, u).ok()?;
        put_varint(&mut records, section.kind);
        records.push(0);
        put_varint(&mut records, raw.len() as u64);
        put_varint(&mut records, raw.len() as u64);
        records.extend_from_slice(&xxh3_64(&raw).to_le_bytes());
        out.extend_from_slice(&raw);
    }
    sections.1 = records;
    let mut footer = Vec::new();
    for (kind, mut payload) in parts {
        if kind != SECTIONS || u.ratio(1, 8).ok()? {
            edit(&mut payload, u).ok()?;
        }
        put_varint(&mut footer, kind);
        put_varint(&mut footer, payload.len() as u64);
        footer.extend_from_slice(&payload);
    }
    seal(out, &footer)
}

/// Appends a raw footer and its trailer.
fn seal(mut out: Vec<u8>, footer: &[u8]) -> Option<Vec<u8>> {
    let mut trailer = (out.len() as u64).to_le_bytes().to_vec();
    let length = u32::try_from(footer.len()).ok()?.to_le_bytes();
    trailer.extend_from_slice(&length);
    trailer.extend_from_slice(&length);
    trailer.extend_from_slice(&segment::VERSION.to_le_bytes());
    trailer.extend_from_slice(&[0, 0]);
    let mut hasher = Xxh3::new();
    hasher.update(footer);
    hasher.update(&trailer);
    out.extend_from_slice(footer);
    out.extend_from_slice(&trailer);
    out.extend_from_slice(&hasher.digest().to_le_bytes());
    out.extend_from_slice(b"LBS\x1a");
    Some(out)
}

struct Listed {
    kind: u64,
    codec: u8,
    stored: usize,
    raw: usize,
}

fn list(mut payload: &[u8]) -> Option<Vec<Listed>> {
    let count = varint(&mut payload)?;
    (0..count)
        .map(|_| {
            let kind = varint(&mut payload)?;
            let (codec, rest) = payload.split_first()?;
            payload = rest;
            let (stored, raw) = (varint(&mut payload)? as usize, varint(&mut payload)? as usize);
            payload = payload.get(8..)?;
            Some(Listed { kind, codec: *codec, stored, raw })
        })
        .collect()
}

fn unpack(codec: u8, stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    if codec == 0 { Some(stored.to_vec()) } else { zstd::bulk::decompress(stored, raw_len).ok() }
}

/// A few changes: another byte, a huge number in place of one, bytes more or fewer.
fn edit(bytes: &mut Vec<u8>, u: &mut Unstructured<'_>) -> Result<()> {
    for _ in 0..u.int_in_range(0..=2)? {
        if bytes.is_empty() {
            return Ok(());
        }
        let at = u.choose_index(bytes.len())?;
        match u.int_in_range(0..=4)? {
            0 => bytes[at] = u.arbitrary()?,
            1 => bytes[at] = bytes[at].wrapping_add(u.int_in_range(0..=2)?).wrapping_sub(1),
            2 => {
                let mut number = Vec::new();
                let limits = [u64::MAX, u64::from(u32::MAX), 1 << 63, 1 << 28, 1 << 20, 0, u.arbitrary()?];
                put_varint(&mut number, *u.choose(&limits)?);
                bytes.splice(at..=at, number);
            }
            3 => drop(bytes.drain(at..(at + u.int_in_range(1..=9)?).min(bytes.len()))),
            _ => {
                let copy = bytes[at..(at + 9).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
