//! Numbers on the wire: LEB128 varints, zigzag, little-endian words, and a cursor that never reads past its end.
//!
//! In: bytes from outside. Out: numbers and slices, or an [`Error`] that names the part. Never allocates.

use crate::Error;

/// Appends a varint: seven bits a byte, low bits first, the top bit set on all but the last.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends a signed number as a zigzag varint.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Small magnitudes become small unsigned numbers: 0, -1, 1, -2, ….
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Reads one part from front to back.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    part: &'static str,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(part: &'static str, bytes: &'a [u8]) -> Self {
        Cursor { part, rest: bytes }
    }

    pub(crate) fn part(&self) -> &'static str {
        self.part
    }

    pub(crate) fn malformed(&self, why: &'static str) -> Error {
        Error::Malformed { part: self.part, why }
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(Error::Truncated { part: self.part, need: count as u64, have: self.rest.len() as u64 });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// All bytes that are left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(Error::Truncated { part: self.part, need: N as u64, have: self.rest.len() as u64 });
        };
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed("a varint passes 64 bits"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Error> {
        Ok(unzigzag(self.varint()?))
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32, Error> {
        u32::try_from(self.varint()?).map_err(|_| self.malformed("a number passes 32 bits"))
    }

    /// A length in bytes of something that follows in this part.
    pub(crate) fn length(&mut self) -> Result<usize, Error> {
        let value = self.varint()?;
        let have = self.rest.len() as u64;
        match usize::try_from(value) {
            Ok(length) if value <= have => Ok(length),
            _ => Err(Error::Truncated { part: self.part, need: value, have }),
        }
    }

    /// A number of records that follow, each of at least `bytes_min` bytes, so that it bounds what may be allocated.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize, Error> {
        let value = self.varint()?;
        let have = self.rest.len() as u64;
        let need = value.saturating_mul(bytes_min as u64);
        match usize::try_from(value) {
            Ok(count) if need <= have => Ok(count),
            _ => Err(Error::Truncated { part: self.part, need, have }),
        }
    }

    /// A length-prefixed string.
    pub(crate) fn string(&mut self) -> Result<&'a str, Error> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("text is not UTF-8"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything must have been read.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_round_trip(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_signed(&mut out, signed);
            let mut cursor = Cursor::new("test", &out);
            prop_assert_eq!(cursor.varint(), Ok(value));
            prop_assert_eq!(cursor.signed(), Ok(signed));
            prop_assert_eq!(cursor.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut cursor = Cursor::new("test", &bytes);
            while cursor.varint().is_ok() {}
            let _ = Cursor::new("test", &bytes).string();
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 2;
        assert_eq!(
            Cursor::new("test", &bytes).varint(),
            Err(Error::Malformed { part: "test", why: "a varint passes 64 bits" })
        );
        bytes[9] = 1;
        assert_eq!(Cursor::new("test", &bytes).varint(), Ok(u64::MAX));
    }
}
