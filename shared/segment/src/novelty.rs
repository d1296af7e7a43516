//! What is new in a line: the tokens and grams that no line before it had. Most of a line stood in one of them; that is found
//! for a few instructions instead of a hash, a look into a set that passes the nearest cache, and a look for each gram.
//!
//! In: a block's lines, one after the other. Out: tokens, and stretches of grams. May take something known for new, since it
//! forgets; never the other way round.

use std::ops::Range;

use crate::grams::GRAM_BYTES;
use crate::tokens::token_mask;

/// Most bytes of lines that are remembered, unless one is longer.
const HISTORY_BYTES_MAX: usize = 1 << 20;
const PLACES_LOG2: u32 = 13;
/// Behind each line: no part of UTF-8, so nothing but the end of a line is equal to it.
const LINE_END: u8 = 0xff;
const CHUNK_BYTES: usize = u64::BITS as usize;
const WORD_BYTES: usize = size_of::<u64>();
/// Behind the last line, so that the loops need not look where it ends.
const PADDING: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];
/// Odd: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The lines so far, and where tokens stood in them.
pub(crate) struct History {
    /// Begins with an end of a line, so that at place 0 there is nothing that is equal to a token.
    text: Vec<u8>,
    /// One for each hash, in which the last token stays.
    places: Box<[u32; 1 << PLACES_LOG2]>,
}

/// Takes what is new in a line.
pub(crate) trait Visitor {
    fn token(&mut self, token: &[u8]);
    /// The grams that begin there in the line.
    fn grams(&mut self, begins: Range<usize>);
}

impl History {
    pub(crate) fn new() -> Self {
        History { text: vec![LINE_END], places: Box::new([0; 1 << PLACES_LOG2]) }
    }

    /// Shows what is new in the next line. 64 bytes at a time become a mask of token bytes; tokens begin and end where the
    /// mask changes.
    pub(crate) fn visit(&mut self, line: &[u8], visitor: &mut impl Visitor) {
        let line_start = self.start_line(line);
        let History { text, places } = self;
        let text = text.as_slice();
        let padded = text.get(line_start..).unwrap_or_default();
        // Tokens that end before it are known, and so are grams that end there or before.
        let mut known_end = 0;
        let mut grams_from = 0;
        let (mut last_start, mut last_byte) = (0, 0);
        for (chunk, position) in padded.as_chunks::<CHUNK_BYTES>().0.iter().zip((0..).step_by(CHUNK_BYTES)) {
            let tokens = token_mask(*chunk);
            let before = (tokens << 1) | last_byte;
            let starts = tokens & !before;
            let mut ends = before & !tokens;
            loop {
                if known_end > position {
                    let known = known_end - position;
                    ends = if known < CHUNK_BYTES { (ends >> known) << known } else { 0 };
                }
                if ends == 0 {
                    break;
                }
                let here = starts & (ends ^ (ends - 1));
                let start = if here == 0 { last_start } else { position + here.ilog2() as usize };
                let end = position + ends.trailing_zeros() as usize;
                ends &= ends - 1;
                let known = known_bytes(text, places, line_start + start, end - start).min(line.len() + 1 - start);
                known_end = known_end.max(start + known);
                if known_end <= end {
                    visitor.token(padded.get(start..end).unwrap_or_default());
                }
                if known >= GRAM_BYTES {
                    visitor.grams(grams_from..start);
                    grams_from = known_end + 1 - GRAM_BYTES;
                }
            }
            if starts != 0 {
                last_start = position + starts.ilog2() as usize;
            }
            last_byte = tokens >> (CHUNK_BYTES - 1);
        }
        visitor.grams(grams_from..(line.len() + 1).saturating_sub(GRAM_BYTES));
        self.text.truncate(line_start + line.len() + 1);
    }

    /// Appends a line with its end and the padding; says where it begins.
    fn start_line(&mut self, line: &[u8]) -> usize {
        if self.text.len() + line.len() > HISTORY_BYTES_MAX {
            self.clear();
        }
        let start = self.text.len();
        self.text.extend_from_slice(line);
        self.text.push(LINE_END);
        self.text.extend_from_slice(&PADDING);
        start
    }

    pub(crate) fn clear(&mut self) {
        self.text.truncate(1);
        self.places.fill(0);
    }

    /// The memory that it keeps.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.text.capacity() + size_of_val(&*self.places)
    }
}

/// How many bytes from the start of a token on stood in a line before, where a token began, too; the end of a line counts as
/// a byte, and what is behind it may count, too. The token is known from now on.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "lines are at most 32 MiB long, and a hash is shifted")]
fn known_bytes(text: &[u8], places: &mut [u32; 1 << PLACES_LOG2], start: usize, token_bytes: usize) -> usize {
    let Some(token) = text.get(start..) else { return 0 };
    let Some(first) = token.first_chunk() else { return 0 };
    // What is behind the token and its end is shifted out.
    let key = u64::from_le_bytes(*first) << (8 * (WORD_BYTES - 1 - token_bytes.min(WORD_BYTES - 1)));
    let hash = (key.wrapping_mul(FACTOR) >> (u64::BITS - PLACES_LOG2)) as usize;
    let Some(place) = places.get_mut(hash) else { return 0 };
    let known = std::mem::replace(place, start as u32);
    text.get(known as usize..).map_or(0, |known| equal_bytes(token, known))
}

/// With how many equal bytes two texts begin. The last few bytes of the shorter one are not looked at.
#[inline(always)]
fn equal_bytes(one: &[u8], other: &[u8]) -> usize {
    let mut equal = 0;
    for (one, other) in one.as_chunks::<WORD_BYTES>().0.iter().zip(other.as_chunks::<WORD_BYTES>().0) {
        let differing = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if differing != 0 {
            return equal + differing.trailing_zeros() as usize / 8;
        }
        equal += WORD_BYTES;
    }
    equal
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::tokens::tokens;

    /// All that was shown.
    #[derive(Default)]
    struct Seen {
        line: Vec<u8>,
        tokens: BTreeSet<Vec<u8>>,
        grams: BTreeSet<Vec<u8>>,
        shown: usize,
    }

    impl Visitor for Seen {
        fn token(&mut self, token: &[u8]) {
            self.tokens.insert(token.to_vec());
            self.shown += 1;
        }

        fn grams(&mut self, begins: Range<usize>) {
            self.grams.extend(begins.map(|begin| self.line[begin..begin + GRAM_BYTES].to_vec()));
        }
    }

    fn visit(history: &mut History, lines: &[String]) -> Seen {
        let mut seen = Seen::default();
        for line in lines {
            seen.line = line.as_bytes().to_vec();
            history.visit(line.as_bytes(), &mut seen);
        }
        seen
    }

    fn check(history: &mut History, lines: &[String]) {
        let seen = visit(history, lines);
        let all_tokens = lines.iter().flat_map(|line| tokens(line)).map(|token| token.as_bytes().to_vec());
        let all_grams = lines.iter().flat_map(|line| line.as_bytes().windows(GRAM_BYTES)).map(<[u8]>::to_vec);
        assert_eq!(seen.tokens, all_tokens.collect(), "{lines:?}");
        assert_eq!(seen.grams, all_grams.collect(), "{lines:?}");
    }

    fn lines() -> impl Strategy<Value = Vec<String>> {
        let word =
            prop_oneof!["[ab]{1,3}", "[ab]{60,70}", "[ -]{1,3}", "[a-z0-9_]{1,20}", "\\PC{0,3}", Just("\0".to_owned())];
        let line = prop::collection::vec(prop::sample::Index::arbitrary(), 0..30);
        (prop::collection::vec(word, 1..8), prop::collection::vec(line, 0..30)).prop_map(|(words, lines)| {
            let line = |line: Vec<prop::sample::Index>| line.iter().map(|word| word.get(&words).as_str()).collect();
            lines.into_iter().map(line).collect()
        })
    }

    proptest! {
        #[test]
        fn nothing_new_is_missed_and_nothing_made_up(first in lines(), second in lines()) {
            let mut history = History::new();
            check(&mut history, &first);
            history.clear();
            check(&mut history, &second);
        }
    }

    /// Zeros follow the last line while it is visited: they are no text that a line before it could have in common with it.
    #[test]
    fn what_follows_a_line_is_not_of_it() {
        check(&mut History::new(), &["a", "\0", "\0a"].map(str::to_owned));
    }

    #[test]
    fn what_repeats_is_not_shown() {
        let line = |number: u32| format!("{{\"level\":\"info\",\"msg\":\"request served\",\"ms\":{number}}}");
        let lines: Vec<String> = (0..100).map(line).collect();
        let seen = visit(&mut History::new(), &lines);
        assert!(seen.shown < 120, "5 tokens, 100 numbers: {}", seen.shown);
    }

    /// It forgets when it is full, and takes a line that alone is longer.
    #[test]
    fn what_is_remembered_is_bounded() {
        let mut history = History::new();
        check(&mut history, &["abc ".repeat(HISTORY_BYTES_MAX / 3), "abc d".to_owned()]);
        history.clear();
        let lines: Vec<String> = (0..40).map(|number| format!("{number} ").repeat(30_000)).collect();
        check(&mut history, &lines);
        assert!(history.memory_bytes() < 3 * HISTORY_BYTES_MAX);
    }
}
