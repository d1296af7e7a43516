//! Tokens of a line: maximal runs of ASCII letters, digits and `_`.
//!
//! Every other byte ends a token, each byte of a non-ASCII character too: `größe` has the tokens `gr` and `e`. Case is
//! kept. A needle's token may be asked of a filter only if the needle itself holds a byte that is no token byte on both
//! sides of it; at its ends the line may go on with the same token.

/// Whether a byte belongs to a token.
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The tokens of a text, from left to right, repeats included.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|token| !token.is_empty())
}

/// A bit for each of 64 bytes, the first one lowest: whether it is a token byte. Written so that the compiler
/// compares 16 bytes at once.
pub(crate) fn token_mask(mut bytes: [u8; 64]) -> u64 {
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
        fn the_mask_is_of_token_bytes(bytes: [u8; 64]) {
            let want = bytes.iter().rev().fold(0, |mask, byte| (mask << 1) | u64::from(is_token_byte(*byte)));
            prop_assert_eq!(token_mask(bytes), want);
        }
    }
}
