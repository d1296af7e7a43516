//! Label sets: sorted by name, one value a name, cheap to clone.
//!
//! A set may hold empty values: `x=""` made by a parser is not the same as an absent `x`. Whoever accepts stream labels
//! from outside drops the empty ones first, as Loki does.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use xxhash_rust::xxh3::Xxh3;

/// An immutable, sorted set of labels. Cloning copies a pointer, hashing and most comparing look at no text.
#[derive(Clone)]
pub struct Labels {
    pairs: Arc<[(Box<str>, Box<str>)]>,
    /// Of the pairs, made once. Another one in each process, so that nobody who chooses labels can make them collide.
    hash: u64,
}

static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::default);
static EMPTY: LazyLock<Labels> = LazyLock::new(|| Labels::new(Arc::from([])));

impl Default for Labels {
    fn default() -> Self {
        EMPTY.clone()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.is_clone_of(other) || (self.hash == other.hash && self.pairs == other.pairs)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_clone_of(other) { Ordering::Equal } else { self.pairs.cmp(&other.pairs) }
    }
}

impl Labels {
    fn new(pairs: Arc<[(Box<str>, Box<str>)]>) -> Self {
        let hash = HASHES.hash_one(&pairs);
        Labels { pairs, hash }
    }

    /// Sorts the pairs by name; of two pairs with the same name the later one is kept.
    pub fn from_pairs<N: Into<Box<str>>, V: Into<Box<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut all: Vec<(Box<str>, Box<str>)> = pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        if !all.is_sorted_by(|a, b| a.0 < b.0) {
            all.sort_by(|a, b| a.0.cmp(&b.0));
            // Keep the last of each run of equal names: walk backwards, keep the first seen.
            all.reverse();
            all.dedup_by(|later, kept| later.0 == kept.0);
            all.reverse();
        }
        Labels::new(all.into())
    }

    /// The value of `name`, if the set has that label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.binary_search_by(|(n, _)| (**n).cmp(name)).ok().and_then(|i| self.pairs.get(i)).map(|(_, v)| &**v)
    }

    /// Whether the set has a label of that name, empty or not.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The labels in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + DoubleEndedIterator + Clone {
        self.pairs.iter().map(|(n, v)| (&**n, &**v))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The bytes of all names and values.
    pub fn byte_len(&self) -> usize {
        self.pairs.iter().map(|(n, v)| n.len() + v.len()).sum()
    }

    /// Whether both are the same set in memory: true only for clones, and much cheaper than comparing.
    pub fn is_clone_of(&self, other: &Labels) -> bool {
        Arc::ptr_eq(&self.pairs, &other.pairs)
    }

    /// A hash that is the same in every process and version: it is written into segments.
    pub fn stable_hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for (name, value) in self.pairs.iter() {
            hasher.update(name.as_bytes());
            hasher.update(&[0xff]);
            hasher.update(value.as_bytes());
            hasher.update(&[0xff]);
        }
        hasher.digest()
    }

    /// A hash that costs nothing and is another one in each process: for what this process alone remembers.
    pub fn process_hash(&self) -> u64 {
        self.hash
    }

    /// A builder that starts from these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.pairs.to_vec() }
    }
}

/// Loki's form, names sorted, values quoted as Go does: `{a="b", c="d"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={}", quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Labels::from_pairs(pairs)
    }
}

/// Changes a set label by label; `build` gives the new set.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl LabelsBuilder {
    /// Sets a label, replacing its value if it is there.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(i) => {
                if let Some(pair) = self.pairs.get_mut(i) {
                    pair.1 = value.into();
                }
            }
            Err(i) => self.pairs.insert(i, (name.into(), value.into())),
        }
        self
    }

    /// Takes a label away, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| &**n != name);
        self
    }

    /// The finished set.
    pub fn build(self) -> Labels {
        Labels::new(self.pairs.into())
    }
}

/// Quotes a string as Go's `%q` does: printable Unicode stays, the rest becomes `\n`, `\x07`, `\u00ad` and so on.
pub fn quote(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\t' => "\\t",
            '\r' => "\\r",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            _ => {
                // Go prints letters, marks, numbers, punctuation, symbols and the plain space; std has no such table,
                // so everything that is neither a control character nor a space of another kind counts as printable.
                let printable = c == ' ' || !(c.is_control() || c.is_whitespace() || is_format(c));
                let written = match c as u32 {
                    _ if printable => write!(out, "{c}"),
                    n if n < 0x80 => write!(out, "\\x{n:02x}"),
                    n if n < 0x1_0000 => write!(out, "\\u{n:04x}"),
                    n => write!(out, "\\U{n:08x}"),
                };
                written.expect("writing to a string cannot fail");
                continue;
            }
        };
        out.push_str(escape);
    }
    out.push('"');
    out
}

/// Unicode's invisible format characters (category Cf) that turn up in real text.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_duplicates_win_and_names_are_sorted() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "x"), ("b", "2"), ("b", "3")]);
        assert_eq!(labels.to_string(), r#"{a="x", b="3"}"#);
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(labels.get("c"), None);
    }

    #[test]
    fn builder_keeps_order() {
        let mut builder = Labels::from_pairs([("b", "1"), ("d", "2")]).to_builder();
        builder.set("c", "x").set("a", "y").remove("d").set("b", "z");
        assert_eq!(builder.build().to_string(), r#"{a="y", b="z", c="x"}"#);
    }

    #[test]
    fn quoting_follows_go() {
        assert_eq!(quote("a\"b\\c\n\u{0}é\u{a0}"), "\"a\\\"b\\\\c\\n\\x00é\\u00a0\"");
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(Labels::default().stable_hash(), 0x2d06800538d394c2);
        let labels = Labels::from_pairs([("app", "api"), ("level", "error")]);
        assert_eq!(labels.stable_hash(), Labels::from_pairs([("level", "error"), ("app", "api")]).stable_hash());
    }
}
