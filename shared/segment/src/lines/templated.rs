//! Opens a lines column of templates: everything is checked and nothing is spelled yet.
//!
//! In: the raw bytes, how many rows they are of, and the times of these. Out: [`Templated`]. What is allocated is bounded by the number of rows and
//! by [`HOLES_MAX`], and no length is trusted that was not compared with the bytes that are there.

use std::ops::Range;

use super::clock::Form;
use super::variables::Kind;
use super::{COLUMNS_MAX, HOLES_MAX, PARTS, TEMPLATES_MAX};
use crate::layout::COLUMN_BYTES_MAX;
use crate::wire::{Cursor, unzigzag};
use crate::{Error, integers};

pub(super) const PART: &str = "lines column";

/// A place in the raw bytes: start and length.
pub(super) type Place = (u32, u32);

/// A literal and the column of the value that follows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) literal: Place,
    pub(super) literal_number: u32,
    pub(super) column: u32,
}

/// A kind of line.
#[derive(Debug)]
pub(super) struct Template {
    /// Its part of all pieces.
    pub(super) pieces: Range<usize>,
    /// What stands behind the last value.
    pub(super) tail: Place,
    pub(super) tail_number: u32,
}

/// The values of a column, one for each time that it stands in a template of a row.
#[derive(Debug)]
pub(super) enum Values {
    Dictionary { codes: Vec<u32>, places: Vec<Place> },
    Text { range: Range<usize>, lengths: Vec<u32> },
    Hex { bytes: Range<usize>, value_bytes: usize },
    Time { forms: Vec<Form>, times: Vec<i64> },
}

/// The lines of a block by template.
#[derive(Debug)]
pub struct Templated {
    pub(super) raw: Vec<u8>,
    /// The bytes of all lines.
    pub(super) line_bytes: usize,
    /// All literals, one behind the other.
    pub(super) literals: Vec<Place>,
    pub(super) pieces: Vec<Piece>,
    pub(super) templates: Vec<Template>,
    /// The template of each row.
    pub(super) codes: Vec<u32>,
    pub(super) columns: Vec<Values>,
    /// How many values each column has.
    pub(super) counts: Vec<usize>,
}

pub(super) const fn malformed(why: &'static str) -> Error {
    Error::Malformed { part: PART, why }
}

/// The parts of the raw bytes.
struct Opened<'a> {
    head: Cursor<'a>,
    codes_of_rows: Cursor<'a>,
    codes: Cursor<'a>,
    /// Where text, digits and hex begin and end.
    bytes: [Range<usize>; 3],
}

fn open(raw: &[u8]) -> Result<Opened<'_>, Error> {
    let mut cursor = Cursor::new(PART, raw);
    let mut lengths = [0; PARTS];
    for length in &mut lengths {
        *length = cursor.length()?;
    }
    let [head, codes_of_rows, codes, text, digits, hex] = lengths;
    let mut take = |length| cursor.take(length).map(|part| Cursor::new(PART, part));
    let (head, codes_of_rows, codes) = (take(head)?, take(codes_of_rows)?, take(codes)?);
    for length in [text, digits, hex] {
        take(length)?;
    }
    cursor.finish()?;
    let (hex_start, digits_start) = (raw.len() - hex, raw.len() - hex - digits);
    let bytes = [digits_start - text..digits_start, digits_start..hex_start, hex_start..raw.len()];
    Ok(Opened { head, codes_of_rows, codes, bytes })
}

impl Templated {
    /// How many templates and columns of values there are.
    pub fn sizes(&self) -> (usize, usize) {
        (self.templates.len(), self.columns.len())
    }

    /// Reads what the writer wrote for `timestamps.len()` rows.
    pub(crate) fn open(raw: Vec<u8>, timestamps: &[i64]) -> Result<Self, Error> {
        let Opened { mut head, mut codes_of_rows, codes, bytes } = open(&raw)?;
        let line_bytes = head.varint()?;
        if line_bytes > COLUMN_BYTES_MAX {
            return Err(Error::Limit { part: PART, value: line_bytes, limit: COLUMN_BYTES_MAX });
        }
        let line_bytes = usize::try_from(line_bytes).unwrap_or(usize::MAX);
        let head = Head::take(&mut head, &raw)?;
        let rows = integers::decode_u32(&mut codes_of_rows, timestamps.len())?;
        codes_of_rows.finish()?;
        let times = head.times(&rows, timestamps)?;
        let (columns, counts) = take_columns(&head, codes, bytes, times)?;
        let Head { literals, pieces, templates, .. } = head;
        Ok(Templated { line_bytes, literals, pieces, templates, codes: rows, columns, counts, raw })
    }
}

/// What a number of a list is as a length or place.
fn small(value: u64, max: usize, why: &'static str) -> Result<usize, Error> {
    usize::try_from(value).ok().filter(|value| *value <= max).ok_or(malformed(why))
}

/// The templates and the kinds of the columns.
struct Head {
    kinds: Vec<Kind>,
    literals: Vec<Place>,
    pieces: Vec<Piece>,
    templates: Vec<Template>,
}

impl Head {
    fn take(head: &mut Cursor<'_>, raw: &[u8]) -> Result<Self, Error> {
        // Each template brings at most so many literals as it has pieces, each a byte or less: the bytes bound them.
        let literals = small(head.varint()?, raw.len(), "there are more literals than bytes")?;
        let templates = small(head.varint()?, TEMPLATES_MAX, "there are too many templates")?;
        let columns = small(head.varint()?, COLUMNS_MAX, "there are too many columns")?;
        let lengths = integers::decode_u32(head, literals)?;
        let holes = integers::decode_u32(head, templates)?;
        let holes_all = holes.iter().map(|holes| u64::from(*holes)).sum();
        let holes_all = small(holes_all, HOLES_MAX, "templates have too many values")?;
        let literal_numbers = integers::decode_u32(head, holes_all + templates)?;
        let column_numbers = integers::decode_u32(head, holes_all)?;
        if column_numbers.iter().any(|column| *column as usize >= columns) {
            return Err(malformed("a value has no column"));
        }
        let kind = |number: &u8| Kind::from_number(*number).ok_or(malformed("a column is of no known kind"));
        let kinds = head.take(columns)?.iter().map(kind).collect::<Result<_, _>>()?;
        let text = head.take_rest();
        // The literals end the head, and the cursor does not say where that is.
        let start = text.as_ptr().addr() - raw.as_ptr().addr();
        let literals = places(start, &lengths, start + text.len())?;
        let mut numbers = literal_numbers.into_iter();
        let mut literal = || {
            let number = numbers.next().unwrap_or(u32::MAX);
            let place = literals.get(number as usize).ok_or(malformed("a literal is missing"))?;
            Ok::<_, Error>((*place, number))
        };
        let mut pieces = Vec::with_capacity(holes_all);
        let mut made = Vec::with_capacity(templates);
        let mut column_numbers = column_numbers.iter();
        for holes in holes {
            let first = pieces.len();
            for column in column_numbers.by_ref().take(holes as usize) {
                let (literal, literal_number) = literal()?;
                pieces.push(Piece { literal, literal_number, column: *column });
            }
            let (tail, tail_number) = literal()?;
            made.push(Template { pieces: first..pieces.len(), tail, tail_number });
        }
        Ok(Head { kinds, literals, pieces, templates: made })
    }

    /// For each column how many values it has, and the times of their rows if it is of times.
    fn times(&self, rows: &[u32], timestamps: &[i64]) -> Result<Vec<(usize, Vec<i64>)>, Error> {
        let mut rows_of = vec![0usize; self.templates.len()];
        for code in rows {
            *rows_of.get_mut(*code as usize).ok_or(malformed("a row has no template"))? += 1;
        }
        let mut times: Vec<(usize, Vec<i64>)> = self.kinds.iter().map(|_| (0, Vec::new())).collect();
        // Most templates have one time.
        let mut times_of: Vec<Vec<u32>> = vec![Vec::new(); self.templates.len()];
        let mut holes = 0usize;
        for ((template, rows), times_of) in self.templates.iter().zip(rows_of).zip(&mut times_of) {
            let pieces = self.pieces.get(template.pieces.clone()).unwrap_or_default();
            holes = holes.saturating_add(pieces.len().saturating_mul(rows));
            for piece in pieces {
                times.get_mut(piece.column as usize).into_iter().for_each(|(count, _)| *count += rows);
                if self.kinds.get(piece.column as usize) == Some(&Kind::Time) {
                    times_of.push(piece.column);
                }
            }
        }
        small(holes as u64, HOLES_MAX, "there are too many values")?;
        for (code, timestamp) in rows.iter().zip(timestamps) {
            for column in times_of.get(*code as usize).into_iter().flatten() {
                times.get_mut(*column as usize).into_iter().for_each(|(_, times)| times.push(*timestamp));
            }
        }
        Ok(times)
    }
}

/// Where strings of these lengths lie that follow each other and end at `end`.
fn places(start: usize, lengths: &[u32], end: usize) -> Result<Vec<Place>, Error> {
    let mut at = start;
    let mut places = Vec::with_capacity(lengths.len());
    for length in lengths {
        let start = u32::try_from(at).map_err(|_| malformed("strings are too long"))?;
        places.push((start, *length));
        at = at.saturating_add(*length as usize);
    }
    if at == end { Ok(places) } else { Err(malformed("strings do not end where they should")) }
}

fn take_columns(
    head: &Head,
    mut codes: Cursor<'_>,
    bytes: [Range<usize>; 3],
    times: Vec<(usize, Vec<i64>)>,
) -> Result<(Vec<Values>, Vec<usize>), Error> {
    let [mut text, mut digits, mut hex] = bytes;
    let mut columns = Vec::with_capacity(head.kinds.len());
    let mut counts = Vec::with_capacity(head.kinds.len());
    for (kind, (count, timestamps)) in head.kinds.iter().zip(times) {
        counts.push(count);
        columns.push(match kind {
            Kind::Dictionary => {
                let distinct = small(codes.varint()?, count, "a column has more values than rows")?;
                let values = integers::decode_u32(&mut codes, count)?;
                if values.iter().any(|code| *code as usize >= distinct) {
                    return Err(malformed("a code has no value"));
                }
                let lengths = integers::decode_u32(&mut codes, distinct)?;
                let range = take_range(&mut text, sum(&lengths))?;
                Values::Dictionary { codes: values, places: places(range.start, &lengths, range.end)? }
            }
            Kind::Text | Kind::Digits | Kind::Constant => {
                let lengths = integers::decode_u32(&mut codes, count)?;
                let part = if *kind == Kind::Digits { &mut digits } else { &mut text };
                let range = take_range(part, sum(&lengths))?;
                Values::Text { range, lengths }
            }
            Kind::Hex => {
                let value_bytes = small(codes.varint()?, hex.end, "identifiers are too long")? / 2;
                let range = take_range(&mut hex, value_bytes.saturating_mul(count))?;
                Values::Hex { bytes: range, value_bytes }
            }
            Kind::Time => {
                let forms = integers::decode(&mut codes, count)?.into_iter().map(Form::from_number);
                let forms: Vec<Form> = forms.collect::<Option<_>>().ok_or(malformed("a time is of no known form"))?;
                let differences = integers::decode(&mut codes, count)?;
                let time = |((form, time), difference): ((&Form, &i64), u64)| {
                    form.truncate(*time).wrapping_add(unzigzag(difference))
                };
                Values::Time { times: forms.iter().zip(&timestamps).zip(differences).map(time).collect(), forms }
            }
        });
    }
    codes.finish()?;
    if text.is_empty() && digits.is_empty() && hex.is_empty() {
        Ok((columns, counts))
    } else {
        Err(malformed("there are more values than rows have"))
    }
}

fn sum(lengths: &[u32]) -> usize {
    lengths.iter().fold(0usize, |sum, length| sum.saturating_add(*length as usize))
}

/// Cuts the first bytes off a range.
fn take_range(range: &mut Range<usize>, length: usize) -> Result<Range<usize>, Error> {
    let end =
        range.start.checked_add(length).filter(|end| *end <= range.end).ok_or(malformed("values end too early"))?;
    let taken = range.start..end;
    range.start = end;
    Ok(taken)
}
