//! Lists of unsigned numbers: bit-packed when small, cut into byte planes when not.
//!
//! ```text
//! | bits u8 | 0: nothing   1, 2, 4: packed, first value in the low bits   8, 16, … 64: all low bytes, then all second bytes, … |
//! ```
//! Planes keep bytes of one kind together, so that zstd sees the high bytes repeat and leaves the random low ones alone.
//! In: numbers, or bytes and how many numbers they hold. Allocates no more than that many, which the caller has bounded.

use std::ops::{BitOr, BitOrAssign, Shl, Shr};

use crate::Error;
use crate::wire::Cursor;

/// A number of a list.
pub(crate) trait Number: Copy + Default + Into<u64> + BitOr<Output = Self> + Shr<u32, Output = Self> {
    fn low_byte(self) -> u8;
}

impl Number for u32 {
    fn low_byte(self) -> u8 {
        self.to_le_bytes()[0]
    }
}

impl Number for u64 {
    fn low_byte(self) -> u8 {
        self.to_le_bytes()[0]
    }
}

/// Appends the list. How many numbers there are is not stored.
pub(crate) fn encode<T: Number>(values: &[T], out: &mut Vec<u8>) {
    let bits = width(values.iter().fold(T::default(), |all, value| all | *value).into());
    out.push(bits);
    match bits {
        0 => {}
        1 => pack::<T, 1, 8>(values, out),
        2 => pack::<T, 2, 4>(values, out),
        4 => pack::<T, 4, 2>(values, out),
        _ => {
            for shift in (0..u32::from(bits)).step_by(8) {
                out.extend(values.iter().map(|value| (*value >> shift).low_byte()));
            }
        }
    }
}

/// Appends numbers of `BITS` bits, `PER_BYTE` to a byte; both known to the compiler, which makes a loop without branches of it.
fn pack<T: Number, const BITS: u32, const PER_BYTE: usize>(values: &[T], out: &mut Vec<u8>) {
    let byte = |chunk: &[T]| chunk.iter().rev().fold(0, |byte, value| (byte << BITS) | value.low_byte());
    let (chunks, rest) = values.as_chunks::<PER_BYTE>();
    out.extend(chunks.iter().map(|chunk| byte(chunk)));
    out.extend(Some(rest).filter(|rest| !rest.is_empty()).map(byte));
}

/// The narrowest width that holds every value below or equal to `max`.
fn width(max: u64) -> u8 {
    match 64 - max.leading_zeros() {
        0 => 0,
        1 => 1,
        2 => 2,
        3 | 4 => 4,
        bits => (bits.div_ceil(8) * 8).to_le_bytes()[0],
    }
}

/// Reads a list of `count` numbers.
pub(crate) fn decode(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<u64>, Error> {
    let bits = cursor.u8()?;
    take_list(cursor, bits, count)
}

/// Reads a list of `count` numbers that must each fit 32 bits.
pub(crate) fn decode_u32(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<u32>, Error> {
    let bits = cursor.u8()?;
    if bits <= 32 {
        return take_list(cursor, bits, count);
    }
    let values: Vec<u64> = take_list(cursor, bits, count)?;
    values
        .into_iter()
        .map(|value| u32::try_from(value).map_err(|_| cursor.malformed("a number passes 32 bits")))
        .collect()
}

/// Reads numbers of that width, which the type has room for.
fn take_list<T>(cursor: &mut Cursor<'_>, bits: u8, count: usize) -> Result<Vec<T>, Error>
where
    T: Copy + From<u8> + Shl<u32, Output = T> + BitOrAssign,
{
    match bits {
        0 => Ok(vec![T::from(0); count]),
        1 | 2 | 4 => {
            let per_byte = usize::from(8 / bits);
            let packed = cursor.take(count.div_ceil(per_byte))?;
            let mask = (1u8 << bits) - 1;
            let mut values = vec![T::from(0); count];
            for (values, byte) in values.chunks_mut(per_byte).zip(packed) {
                let mut rest = *byte;
                for value in values {
                    *value = T::from(rest & mask);
                    rest >>= bits;
                }
            }
            Ok(values)
        }
        8 => Ok(cursor.take(count)?.iter().map(|byte| T::from(*byte)).collect()),
        16 | 24 | 32 | 40 | 48 | 56 | 64 => {
            let bytes =
                count.checked_mul(usize::from(bits / 8)).ok_or_else(|| cursor.malformed("a list is too long"))?;
            let planes = cursor.take(bytes)?;
            let mut values = vec![T::from(0); count];
            for (plane, shift) in planes.chunks(count.max(1)).zip((0u32..64).step_by(8)) {
                for (value, byte) in values.iter_mut().zip(plane) {
                    *value |= T::from(*byte) << shift;
                }
            }
            Ok(values)
        }
        other => Err(Error::Unknown { part: cursor.part(), what: "integer width", value: other.into() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_round_trip(values: Vec<u64>, shift in 0u32..64) {
            let values: Vec<u64> = values.into_iter().map(|value| value >> shift).collect();
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let mut cursor = Cursor::new("test", &bytes);
            prop_assert_eq!(decode(&mut cursor, values.len()), Ok(values));
            prop_assert_eq!(cursor.finish(), Ok(()));
        }
    }
}
