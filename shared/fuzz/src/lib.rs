//! What the fuzz targets share: bytes of a fuzzer in, queries, logs and segments out.
//!
//! Each target reads its input in one of two ways. As text, in fields that a byte 0xff divides (no UTF-8 holds it), so that
//! recorded queries and lines are seeds as they are and a dictionary helps; or, behind a first byte 0xfe, as choices in a
//! grammar, which gets deep where random text would not parse.

pub mod data;
pub mod query;
pub mod reseal;

use std::borrow::Cow;

use libfuzzer_sys::arbitrary::Unstructured;

/// Divides the fields of a text input.
const DIVIDER: u8 = 0xff;
/// The first byte of an input that is choices in a grammar.
const GRAMMAR: u8 = 0xfe;

/// The choices of an input, if it is one of choices.
pub fn choices(input: &[u8]) -> Option<Unstructured<'_>> {
    match input {
        [GRAMMAR, rest @ ..] => Some(Unstructured::new(rest)),
        _ => None,
    }
}

/// The fields of a text input; there is at least one.
pub fn fields(input: &[u8]) -> Vec<Cow<'_, str>> {
    input.split(|byte| *byte == DIVIDER).map(String::from_utf8_lossy).collect()
}
