//! Opens a segment from its last bytes.
//!
//! In: the tail of an object, as one suffix GET brings it, or a copy of its parts. Out: the [`Footer`], or from where more bytes are needed.
//! Never trusts a length that was not compared with the object's own.

use std::ops::Range;

use crate::codec::unpack;
use crate::footer::{Footer, SECTION_STREAMS};
use crate::layout::{SECTION_BYTES_MAX, SEGMENT_BYTES_MIN, TRAILER_BYTES, Trailer};
use crate::{Error, streams};

/// What a tail gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// All that is needed before a block is read.
    Footer(Footer),
    /// The tail is too short: call again with all bytes of the object from here on.
    NeedMore {
        /// Offset in the object.
        from: u64,
    },
}

/// Opens a segment of `object_len` bytes by its last `tail.len()` bytes.
pub fn open_tail(tail: &[u8], object_len: u64) -> Result<Opened, Error> {
    match object_len.checked_sub(tail.len() as u64) {
        Some(start) => open_parts(&[(start, tail)], object_len),
        None => Err(Error::Malformed { part: "tail", why: "it is longer than the object" }),
    }
}

/// Opens a segment of `object_len` bytes by parts of it, each with the offset at which it begins; the last one is its end.
pub fn open_parts(parts: &[(u64, &[u8])], object_len: u64) -> Result<Opened, Error> {
    if object_len < SEGMENT_BYTES_MIN {
        return Err(Error::Truncated { part: "segment", need: SEGMENT_BYTES_MIN, have: object_len });
    }
    let tail = parts.last().map_or(&[][..], |(_, tail)| tail);
    let Some((_, trailer_bytes)) = tail.split_at_checked(tail.len().wrapping_sub(TRAILER_BYTES)) else {
        return Ok(Opened::NeedMore { from: object_len - TRAILER_BYTES as u64 });
    };
    let trailer = Trailer::decode(trailer_bytes, object_len)?;
    let slice = |start: u64, end: u64| -> Option<&[u8]> {
        parts.iter().find_map(|(part_start, part)| {
            let start = usize::try_from(start.checked_sub(*part_start)?).ok()?;
            let end = usize::try_from(end.checked_sub(*part_start)?).ok()?;
            part.get(start..end)
        })
    };
    let footer_end = trailer.footer_offset + u64::from(trailer.footer_stored);
    let Some(stored) = slice(trailer.footer_offset, footer_end) else {
        return Ok(Opened::NeedMore { from: trailer.footer_offset });
    };
    trailer.check(stored, trailer_bytes)?;
    let raw = unpack("footer", trailer.footer_codec, stored, trailer.footer_raw.into(), SECTION_BYTES_MAX)?;
    let footer = Footer::decode(&raw, trailer.version, trailer.footer_offset)?;
    let section =
        footer.section(SECTION_STREAMS).ok_or(Error::Malformed { part: "footer", why: "there is no stream table" })?;
    let Some(stored) = slice(section.range.start, section.range.end) else {
        return Ok(Opened::NeedMore { from: section.range.start });
    };
    let streams = streams::decode(&section.open("stream table", stored)?)?;
    footer.with_streams(streams).map(Opened::Footer)
}

/// A part of all bytes of a segment.
pub(crate) fn part<'a>(bytes: &'a [u8], range: &Range<u64>) -> Result<&'a [u8], Error> {
    let (start, end) =
        (usize::try_from(range.start).unwrap_or(usize::MAX), usize::try_from(range.end).unwrap_or(usize::MAX));
    bytes.get(start..end).ok_or(Error::Truncated { part: "segment", need: range.end, have: bytes.len() as u64 })
}

#[cfg(test)]
mod tests {
    use model::{Entry, Labels};
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Codec;
    use crate::{Options, Writer, counts, describe};

    fn sample() -> Vec<u8> {
        let labels = [Labels::from_pairs([("app", "a")]), Labels::from_pairs([("app", "b")])];
        let entry = |i: i64| Entry {
            timestamp_ns: i * 1_000,
            line: format!("line {i}"),
            metadata: Labels::from_pairs([("detected_level", "info")]),
        };
        let entries: Vec<Entry> = (0..20).map(entry).collect();
        let mut writer = Writer::new(Options { block_bytes_max: 100, ..Options::default() });
        labels.iter().for_each(|labels| writer.add(labels, &entries));
        writer.finish().expect("rows were added").bytes
    }

    proptest! {
        /// Someone who can compute a checksum can still not make a reader panic or ask for much memory.
        #[test]
        fn made_up_footers_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let bytes = sample();
            let trailer_bytes = &bytes[bytes.len() - TRAILER_BYTES..];
            let trailer = Trailer::decode(trailer_bytes, bytes.len() as u64).expect("a fresh segment");
            let start = trailer.footer_offset as usize;
            let stored = &bytes[start..start + trailer.footer_stored as usize];
            let mut raw = unpack("footer", trailer.footer_codec, stored, trailer.footer_raw.into(), SECTION_BYTES_MAX).expect("a footer");
            for (index, value) in changes {
                let index = index.index(raw.len());
                raw[index] = value;
            }
            let mut made_up = bytes[..start].to_vec();
            made_up.extend_from_slice(&raw);
            Trailer::encode(trailer.footer_offset, &raw, raw.len() as u32, Codec::Raw, &mut made_up).expect("short");
            let _ = describe(&made_up);
        }

        #[test]
        fn made_up_sections_never_panic(raw: Vec<u8>, rows: u32) {
            let _ = streams::decode(&raw);
            let _ = counts::decode(&raw, 3, rows.into());
        }
    }
}
