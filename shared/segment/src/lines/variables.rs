//! The values of one place in lines, as a column of the kind that makes them smallest.
//!
//! In: where they lie in the lines, and the times of their rows. Out: their bytes, in the parts of the lines column.

use super::Parts;
use super::clock;
use super::mine::Span;
use crate::interner::Interner;
use crate::wire::{put_varint, zigzag};
use crate::{dictionary, integers};

/// How values are kept. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One and the same value: only while writing, since it becomes part of literals.
    Constant,
    /// Distinct values, and a code for each.
    Dictionary,
    /// As they are.
    Text,
    /// As they are, and mostly digits: apart from text, so that each is compressed by its own statistics.
    Digits,
    /// Lowercase hex of one even length, as the bytes that it spells.
    Hex,
    /// Times, as their difference to the row's own.
    Time,
}

impl Kind {
    pub(super) fn number(self) -> u8 {
        match self {
            Kind::Constant => 0,
            Kind::Dictionary => 1,
            Kind::Text => 2,
            Kind::Digits => 3,
            Kind::Hex => 4,
            Kind::Time => 5,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Kind::Dictionary, Kind::Text, Kind::Digits, Kind::Hex, Kind::Time]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// Values are kept as a dictionary if each stands there this often.
const REPEATS_MIN: usize = 2;
/// What is shorter is no identifier.
const HEX_DIGITS_MIN: usize = 8;

/// Appends a column's values to the parts that they belong to.
pub(super) fn encode(lines: &str, values: &[Span], times: &[i64], parts: &mut Parts) -> Kind {
    let text = |span: &Span| lines.get(span.0 as usize..span.1 as usize).unwrap_or_default();
    if values.is_empty() {
        return Kind::Constant;
    }
    if let Some(forms) = all_times(values, times, text) {
        put_times(&forms, parts);
        return Kind::Time;
    }
    let distinct_max = values.len() / REPEATS_MIN;
    let mut distinct = Interner::default();
    let mut codes = Vec::with_capacity(values.len());
    for value in values {
        codes.push(distinct.intern(text(value)));
        if distinct.len() > distinct_max.max(1) {
            return put_distinct(lines, values, parts);
        }
    }
    if distinct.len() == 1 {
        return Kind::Constant;
    }
    put_varint(&mut parts.codes, distinct.len() as u64);
    integers::encode(&codes, &mut parts.codes);
    let lengths: Vec<u64> = distinct.lengths().map(|length| length as u64).collect();
    integers::encode(&lengths, &mut parts.codes);
    parts.text.extend_from_slice(distinct.text().as_bytes());
    Kind::Dictionary
}

/// Values of which most are new.
fn put_distinct(lines: &str, values: &[Span], parts: &mut Parts) -> Kind {
    let text = |span: &Span| lines.get(span.0 as usize..span.1 as usize).unwrap_or_default();
    let length = values.first().and_then(|first| hex_length(text(first)));
    if let Some(length) = length.filter(|length| values.iter().all(|value| hex_length(text(value)) == Some(*length))) {
        put_varint(&mut parts.codes, length as u64);
        values.iter().for_each(|value| dictionary::put_hex(text(value), &mut parts.hex));
        return Kind::Hex;
    }
    let lengths: Vec<u32> = values.iter().map(|value| value.1 - value.0).collect();
    integers::encode(&lengths, &mut parts.codes);
    let bytes: usize = lengths.iter().map(|length| *length as usize).sum();
    let digits: usize = values.iter().map(|v| text(v).bytes().filter(u8::is_ascii_digit).count()).sum();
    let (kind, part) =
        if digits * 3 >= bytes * 2 { (Kind::Digits, &mut parts.digits) } else { (Kind::Text, &mut parts.text) };
    values.iter().for_each(|value| part.extend_from_slice(text(value).as_bytes()));
    kind
}

/// The length of an identifier in lowercase hex.
fn hex_length(text: &str) -> Option<usize> {
    let is_digit = |byte: u8| byte.wrapping_sub(b'0') < 10 || byte.wrapping_sub(b'a') < 6;
    let fits = text.len() >= HEX_DIGITS_MIN && text.len().is_multiple_of(2) && text.bytes().all(is_digit);
    fits.then_some(text.len())
}

/// Form and difference of each value, if all of them are times.
fn all_times<'l>(values: &[Span], times: &[i64], text: impl Fn(&Span) -> &'l str) -> Option<Vec<(u8, u64)>> {
    let form = |(value, timestamp): (&Span, &i64)| {
        let (form, time) = clock::parse(text(value).as_bytes())?;
        Some((form.number(), zigzag(time.wrapping_sub(form.truncate(*timestamp)))))
    };
    if times.len() == values.len() { values.iter().zip(times).map(form).collect() } else { None }
}

fn put_times(times: &[(u8, u64)], parts: &mut Parts) {
    let forms: Vec<u32> = times.iter().map(|(form, _)| u32::from(*form)).collect();
    let differences: Vec<u64> = times.iter().map(|(_, difference)| *difference).collect();
    integers::encode(&forms, &mut parts.codes);
    integers::encode(&differences, &mut parts.codes);
}
