//! What becomes of the names of an entry's metadata: found once for each list of names of a push.
//!
//! In: lists of names as sent. Out: the columns as stored: names that queries can use, sorted, one value a name, with the level.
//! Everything but the values follows from the names: which pair may tell the level, how a name is spelled, in which order
//! pairs stand, which one of two equal names stays.

use std::borrow::Cow;

use loki_api::config::Limits;
use loki_api::otlp::label_name;
use loki_api::push::{NameLists, Span};

use crate::batch::{Batch, Column, Full};
use crate::level::{DETECTED_LEVEL, Telling};

/// The lists of names of a push, and what is known of them.
pub(crate) struct Names<'p> {
    sent: &'p NameLists,
    /// Where in `known` a list is: without a level, and with one.
    places: Vec<[Option<u32>; 2]>,
    known: Vec<Known>,
}

/// What follows from the names of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Which pair may tell the level.
    pub(crate) telling: Telling,
    /// The number of the batch's columns.
    pub(crate) columns: u32,
}

impl<'p> Names<'p> {
    pub(crate) fn new(sent: &'p NameLists) -> Self {
        Names { sent, places: vec![[None; 2]; sent.count()], known: Vec::new() }
    }

    /// What follows from a list of names, whose columns the batch gets when it is met first.
    pub(crate) fn know(
        &mut self,
        list: u32,
        has_level: bool,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<Known, Full> {
        let place = self.places.get(list as usize).and_then(|places| places[usize::from(has_level)]);
        if let Some(known) = place.and_then(|place| self.known.get(place as usize)) {
            return Ok(*known);
        }
        let known = self.find(list, has_level, limits, batch)?;
        if let Some(places) = self.places.get_mut(list as usize) {
            places[usize::from(has_level)] = Some(self.known.len() as u32);
        }
        self.known.push(known);
        Ok(known)
    }

    fn find(&self, list: u32, has_level: bool, limits: &Limits, batch: &mut Batch) -> Result<Known, Full> {
        let spans = self.sent.names(list);
        let sent: Vec<&str> = spans.iter().map(|name| batch.text_of(*name)).collect();
        let telling = Telling::new(&sent, limits);
        let mut stored: Vec<(Cow<'_, str>, u32)> = sent.iter().copied().map(label_name).zip(0..).collect();
        if has_level {
            stored.push((Cow::Borrowed(DETECTED_LEVEL), spans.len() as u32));
        }
        stored.retain(|(name, _)| !name.is_empty());
        // Stable, so that of equal names the one sent last stays.
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        stored.reverse();
        stored.dedup_by(|earlier, kept| earlier.0 == kept.0);
        stored.reverse();
        // A name that stays as it is stays where it is.
        let place = |(name, place): (Cow<'_, str>, u32)| match (spans.get(place as usize), name) {
            (Some(span), Cow::Borrowed(_)) => (Ok(*span), place),
            (_, name) => (Err(name.into_owned()), place),
        };
        let stored: Vec<(Result<Span, String>, u32)> = stored.into_iter().map(place).collect();
        let mut columns = Vec::with_capacity(stored.len());
        for (name, place) in stored {
            columns.push(Column { name: name.or_else(|name| batch.add_text(&name))?, place });
        }
        Ok(Known { telling, columns: batch.add_columns(columns) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Sent;
    use crate::buffers::{Buffers, Text};
    use crate::level::Level;
    use loki_api::push::{FlatPush, PushEntry, PushRequest, PushStream};
    use model::Labels;

    #[test]
    fn pairs_are_stored_sorted_each_name_once() {
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
        let mut stream = PushStream::default();
        for (sent, ..) in entries {
            let start = stream.metadata.len();
            stream.metadata.extend(sent.iter().map(|(name, value)| ((*name).into(), (*value).into())));
            stream.entries.push(PushEntry { metadata: start..stream.metadata.len(), ..PushEntry::default() });
        }
        let push = FlatPush::gather(&PushRequest { streams: vec![stream] }, 0).expect("small");
        let mut batch = Batch::new(Text::new(push.text.clone(), &Buffers::default()), 7, 0);
        batch.start_stream(Labels::default());
        let mut names = Names::new(&push.names);
        for (entry, (_, level, _)) in push.entries.iter().zip(entries) {
            let known = names.know(entry.names, level.is_some(), &limits, &mut batch).expect("small");
            let sent = Sent::new(&push, entry);
            batch.push(0, &sent, None, known.columns, level.map(Level::Word)).expect("small");
        }
        let (_, _, rows) = batch.runs().next().expect("one stream, one day");
        for (row, (.., want)) in rows.iter().zip(entries) {
            let pairs = batch.names(row).zip(batch.values(row));
            assert_eq!(pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "), want);
        }
        assert_eq!(rows[0].columns, rows[1].columns, "the same names, the same columns");
    }
}
