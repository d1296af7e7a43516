//! What becomes of the names of an entry's metadata, remembered from one entry to the next.
//!
//! In: the pairs as sent. Out: the pairs as stored: names that queries can use, sorted, one value a name, with the level.
//! Neighbouring entries mostly have the same names, and everything but the values follows from those: which pair may tell
//! the level, how a name is spelled, in which order pairs stand, which one of two equal names stays.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use loki_api::config::Limits;
use loki_api::otlp::label_name;

use crate::level::{DETECTED_LEVEL, Telling};

/// Lists of names that are remembered; beyond them all are forgotten.
const LISTS_MAX: usize = 1024;

/// The names known, and those of the entry known last.
#[derive(Default)]
pub(crate) struct Names<'r> {
    lists: Vec<List<'r>>,
    /// By names as sent, and by whether a level follows.
    places: HashMap<(bool, Vec<&'r str>), usize, RandomState>,
    current: usize,
    /// How many lists there were: the number of the next.
    count: usize,
}

/// The names of an entry.
struct List<'r> {
    /// As sent.
    sent: Vec<&'r str>,
    has_level: bool,
    /// As stored, each with the place of its pair; behind the last pair stands the level.
    stored: Vec<(Cow<'r, str>, usize)>,
    telling: Telling,
    number: usize,
    /// Where the list is that came behind this one: neighbouring entries often take turns.
    follower: usize,
}

/// A pair as sent.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'r> Names<'r> {
    /// Takes the names of an entry, if they are not those known already.
    pub(crate) fn know(&mut self, pairs: &'r [Pair<'_>], has_level: bool, limits: &Limits) {
        if self.lists.get(self.current).is_some_and(|list| list.is_of(pairs, has_level)) {
            return;
        }
        let follower = self.lists.get(self.current).map_or(0, |list| list.follower);
        if self.lists.get(follower).is_some_and(|list| list.is_of(pairs, has_level)) {
            self.current = follower;
            return;
        }
        let place = self.place(pairs, has_level, limits);
        if let Some(list) = self.lists.get_mut(self.current) {
            list.follower = place;
        }
        self.current = place;
    }

    /// Where the list of these names is, which may be new.
    fn place(&mut self, pairs: &'r [Pair<'_>], has_level: bool, limits: &Limits) -> usize {
        let sent: Vec<&str> = pairs.iter().map(|(name, _)| &**name).collect();
        if let Some(place) = self.places.get(&(has_level, sent)) {
            return *place;
        }
        if self.lists.len() == LISTS_MAX {
            self.lists.clear();
            self.places.clear();
        }
        let place = self.lists.len();
        let list = List::new(pairs, has_level, self.count, limits);
        self.places.insert((has_level, list.sent.clone()), place);
        self.lists.push(list);
        self.count += 1;
        place
    }

    /// Which pair may tell the level.
    pub(crate) fn telling(&self) -> Telling {
        self.lists.get(self.current).map(|list| list.telling).unwrap_or_default()
    }

    /// Stands for these names, counted from 0: other names have another number.
    pub(crate) fn number(&self) -> usize {
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
    fn new(pairs: &'r [Pair<'_>], has_level: bool, number: usize, limits: &Limits) -> Self {
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
        List { telling: Telling::new(&sent, limits), sent, has_level, stored, number, follower: 0 }
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
