//! Bloom filters over what a query may ask: label pairs, metadata pairs, tokens of lines.
//!
//! In: keys, or a filter's stored bytes. Out: "certainly not here" or "perhaps". Never says no to a key that was put in.

use std::f64::consts::LN_2;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::ops::Range;

use bloomfilter::Bloom;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Error;
use crate::layout::{FILTER_HASHES_MAX, checksum32};
use crate::wire::{Cursor, put_varint};

const SEED_LABEL: u64 = 1;
const SEED_METADATA: u64 = 2;
const SEED_TOKEN: u64 = 3;

/// The two SipHash-1-3 keys of a filter in a segment of version 1, 16 bytes each.
const SIPHASH_SEED: [u8; 32] = *b"logbarn segment filter v1 seed..";

/// Something that a filter can be asked for, as a hash. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u64);

impl Key {
    /// A stream label.
    pub fn label(name: &str, value: &str) -> Self {
        Key::pair(SEED_LABEL, name, value)
    }

    /// A structured-metadata pair.
    pub fn metadata(name: &str, value: &str) -> Self {
        Key::pair(SEED_METADATA, name, value)
    }

    /// A token of a line, as [`crate::tokens()`] gives it.
    pub fn token(token: &str) -> Self {
        Key::token_bytes(token.as_bytes())
    }

    pub(crate) fn token_bytes(token: &[u8]) -> Self {
        Key(xxh3_64_with_seed(token, SEED_TOKEN).max(1))
    }

    /// The hash of the name seeds the hash of the value, so that nothing need be put together first.
    fn pair(seed: u64, name: &str, value: &str) -> Self {
        Key(xxh3_64_with_seed(value.as_bytes(), xxh3_64_with_seed(name.as_bytes(), seed)).max(1))
    }

    pub(crate) fn hash(self) -> u64 {
        self.0
    }

    /// Which of `slices` slices answers for the key: its place in the range of all hashes.
    pub(crate) fn slice(self, slices: usize) -> usize {
        let place = (u128::from(self.0) * slices as u128) >> 64;
        usize::try_from(place).unwrap_or(0)
    }
}

/// What the filters of version 1 hash once more; little-endian on every machine.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.to_le_bytes());
    }
}

/// How a key, which is a hash already, becomes bits. The version of a segment tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// By SipHash, as the crate `bloomfilter` does: version 1, which is only read.
    SipHash,
    /// By the key's own bits: a fifth of the time for the same rate of errors.
    Own,
}

/// Where a filter lies and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterMeta {
    /// Its bytes in the segment.
    pub range: Range<u64>,
    /// How many bits are set a key.
    pub hashes: u32,
    /// Checksum of the bytes.
    pub checksum: u32,
    /// How a key becomes bits.
    pub spread: Spread,
}

/// A filter that can be asked.
#[derive(Debug, Clone)]
pub struct Filter(Form);

#[derive(Debug, Clone)]
enum Form {
    SipHash(Bloom<Key>),
    Own { bits: Vec<u8>, hashes: u32 },
}

impl Filter {
    /// A filter of the given keys, sized for the wanted rate of wrong "perhaps".
    #[expect(clippy::cast_possible_truncation, reason = "both are positive and small: some bytes a key, some hashes")]
    pub(crate) fn build(keys: &KeySet, error_rate: f64) -> Self {
        let key_count = keys.len().max(1) as f64;
        // The shortest filter of a rate is the one of which half of the bits are set.
        let length = (key_count * -error_rate.ln() / LN_2.powi(2) / 8.0).ceil() as usize;
        let hashes = ((length * 8) as f64 / key_count * LN_2).round().clamp(1.0, f64::from(FILTER_HASHES_MAX)) as u32;
        let mut bits = vec![0u8; length];
        for key in keys.iter() {
            for (byte, mask) in places(key, hashes, length) {
                if let Some(byte) = bits.get_mut(byte) {
                    *byte |= mask;
                }
            }
        }
        Filter(Form::Own { bits, hashes })
    }

    /// Appends the bits and returns what the footer keeps; the range is relative to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> FilterMeta {
        let range = out.len() as u64..(out.len() + self.bits().len()) as u64;
        out.extend_from_slice(self.bits());
        let (hashes, spread) = match &self.0 {
            Form::SipHash(bloom) => (bloom.number_of_hash_functions(), Spread::SipHash),
            Form::Own { hashes, .. } => (*hashes, Spread::Own),
        };
        FilterMeta { range, hashes, checksum: checksum32(self.bits()), spread }
    }

    /// Reads a filter's stored bytes.
    pub fn decode(meta: &FilterMeta, stored: &[u8]) -> Result<Self, Error> {
        let need = meta.range.end.saturating_sub(meta.range.start);
        check_shape(need, meta.hashes)?;
        if stored.len() as u64 != need {
            return Err(Error::Truncated { part: "filter", need, have: stored.len() as u64 });
        }
        if checksum32(stored) != meta.checksum {
            return Err(Error::Checksum { part: "filter" });
        }
        if meta.spread == Spread::Own {
            return Ok(Filter(Form::Own { bits: stored.to_vec(), hashes: meta.hashes }));
        }
        let mut bytes = Vec::with_capacity(BLOOM_HEADER_BYTES + stored.len());
        bytes.push(1);
        bytes.extend_from_slice(&need.to_le_bytes());
        bytes.extend_from_slice(&meta.hashes.to_le_bytes());
        bytes.extend_from_slice(&SIPHASH_SEED);
        bytes.extend_from_slice(stored);
        let bloom = Bloom::from_bytes(bytes).map_err(|why| Error::Malformed { part: "filter", why })?;
        Ok(Filter(Form::SipHash(bloom)))
    }

    /// Whether the key may have been put in. `false` is certain.
    pub fn contains(&self, key: Key) -> bool {
        match &self.0 {
            Form::SipHash(bloom) => bloom.check(&key),
            Form::Own { bits, hashes } => {
                let is_set = |(byte, mask)| bits.get(byte).is_some_and(|byte| byte & mask != 0);
                places(key, *hashes, bits.len()).all(is_set)
            }
        }
    }

    /// The share of bits that are set: near a half if the filter was sized for its keys.
    pub(crate) fn fill(&self) -> f64 {
        let set: u64 = self.bits().iter().map(|byte| u64::from(byte.count_ones())).sum();
        set as f64 / (self.bits().len() * 8) as f64
    }

    fn bits(&self) -> &[u8] {
        match &self.0 {
            Form::SipHash(bloom) => bloom.as_slice().get(BLOOM_HEADER_BYTES..).unwrap_or_default(),
            Form::Own { bits, .. } => bits,
        }
    }
}

/// The bits of a key in a filter of `length` bytes: the byte of each, and the bit in it. The key's halves change places to
/// become the step from one to the next: in a slice all keys begin alike, in their lower halves nothing is.
fn places(key: Key, hashes: u32, length: usize) -> impl Iterator<Item = (usize, u8)> {
    let bit_count = length as u64 * 8;
    let (mut place, step) = (key.0.wrapping_mul(FACTOR), key.0.rotate_left(32));
    (0..hashes).map(move |_| {
        let bit = ((u128::from(place) * u128::from(bit_count)) >> 64) as u64;
        place = place.wrapping_add(step);
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

/// Odd, and so mixed that the upper half of a product depends on all of the key: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// What the crate writes before the bits: version, length, hashes, seed. The footer or this file know all of it.
const BLOOM_HEADER_BYTES: usize = 1 + 8 + 4 + 32;

/// Appends what the footer keeps of a filter.
pub(crate) fn put_filter(filter: &FilterMeta, out: &mut Vec<u8>) {
    put_varint(out, filter.range.end - filter.range.start);
    put_varint(out, filter.hashes.into());
    out.extend_from_slice(&filter.checksum.to_le_bytes());
}

/// Fewest bytes that [`put_filter`] writes.
pub(crate) const FILTER_RECORD_BYTES_MIN: usize = 6;

/// Reads what [`put_filter`] wrote. `offset` is where the filter begins and moves to its end.
pub(crate) fn take_filter(cursor: &mut Cursor<'_>, spread: Spread, offset: &mut u64) -> Result<FilterMeta, Error> {
    let length = cursor.varint()?;
    let hashes = cursor.varint_u32()?;
    let checksum = cursor.u32()?;
    check_shape(length, hashes)?;
    let start = *offset;
    *offset = start.checked_add(length).ok_or_else(|| cursor.malformed("a filter ends behind the object"))?;
    Ok(FilterMeta { range: start..*offset, hashes, checksum, spread })
}

/// A filter that can be asked has bits, and a number of hashes that does not take all day.
fn check_shape(length: u64, hashes: u32) -> Result<(), Error> {
    if length == 0 || hashes == 0 {
        return Err(Error::Malformed { part: "filter", why: "it is empty" });
    }
    if hashes > FILTER_HASHES_MAX {
        return Err(Error::Limit { part: "filter", value: hashes.into(), limit: FILTER_HASHES_MAX.into() });
    }
    Ok(())
}

/// The distinct keys of a block or slice. Open addressing over hashes: nothing is hashed twice, nothing allocated a key.
#[derive(Debug)]
pub(crate) struct KeySet {
    /// A power of two of them; 0 is free, since a key is never 0.
    slots: Vec<u64>,
    /// The same without gaps: who wants all keys guesses at no slot whether it is free.
    keys: Vec<Key>,
    /// A random odd number: who chooses the tokens must not be able to choose their slots. It decides nothing but speed.
    scatter: u64,
}

impl KeySet {
    pub(crate) fn new() -> Self {
        KeySet { slots: vec![0; 1024], keys: Vec::new(), scatter: RandomState::new().hash_one(0) | 1 }
    }

    /// Puts a key in, if it is new.
    pub(crate) fn insert(&mut self, key: Key) {
        if self.keys.len() * 2 >= self.slots.len() {
            self.grow();
        }
        if self.place(key.hash()) {
            self.keys.push(key);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let slots = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(slots, 0);
        for key in std::mem::take(&mut self.keys) {
            self.insert(key);
        }
    }

    /// Finds the slot of a hash and takes it; `false` if it was taken by it before.
    fn place(&mut self, hash: u64) -> bool {
        let mask = self.slots.len() - 1;
        let scattered = hash.wrapping_mul(self.scatter) >> (64 - self.slots.len().trailing_zeros());
        let mut slot = usize::try_from(scattered).unwrap_or(0);
        while let Some(taken) = self.slots.get_mut(slot) {
            if *taken == hash {
                return false;
            }
            if *taken == 0 {
                *taken = hash;
                return true;
            }
            slot = (slot + 1) & mask;
        }
        false
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().copied()
    }

    pub(crate) fn clear(&mut self) {
        self.slots.fill(0);
        self.keys.clear();
    }

    /// The memory that it keeps.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>() + self.keys.capacity() * size_of::<Key>()
    }
}
