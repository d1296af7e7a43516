//! Finds the ends of keys and values, eight bytes at a time.
//!
//! In: bytes. Out: the place of the first one of a few. Keys and values are mostly shorter than what the call of a wider
//! search costs; long ones are left to it.

use memchr::memchr2;

/// So many bytes are looked at here before a wider search takes over.
const SHORT_BYTES: usize = 32;

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

/// Marks the bytes of a word that are less than `limit`, at most 0x80. The lowest mark is right; those above it may not be.
const fn less_than(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64) & !word & HIGH
}

const fn equal_to(word: u64, byte: u8) -> u64 {
    less_than(word ^ (ONES * byte as u64), 1)
}

/// The first quote or backslash.
#[inline]
pub(super) fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < SHORT_BYTES
        && let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>())
    {
        let word = u64::from_le_bytes(*chunk);
        let found = equal_to(word, b'"') | equal_to(word, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', bytes.get(at..)?).map(|found| at + found)
}

/// The first `=`, quote, blank or control character; the end if there is none.
#[inline]
pub(super) fn word_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let found = equal_to(word, b'=') | equal_to(word, b'"') | less_than(word, b' ' + 1);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'=' | b'"') || *byte <= b' ').unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_where_it_is_first() {
        for byte in 0..=255_u8 {
            for before in 0..40 {
                for filler in [b'a', 0x7f, 0x80, 0xff, b'!', b'<', b'>', b'#'] {
                    let mut bytes = vec![filler; before];
                    bytes.extend([byte, b'=', b'"', b'\\', byte, filler, filler, filler, filler]);
                    let quote = bytes.iter().position(|b| matches!(b, b'"' | b'\\'));
                    assert_eq!(quote_or_backslash(&bytes), quote, "{bytes:?}");
                    let end = bytes.iter().position(|b| matches!(b, b'"' | b'=') || *b <= b' ');
                    assert_eq!(Some(word_end(&bytes)), end, "{bytes:?}");
                    assert_eq!(word_end(&bytes[..before]), before);
                }
            }
        }
    }
}
