//! The names that a stream's lines use, and what became of the keys they were made of.
//!
//! In: a parser's key under a prefix. Out: the number of the label's name, and whether a label is made at all. Lines of a
//! stream resemble each other: a key is cleaned once, and then known by its bytes where it follows the key that it followed
//! before, or found by its content. What is remembered is bounded and never changes an answer.

use model::Labels;

use super::{DUPLICATE_SUFFIX, ERROR, ERROR_DETAILS, Needed, sanitize_into};

/// Most keys that are remembered; a line with more is read without.
const KEYS_MAX: usize = 4096;
/// Longest key, with its prefix, that is remembered.
const KEY_BYTES_MAX: usize = 256;
/// With more names than that, all are forgotten before the next line.
const NAMES_KEPT_MAX: usize = 8192;
/// The same for the bytes in names.
const NAME_BYTES_KEPT_MAX: usize = 1 << 20;

/// The number of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameId(u32);

/// The number of a key: `ROOT` is what stands above all keys, `UNKNOWN` what is not remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId(u32);

const ROOT: KeyId = KeyId(u32::MAX);
const UNKNOWN: KeyId = KeyId(u32::MAX - 1);

/// What stands above a key: the cleaned keys of the objects around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefix<'a> {
    text: &'a str,
    key: KeyId,
}

impl<'a> Prefix<'a> {
    /// No object around.
    pub(crate) const NONE: Prefix<'static> = Prefix { text: "", key: ROOT };

    /// The prefix as written in `text`, at that place.
    pub(crate) fn new(place: Place, text: &'a str) -> Self {
        Prefix { text, key: place.0 }
    }
}

/// Where a prefix is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(KeyId);

impl Place {
    /// Above all keys.
    pub(crate) const ROOT: Place = Place(ROOT);
}

/// What ends a key as it stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The quote of a JSON string.
    ByQuote,
    /// The `=` of a logfmt pair.
    ByEquals,
}

impl Ended {
    fn byte(self) -> u8 {
        match self {
            Ended::ByQuote => b'"',
            Ended::ByEquals => b'=',
        }
    }

    /// Whether a key means itself where it is read up to that end.
    fn is_plain(self, key: &str) -> bool {
        match self {
            Ended::ByQuote => !key.contains(['"', '\\']),
            Ended::ByEquals => !key.is_empty() && !key.contains(|c| c <= ' ' || matches!(c, '=' | '"' | '\u{fffd}')),
        }
    }
}

/// A key that came where it was expected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    id: u32,
    /// Its length in the line.
    pub(crate) bytes: usize,
    /// What becomes of it.
    pub(crate) fate: Fate,
}

impl Known {
    /// The place of what stands below it.
    pub(crate) fn place(self) -> Place {
        Place(KeyId(self.id))
    }
}

/// What becomes of a key, as far as it is the same for every line of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Empty, reserved, or not needed.
    Skipped,
    Taken(NameId),
    /// Only a line's metadata can be in the way of this name.
    TakenUnlessInMetadata {
        name: NameId,
        /// The bit of the name among those of the metadata.
        bit: u64,
        is_needed: bool,
    },
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    hash: u32,
    /// Where the line at hand has it, if the slot there says so too.
    slot: u32,
}

#[derive(Debug)]
struct Key {
    prefix: KeyId,
    word: Word,
    text: Box<str>,
    fate: Fate,
    /// The key that followed this one.
    next: u32,
    /// In which lines it may be known by its bytes.
    plain_by_quote: bool,
    plain_by_equals: bool,
}

impl Key {
    fn is(&self, prefix: KeyId, word: Word, text: &[u8]) -> bool {
        self.word == word
            && self.prefix == prefix
            && (text.len() <= Word::WHOLE_BYTES_MAX || self.text.as_bytes() == text)
    }

    fn is_plain(&self, ended: Ended) -> bool {
        match ended {
            Ended::ByQuote => self.plain_by_quote,
            Ended::ByEquals => self.plain_by_equals,
        }
    }
}

/// Names and keys of a stream. Kept from line to line.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<Name>,
    names_by_hash: Table,
    name_bytes: usize,
    keys: Vec<Key>,
    keys_by_hash: Table,
    /// The key before the one that comes, and the first of a line.
    last: Option<u32>,
    first: u32,
    scratch: String,
}

impl Names {
    /// Makes ready for a line. Numbers given out before may mean nothing any more.
    pub(super) fn start_line(&mut self) {
        self.last = None;
        let is_full = self.keys.len() >= KEYS_MAX || self.names.len() > NAMES_KEPT_MAX;
        if is_full || self.name_bytes > NAME_BYTES_KEPT_MAX {
            *self = Names::default();
        }
    }

    pub(super) fn text(&self, name: NameId) -> &str {
        self.names.get(name.0 as usize).map_or("", |name| &name.text)
    }

    /// The slot in which the line at hand has a name, if it has it: the slot must name it too.
    pub(super) fn slot(&self, name: NameId) -> usize {
        self.names.get(name.0 as usize).map_or(usize::MAX, |name| name.slot as usize)
    }

    pub(super) fn set_slot(&mut self, name: NameId, slot: usize) {
        if let Some(name) = self.names.get_mut(name.0 as usize) {
            name.slot = u32::try_from(slot).unwrap_or(u32::MAX);
        }
    }

    pub(super) fn find(&self, text: &str) -> Option<NameId> {
        let hash = Word::new(text.as_bytes()).hash(ROOT);
        let same = |id: u32| self.names.get(id as usize).is_some_and(|n| n.hash == hash && *n.text == *text);
        self.names_by_hash.find(hash, same).map(NameId)
    }

    pub(super) fn intern(&mut self, text: &str) -> NameId {
        if let Some(known) = self.find(text) {
            return known;
        }
        let hash = Word::new(text.as_bytes()).hash(ROOT);
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(Name { text: text.into(), hash, slot: u32::MAX });
        self.name_bytes += text.len();
        self.names_by_hash.insert(hash, id, |id| self.names.get(id as usize).map_or(0, |name| name.hash));
        NameId(id)
    }

    /// The name with the suffix.
    pub(super) fn suffixed(&mut self, name: NameId) -> NameId {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.push_str(self.text(name));
        scratch.push_str(DUPLICATE_SUFFIX);
        let suffixed = self.intern(&scratch);
        self.scratch = scratch;
        suffixed
    }

    /// What becomes of a key in this stream.
    #[inline]
    pub(super) fn fate(&mut self, prefix: Prefix<'_>, text: &str, stream: &Labels, needed: &Needed) -> Fate {
        match self.key(prefix, text, stream, needed) {
            Some(id) => self.keys.get(id as usize).map_or(Fate::Skipped, |key| key.fate),
            None => self.resolve(prefix, text, stream, needed),
        }
    }

    /// The key that followed the one before the last time, if a line goes on with it, up to its end: then the line needs not be
    /// searched for where the key ends, nor the key for what becomes of it.
    #[inline]
    pub(super) fn expected(&mut self, place: Place, line: &[u8], ended: Ended) -> Option<Known> {
        let id = self.guess();
        let key = self.keys.get(id as usize).filter(|key| key.is_plain(ended))?;
        let bytes = key.text.len();
        let text = line.get(..bytes).filter(|_| line.get(bytes) == Some(&ended.byte()))?;
        let known = key.is(place.0, Word::new(text), text).then_some(Known { id, bytes, fate: key.fate })?;
        self.last = Some(id);
        Some(known)
    }

    /// The key that followed the one before the last time, or the first of the line before.
    #[inline]
    fn guess(&self) -> u32 {
        match self.last {
            Some(last) => self.keys.get(last as usize).map_or(u32::MAX, |key| key.next),
            None => self.first,
        }
    }

    /// The place of a key as a prefix.
    pub(super) fn place(&mut self, prefix: Prefix<'_>, text: &str, stream: &Labels, needed: &Needed) -> Place {
        Place(self.key(prefix, text, stream, needed).map_or(UNKNOWN, KeyId))
    }

    /// The number of a key, if it is remembered.
    #[inline]
    fn key(&mut self, prefix: Prefix<'_>, text: &str, stream: &Labels, needed: &Needed) -> Option<u32> {
        let word = Word::new(text.as_bytes());
        let guess = self.guess();
        let is_guessed = self.keys.get(guess as usize).is_some_and(|key| key.is(prefix.key, word, text.as_bytes()));
        let id = if is_guessed { guess } else { self.look_up(prefix, word, text, stream, needed)? };
        self.last = Some(id);
        Some(id)
    }

    #[cold]
    fn look_up(&mut self, prefix: Prefix<'_>, word: Word, text: &str, stream: &Labels, needed: &Needed) -> Option<u32> {
        if prefix.key == UNKNOWN {
            return None;
        }
        let hash = word.hash(prefix.key);
        let same = |id: u32| self.keys.get(id as usize).is_some_and(|key| key.is(prefix.key, word, text.as_bytes()));
        let id = match self.keys_by_hash.find(hash, same) {
            Some(known) => known,
            None if self.keys.len() >= KEYS_MAX || prefix.text.len() + text.len() > KEY_BYTES_MAX => return None,
            None => {
                let id = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
                let fate = self.resolve(prefix, text, stream, needed);
                let [plain_by_quote, plain_by_equals] =
                    [Ended::ByQuote, Ended::ByEquals].map(|ended| ended.is_plain(text));
                let (prefix, text, next) = (prefix.key, text.into(), u32::MAX);
                self.keys.push(Key { prefix, word, text, fate, next, plain_by_quote, plain_by_equals });
                let hash_of = |id: u32| self.keys.get(id as usize).map_or(0, |key| key.word.hash(key.prefix));
                self.keys_by_hash.insert(hash, id, hash_of);
                id
            }
        };
        match self.last.and_then(|last| self.keys.get_mut(last as usize)) {
            Some(last) => last.next = id,
            None => self.first = id,
        }
        Some(id)
    }

    fn resolve(&mut self, prefix: Prefix<'_>, key: &str, stream: &Labels, needed: &Needed) -> Fate {
        let mut name = std::mem::take(&mut self.scratch);
        name.clear();
        name.push_str(prefix.text);
        if !prefix.text.is_empty() {
            name.push('_');
        }
        let before = name.len();
        sanitize_into(key, prefix.text.is_empty(), &mut name);
        let fate = if name.len() == before || name == ERROR || name == ERROR_DETAILS {
            Fate::Skipped
        } else if stream.contains(&name) {
            name.push_str(DUPLICATE_SUFFIX);
            if needed.wants(&name) { Fate::Taken(self.intern(&name)) } else { Fate::Skipped }
        } else if needed.may_want(&name) {
            let (bit, is_needed) = (bit_of(&name), needed.wants(&name));
            Fate::TakenUnlessInMetadata { name: self.intern(&name), bit, is_needed }
        } else {
            Fate::Skipped
        };
        self.scratch = name;
        fate
    }
}

/// One of 64 bits for a name: most names are seen not to be among a few others without a search.
pub(super) fn bit_of(name: &str) -> u64 {
    let last = name.bytes().next_back().unwrap_or_default();
    1 << ((name.len() + 5 * usize::from(last)) % 64)
}

/// The ends of a text as numbers. Two short texts are the same if these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    bytes: usize,
    head: u64,
    tail: u64,
}

impl Word {
    /// Texts up to here are told apart by their words alone.
    const WHOLE_BYTES_MAX: usize = 16;

    #[inline]
    fn new(bytes: &[u8]) -> Self {
        let (head, tail) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
                _ => (bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
            },
        };
        Word { bytes: bytes.len(), head, tail }
    }

    /// Mixes by multiplication. Texts that differ in the middle alone collide; there are few, and none is missed.
    fn hash(self, prefix: KeyId) -> u32 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let start = (self.bytes as u64).wrapping_mul(31).wrapping_add(prefix.0.into());
        let mixed = [self.head, self.tail]
            .iter()
            .fold(start.wrapping_mul(ODD), |hash, word| (hash.rotate_left(23) ^ word).wrapping_mul(ODD));
        (mixed >> 32) as u32
    }
}

/// Numbers found by hash: open addressing, never more than half full.
#[derive(Debug, Default)]
struct Table {
    /// Number + 1; 0 is a free place.
    places: Vec<u32>,
    used: usize,
}

impl Table {
    fn find(&self, hash: u32, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let id = self.places.get(at)?.checked_sub(1)?;
            if same(id) {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, hash: u32, id: u32, hash_of: impl Fn(u32) -> u32) {
        if self.places.len() < 2 * (self.used + 1) {
            let old = std::mem::take(&mut self.places);
            self.places = vec![0; (2 * old.len()).max(64)];
            old.into_iter().filter_map(|place| place.checked_sub(1)).for_each(|id| self.put(hash_of(id), id));
        }
        self.put(hash, id);
        self.used += 1;
    }

    fn put(&mut self, hash: u32, id: u32) {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places.get(at).is_some_and(|place| *place != 0) {
            at = (at + 1) & mask;
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = id + 1;
        }
    }
}
