//! A JSON object as a flat list of names and texts.
//!
//! In: one document. Out: its leaves, nested names joined by dots, values that need no unescaping borrowed. Numbers, truth values
//! and arrays are kept as they were written; nulls and empty texts are no fields. Nesting beyond `DEPTH_MAX` stays JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Pair;
use crate::push::{Budget, Text};

/// Objects within objects that are taken apart; each level reads its text once more.
const DEPTH_MAX: usize = 16;

/// Why a document has no fields.
pub(super) enum Refused {
    /// It is no JSON object.
    Json(String),
    /// The body unfolds to more than it may.
    TooMany,
}

/// The fields of a document.
pub(super) fn fields<'a>(document: &'a str, budget: &mut Budget) -> Result<Vec<Pair<'a>>, Refused> {
    let mut found = Vec::new();
    let mut too_many = false;
    let object = Object { prefix: "", depth: 1, found: &mut found, budget, too_many: &mut too_many };
    match read(document, object) {
        Ok(()) => Ok(found),
        Err(_) if too_many => Err(Refused::TooMany),
        Err(error) => Err(Refused::Json(error.to_string())),
    }
}

fn read<'a>(text: &'a str, object: Object<'_, 'a>) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(object)?;
    json.end()
}

struct Object<'o, 'a> {
    prefix: &'o str,
    depth: usize,
    found: &'o mut Vec<Pair<'a>>,
    budget: &'o mut Budget,
    too_many: &'o mut bool,
}

impl<'a> Visitor<'a> for Object<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Text)? {
            let raw = map.next_value::<&'a RawValue>()?.get();
            if self.budget.take().is_err() {
                *self.too_many = true;
                return Err(A::Error::custom("too many fields"));
            }
            let name = if self.prefix.is_empty() { key } else { Cow::Owned(format!("{}.{key}", self.prefix)) };
            let value = match raw.as_bytes().first() {
                Some(b'{') if self.depth < DEPTH_MAX => {
                    let (found, budget) = (&mut *self.found, &mut *self.budget);
                    let depth = self.depth + 1;
                    read(raw, Object { prefix: &name, depth, found, budget, too_many: &mut *self.too_many })
                        .map_err(A::Error::custom)?;
                    continue;
                }
                Some(b'"') => {
                    Text.deserialize(&mut serde_json::Deserializer::from_str(raw)).map_err(A::Error::custom)?
                }
                Some(b'n') => continue,
                _ => Cow::Borrowed(raw),
            };
            if !value.is_empty() {
                self.found.push((name, value));
            }
        }
        Ok(())
    }
}
