//! Finds the patterns that lines follow: `user <_> logged in`, with exact counts.
//!
//! In: lines with level and time. Out: patterns with their counts by time. Lines whose separators and keys are the same are
//! compared token by token, as Drain does; where enough words agree they share a pattern, and what differs becomes `<_>`. A
//! pattern only ever grows more general, so each line that was counted under it is one that `|>` finds by it. Two miners
//! can be merged, so that blocks are mined independently. Memory is bounded: when too many patterns compete the rarest go.

use std::collections::{BTreeMap, HashMap};

use xxhash_rust::xxh3::Xxh3;

use super::tokens::{Token, is_word, split};

/// Patterns under way at once.
const CLUSTERS_MAX: usize = 1000;
/// Patterns of the same separators and keys; a line beyond them joins the one it is most like.
const ALIKE_MAX: usize = 32;

/// A pattern and how often it occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Its text, as `|>` reads it.
    pub text: String,
    /// The level of its lines.
    pub level: String,
    /// Lines by the start of their step, in nanoseconds since 1970, ascending.
    pub samples: Vec<(i64, u64)>,
}

impl Pattern {
    /// Lines over all steps.
    pub fn lines(&self) -> u64 {
        self.samples.iter().map(|(_, lines)| lines).sum()
    }
}

/// Lines that share a pattern.
#[derive(Debug)]
struct Cluster {
    skeleton: u64,
    level: Box<str>,
    before: Box<str>,
    parts: Vec<Part>,
    samples: BTreeMap<i64, u64>,
    lines: u64,
}

/// A token of a pattern; without text it is `<_>`.
#[derive(Debug)]
struct Part {
    text: Option<Box<str>>,
    after: Box<str>,
    is_key: bool,
    /// Whether it is all of a key's value: likely another one in the next line, even if it is a word.
    is_value: bool,
}

/// The miner.
#[derive(Debug)]
pub(crate) struct Miner {
    step_ns: i64,
    clusters: Vec<Cluster>,
    /// Places of the clusters that have the same separators and keys.
    alike: HashMap<u64, Vec<usize>>,
    forgotten: u64,
}

impl Miner {
    /// Counts by steps of this length.
    pub(crate) fn new(step_ns: i64) -> Self {
        Miner { step_ns: step_ns.max(1), clusters: Vec::new(), alike: HashMap::new(), forgotten: 0 }
    }

    /// Counts one line. An empty one has no pattern. `tokens` is scratch.
    pub(crate) fn add<'l>(&mut self, level: &str, timestamp_ns: i64, line: &'l str, tokens: &mut Vec<Token<'l>>) {
        if line.is_empty() {
            return;
        }
        let before = split(line, tokens);
        let skeleton = skeleton(level, before, tokens);
        let like = |cluster: &Cluster| {
            let fits = *cluster.level == *level && *cluster.before == *before;
            let texts = tokens.iter().map(|token| (Some(token.text).filter(|_| !token.is_rest), token.after));
            if fits { likeness(&cluster.parts, texts) } else { None }
        };
        let place = match self.best(skeleton, like) {
            Some(place) => place,
            None => self.insert(Cluster::new(skeleton, level, before, tokens)),
        };
        let step = timestamp_ns - timestamp_ns.rem_euclid(self.step_ns);
        if let Some(cluster) = self.clusters.get_mut(place) {
            cluster.generalize(tokens.iter().map(|token| Some(token.text).filter(|_| !token.is_rest)));
            cluster.lines += 1;
            *cluster.samples.entry(step).or_default() += 1;
        }
    }

    /// Takes over what another miner found.
    pub(crate) fn merge(&mut self, other: Miner) {
        self.forgotten += other.forgotten;
        for theirs in other.clusters {
            let like = |ours: &Cluster| {
                let fits = ours.level == theirs.level && ours.before == theirs.before;
                let texts = theirs.parts.iter().map(|part| (part.text.as_deref(), &*part.after));
                if fits { likeness(&ours.parts, texts) } else { None }
            };
            match self.best(theirs.skeleton, like).and_then(|place| self.clusters.get_mut(place)) {
                Some(ours) => {
                    ours.generalize(theirs.parts.iter().map(|part| part.text.as_deref()));
                    ours.lines += theirs.lines;
                    theirs.samples.iter().for_each(|(step, lines)| *ours.samples.entry(*step).or_default() += lines);
                }
                None => drop(self.insert(theirs)),
            }
        }
    }

    /// Lines of patterns that had to go: without them the counts are complete.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.clusters.iter().map(Cluster::memory_bytes).sum()
    }

    /// The patterns, those with the most lines first.
    pub(crate) fn finish(self) -> Vec<Pattern> {
        let mut patterns: BTreeMap<(String, Box<str>), BTreeMap<i64, u64>> = BTreeMap::new();
        for cluster in self.clusters {
            let samples = patterns.entry((cluster.text(), cluster.level)).or_default();
            cluster.samples.into_iter().for_each(|(step, lines)| *samples.entry(step).or_default() += lines);
        }
        let pattern = |((text, level), samples): ((String, Box<str>), BTreeMap<i64, u64>)| Pattern {
            text,
            level: level.into(),
            samples: samples.into_iter().collect(),
        };
        let mut patterns: Vec<Pattern> = patterns.into_iter().map(pattern).collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.lines()));
        patterns
    }

    /// The cluster that is most alike, the oldest of equals; any that fits at all if there are too many to add another.
    fn best(&self, skeleton: u64, like: impl Fn(&Cluster) -> Option<Likeness>) -> Option<usize> {
        let places = self.alike.get(&skeleton)?;
        let found = places.iter().filter_map(|place| Some((like(self.clusters.get(*place)?)?, *place)));
        let close = |likeness: &Likeness| likeness.is_close() || places.len() >= ALIKE_MAX;
        let best = found.filter(|(likeness, _)| close(likeness));
        best.max_by_key(|(likeness, place)| (likeness.same, std::cmp::Reverse(*place))).map(|(_, place)| place)
    }

    fn insert(&mut self, cluster: Cluster) -> usize {
        if self.clusters.len() >= CLUSTERS_MAX {
            self.forget();
        }
        let place = self.clusters.len();
        self.alike.entry(cluster.skeleton).or_default().push(place);
        self.clusters.push(cluster);
        place
    }

    /// Drops the quarter with the fewest lines, of equals the oldest.
    fn forget(&mut self) {
        let mut lines: Vec<(u64, usize)> = self.clusters.iter().map(|c| c.lines).zip(0..).collect();
        lines.sort_unstable();
        lines.truncate(CLUSTERS_MAX.div_ceil(4));
        let mut gone = vec![false; self.clusters.len()];
        for (lines, place) in lines {
            self.forgotten += lines;
            gone.get_mut(place).into_iter().for_each(|gone| *gone = true);
        }
        let mut gone = gone.into_iter();
        self.clusters.retain(|_| !gone.next().unwrap_or_default());
        self.alike.clear();
        for (place, cluster) in self.clusters.iter().enumerate() {
            self.alike.entry(cluster.skeleton).or_default().push(place);
        }
    }
}

impl Cluster {
    fn new(skeleton: u64, level: &str, before: &str, tokens: &[Token<'_>]) -> Self {
        let previous = [None].into_iter().chain(tokens.iter().map(Some));
        let part = |(token, previous): (&Token<'_>, Option<&Token<'_>>)| Part {
            text: Some(token.text.into()).filter(|_| !token.is_rest),
            after: token.after.into(),
            is_key: token.is_key(),
            is_value: previous.is_some_and(|previous| token.is_value_of(previous)),
        };
        let parts = tokens.iter().zip(previous).map(part).collect();
        Cluster { skeleton, level: level.into(), before: before.into(), parts, samples: BTreeMap::new(), lines: 0 }
    }

    /// What differs becomes `<_>`.
    fn generalize<'t>(&mut self, texts: impl Iterator<Item = Option<&'t str>>) {
        for (part, text) in self.parts.iter_mut().zip(texts) {
            if part.text.as_deref() != text {
                part.text = None;
            }
        }
    }

    fn text(&self) -> String {
        let parts = self.parts.iter().flat_map(|part| [part.text.as_deref().unwrap_or("<_>"), &part.after]);
        [&*self.before].into_iter().chain(parts).collect()
    }

    fn memory_bytes(&self) -> usize {
        let texts = self.parts.iter().map(|part| part.text.as_ref().map_or(0, |text| text.len()) + part.after.len());
        size_of::<Self>()
            + texts.sum::<usize>()
            + size_of::<Part>() * self.parts.len()
            + size_of::<(i64, u64)>() * self.samples.len()
    }
}

/// How much a line and a pattern have in common.
#[derive(Debug, Clone, Copy)]
struct Likeness {
    /// Tokens with the same text.
    same: usize,
    /// Words in both places.
    words: usize,
    /// Of them the same.
    same_words: usize,
}

impl Likeness {
    /// Whether half the words agree.
    fn is_close(self) -> bool {
        self.same_words * 2 >= self.words
    }
}

/// Compares tokens; nothing if separators or keys differ. Tokens with digits and values of keys say nothing.
fn likeness<'t>(
    parts: &[Part],
    mut texts: impl ExactSizeIterator<Item = (Option<&'t str>, &'t str)>,
) -> Option<Likeness> {
    if parts.len() != texts.len() {
        return None;
    }
    let mut likeness = Likeness { same: 0, words: 0, same_words: 0 };
    for part in parts {
        let (text, after) = texts.next()?;
        if after != &*part.after || (part.is_key && part.text.as_deref() != text) {
            return None;
        }
        let Some((ours, theirs)) = part.text.as_deref().zip(text).filter(|_| !part.is_key) else { continue };
        let (same, word) =
            (usize::from(ours == theirs), usize::from(!part.is_value && is_word(ours) && is_word(theirs)));
        likeness.same += same;
        likeness.words += word;
        likeness.same_words += same * word;
    }
    Some(likeness)
}

/// What lines must share to be compared at all: level, separators, keys, and in prose the first word.
fn skeleton(level: &str, before: &str, tokens: &[Token<'_>]) -> u64 {
    let mut hasher = Xxh3::new();
    let mut put = |text: &str| {
        hasher.update(text.as_bytes());
        hasher.update(&[0xff]);
    };
    put(level);
    put(before);
    let mut has_keys = false;
    for token in tokens {
        put(token.after);
        put(if token.is_rest { "rest" } else { "" });
        if token.is_key() {
            has_keys = true;
            put(token.text);
        }
    }
    if !has_keys && let Some(word) = tokens.iter().find(|token| token.is_word()) {
        put(word.text);
    }
    hasher.digest()
}

#[cfg(test)]
mod tests;
