//! Reads protobuf messages in place and leaves nothing but ASCII between their texts.
//!
//! In: a body. Out: field after field, texts as places; at last the body itself. Whatever is no text loses its high bits once
//! it was read, so that the whole body is UTF-8 exactly if all its texts are, and can be kept as the one text of all of them.

use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use super::DecodeError;
use super::fields::{cut_off, refused, wrong_type};
use super::flat::Span;
use super::name_lists::NameLists;

/// Bytes of the longest number.
const VARINT_BYTES_MAX: usize = 10;

/// Wire types of nearly all fields.
const VARINT: u32 = WireType::Varint as u32;
const LENGTH_DELIMITED: u32 = WireType::LengthDelimited as u32;

/// The keys of a pair in an entry, and of its name and value.
const PAIR_KEY: u8 = 3 << 3 | 2;
const NAME_KEY: u8 = 1 << 3 | 2;
const VALUE_KEY: u8 = 2 << 3 | 2;

/// A place in a body.
pub(super) struct Cursor {
    bytes: Vec<u8>,
    at: usize,
}

/// A field's value. Whoever gets `Bytes` reads up to its end or leaves it.
#[derive(Clone, Copy)]
pub(super) enum Found {
    Number(u64),
    /// The cursor stands at the first of these bytes; here is where they end.
    Bytes(usize),
    Other,
}

/// A pair that takes less than 128 bytes.
pub(super) struct ShortPair {
    pub(super) name: Span,
    pub(super) value: Span,
    /// The name with what stands around it, up to the length of the value.
    pub(super) written: Span,
}

impl Found {
    pub(super) fn bytes_end(self) -> Result<usize, DecodeError> {
        match self {
            Found::Bytes(end) => Ok(end),
            _ => Err(wrong_type("bytes")),
        }
    }

    pub(super) fn number(self) -> Result<u64, DecodeError> {
        match self {
            Found::Number(number) => Ok(number),
            _ => Err(wrong_type("a number")),
        }
    }
}

impl Cursor {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Cursor { bytes, at: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether there is more of the message that ends here.
    pub(super) fn is_before(&self, end: usize) -> bool {
        self.at < end
    }

    /// Takes the field at the head of what is left up to `end`, which is something.
    #[inline(always)]
    pub(super) fn field(&mut self, end: usize) -> Result<(u32, Found), DecodeError> {
        let Some(&key @ 8..0x80) = self.bytes.get(self.at) else { return self.rare_field(end) };
        let found = match u32::from(key & 0b111) {
            LENGTH_DELIMITED => {
                self.at += 1;
                Found::Bytes(self.length(end)?)
            }
            VARINT => {
                self.at += 1;
                Found::Number(self.varint(end).ok_or_else(invalid_varint)?)
            }
            _ => return self.rare_field(end),
        };
        Ok((u32::from(key >> 3), found))
    }

    /// A field of a high number or of another type, or none at all.
    fn rare_field(&mut self, end: usize) -> Result<(u32, Found), DecodeError> {
        let mut rest = self.bytes.get(self.at..end).unwrap_or_default();
        let (number, wire_type) = decode_key(&mut rest).map_err(refused)?;
        let key_end = end - rest.len();
        let found = match wire_type {
            WireType::Varint | WireType::LengthDelimited => None,
            _ => {
                skip_field(wire_type, number, &mut rest, DecodeContext::default()).map_err(refused)?;
                Some(end - rest.len())
            }
        };
        self.blank(found.unwrap_or(key_end));
        let found = match wire_type {
            WireType::Varint => Found::Number(self.varint(end).ok_or_else(invalid_varint)?),
            WireType::LengthDelimited => Found::Bytes(self.length(end)?),
            _ => Found::Other,
        };
        Ok((number, found))
    }

    /// Reads a length; gives where the bytes end that have it.
    #[inline(always)]
    fn length(&mut self, end: usize) -> Result<usize, DecodeError> {
        let length = self.varint(end).ok_or_else(invalid_varint)?;
        let bytes_end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        bytes_end.filter(|bytes_end| *bytes_end <= end).ok_or_else(cut_off)
    }

    #[inline(always)]
    fn varint(&mut self, end: usize) -> Option<u64> {
        match self.bytes.get_mut(self.at..end)? {
            [byte @ 0..0x80, ..] => {
                self.at += 1;
                Some(u64::from(*byte))
            }
            [low, high @ 0..0x80, ..] => {
                *low &= 0x7f;
                self.at += 2;
                Some(u64::from(*high) << 7 | u64::from(*low))
            }
            _ => self.long_varint(end),
        }
    }

    fn long_varint(&mut self, end: usize) -> Option<u64> {
        let mut value = 0;
        for (place, byte) in self.bytes.get_mut(self.at..end)?.iter_mut().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(*byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.at += place + 1;
                // The last of ten has room for a single bit.
                return (place + 1 < VARINT_BYTES_MAX || *byte <= 1).then_some(value);
            }
            *byte &= 0x7f;
        }
        None
    }

    /// Takes the bytes up to `end` as text.
    pub(super) fn text(&mut self, end: usize) -> Span {
        let span = Span::new(self.at, end);
        self.at = end;
        span
    }

    /// Leaves a field that nobody wants.
    pub(super) fn leave(&mut self, found: Found) {
        if let Found::Bytes(end) = found {
            self.blank(end);
        }
    }

    fn blank(&mut self, end: usize) {
        self.bytes.get_mut(self.at..end).unwrap_or_default().fill(0);
        self.at = end;
    }

    /// Whether a pair of an entry is next.
    #[inline]
    pub(super) fn is_at_pair(&self) -> bool {
        self.bytes.get(self.at) == Some(&PAIR_KEY)
    }

    /// Takes the pair at the head of what is left of an entry if it is short, whole and in order, as nearly all are. Nothing
    /// between its texts has a high bit then.
    pub(super) fn short_pair(&mut self, end: usize) -> Option<ShortPair> {
        let rest = self.bytes.get(self.at..end)?;
        let (&[PAIR_KEY, length, NAME_KEY, name_length], texts) = rest.split_first_chunk::<4>()? else { return None };
        let (_, behind) = texts.split_at_checked(usize::from(name_length))?;
        let (&[VALUE_KEY, value_length], values) = behind.split_first_chunk::<2>()? else { return None };
        let (name_length, value_length) = (usize::from(name_length), usize::from(value_length));
        let is_whole = usize::from(length) == 4 + name_length + value_length && length < 0x80;
        if !is_whole || value_length > values.len() {
            return None;
        }
        let name = self.at + 4;
        let value = name + name_length + 2;
        self.at = value + value_length;
        Some(ShortPair {
            name: Span::new(name, name + name_length),
            value: Span::new(value, self.at),
            written: Span::new(name - 2, value - 1),
        })
    }

    /// Takes pairs at the head of what is left of an entry as long as each is short and its name written as that of the list that
    /// most likely follows. Gives the list that it came to, and adds the values.
    #[inline]
    pub(super) fn likely_pairs(
        &mut self,
        end: usize,
        names: &NameLists,
        mut list: u32,
        values: &mut Vec<Span>,
    ) -> Option<u32> {
        let mut rest = self.bytes.get(self.at..end)?;
        while let Some((longer, written)) = names.likely(list)
            && let Some((&[PAIR_KEY, length], behind)) = rest.split_first_chunk::<2>()
            && let Some((name, behind)) = behind.split_at_checked(written.len())
            && let Some((&value_length, behind)) = behind.split_first()
            && let Some((value, behind)) = behind.split_at_checked(usize::from(value_length))
            && usize::from(length) == name.len() + 1 + value.len()
            && length < 0x80
            && name == written.of_bytes(&self.bytes)
        {
            let value_end = end - behind.len();
            values.push(Span::new(value_end - value.len(), value_end));
            (list, rest) = (longer, behind);
        }
        self.at = end - rest.len();
        Some(list)
    }
}

#[cold]
fn invalid_varint() -> DecodeError {
    DecodeError::Protobuf("failed to decode Protobuf message: invalid varint".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::encoding::decode_varint;

    #[test]
    fn numbers_are_prosts() {
        let check = |bytes: &[u8]| {
            let mut rest = bytes;
            let want = decode_varint(&mut rest).map_err(refused);
            let mut cursor = Cursor::new(bytes.to_vec());
            assert_eq!(cursor.varint(bytes.len()).ok_or_else(invalid_varint), want, "{bytes:?}");
            if want.is_ok() {
                assert_eq!(cursor.at, bytes.len() - rest.len(), "{bytes:?}");
                assert!(cursor.bytes[..cursor.at].is_ascii(), "{bytes:?}");
            }
        };
        for value in [0, 1, 127, 128, 300, 1 << 31, u64::MAX >> 1, u64::MAX] {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(value, &mut bytes);
            check(&bytes);
            check(&bytes[..bytes.len() - 1]);
            bytes.push(0x85);
            check(&bytes);
        }
        check(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
        check(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }
}
