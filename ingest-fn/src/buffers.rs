//! Buffers that bodies unfold into, used again and again: a new one would have to be filled with zeros first.
//!
//! In: how many bytes a body has. Out: a buffer for them, with whatever it held before; the text that is made of it gives it back.
//! Keeps a bounded number of bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the smallest buffer that is kept: a smaller one is filled with zeros soon enough.
const BUFFER_BYTES_MIN: usize = 64 << 10;
/// Bytes of buffers that wait for bodies. The oldest are dropped for newer ones.
const BYTES_MAX: usize = 16 << 20;

/// Buffers that nobody uses. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Buffers {
    /// A buffer with room for so many bytes, and not for far more; an empty one if none waits.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| (bytes..=bytes.saturating_mul(2)).contains(&buffer.capacity());
        let place = waiting.iter().rposition(fits);
        place.and_then(|place| waiting.remove(place)).unwrap_or_default()
    }

    fn give(&self, buffer: Vec<u8>) {
        if !(BUFFER_BYTES_MIN..=BYTES_MAX).contains(&buffer.capacity()) {
            return;
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(buffer);
        while waiting.iter().map(Vec::capacity).sum::<usize>() > BYTES_MAX {
            waiting.pop_front();
        }
    }
}

/// A text that gives its buffer back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    home: Buffers,
}

impl Text {
    pub(crate) fn new(text: String, home: &Buffers) -> Self {
        Text { text, home: home.clone() }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.text).into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_to_whom_it_fits() {
        let buffers = Buffers::default();
        let bytes = BUFFER_BYTES_MIN + 1000;
        drop(Text::new("x".repeat(bytes), &buffers));
        drop(Text::new("x".repeat(1000), &buffers));
        assert_eq!(buffers.take(1000).capacity(), 0, "not kept, and what is kept is far too large");
        assert_eq!(buffers.take(bytes + 1).capacity(), 0, "too small");
        assert_eq!(buffers.take(bytes - 500).len(), bytes, "as it was left");
        assert_eq!(buffers.take(bytes - 500).capacity(), 0, "gone");
    }

    #[test]
    fn what_waits_is_bounded() {
        let buffers = Buffers::default();
        for bytes in [0, BYTES_MAX + 1, BYTES_MAX / 2, BYTES_MAX / 4, BYTES_MAX / 4, BYTES_MAX / 8] {
            drop(Text::new("x".repeat(bytes), &buffers));
            let waiting = buffers.0.lock().expect("no panic");
            assert!(waiting.iter().map(Vec::capacity).sum::<usize>() <= BYTES_MAX);
        }
        let sizes: Vec<usize> = buffers.0.lock().expect("no panic").iter().map(Vec::len).collect();
        assert_eq!(sizes, [BYTES_MAX / 4, BYTES_MAX / 4, BYTES_MAX / 8], "the oldest went");
    }
}
