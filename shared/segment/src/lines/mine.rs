//! Writes the lines of a block by template: what is alike is kept once, what differs in columns.
//!
//! In: lines and their times. Out: the raw bytes of a lines column, or nothing where templates do not pay. One pass over the lines and one over
//! their values; deterministic; holds numbers for each value and never a copy of the lines.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::variables::{self, Kind};
use super::{COLUMNS_MAX, HOLES_MAX, LITERAL_SHARE_MIN, Parts, TEMPLATES_MAX, cut};
use crate::integers;
use crate::interner::Interner;
use crate::wire::put_varint;

/// Where a value lies in the lines: start and end.
pub(super) type Span = (u32, u32);

/// The lines of a block, taken apart.
#[derive(Default)]
struct Mined<'l> {
    literals: Interner,
    /// The column of what follows a literal behind a value of a column.
    column_of: HashMap<(u32, u32), u32, RandomState>,
    /// The column of what a key names; of what has no key, by the literal and the column before.
    column_of_key: HashMap<(&'l str, u32), u32, RandomState>,
    templates: HashMap<Vec<u32>, u32, RandomState>,
    /// By number: literal, column, literal, column, …, literal.
    ordered: Vec<Vec<u32>>,
    /// The template of each row.
    codes: Vec<u32>,
    columns: Vec<Vec<Span>>,
    holes: usize,
}

impl<'l> Mined<'l> {
    fn add(&mut self, lines: &'l str, start: usize, end: usize, template: &mut Vec<u32>) -> Option<()> {
        let line = lines.get(start..end)?;
        let (mut literal_start, mut column) = (0, 0);
        template.clear();
        let mut fits = true;
        cut::cut(line.as_bytes(), |value| {
            let literal = line.get(literal_start..value.start).unwrap_or_default();
            let number = self.literals.intern(literal);
            column = self.column(number, literal, column);
            template.extend([number, column]);
            let span = (u32::try_from(start + value.start), u32::try_from(start + value.end));
            match (self.columns.get_mut(column as usize), span) {
                (Some(values), (Ok(from), Ok(to))) => values.push((from, to)),
                _ => fits = false,
            }
            literal_start = value.end;
            self.holes += 1;
        });
        template.push(self.literals.intern(line.get(literal_start..)?));
        let code = match self.templates.get(template.as_slice()) {
            Some(code) => *code,
            None => {
                let code = u32::try_from(self.ordered.len()).ok()?;
                self.templates.insert(template.clone(), code);
                self.ordered.push(template.clone());
                code
            }
        };
        self.codes.push(code);
        let within =
            self.columns.len() <= COLUMNS_MAX && self.ordered.len() <= TEMPLATES_MAX && self.holes <= HOLES_MAX;
        (fits && within).then_some(())
    }

    fn column(&mut self, number: u32, literal: &'l str, before: u32) -> u32 {
        let Mined { column_of, column_of_key, columns, .. } = self;
        *column_of.entry((number, before)).or_insert_with(|| {
            let key = cut::key_of(literal).map_or((literal, before + 1), |key| (key, 0));
            *column_of_key.entry(key).or_insert_with(|| {
                columns.push(Vec::new());
                u32::try_from(columns.len() - 1).unwrap_or(u32::MAX)
            })
        })
    }
}

/// The lines as parts of a raw column; nothing if they do not fit the limits or would not be smaller.
pub(crate) fn encode(lines: &[u8], lengths: &[u32], timestamps: &[i64]) -> Option<Parts> {
    let text = std::str::from_utf8(lines).ok()?;
    let mined = take_apart(text, lengths)?;
    pays(&mined, text.len()).then(|| write(&mined, text, timestamps))
}

fn take_apart<'l>(text: &'l str, lengths: &[u32]) -> Option<Mined<'l>> {
    let mut mined = Mined::default();
    let (mut at, mut template) = (0, Vec::new());
    for length in lengths {
        let end = at + *length as usize;
        mined.add(text, at, end, &mut template)?;
        at = end;
    }
    (at == text.len()).then_some(mined)
}

fn write(mined: &Mined<'_>, text: &str, timestamps: &[i64]) -> Parts {
    let times = times_of(mined, timestamps);
    let mut parts = Parts::default();
    put_varint(&mut parts.head, text.len() as u64);
    let columns = mined.columns.iter().zip(&times);
    let kinds: Vec<Kind> = columns.map(|(values, times)| variables::encode(text, values, times, &mut parts)).collect();
    put_templates(mined, text, &kinds, &mut parts.head);
    integers::encode(&mined.codes, &mut parts.codes_of_rows);
    parts
}

/// The same whether it pays or not.
#[cfg(test)]
pub(super) fn encode_always(lines: &str, lengths: &[u32], timestamps: &[i64]) -> Option<Parts> {
    take_apart(lines, lengths).map(|mined| write(&mined, lines, timestamps))
}

/// Templates pay where their text is a small part of what they stand for.
fn pays(mined: &Mined<'_>, line_bytes: usize) -> bool {
    let numbers: usize = mined.ordered.iter().map(Vec::len).sum();
    (mined.literals.byte_len() + numbers) * LITERAL_SHARE_MIN <= line_bytes
}

/// The time of the row of each value, column by column.
fn times_of(mined: &Mined<'_>, timestamps: &[i64]) -> Vec<Vec<i64>> {
    let mut times: Vec<Vec<i64>> = mined.columns.iter().map(|values| Vec::with_capacity(values.len())).collect();
    for (code, timestamp) in mined.codes.iter().zip(timestamps) {
        let template = mined.ordered.get(*code as usize).map(Vec::as_slice).unwrap_or_default();
        for column in template.iter().skip(1).step_by(2) {
            times.get_mut(*column as usize).into_iter().for_each(|times| times.push(*timestamp));
        }
    }
    times
}

/// Appends literals, templates and kinds of columns. A column of one value is none: the value becomes part of its literals.
fn put_templates(mined: &Mined<'_>, text: &str, kinds: &[Kind], head: &mut Vec<u8>) {
    let mut numbers = Vec::new();
    let mut kept = 0u32;
    for kind in kinds {
        numbers.push(kept);
        kept += u32::from(*kind != Kind::Constant);
    }
    let mut literals = Interner::default();
    let (mut holes, mut literal_numbers, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    let mut literal = String::new();
    for template in &mined.ordered {
        let before = columns.len();
        for pair in template.chunks(2) {
            let (Some(number), column) = (pair.first(), pair.get(1).map(|column| *column as usize)) else { continue };
            literal.push_str(mined.literals.get(*number as usize));
            let Some(column) = column else { continue };
            match (kinds.get(column), numbers.get(column)) {
                (Some(Kind::Constant), _) => {
                    let first = mined.columns.get(column).and_then(|values| values.first());
                    literal.push_str(
                        first.and_then(|(from, to)| text.get(*from as usize..*to as usize)).unwrap_or_default(),
                    );
                }
                (_, Some(number)) => {
                    literal_numbers.push(literals.intern(&literal));
                    columns.push(*number);
                    literal.clear();
                }
                _ => {}
            }
        }
        literal_numbers.push(literals.intern(&literal));
        literal.clear();
        holes.push(u32::try_from(columns.len() - before).unwrap_or(u32::MAX));
    }
    put_varint(head, literals.len() as u64);
    put_varint(head, holes.len() as u64);
    put_varint(head, kept.into());
    let lengths: Vec<u64> = literals.lengths().map(|length| length as u64).collect();
    integers::encode(&lengths, head);
    integers::encode(&holes, head);
    integers::encode(&literal_numbers, head);
    integers::encode(&columns, head);
    head.extend(kinds.iter().filter(|kind| **kind != Kind::Constant).map(|kind| kind.number()));
    head.extend_from_slice(literals.text().as_bytes());
}
