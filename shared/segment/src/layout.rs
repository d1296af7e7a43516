//! Where the parts of a segment lie: header, trailer, checksums, and the named limits of the format.
//!
//! `header | blocks | filters | counts | stream table | footer | trailer`. Parts follow each other without a gap, so the
//! footer keeps lengths only. FORMAT.md is this file in pictures.

use xxhash_rust::xxh3::xxh3_64;

use crate::Error;
use crate::codec::Codec;
use crate::wire::Cursor;

/// The version of the format that this build writes. It reads all before it, too.
pub const VERSION: u16 = 2;

/// First bytes of every segment; the last one is not text, so that a transfer that mangles line ends is noticed.
pub(crate) const HEADER: [u8; 8] = *b"LOGBARN\x1a";
/// Last bytes of every segment.
pub(crate) const TRAILER_MAGIC: [u8; 4] = *b"LBS\x1a";
/// Length of the trailer, for ever: it is found without knowing anything else.
pub const TRAILER_BYTES: usize = 32;
/// Shortest object that can be a segment.
pub(crate) const SEGMENT_BYTES_MIN: u64 = (HEADER.len() + TRAILER_BYTES) as u64;

/// Longest line. A push is refused long before (`max_line_size`, 256 KB by default).
pub const LINE_BYTES_MAX: usize = 32 << 20;
/// Most bytes of a column before compression: a block takes one more row while it is below half of this.
pub const COLUMN_BYTES_MAX: u64 = 128 << 20;
/// Most rows of a block.
pub const BLOCK_ROWS_MAX: u32 = 1 << 20;
/// Most metadata names of a block. A row with more of them alone is refused.
pub const BLOCK_NAMES_MAX: usize = 4096;
/// Most bytes of the footer, the stream table or the counts before compression.
pub const SECTION_BYTES_MAX: u64 = 256 << 20;
/// Most hash functions of a filter; an error rate of one in a million needs 20.
pub(crate) const FILTER_HASHES_MAX: u32 = 32;

/// Checksum of sections: xxh3, 64 bits, seed 0.
pub(crate) fn checksum64(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Checksum of columns and filters: the low half of [`checksum64`].
pub(crate) fn checksum32(bytes: &[u8]) -> u32 {
    (xxh3_64(bytes) & 0xffff_ffff) as u32
}

/// The fixed end of a segment, from which the rest is found.
///
/// ```text
///  0        8          12         16       18      19      20        28      32
/// | offset | stored u32 | raw u32 | version | codec | zero | checksum | "LBS." |
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) version: u16,
    pub(crate) footer_offset: u64,
    pub(crate) footer_stored: u32,
    pub(crate) footer_raw: u32,
    pub(crate) footer_codec: Codec,
    pub(crate) checksum: u64,
}

impl Trailer {
    /// The trailer of a footer; its checksum covers the footer's stored bytes and the trailer's own first 20.
    pub(crate) fn encode(
        footer_offset: u64,
        stored: &[u8],
        raw_len: u32,
        codec: Codec,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let stored_len = u32::try_from(stored.len()).map_err(|_| Error::Limit {
            part: "footer",
            value: stored.len() as u64,
            limit: SECTION_BYTES_MAX,
        })?;
        let start = out.len();
        out.extend_from_slice(&footer_offset.to_le_bytes());
        out.extend_from_slice(&stored_len.to_le_bytes());
        out.extend_from_slice(&raw_len.to_le_bytes());
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(codec.number());
        out.push(0);
        let checksum = footer_checksum(stored, out.get(start..).unwrap_or_default());
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&TRAILER_MAGIC);
        Ok(())
    }

    /// Reads the last [`TRAILER_BYTES`] of an object of `object_len` bytes.
    pub(crate) fn decode(bytes: &[u8], object_len: u64) -> Result<Self, Error> {
        let mut cursor = Cursor::new("trailer", bytes);
        let footer_offset = cursor.u64()?;
        let footer_stored = cursor.u32()?;
        let footer_raw = cursor.u32()?;
        let version = cursor.u16()?;
        let codec = cursor.u8()?;
        let _reserved = cursor.u8()?;
        let checksum = cursor.u64()?;
        if cursor.take_rest() != TRAILER_MAGIC {
            return Err(Error::Magic { part: "trailer" });
        }
        if !(1..=VERSION).contains(&version) {
            return Err(Error::Version { found: version, readable: VERSION });
        }
        let footer_end =
            footer_offset.checked_add(u64::from(footer_stored)).and_then(|end| end.checked_add(TRAILER_BYTES as u64));
        if footer_end != Some(object_len) || footer_offset < HEADER.len() as u64 {
            return Err(Error::Malformed { part: "trailer", why: "the footer does not end where the trailer begins" });
        }
        if u64::from(footer_raw) > SECTION_BYTES_MAX {
            return Err(Error::Limit { part: "footer", value: footer_raw.into(), limit: SECTION_BYTES_MAX });
        }
        let footer_codec = Codec::from_number(codec, "footer")?;
        Ok(Trailer { version, footer_offset, footer_stored, footer_raw, footer_codec, checksum })
    }

    /// Whether footer and trailer are as they were written. `trailer` are the trailer's own bytes.
    pub(crate) fn check(&self, stored: &[u8], trailer: &[u8]) -> Result<(), Error> {
        let covered = trailer.get(..20).unwrap_or_default();
        if footer_checksum(stored, covered) == self.checksum { Ok(()) } else { Err(Error::Checksum { part: "footer" }) }
    }
}

fn footer_checksum(stored: &[u8], covered: &[u8]) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(stored);
    hasher.update(covered);
    hasher.digest()
}
