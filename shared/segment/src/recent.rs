//! Pieces of lines that a block has met a moment ago. Lines repeat themselves: most pieces are found here, for a few
//! instructions instead of a hash, a look into a set that passes the nearest cache, and a look for each gram.
//!
//! In: pieces that begin with a token. Out: whether one is known. May forget; never takes one piece for another.

/// Bytes of the longest piece that is remembered.
const PIECE_BYTES_MAX: usize = size_of::<u128>();
const WORDS_LOG2: u32 = 11;
/// Odd: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// One place for each hash, in which the last piece stays.
pub(crate) struct Recent(Box<[u128; 1 << WORDS_LOG2]>);

impl Recent {
    pub(crate) fn new() -> Self {
        Recent(Box::new([0; 1 << WORDS_LOG2]))
    }

    /// Whether the piece of `length` bytes with which the text begins is not known; it is from now on, if it is short.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number, each by itself")]
    pub(crate) fn is_new(&mut self, text: &[u8], length: usize) -> bool {
        let Some(bytes) = text.first_chunk::<PIECE_BYTES_MAX>().filter(|_| length <= PIECE_BYTES_MAX) else {
            return true;
        };
        // What is behind the piece is shifted out. Its first byte is of a token, so not 0, and no two are the same number.
        let word = u128::from_le_bytes(*bytes) << (8 * (PIECE_BYTES_MAX - length));
        let (low, high) = ((word & u128::from(u64::MAX)) as u64, (word >> 64) as u64);
        let place = (high ^ low.rotate_left(29)).wrapping_mul(FACTOR) >> (64 - WORDS_LOG2);
        match self.0.get_mut(place as usize) {
            Some(known) if *known != word => {
                *known = word;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }
}
