//! Which rows hold a text, without spelling their lines.
//!
//! In: a [`Templated`] block and a text. Out: a flag for each row, exactly as a search through the lines would give it. A literal that holds the text
//! answers for all rows of its templates, a value of a dictionary for all rows that have it. Where the text could begin in one piece of a line and end in
//! another, or in a value that is kept as a number, the lines of that template are spelled and searched; no others are.

use memchr::memmem::{self, Finder};

use super::clock;
use super::spell::{STRIDE, Spelled};
use super::templated::{Place, Template, Templated, Values};
use crate::Error;

/// What a literal says of a text.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    /// It holds the text.
    holds: bool,
    /// The text may begin in it and go on in the value behind it.
    begins: bool,
    /// The text may end in it, begun in the value before it.
    ends: bool,
    /// The text may begin before it and end behind it.
    spans: bool,
}

/// What a template, or a column, says of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Always,
    Never,
    /// The line has to be asked.
    Perhaps,
}

/// What the values of a column say.
enum Found {
    Never,
    Perhaps,
    /// Those flagged hold the text.
    Values(Vec<bool>),
}

impl Templated {
    /// For each row whether its line holds a text.
    pub fn rows_holding(&self, needle: &[u8]) -> Result<Vec<bool>, Error> {
        if needle.is_empty() {
            return Ok(vec![true; self.codes.len()]);
        }
        let finder = Finder::new(needle);
        let verdicts = self.verdicts(&finder);
        let found: Vec<Found> = self.columns.iter().map(|column| self.in_column(column, &finder)).collect();
        let unsure: Vec<bool> = found.iter().map(|found| matches!(found, Found::Perhaps)).collect();
        let answers: Vec<Answer> =
            self.templates.iter().map(|template| self.answer(template, &verdicts, &unsure)).collect();
        let answer = |code: &u32| answers.get(*code as usize).copied().unwrap_or(Answer::Never);
        let mut rows: Vec<bool> = self.codes.iter().map(|code| answer(code) == Answer::Always).collect();
        for (column, found) in (0u32..).zip(&found) {
            if let Found::Values(values) = found {
                self.flag_rows(column, values, &mut rows);
            }
        }
        if self.codes.iter().zip(&rows).any(|(code, holds)| !holds && answer(code) == Answer::Perhaps) {
            self.search_lines(&finder, |code| answer(code) == Answer::Perhaps, &mut rows)?;
        }
        Ok(rows)
    }

    fn text(&self, (start, length): Place) -> &[u8] {
        let start = start as usize;
        self.raw.get(start..start.saturating_add(length as usize)).unwrap_or_default()
    }

    /// What each literal says.
    fn verdicts(&self, finder: &Finder<'_>) -> Vec<Verdict> {
        let needle = finder.needle();
        let (Some((_, behind_first)), Some((_, before_last))) = (needle.split_first(), needle.split_last()) else {
            return Vec::new();
        };
        let inner = behind_first.get(..behind_first.len().saturating_sub(1)).unwrap_or_default();
        let text = self.places_text(&self.literals);
        let holding = flags(finder, text, self.literals.iter().map(|place| place.1));
        let holds = |number: usize| matches!(&holding, Found::Values(flags) if flags.get(number) == Some(&true));
        let verdict = |(number, place): (usize, &Place)| {
            let literal = self.text(*place);
            Verdict {
                holds: holds(number),
                begins: literal.last().is_some_and(|last| ends_with_start(literal, before_last, *last)),
                ends: literal.first().is_some_and(|first| starts_with_end(literal, behind_first, *first)),
                spans: needle.len() >= 2 && literal.len() <= inner.len() && memmem::find(inner, literal).is_some(),
            }
        };
        self.literals.iter().enumerate().map(verdict).collect()
    }

    /// The bytes of strings that lie one behind the other.
    fn places_text(&self, places: &[Place]) -> &[u8] {
        let (Some(first), Some(last)) = (places.first(), places.last()) else { return &[] };
        let end = (last.0 as usize).saturating_add(last.1 as usize);
        self.raw.get(first.0 as usize..end).unwrap_or_default()
    }

    fn answer(&self, template: &Template, verdicts: &[Verdict], unsure: &[bool]) -> Answer {
        let verdict = |number: u32| verdicts.get(number as usize).copied().unwrap_or_default();
        let pieces = self.pieces.get(template.pieces.clone()).unwrap_or_default();
        let mut answer = Answer::Never;
        for (place, piece) in pieces.iter().enumerate() {
            let literal = verdict(piece.literal_number);
            if literal.holds {
                return Answer::Always;
            }
            let crosses = literal.begins || place > 0 && (literal.ends || literal.spans);
            if crosses || unsure.get(piece.column as usize) == Some(&true) {
                answer = Answer::Perhaps;
            }
        }
        let tail = verdict(template.tail_number);
        match tail {
            Verdict { holds: true, .. } => Answer::Always,
            Verdict { ends: true, .. } if !pieces.is_empty() => Answer::Perhaps,
            _ => answer,
        }
    }

    /// Which values of a column hold the text within them.
    fn in_column(&self, column: &Values, finder: &Finder<'_>) -> Found {
        let needle = finder.needle();
        let perhaps = |may: bool| if may { Found::Perhaps } else { Found::Never };
        match column {
            Values::Hex { value_bytes, .. } => {
                let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
                perhaps(needle.len() <= value_bytes * 2 && needle.iter().all(is_digit))
            }
            Values::Time { .. } => perhaps(clock::may_hold(needle)),
            Values::Text { range, lengths } => {
                let text = self.raw.get(range.clone()).unwrap_or_default();
                flags(finder, text, lengths.iter().copied())
            }
            Values::Dictionary { codes, places } => {
                let text = self.places_text(places);
                match flags(finder, text, places.iter().map(|place| place.1)) {
                    Found::Values(held) => {
                        let holds = |code: &u32| held.get(*code as usize).copied().unwrap_or_default();
                        Found::Values(codes.iter().map(holds).collect())
                    }
                    none => none,
                }
            }
        }
    }

    /// Flags the rows of which a value of a column is flagged.
    fn flag_rows(&self, column: u32, values: &[bool], rows: &mut [bool]) {
        let count = |template: &Template| {
            let pieces = self.pieces.get(template.pieces.clone()).unwrap_or_default();
            pieces.iter().filter(|piece| piece.column == column).count()
        };
        let counts: Vec<usize> = self.templates.iter().map(count).collect();
        let mut rest = values;
        for (code, row) in self.codes.iter().zip(rows) {
            let count = counts.get(*code as usize).copied().unwrap_or_default();
            if count > 0 {
                let (own, behind) = rest.split_at(count.min(rest.len()));
                *row |= own.contains(&true);
                rest = behind;
            }
        }
    }

    /// Spells and searches the lines of some templates, as far as they are not flagged yet.
    fn search_lines(
        &self,
        finder: &Finder<'_>,
        is_wanted: impl Fn(&u32) -> bool,
        rows: &mut [bool],
    ) -> Result<(), Error> {
        let Spelled { bytes, places, mut firsts } = self.spell_values()?;
        let mut line = vec![0; self.line_bytes + STRIDE];
        for (code, row) in self.codes.iter().zip(rows) {
            let Some(template) = self.templates.get(*code as usize) else { continue };
            let pieces = self.pieces.get(template.pieces.clone()).unwrap_or_default();
            if *row || !is_wanted(code) {
                for piece in pieces {
                    firsts.get_mut(piece.column as usize).into_iter().for_each(|next| *next += 1);
                }
                continue;
            }
            let end = self.spell_row(*code, &bytes, &places, &mut firsts, &mut line, 0)?;
            *row = finder.find(line.get(..end).unwrap_or_default()).is_some();
        }
        Ok(())
    }
}

/// Whether a text ends with a beginning of `part`, which holds `last`, its last byte, where that ends.
fn ends_with_start(text: &[u8], part: &[u8], last: u8) -> bool {
    memchr::memchr_iter(last, part).any(|at| part.get(..=at).is_some_and(|start| text.ends_with(start)))
}

/// Whether a text starts with an end of `part`, which holds `first`, its first byte, where that begins.
fn starts_with_end(text: &[u8], part: &[u8], first: u8) -> bool {
    memchr::memchr_iter(first, part).any(|at| part.get(at..).is_some_and(|end| text.starts_with(end)))
}

/// Which of some values, which lie one behind the other, hold the text.
fn flags(finder: &Finder<'_>, text: &[u8], lengths: impl ExactSizeIterator<Item = u32>) -> Found {
    let Some(mut at) = finder.find(text) else { return Found::Never };
    let mut flags = vec![false; lengths.len()];
    let (mut start, mut any) = (0, false);
    for (flag, length) in flags.iter_mut().zip(lengths) {
        let end = start + length as usize;
        // What was found before this value straddles two of the ones before.
        if at < start {
            match text.get(start..).and_then(|rest| finder.find(rest)) {
                Some(next) => at = start + next,
                None => break,
            }
        }
        if at + finder.needle().len() <= end {
            (*flag, any) = (true, true);
        }
        start = end;
    }
    if any { Found::Values(flags) } else { Found::Never }
}
