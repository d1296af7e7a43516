//! What becomes of the names of an entry's metadata, remembered from one entry to the next.
//!
//! In: the pairs as sent. Out: the pairs as stored: names that queries can use, sorted, one value a name, with the level.
//! Neighbouring entries mostly have the same names, and everything but the values follows from those: which pair may tell
//! the level, how a name is spelled, in which order pairs stand, which one of two equal names stays.

use std::borrow::Cow;

use loki_api::config::Limits;
use loki_api::otlp::label_name;

use crate::level::{DETECTED_LEVEL, Telling};

/// Lists of names that are remembered: entries of one stream often have one of a few.
const LISTS_MAX: usize = 8;

/// The names known, and those of the entry known last.
#[derive(Default)]
pub(crate) struct Names<'r> {
    lists: Vec<List<'r>>,
    current: usize,
    /// How many lists there were: the number of the newest.
    count: u64,
}

/// The names of an entry.
struct List<'r> {
    /// As sent.
    sent: Vec<&'r str>,
    has_level: bool,
    /// As stored, each with the place of its pair; behind the last pair stands the level.
    stored: Vec<(Cow<'r, str>, usize)>,
    telling: Telling,
    number: u64,
}

/// A pair as sent.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'r> Names<'r> {
    /// Takes the names of an entry, if they are not those known already.
    pub(crate) fn know(&mut self, pairs: &'r [Pair<'_>], has_level: bool, limits: &Limits) {
        if self.lists.get(self.current).is_some_and(|list| list.is_of(pairs, has_level)) {
            return;
        }
        if let Some(place) = self.lists.iter().position(|list| list.is_of(pairs, has_level)) {
            self.current = place;
            return;
        }
        self.count += 1;
        let list = List::new(pairs, has_level, self.count, limits);
        self.current = if self.lists.len() < LISTS_MAX { self.lists.len() } else { (self.current + 1) % LISTS_MAX };
        match self.lists.get_mut(self.current) {
            Some(old) => *old = list,
            None => self.lists.push(list),
        }
    }

    /// Which pair may tell the level.
    pub(crate) fn telling(&self) -> Telling {
        self.lists.get(self.current).map(|list| list.telling).unwrap_or_default()
    }

    /// Stands for these names: other names have another number.
    pub(crate) fn number(&self) -> u64 {
        self.lists.get(self.current).map_or(0, |list| list.number)
    }

    /// The pairs as stored, of an entry whose names are known.
    pub(crate) fn pairs<'p>(
        &'p self,
        sent: &'p [Pair<'_>],
        level: Option<&'p str>,
    ) -> impl Iterator<Item = (&'p str, &'p str)> {
        let value = move |place: usize| sent.get(place).map(|(_, value)| &**value).or(level).unwrap_or_default();
        let stored = self.lists.get(self.current).map(|list| &*list.stored).unwrap_or_default();
        stored.iter().map(move |(name, place)| (&**name, value(*place)))
    }
}

impl<'r> List<'r> {
    fn new(pairs: &'r [Pair<'_>], has_level: bool, number: u64, limits: &Limits) -> Self {
        let sent: Vec<&str> = pairs.iter().map(|(name, _)| &**name).collect();
        let mut stored: Vec<(Cow<'_, str>, usize)> = sent.iter().copied().map(label_name).zip(0..).collect();
        if has_level {
            stored.push((Cow::Borrowed(DETECTED_LEVEL), pairs.len()));
        }
        stored.retain(|(name, _)| !name.is_empty());
        // Stable, so that of equal names the one sent last stays.
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        stored.reverse();
        stored.dedup_by(|earlier, kept| earlier.0 == kept.0);
        stored.reverse();
        List { telling: Telling::new(&sent, limits), sent, has_level, stored, number }
    }

    fn is_of(&self, pairs: &[Pair<'_>], has_level: bool) -> bool {
        self.has_level == has_level
            && self.sent.len() == pairs.len()
            && self.sent.iter().zip(pairs).all(|(known, (name, _))| *known == &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_stored_sorted_each_name_once() {
        let mut names = Names::default();
        let limits = Limits::default();
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, &'a str);
        let entries: [Case<'_>; 7] = [
            (&[("b", "1"), ("a", "2")], Some("info"), "a=2 b=1 detected_level=info"),
            (&[("b", "3"), ("a", "4")], Some("warn"), "a=4 b=3 detected_level=warn"),
            (&[("b", "3"), ("a", "4")], None, "a=4 b=3"),
            (&[("x.y", "1"), ("x-y", "2"), ("", "3")], None, "x_y=2"),
            (&[("detected_level", "ERR")], Some("error"), "detected_level=error"),
            (&[], Some("info"), "detected_level=info"),
            (&[], None, ""),
        ];
        let all: Vec<Vec<Pair<'_>>> = entries
            .iter()
            .map(|(sent, ..)| sent.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
            .collect();
        for (sent, (_, level, want)) in all.iter().zip(entries) {
            names.know(sent, level.is_some(), &limits);
            let stored: Vec<String> = names.pairs(sent, level).map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(stored.join(" "), want);
        }
    }
}
