//! Structured metadata: one dictionary column a name.
//!
//! A column is the list of distinct values in the order of their first appearance, and a code a row: 0 where the row has
//! no such name, else the value's number from 1. Values that all look like lowercase hex ids of one length are stored as
//! the bytes they spell. Where most values are new (ids), codes are written by recency, so that "the next new value" is
//! the same small number each time.

use crate::column::{ColumnKind, ColumnMeta};
use crate::interner::Interner;
use crate::wire::{Cursor, put_varint};
use crate::{Error, integers};

/// A decoded metadata column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dictionary {
    /// The distinct values, in the order of their first appearance.
    pub values: Vec<String>,
    /// One a row: 0 if the row has no such name, else `values[code - 1]`.
    pub codes: Vec<u32>,
}

impl Dictionary {
    /// The value of a row, if it has one.
    pub fn get(&self, row: usize) -> Option<&str> {
        let code = self.codes.get(row)?.checked_sub(1)?;
        self.values.get(code as usize).map(String::as_str)
    }
}

/// Values as text, codes as they are.
pub(crate) const TEXT: u8 = 1;
/// Values as text, codes by recency.
pub(crate) const TEXT_RECENT: u8 = 2;
/// Values as bytes spelled in hex, codes as they are.
pub(crate) const HEX: u8 = 3;
/// Values as bytes spelled in hex, codes by recency.
pub(crate) const HEX_RECENT: u8 = 4;

/// Appends `| codes: integers | values |` for `rows` rows and returns the encoding.
pub(crate) fn encode(values: &Interner, codes: &[u32], out: &mut Vec<u8>) -> u8 {
    let present = || codes.iter().map(|code| u32::from(*code != 0)).sum::<u32>() as usize;
    let recent = values.len() > 1 && values.len() * 2 > present();
    if recent {
        integers::encode(&to_recency(codes), out);
    } else {
        integers::encode(codes, out);
    }
    match (hex_length(values), recent) {
        (Some(length), recent) => {
            put_varint(out, length as u64);
            put_hex(values.text(), out);
            if recent { HEX_RECENT } else { HEX }
        }
        (None, recent) => {
            let lengths: Vec<u64> = values.lengths().map(|length| length as u64).collect();
            integers::encode(&lengths, out);
            out.extend_from_slice(values.text().as_bytes());
            if recent { TEXT_RECENT } else { TEXT }
        }
    }
}

/// 0 absent, 1 the next value not seen before, 2 the newest one again, 3 the one before it, ….
fn to_recency(codes: &[u32]) -> Vec<u32> {
    let mut newest = 0;
    let mut recency = |code: u32| match code {
        0 => 0,
        code if code > newest => {
            newest = code;
            1
        }
        code => newest - code + 2,
    };
    codes.iter().map(|code| recency(*code)).collect()
}

/// The inverse of [`to_recency`]; nothing if a number reaches before the first value.
fn from_recency(recencies: &[u32]) -> Option<Vec<u32>> {
    let mut newest = 0u32;
    let mut code = |recency: u32| match recency {
        0 => Some(0),
        1 => {
            newest = newest.checked_add(1)?;
            Some(newest)
        }
        recency => newest.checked_sub(recency - 2).filter(|code| *code != 0),
    };
    recencies.iter().map(|recency| code(*recency)).collect()
}

/// The length of all values, if it is the same even number and every byte is a lowercase hex digit.
fn hex_length(values: &Interner) -> Option<usize> {
    let length = values.lengths().next().filter(|length| *length > 0 && length.is_multiple_of(2))?;
    let is_digit = |byte: u8| byte.wrapping_sub(b'0') < 10 || byte.wrapping_sub(b'a') < 6;
    // All bytes of a piece at once: most columns that are not hex show it early.
    let digits = |piece: &[u8]| piece.iter().fold(true, |all, byte| all & is_digit(*byte));
    (values.lengths().all(|other| other == length) && values.text().as_bytes().chunks(64).all(digits)).then_some(length)
}

/// Appends the bytes that digits spell.
pub(crate) fn put_hex(digits: &str, out: &mut Vec<u8>) {
    let nibble = |digit: u8| (digit & 15) + 9 * (digit >> 6);
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    out.extend(pairs.iter().map(|[high, low]| (nibble(*high) << 4) | nibble(*low)));
}

/// Spells bytes in lowercase hex.
fn spell_hex(bytes: &[u8]) -> String {
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    let mut digits = Vec::with_capacity(2 * bytes.len());
    bytes.iter().for_each(|byte| digits.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]));
    String::from_utf8(digits).expect("hex digits are ASCII")
}

/// The values and codes of a metadata column.
pub fn decode_metadata(column: &ColumnMeta, stored: &[u8]) -> Result<Dictionary, Error> {
    let part = column.kind.part();
    if !matches!(column.kind, ColumnKind::Metadata(_)) {
        return Err(Error::Malformed { part, why: "it holds no metadata" });
    }
    let (hex, recent) = match column.encoding {
        TEXT => (false, false),
        TEXT_RECENT => (false, true),
        HEX => (true, false),
        HEX_RECENT => (true, true),
        _ => return Err(column.unknown_encoding()),
    };
    let raw = column.open(stored)?;
    let mut cursor = Cursor::new(part, &raw);
    let mut codes = integers::decode_u32(&mut cursor, column.row_count())?;
    if recent {
        codes = from_recency(&codes).ok_or_else(|| cursor.malformed("a code reaches before the first value"))?;
    }
    if codes.iter().any(|code| *code > column.values) {
        return Err(cursor.malformed("a code has no value"));
    }
    let count = column.values as usize;
    let values = if hex { take_hex(&mut cursor, count)? } else { take_text(&mut cursor, count)? };
    cursor.finish()?;
    Ok(Dictionary { values, codes })
}

fn take_hex(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<String>, Error> {
    let length = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX) / 2;
    if length == 0 {
        return Err(cursor.malformed("ids have no length"));
    }
    (0..count).map(|_| cursor.take(length).map(spell_hex)).collect()
}

fn take_text(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<String>, Error> {
    let lengths = integers::decode_u32(cursor, count)?;
    let text = std::str::from_utf8(cursor.take_rest()).map_err(|_| cursor.malformed("text is not UTF-8"))?;
    let mut rest = text;
    let mut values = Vec::with_capacity(count);
    for length in lengths {
        let (value, after) =
            rest.split_at_checked(length as usize).ok_or_else(|| cursor.malformed("values end too early"))?;
        values.push(value.to_owned());
        rest = after;
    }
    if rest.is_empty() { Ok(values) } else { Err(cursor.malformed("values end too late")) }
}
