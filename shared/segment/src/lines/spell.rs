//! Spells lines out.
//!
//! In: a [`Templated`] block. Out: its lines, one behind the other. Values of all kinds become places in one buffer first, so that what is done a
//! value is always the same: to copy it. What is copied is mostly short, so 32 bytes are copied whatever the length is; the next copy overwrites
//! what was too much.

use super::clock::{Day, SPELLED_BYTES_MAX, spell};
use super::templated::{Place, Templated, Values, malformed};
use crate::Error;

const TOO_LONG: Error = malformed("the lines are longer than promised");

/// What a time takes in the buffer, its room and not its length.
const ROOM: u32 = 32;
const _: () = assert!(ROOM as usize == SPELLED_BYTES_MAX);

/// Bytes that are copied at once.
pub(super) const STRIDE: usize = 32;

/// The values of all columns as places in a buffer.
pub(super) struct Spelled {
    pub(super) bytes: Vec<u8>,
    pub(super) places: Vec<Place>,
    /// Where the places of each column begin.
    pub(super) firsts: Vec<usize>,
}

impl Templated {
    /// All values as text.
    pub(super) fn spell_values(&self) -> Result<Spelled, Error> {
        let spelled = |column: &Values| match column {
            Values::Hex { bytes, .. } => bytes.len() * 2,
            Values::Time { times, .. } => times.len() * SPELLED_BYTES_MAX,
            Values::Dictionary { .. } | Values::Text { .. } => 0,
        };
        let mut bytes = Vec::with_capacity(self.raw.len() + self.columns.iter().map(spelled).sum::<usize>() + STRIDE);
        bytes.extend_from_slice(&self.raw);
        let mut places = Vec::with_capacity(self.counts.iter().sum());
        let mut firsts = Vec::with_capacity(self.columns.len());
        let mut day = Day::default();
        for column in &self.columns {
            firsts.push(places.len());
            match column {
                Values::Dictionary { codes, places: values } => {
                    places.extend(codes.iter().map(|code| values.get(*code as usize).copied().unwrap_or_default()));
                }
                Values::Text { range, lengths } => {
                    let mut at = u32::try_from(range.start).map_err(|_| malformed("values are too long"))?;
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
                    let from = bytes.len();
                    let end = from + times.len() * SPELLED_BYTES_MAX;
                    let mut at = u32::try_from(from).map_err(|_| malformed("times are too long"))?;
                    u32::try_from(end).map_err(|_| malformed("times are too long"))?;
                    bytes.resize(end, 0);
                    let (rooms, _) = bytes.get_mut(from..).unwrap_or_default().as_chunks_mut::<SPELLED_BYTES_MAX>();
                    places.extend(forms.iter().zip(times).zip(rooms).map(|((form, time), room)| {
                        let length = spell(*form, *time, &mut day, room);
                        let place = (at, u32::try_from(length).unwrap_or_default());
                        at = at.wrapping_add(ROOM);
                        place
                    }));
                }
            }
        }
        bytes.resize(bytes.len() + STRIDE, 0);
        Ok(Spelled { bytes, places, firsts })
    }

    /// All lines, one behind the other, into memory that is used again; what it held is gone, after an error too.
    pub fn spell_into(&self, lines: &mut String) -> Result<(), Error> {
        let mut bytes = std::mem::take(lines).into_bytes();
        self.spell(&mut bytes)?;
        *lines = String::from_utf8(bytes).map_err(|_| malformed("text is not UTF-8"))?;
        Ok(())
    }

    fn spell(&self, lines: &mut Vec<u8>) -> Result<(), Error> {
        let Spelled { bytes, places, mut firsts } = self.spell_values()?;
        lines.resize(self.line_bytes + STRIDE, 0);
        let mut at = 0;
        for code in &self.codes {
            at = self.spell_row(*code, &bytes, &places, &mut firsts, lines, at)?;
        }
        if at != self.line_bytes {
            return Err(malformed("the lines are not as long as promised"));
        }
        lines.truncate(at);
        Ok(())
    }
}

impl Templated {
    /// Spells one line at `at` and gives where it ends. The values at `next` are its own, and are used up.
    #[inline(always)]
    pub(super) fn spell_row(
        &self,
        code: u32,
        bytes: &[u8],
        places: &[Place],
        next: &mut [usize],
        lines: &mut [u8],
        mut at: usize,
    ) -> Result<usize, Error> {
        let Some(template) = self.templates.get(code as usize) else { return Ok(at) };
        for piece in self.pieces.get(template.pieces.clone()).unwrap_or_default() {
            at = copy(bytes, piece.literal, lines, at)?;
            let Some(next) = next.get_mut(piece.column as usize) else { continue };
            let value = places.get(*next).copied().unwrap_or_default();
            *next += 1;
            at = copy(bytes, value, lines, at)?;
        }
        copy(bytes, template.tail, lines, at)
    }
}

/// Copies some bytes and gives where they end.
#[inline(always)]
fn copy(from: &[u8], (start, length): Place, to: &mut [u8], at: usize) -> Result<usize, Error> {
    let (start, length) = (start as usize, length as usize);
    if length > STRIDE {
        return copy_long(from.get(start..start + length), to, at);
    }
    let source = from.get(start..).and_then(|from| from.first_chunk::<STRIDE>());
    let target = to.get_mut(at..).and_then(|to| to.first_chunk_mut::<STRIDE>());
    let (Some(source), Some(target)) = (source, target) else { return Err(TOO_LONG) };
    *target = *source;
    Ok(at + length)
}

fn copy_long(from: Option<&[u8]>, to: &mut [u8], at: usize) -> Result<usize, Error> {
    let Some(source) = from else { return Err(TOO_LONG) };
    let target = to.get_mut(at..at + source.len()).ok_or(TOO_LONG)?;
    target.copy_from_slice(source);
    Ok(at + source.len())
}

/// Appends what some of the bytes spell in lowercase hex.
fn spell_hex(bytes: &mut Vec<u8>, range: std::ops::Range<usize>) {
    let from = bytes.len();
    bytes.resize(from + range.len() * 2, 0);
    let (raw, spelled) = bytes.split_at_mut(from);
    let raw = raw.get(range).unwrap_or_default();
    let (words, rest) = raw.as_chunks::<4>();
    let (wide, narrow) = spelled.split_at_mut(words.len() * 8);
    let (wide, _) = wide.as_chunks_mut::<8>();
    for (digits, bytes) in wide.iter_mut().zip(words) {
        *digits = hex_digits(*bytes);
    }
    let (pairs, _) = narrow.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(rest) {
        let [high, low, ..] = hex_digits([*byte, 0, 0, 0]);
        *pair = [high, low];
    }
}

/// The digits of four bytes at once, a digit in each byte of a word.
#[inline(always)]
fn hex_digits(bytes: [u8; 4]) -> [u8; 8] {
    let mut word = u64::from(u32::from_le_bytes(bytes));
    word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (word >> 4 | word << 8) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - 10 - b'0')).to_le_bytes()
}
