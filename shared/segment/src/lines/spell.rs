//! Spells lines out.
//!
//! In: a [`Templated`] block. Out: its lines, one behind the other. Values of all kinds become places in one buffer first, so that what is done a
//! value is always the same: to copy it. What is copied is mostly short, so 32 bytes are copied whatever the length is; the next copy overwrites
//! what was too much.

use super::clock::{Day, SPELLED_BYTES_MAX, spell};
use super::templated::{Place, Templated, Values, malformed};
use crate::Error;

/// Bytes that are copied at once.
const STRIDE: usize = 32;

/// The values of all columns as places in a buffer.
pub(super) struct Spelled {
    pub(super) bytes: Vec<u8>,
    pub(super) places: Vec<Place>,
    /// Where the places of each column begin.
    pub(super) firsts: Vec<usize>,
}

impl Templated {
    /// All values as text.
    pub(super) fn spell_values(&mut self) -> Result<Spelled, Error> {
        let mut bytes = std::mem::take(&mut self.raw);
        let mut places = Vec::with_capacity(self.counts.iter().sum());
        let mut firsts = Vec::with_capacity(self.columns.len());
        let mut day = Day::default();
        for column in &self.columns {
            firsts.push(places.len());
            match column {
                Values::Dictionary { codes, places: values } => {
                    places.extend(codes.iter().map(|code| values.get(*code as usize).copied().unwrap_or_default()));
                }
                Values::Text { start, lengths } => {
                    let mut at = *start;
                    places.extend(lengths.iter().map(|length| {
                        let place = (at, *length);
                        at = at.wrapping_add(*length);
                        place
                    }));
                }
                Values::Hex { bytes: range, value_bytes } => {
                    let length = u32::try_from(value_bytes * 2).map_err(|_| malformed("an identifier is too long"))?;
                    let count = range.len().checked_div(*value_bytes).unwrap_or_default();
                    let mut at = u32::try_from(bytes.len()).map_err(|_| malformed("identifiers are too long"))?;
                    spell_hex(&mut bytes, range.clone());
                    places.extend((0..count).map(|_| {
                        let place = (at, length);
                        at = at.wrapping_add(length);
                        place
                    }));
                }
                Values::Time { forms, times } => {
                    bytes.reserve(times.len() * SPELLED_BYTES_MAX);
                    for (form, time) in forms.iter().zip(times) {
                        let at = bytes.len();
                        spell(*form, *time, &mut day, &mut bytes);
                        let place = (u32::try_from(at), u32::try_from(bytes.len() - at));
                        let (Ok(at), Ok(length)) = place else { return Err(malformed("times are too long")) };
                        places.push((at, length));
                    }
                }
            }
        }
        bytes.resize(bytes.len() + STRIDE, 0);
        Ok(Spelled { bytes, places, firsts })
    }

    /// All lines, one behind the other. `lines` is memory that is used again.
    pub(crate) fn spell(mut self, lines: &mut Vec<u8>) -> Result<(), Error> {
        let Spelled { bytes, places, mut firsts } = self.spell_values()?;
        lines.resize(self.line_bytes + STRIDE, 0);
        let mut at = 0;
        for code in &self.codes {
            let Some(template) = self.templates.get(*code as usize) else { continue };
            for piece in self.pieces.get(template.pieces.clone()).unwrap_or_default() {
                at = copy(&bytes, piece.literal, lines, at)?;
                let Some(next) = firsts.get_mut(piece.column as usize) else { continue };
                let value = places.get(*next).copied().unwrap_or_default();
                *next += 1;
                at = copy(&bytes, value, lines, at)?;
            }
            at = copy(&bytes, template.tail, lines, at)?;
        }
        if at != self.line_bytes {
            return Err(malformed("the lines are not as long as promised"));
        }
        lines.truncate(at);
        Ok(())
    }
}

/// Copies some bytes and gives where they end.
#[inline(always)]
fn copy(from: &[u8], (start, length): Place, to: &mut [u8], at: usize) -> Result<usize, Error> {
    let too_long = malformed("the lines are longer than promised");
    let (start, length) = (start as usize, length as usize);
    if length <= STRIDE {
        let source = from.get(start..).and_then(|from| from.first_chunk::<STRIDE>());
        let target = to.get_mut(at..).and_then(|to| to.first_chunk_mut::<STRIDE>());
        let (Some(source), Some(target)) = (source, target) else { return Err(too_long) };
        *target = *source;
    } else {
        let (Some(source), Some(target)) = (from.get(start..start + length), to.get_mut(at..at + length)) else {
            return Err(too_long);
        };
        target.copy_from_slice(source);
    }
    Ok(at + length)
}

/// Appends what some of the bytes spell in lowercase hex.
fn spell_hex(bytes: &mut Vec<u8>, range: std::ops::Range<usize>) {
    let from = bytes.len();
    bytes.resize(from + range.len() * 2, 0);
    let (raw, spelled) = bytes.split_at_mut(from);
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    let (pairs, _) = spelled.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(raw.get(range).unwrap_or_default()) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
}
