//! Distinct strings in the order of their first appearance, each with a number from 0.
//!
//! One buffer for all text, no allocation a string. Equal means equal to the byte; the hash only finds the place.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::fast::RandomState;

/// A growing set of numbered strings.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    text: String,
    /// Where each string ends in `text`.
    ends: Vec<usize>,
    hashes: Vec<u64>,
    /// Open addressing over a power of two: number + 1, or 0 for free.
    slots: Vec<u32>,
    /// The number asked for last, which is mostly the next one's, too, and where its text is.
    last: u32,
    last_range: Range<usize>,
    /// Seeded at random: who chooses the strings must not be able to choose their slots. It decides nothing but speed.
    hasher: RandomState,
}

impl Interner {
    /// The number of `text`, new or known.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        let is_last = self.text.as_bytes().get(self.last_range.clone()) == Some(text.as_bytes());
        if !is_last || self.ends.is_empty() {
            self.last = self.find(text);
            self.last_range = self.range(self.last as usize);
        }
        self.last
    }

    #[inline(never)]
    fn find(&mut self, text: &str) -> u32 {
        if (self.ends.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let hash = self.hash(text);
        let mut slot = self.first_slot(hash);
        loop {
            match self.slots.get(slot).copied() {
                Some(0) | None => break,
                Some(taken) => {
                    let index = taken as usize - 1;
                    if self.hashes.get(index) == Some(&hash) && self.is(index, text) {
                        return taken - 1;
                    }
                }
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.hashes.push(hash);
        let number =
            u32::try_from(self.ends.len()).expect("a block has at most 2^20 rows, a segment fewer than 2^32 strings");
        if let Some(free) = self.slots.get_mut(slot) {
            *free = number;
        }
        number - 1
    }

    fn hash(&self, text: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    /// Whether the string of that number is `text`.
    fn is(&self, index: usize, text: &str) -> bool {
        self.text.as_bytes().get(self.range(index)) == Some(text.as_bytes())
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        start..self.ends.get(index).copied().unwrap_or(start)
    }

    /// The string of that number; empty if there is none.
    pub(crate) fn get(&self, index: usize) -> &str {
        self.text.get(self.range(index)).unwrap_or_default()
    }

    /// Forgets all strings and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.hashes.clear();
        self.slots.fill(0);
        self.last_range = 0..0;
    }

    /// The memory that it keeps.
    pub(crate) fn memory_bytes(&self) -> usize {
        let strings = self.ends.capacity() * size_of::<usize>() + self.hashes.capacity() * size_of::<u64>();
        self.text.capacity() + strings + self.slots.capacity() * size_of::<u32>()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All strings, one behind the other.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of all strings together.
    pub(crate) fn byte_len(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The length of each string in bytes.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> {
        std::iter::once(&0).chain(&self.ends).zip(&self.ends).map(|(start, end)| end - start)
    }

    fn first_slot(&self, hash: u64) -> usize {
        usize::try_from(hash & (self.slots.len() as u64 - 1)).unwrap_or(0)
    }

    #[cold]
    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(16);
        self.slots.clear();
        self.slots.resize(slots, 0);
        for (number, hash) in (1u32..).zip(&self.hashes) {
            let mut slot = usize::try_from(hash & (slots as u64 - 1)).unwrap_or(0);
            while self.slots.get(slot).is_some_and(|taken| *taken != 0) {
                slot = (slot + 1) & (slots - 1);
            }
            if let Some(free) = self.slots.get_mut(slot) {
                *free = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_first_appearance() {
        let mut interner = Interner::default();
        let words: Vec<String> = (0..1000).map(|i| format!("word {}", i % 300)).collect();
        for (i, word) in words.iter().enumerate() {
            assert_eq!(interner.intern(word) as usize, i % 300);
        }
        assert_eq!(interner.intern(""), 300);
        assert_eq!(interner.get(299), "word 299");
        assert_eq!((interner.get(300), interner.get(301)), ("", ""));
        interner.clear();
        assert_eq!((interner.len(), interner.get(0)), (0, ""));
        assert_eq!((interner.intern("word 7"), interner.intern("word 0"), interner.intern("word 7")), (0, 1, 0));
    }
}
