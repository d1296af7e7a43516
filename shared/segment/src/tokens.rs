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

/// [`tokens`] over bytes, for the writer's inner loop.
pub(crate) fn each_token(text: &[u8], mut visit: impl FnMut(&[u8])) {
    let mut rest = text;
    loop {
        let Some(start) = rest.iter().position(|byte| lookup(*byte)) else { return };
        let (_, from) = rest.split_at(start);
        let length = from.iter().position(|byte| !lookup(*byte)).unwrap_or(from.len());
        let (token, after) = from.split_at(length);
        visit(token);
        rest = after;
    }
}

/// [`is_token_byte`] for all bytes; a table is twice as fast as the comparisons.
static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte as usize] = is_token_byte(byte);
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

fn lookup(byte: u8) -> bool {
    TOKEN_BYTES.get(usize::from(byte)).copied().unwrap_or(false)
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
        fn both_walks_see_the_same(text: String) {
            let mut seen = Vec::new();
            each_token(text.as_bytes(), |token| seen.push(token.to_vec()));
            prop_assert_eq!(seen, tokens(&text).map(|token| token.as_bytes().to_vec()).collect::<Vec<_>>());
        }
    }
}
