//! Tokens of a line: maximal runs of ASCII letters, digits and `_`.
//!
//! Every other byte ends a token, each byte of a non-ASCII character too: `größe` has the tokens `gr` and `e`. Case is
//! kept. A needle's token may be asked of a filter only if the needle itself holds a byte that is no token byte on both
//! sides of it; at its ends the line may go on with the same token.

/// Zeros that the writer's loops want behind a text, so that they need not look where it ends.
pub(crate) const PADDING_BYTES: usize = 64;

/// Whether a byte belongs to a token.
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The tokens of a text, from left to right, repeats included.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|token| !token.is_empty())
}

/// [`tokens`] over bytes, for the writer's inner loop: where each begins and ends in the first `length` bytes of `text`, which
/// goes on with [`PADDING_BYTES`] zeros. 64 bytes at a time become a mask of token bytes, and tokens begin and end where the
/// mask changes. Half as many instructions as looking at each byte.
fn each_token(text: &[u8], length: usize, mut visit: impl FnMut(usize, usize)) {
    let mut token_start = None;
    for position in (0..length).step_by(64) {
        let Some(chunk) = text.get(position..).and_then(<[u8]>::first_chunk) else { break };
        let mask = token_mask(*chunk);
        let mut changes = mask ^ ((mask << 1) | u64::from(token_start.is_some()));
        while changes != 0 {
            let here = position + changes.trailing_zeros() as usize;
            token_start = match token_start {
                None => Some(here),
                Some(start) => {
                    visit(start, here);
                    None
                }
            };
            changes &= changes - 1;
        }
    }
    if let Some(start) = token_start {
        visit(start, length);
    }
}

/// Cuts the first `length` bytes of a padded text where tokens begin. A piece is a token, what is behind it, and `overlap` bytes of
/// the next one, so that a window of one byte more lies whole in some piece; told is where it begins, where its token ends,
/// and where it ends. Only a piece before the first token has none.
pub(crate) fn each_piece(text: &[u8], length: usize, overlap: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let (mut start, mut token_end) = (0, 0);
    each_token(text, length, |from, to| {
        if from > start {
            visit(start, token_end, length.min(from + overlap));
        }
        (start, token_end) = (from, to);
    });
    visit(start, token_end, length);
}

/// A bit for each of 64 bytes, the first one lowest: whether it is a token byte. Written so that the compiler
/// compares 16 bytes at once.
fn token_mask(mut bytes: [u8; 64]) -> u64 {
    for byte in &mut bytes {
        let letter = (*byte | 0x20).wrapping_sub(b'a') < 26;
        let digit = byte.wrapping_sub(b'0') < 10;
        *byte = u8::from(letter | digit | (*byte == b'_'));
    }
    // Eight bytes of 0 or 1 become eight bits: the product moves each to its place in the highest byte.
    let (words, _) = bytes.as_chunks::<8>();
    words
        .iter()
        .rev()
        .fold(0, |mask, word| (mask << 8) | (u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_maximal_ascii_runs() {
        let check = |text: &str, want: &[&str]| assert_eq!(tokens(text).collect::<Vec<_>>(), want, "{text:?}");
        check("", &[]);
        check("GET /users/42?x_y=1", &["GET", "users", "42", "x_y", "1"]);
        check("größe", &["gr", "e"]);
        check("日本", &[]);
        check("{\"a\":-5.25}", &["a", "5", "25"]);
    }

    proptest! {
        #[test]
        fn both_walks_see_the_same(text in "\\PC{0,20}|[a-zA-Z0-9_@`{\\[/: ]{0,300}") {
            let padded = [text.as_bytes(), &[0; PADDING_BYTES]].concat();
            let mut seen = Vec::new();
            each_token(&padded, text.len(), |start, end| seen.push(&text[start..end]));
            prop_assert_eq!(seen, tokens(&text).collect::<Vec<_>>());
        }

        #[test]
        fn pieces_hold_all_tokens_and_windows(text in "\\PC{0,20}|[a-zA-Z0-9_@`{\\[/: ]{0,300}") {
            let padded = [text.as_bytes(), &[0; PADDING_BYTES]].concat();
            let (mut seen, mut covered) = (Vec::new(), 0);
            each_piece(&padded, text.len(), 2, |start, token_end, end| {
                let windows_end = (start + 2).min(text.len());
                assert!(start == 0 || windows_end <= covered, "windows before {start} are missed");
                assert!(start == 0 || token_end > start, "only the first piece has no token");
                seen.extend(Some(&text[start..token_end]).filter(|token| !token.is_empty()));
                covered = end;
            });
            prop_assert_eq!(covered, text.len());
            prop_assert_eq!(seen, tokens(&text).collect::<Vec<_>>());
        }
    }
}
