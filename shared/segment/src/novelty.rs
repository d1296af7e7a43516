//! What is new in a block's lines: the tokens that were not met a moment ago. Of 24 tokens a line hardly three are; the others
//! are found out by comparing one or two words, where a hash and a look into the set of all keys would cost several times that.
//!
//! In: lines, one behind the other, and their lengths. Out: tokens. May take something known for new, since it forgets; never
//! the other way round.

use crate::tokens::token_mask;

const CHUNK_BYTES: usize = u64::BITS as usize;
/// Read, but never looked at, behind the last line: so that no load need ask where the text ends.
const PADDING: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];
const WORD_BYTES: usize = size_of::<u64>();
const SHORT_LOG2: u32 = 13;
const LONG_LOG2: u32 = 11;
/// Odd: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The tokens met last, each in the one place that its hash has. Tokens of more than two words are not kept.
pub(crate) struct Recent {
    /// Tokens of up to a word, filled up with zeros, which are no token bytes.
    short: Box<[u64; 1 << SHORT_LOG2]>,
    /// Longer ones: the first word, and the last one with a mark that tells the length.
    long: Box<[[u64; 2]; 1 << LONG_LOG2]>,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Recent { short: Box::new([0; 1 << SHORT_LOG2]), long: Box::new([[0; 2]; 1 << LONG_LOG2]) }
    }

    /// Shows the tokens of lines that are new, each at least once. The lines are left as they were.
    pub(crate) fn visit(&mut self, lines: &mut Vec<u8>, lengths: &[u32], mut new: impl FnMut(&[u8])) {
        let bytes = lines.len();
        lines.extend_from_slice(&PADDING);
        let mut start = 0;
        for length in lengths {
            let end = start + *length as usize;
            self.visit_line(lines, start, end, &mut new);
            start = end;
        }
        lines.truncate(bytes);
    }

    /// 64 bytes at a time become a mask of token bytes; tokens begin and end where it changes.
    #[inline(always)]
    fn visit_line(&mut self, text: &[u8], line_start: usize, line_end: usize, new: &mut impl FnMut(&[u8])) {
        // Of a token that reaches over the end of a chunk.
        let (mut open_start, mut last_byte) = (line_start, 0);
        // One step more than there are bytes, in which the last token ends.
        for position in (line_start..=line_end).step_by(CHUNK_BYTES) {
            let Some(chunk) = text.get(position..).and_then(|rest| rest.first_chunk()) else { return };
            let left = line_end - position;
            let of_line = if left < CHUNK_BYTES { (1 << left) - 1 } else { u64::MAX };
            let tokens = token_mask(*chunk) & of_line;
            let before = (tokens << 1) | last_byte;
            let (mut starts, mut ends) = (tokens & !before, before & !tokens);
            if last_byte != 0 && ends != 0 {
                self.look(text, open_start, position + ends.trailing_zeros() as usize, new);
                ends &= ends - 1;
            }
            while ends != 0 {
                let start = position + starts.trailing_zeros() as usize;
                self.look(text, start, position + ends.trailing_zeros() as usize, new);
                starts &= starts - 1;
                ends &= ends - 1;
            }
            if starts != 0 {
                open_start = position + starts.trailing_zeros() as usize;
            }
            last_byte = tokens >> (CHUNK_BYTES - 1);
        }
    }

    /// Shows a token if it was not met a moment ago. It is, from now on.
    #[inline(always)]
    fn look(&mut self, text: &[u8], start: usize, end: usize, new: &mut impl FnMut(&[u8])) {
        let bytes = end - start;
        let Some(first) = word(text, start) else { return };
        let is_known = if bytes <= WORD_BYTES {
            let token = first & (u64::MAX >> (u64::BITS as usize - 8 * bytes));
            replace(&mut *self.short, place(token, SHORT_LOG2), token)
        } else if bytes <= 2 * WORD_BYTES {
            let Some(last) = word(text, end - WORD_BYTES) else { return };
            // Token bytes are ASCII: their highest bits are free.
            let last = last | 0x80 << (8 * (bytes - WORD_BYTES - 1));
            replace(&mut *self.long, place(first ^ last.rotate_left(23), LONG_LOG2), [first, last])
        } else {
            false
        };
        if !is_known {
            new(text.get(start..end).unwrap_or_default());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.short.fill(0);
        self.long.fill([0; 2]);
    }

    /// The memory that it keeps.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.short) + size_of_val(&*self.long)
    }
}

fn word(text: &[u8], start: usize) -> Option<u64> {
    text.get(start..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[expect(clippy::cast_possible_truncation, reason = "what is left of a hash has so many bits")]
fn place(hash: u64, bits: u32) -> usize {
    (hash.wrapping_mul(FACTOR) >> (u64::BITS - bits)) as usize
}

/// Whether a token was in its place; it is now.
#[inline(always)]
fn replace<T: PartialEq>(table: &mut [T], place: usize, token: T) -> bool {
    table.get_mut(place).is_some_and(|known| std::mem::replace(known, token) == *known)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::tokens::tokens;

    fn visit(recent: &mut Recent, lines: &[String]) -> Vec<String> {
        let mut text = lines.concat().into_bytes();
        let lengths: Vec<u32> = lines.iter().map(|line| line.len() as u32).collect();
        let mut seen = Vec::new();
        recent.visit(&mut text, &lengths, |token| seen.push(String::from_utf8(token.to_vec()).expect("ASCII")));
        assert_eq!(text, lines.concat().into_bytes());
        seen
    }

    fn check(recent: &mut Recent, lines: &[String]) {
        let seen: BTreeSet<String> = visit(recent, lines).into_iter().collect();
        let all: BTreeSet<String> = lines.iter().flat_map(|line| tokens(line)).map(str::to_owned).collect();
        assert_eq!(seen, all, "{lines:?}");
    }

    /// Words that are alike up to their length or their middle, next to anything.
    fn lines() -> impl Strategy<Value = Vec<String>> {
        let word = prop_oneof![
            "[ab]{1,3}",
            "a{1,20}",
            "[ab]{60,70}",
            "[ -]{1,3}",
            "[a-z0-9_]{1,20}",
            "\\PC{0,3}",
            Just("\0".to_owned())
        ];
        let line = prop::collection::vec(prop::sample::Index::arbitrary(), 0..30);
        (prop::collection::vec(word, 1..8), prop::collection::vec(line, 0..30)).prop_map(|(words, lines)| {
            let line = |line: Vec<prop::sample::Index>| line.iter().map(|word| word.get(&words).as_str()).collect();
            lines.into_iter().map(line).collect()
        })
    }

    proptest! {
        #[test]
        fn nothing_new_is_missed_and_nothing_made_up(first in lines(), second in lines()) {
            let mut recent = Recent::new();
            check(&mut recent, &first);
            recent.clear();
            check(&mut recent, &second);
        }
    }

    #[test]
    fn no_token_reaches_over_the_end_of_a_line() {
        let lines = ["ab", "", "c", "d"].map(str::to_owned);
        assert_eq!(visit(&mut Recent::new(), &lines), ["ab", "c", "d"]);
    }

    #[test]
    fn what_repeats_is_not_shown() {
        let line =
            |number: u32| format!("{{\"level\":\"info\",\"msg\":\"request served by application\",\"ms\":{number}}}");
        let lines: Vec<String> = (0..100).map(line).collect();
        let seen = visit(&mut Recent::new(), &lines);
        assert!(seen.len() < 120, "8 tokens, 100 numbers: {}", seen.len());
    }
}
