//! The lines of a block by template: literals, the templates that they make, and the values between them in columns.
//!
//! In: the lines of a block. Out: a lines column of encoding 2, and from it the lines, or which rows hold a text without spelling them all.
//! FORMAT.md describes the bytes.

mod clock;
mod cut;
mod mine;
mod search;
mod spell;
mod templated;
#[cfg(test)]
mod tests;
mod variables;

pub(crate) use mine::encode;
pub use templated::Templated;

/// Most templates of a block.
const TEMPLATES_MAX: usize = 1 << 14;
/// Most columns of values of a block.
const COLUMNS_MAX: usize = 1 << 10;
/// Most values of a block; what they need while they are read is bounded by it.
const HOLES_MAX: usize = 1 << 22;
/// The writer takes templates only if this many times their text is no more than the lines.
const LITERAL_SHARE_MIN: usize = 4;

/// The raw bytes of the column, apart while they are written. What is alike stands together, and each part is compressed by its own statistics.
#[derive(Default)]
pub(crate) struct Parts {
    /// Literals and templates.
    head: Vec<u8>,
    /// The template of each row.
    codes_of_rows: Vec<u8>,
    /// Codes and lengths of values, column by column.
    codes: Vec<u8>,
    text: Vec<u8>,
    digits: Vec<u8>,
    hex: Vec<u8>,
}

/// How many parts there are.
const PARTS: usize = 6;

impl Parts {
    /// The raw bytes in their order: the lengths of the parts, then each.
    pub(crate) fn all(&self) -> [Vec<u8>; PARTS] {
        let parts = [&self.head, &self.codes_of_rows, &self.codes, &self.text, &self.digits, &self.hex];
        let mut head = Vec::with_capacity(self.head.len() + PARTS * 5);
        parts.iter().for_each(|part| crate::wire::put_varint(&mut head, part.len() as u64));
        let mut all = parts.map(Vec::clone);
        if let Some(first) = all.first_mut() {
            head.append(first);
            *first = head;
        }
        all
    }
}
