//! Which three bytes stand side by side in some line, whatever their case: answers substrings that hold no whole token.
//!
//! In: lines, or a filter's raw bytes. Out: "no line holds that text" or "perhaps". A bitmap with one hash a gram: each gram
//! may be wrong, all grams of a text hardly are. Never says no to a text that stands in a line.

use crate::Error;

/// Bytes of a gram.
pub const GRAM_BYTES: usize = 3;
/// Cells that grams fall into; a filter has at most a bit for each.
const CELLS_LOG2: u32 = 18;
/// Most bytes of a filter.
pub(crate) const GRAM_FILTER_BYTES_MAX: u64 = 1 << (CELLS_LOG2 - 3);
/// Odd, so that no two grams have the same product modulo 2^24: 2^24 divided by the golden ratio.
const FACTOR: u32 = 0x9e_3779;
const WORDS: usize = 1 << (CELLS_LOG2 - 6);

/// The cell of the gram in the lowest three bytes, the first byte lowest; the fourth byte does not matter.
fn cell(gram: u32) -> u32 {
    // Shifted by a byte, arithmetic modulo 2^32 is arithmetic modulo 2^24.
    gram.wrapping_mul(FACTOR << 8) >> (32 - CELLS_LOG2)
}

/// Sets the cells of a line that one more byte follows.
#[inline(always)]
fn add_line(words: &mut [u64; WORDS], line: &[u8]) {
    for window in line.array_windows() {
        let cell = cell(u32::from_le_bytes(*window));
        // Nearly every gram was there before: to look is cheaper than to write it again.
        if let Some(word) = words.get_mut((cell >> 6) as usize)
            && (*word >> (cell & 63)) & 1 == 0
        {
            set_bit(word, cell);
        }
    }
}

/// Far from the loop that hardly ever comes here, which would else make the bit before it is needed.
#[cold]
#[inline(never)]
fn set_bit(word: &mut u64, cell: u32) {
    *word |= 1 << (cell & 63);
}

/// Bytes of lines that are made small at once, unless a line is longer: they and the cells fit into the nearest cache.
const PIECE_BYTES_MAX: usize = 1 << 14;

/// Collects the grams of lines.
pub(crate) struct GramSet {
    /// A bit for each cell.
    words: Box<[u64; WORDS]>,
    /// Some lines in lower case.
    lower: Vec<u8>,
}

impl GramSet {
    pub(crate) fn new() -> Self {
        GramSet { words: Box::new([0; WORDS]), lower: Vec::new() }
    }

    /// Puts in the grams of lines, which stand one behind the other. No gram straddles two of them.
    pub(crate) fn add_lines(&mut self, lines: &[u8], lengths: &[u32]) {
        let (mut from, mut to, mut first) = (0, 0, 0);
        for (line, length) in lengths.iter().enumerate() {
            let length = *length as usize;
            if to - from + length > PIECE_BYTES_MAX {
                self.add_piece(lines.get(from..to).unwrap_or_default(), lengths.get(first..line).unwrap_or_default());
                (from, first) = (to, line);
            }
            to += length;
        }
        self.add_piece(lines.get(from..to).unwrap_or_default(), lengths.get(first..).unwrap_or_default());
    }

    fn add_piece(&mut self, lines: &[u8], lengths: &[u32]) {
        let GramSet { words, lower } = self;
        let words = words.as_mut();
        lower.clear();
        lower.extend_from_slice(lines);
        lower.make_ascii_lowercase();
        // One more byte, so that four bytes can be loaded where three count.
        lower.push(0);
        let mut start = 0;
        for length in lengths {
            let end = start + *length as usize;
            add_line(words, lower.get(start..=end).unwrap_or_default());
            start = end;
        }
    }

    /// Forgets all grams, and gives back the memory of a line that was longer than most.
    pub(crate) fn clear(&mut self) {
        self.lower.clear();
        self.lower.shrink_to(2 * PIECE_BYTES_MAX);
        self.words.fill(0);
    }

    /// The filter's bytes: `bits` a gram, but no more than `bytes_max`. None if that leaves less than a bit a gram, which would
    /// hardly answer anything.
    pub(crate) fn fold(&self, bits: u32, bytes_max: u64) -> Option<Vec<u8>> {
        let grams: u64 = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
        let wanted = (grams * u64::from(bits)).div_ceil(8);
        let length = wanted.min(bytes_max).min(GRAM_FILTER_BYTES_MAX);
        if grams == 0 || length * 8 < grams {
            return None;
        }
        let mut filter = vec![0u8; usize::try_from(length).ok()?];
        for (word, first) in self.words.iter().zip((0u32..).step_by(64)) {
            let mut left = *word;
            while left != 0 {
                let (byte, mask) = bit(first + left.trailing_zeros(), filter.len());
                if let Some(byte) = filter.get_mut(byte) {
                    *byte |= mask;
                }
                left &= left - 1;
            }
        }
        Some(filter)
    }
}

/// The byte of a cell in a filter of `length` bytes, and the bit in that byte. Neighbouring cells share a bit.
fn bit(cell: u32, length: usize) -> (usize, u8) {
    let bit = (cell as usize * length * 8) >> CELLS_LOG2;
    (bit / 8, 1 << (bit % 8))
}

/// A filter over the grams of a segment's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GramFilter(Vec<u8>);

impl GramFilter {
    /// The filter of a section's raw bytes.
    pub(crate) fn new(raw: Vec<u8>) -> Result<Self, Error> {
        if raw.is_empty() {
            return Err(Error::Malformed { part: "gram filter", why: "it is empty" });
        }
        if raw.len() as u64 > GRAM_FILTER_BYTES_MAX {
            let value = raw.len() as u64;
            return Err(Error::Limit { part: "gram filter", value, limit: GRAM_FILTER_BYTES_MAX });
        }
        Ok(GramFilter(raw))
    }

    /// Whether some line may hold the text, whatever the case of its ASCII letters. `false` is certain.
    pub fn contains(&self, text: &[u8]) -> bool {
        text.windows(GRAM_BYTES).all(|gram| {
            let gram = gram.iter().rev().fold(0, |gram, byte| gram << 8 | u32::from(byte.to_ascii_lowercase()));
            let (byte, mask) = bit(cell(gram), self.0.len());
            self.0.get(byte).is_none_or(|byte| byte & mask != 0)
        })
    }

    /// How many bytes it has.
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// The share of bits that are set: how often a gram that no line holds is taken for one that some line holds.
    pub(crate) fn fill(&self) -> f64 {
        let set: u64 = self.0.iter().map(|byte| u64::from(byte.count_ones())).sum();
        set as f64 / (self.0.len() * 8) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn add(set: &mut GramSet, line: &str) {
        set.add_lines(line.as_bytes(), &[line.len() as u32]);
    }

    /// The numbers that FORMAT.md gives.
    #[test]
    fn grams_have_documented_cells() {
        let check = |gram: &[u8; 3], want: u32, bit_of_8000: (usize, u8)| {
            let found = cell(u32::from_le_bytes([gram[0], gram[1], gram[2], 0xff]));
            assert_eq!((found, bit(found, 1000)), (want, bit_of_8000), "{gram:?}");
        };
        check(b"get", 97338, (371, 4));
        check(b"500", 221360, (844, 8));
    }

    #[test]
    fn absent_texts_are_mostly_known() {
        let mut set = GramSet::new();
        (0..200).for_each(|i: u32| add(&mut set, &format!("GET /users/{} took {}ms", i * 7919, i * 31)));
        let filter = GramFilter::new(set.fold(8, u64::MAX).expect("a filter")).expect("a filter");
        assert!(filter.contains(b"get /USERS/"));
        assert!(filter.contains(b"zz"), "shorter than a gram");
        assert!(!filter.contains(b"zzzzneverzzzz"));
        assert!(!filter.contains(b"segfault"));
        assert!(filter.fill() < 0.2, "{}", filter.fill());
        assert_eq!(set.fold(8, 10), None, "no room for a filter that says anything");
    }

    proptest! {
        /// Of any size, made of any lines: a piece of a line, in any case, is never denied.
        #[test]
        fn no_piece_of_a_line_is_denied(
            lines in prop::collection::vec("\\PC{0,20}|[a-zA-Z0-9 ]{0,60}", 1..20), bits in 1u32..20, upper: bool,
            (line, from, length) in (any::<prop::sample::Index>(), 0usize..60, 0usize..60),
        ) {
            let mut set = GramSet::new();
            lines.iter().for_each(|line| add(&mut set, line));
            let Some(filter) = set.fold(bits, u64::MAX) else { return Ok(()) };
            let filter = GramFilter::new(filter).expect("a filter");
            let line = line.get(&lines).as_bytes();
            let piece = &line[from.min(line.len())..(from + length).min(line.len())];
            let piece = if upper { piece.to_ascii_uppercase() } else { piece.to_ascii_lowercase() };
            prop_assert!(filter.contains(&piece));
        }

        #[test]
        fn made_up_filters_never_panic(raw: Vec<u8>, text: Vec<u8>) {
            if let Ok(filter) = GramFilter::new(raw) {
                filter.contains(&text);
            }
        }
    }

    #[test]
    fn sizes_from_outside_are_bounded() {
        assert!(GramFilter::new(Vec::new()).is_err());
        assert!(GramFilter::new(vec![0; 1 << 15]).is_ok());
        assert!(GramFilter::new(vec![0; (1 << 15) + 1]).is_err());
    }
}
