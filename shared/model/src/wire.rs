//! Numbers and texts as bytes, for what processes of one deployment tell each other.
//!
//! In: values. Out: bytes, and the values back or an error; never a panic, and never more memory than the bytes can stand for.
//! Whole numbers are LEB128 (signed ones zigzag first), floats 8 bytes, texts their length and UTF-8. What is written here has no
//! version of its own: whoever sends it puts one in front.

use crate::Labels;

/// Bytes that are not what was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub &'static str);

/// Collects bytes.
#[derive(Debug, Default)]
pub struct WireWriter(Vec<u8>);

impl WireWriter {
    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    /// A number that is not negative.
    pub fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// How many of something follow, or which of several is meant.
    pub fn count(&mut self, value: usize) {
        self.unsigned(value as u64);
    }

    /// Any whole number.
    pub fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// A float, to the bit.
    pub fn float(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// A text.
    pub fn text(&mut self, value: &str) {
        self.count(value.len());
        self.0.extend_from_slice(value.as_bytes());
    }

    /// A set of labels.
    pub fn labels(&mut self, labels: &Labels) {
        self.count(labels.len());
        for (name, value) in labels.iter() {
            self.text(name);
            self.text(value);
        }
    }

    /// How many bytes there are so far.
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what a [`WireWriter`] wrote.
#[derive(Debug)]
pub struct WireReader<'a> {
    rest: &'a [u8],
}

impl<'a> WireReader<'a> {
    /// From the beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        WireReader { rest: bytes }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError("the message ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, WireError> {
        self.take(1).map(|taken| taken.first().copied().unwrap_or_default())
    }

    /// A number that is not negative.
    pub fn unsigned(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError("a number is too large"))
    }

    /// A number that says where or which; what is at hand has to bound it.
    pub fn index(&mut self) -> Result<usize, WireError> {
        usize::try_from(self.unsigned()?).map_err(|_| WireError("a number is too large"))
    }

    /// How many of something follow, each of which takes at least `least_bytes`.
    pub fn count(&mut self, least_bytes: usize) -> Result<usize, WireError> {
        let count = self.index()?;
        match count.checked_mul(least_bytes.max(1)) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(WireError("more is announced than there is")),
        }
    }

    /// Any whole number.
    pub fn signed(&mut self) -> Result<i64, WireError> {
        let coded = self.unsigned()?;
        Ok((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
    }

    /// A float, to the bit.
    pub fn float(&mut self) -> Result<f64, WireError> {
        let bytes = self.take(8)?.try_into().map_err(|_| WireError("the message ends too early"))?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    /// A text.
    pub fn text(&mut self) -> Result<&'a str, WireError> {
        let length = self.count(1)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| WireError("a text is not UTF-8"))
    }

    /// A set of labels.
    pub fn labels(&mut self) -> Result<Labels, WireError> {
        let count = self.count(2)?;
        let pairs: Result<Vec<_>, WireError> = (0..count).map(|_| Ok((self.text()?, self.text()?))).collect();
        Ok(Labels::from_pairs(pairs?))
    }

    /// That nothing follows.
    pub fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError("the message goes on after its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (unsigned, signed) = ([0, 1, 127, 128, 1 << 35, u64::MAX], [0, -1, 1, 63, -64, i64::MIN, i64::MAX]);
        let floats = [0.0, -0.0, 1.5, f64::NAN, f64::INFINITY];
        let labels = Labels::from_pairs([("a", "é"), ("b", "")]);
        let mut out = WireWriter::default();
        unsigned.iter().for_each(|value| out.unsigned(*value));
        signed.iter().for_each(|value| out.signed(*value));
        floats.iter().for_each(|value| out.float(*value));
        out.labels(&labels);
        out.byte(7);
        let bytes = out.into_bytes();
        let mut input = WireReader::new(&bytes);
        assert!(unsigned.iter().all(|value| input.unsigned() == Ok(*value)));
        assert!(signed.iter().all(|value| input.signed() == Ok(*value)));
        assert!(floats.iter().all(|value| input.float().expect("a float").to_bits() == value.to_bits()));
        assert_eq!(
            (input.labels(), input.end().is_err(), input.byte(), input.end()),
            (Ok(labels), true, Ok(7), Ok(()))
        );
    }

    #[test]
    fn nonsense_is_an_error() {
        let check = |bytes: &[u8]| {
            let mut input = WireReader::new(bytes);
            assert!(input.labels().and_then(|_| input.end()).is_err(), "{bytes:?}");
        };
        check(&[]);
        check(&[1, 1, b'a']);
        check(&[1, 1, 0xff, 0]);
        check(&[0, 0]);
        // A count of which the rest could not hold a thousandth.
        check(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1]);
        assert!(WireReader::new(&[0xff; 10]).unsigned().is_err());
        assert!(WireReader::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]).unsigned().is_err());
    }
}
