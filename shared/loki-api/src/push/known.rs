//! Label strings that were parsed before: a client sends the same few with every push.
//!
//! In: a label string. Out: what [`parse_labels`] makes of it, mostly a pointer to what it made of it last time. Holds a bounded
//! number of bytes; what is not asked for is forgotten. What was refused is not remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::labels::{LabelsError, ParsedLabels, parse_labels};

/// Bytes of label strings in each of the two generations. Parsed they take about six times as much.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Remembers label strings. Two generations: when the young one is full, it becomes the old one, and the old one is forgotten.
#[derive(Debug, Default)]
pub struct KnownLabels(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, ParsedLabels, RandomState>,
    young_bytes: usize,
    old: HashMap<Box<str>, ParsedLabels, RandomState>,
}

impl KnownLabels {
    /// Parses a label string, if it is not known.
    pub fn parse(&self, text: &str) -> Result<ParsedLabels, LabelsError> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = generations.young.get(text) {
            return Ok(known.clone());
        }
        let parsed = match generations.old.remove(text) {
            Some(known) => known,
            None => parse_labels(text)?,
        };
        generations.remember(text, parsed.clone());
        Ok(parsed)
    }
}

impl Generations {
    fn remember(&mut self, text: &str, parsed: ParsedLabels) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        if self.young_bytes + text.len() > TEXT_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += text.len();
        self.young.insert(text.into(), parsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far more strings than are remembered, each asked for twice in a row and again much later.
    #[test]
    fn what_is_known_is_what_would_be_parsed() {
        let known = KnownLabels::default();
        for i in (0..30_000).chain(0..100) {
            let text = format!("{{app=\"{i}\", host=\"{}\"}}", "x".repeat(i % 100));
            let parsed = parse_labels(&text).expect("labels");
            let first = known.parse(&text).expect("labels");
            let second = known.parse(&text).expect("labels");
            assert_eq!((&first, &second), (&parsed, &parsed));
            assert!(second.labels.is_clone_of(&first.labels), "{text}");
        }
        let held = known.0.lock().expect("no panic");
        let bytes =
            |map: &HashMap<Box<str>, ParsedLabels, RandomState>| map.keys().map(|text| text.len()).sum::<usize>();
        assert!(bytes(&held.young) <= TEXT_BYTES_MAX && bytes(&held.old) <= TEXT_BYTES_MAX);
        assert!(!held.old.is_empty());
    }

    #[test]
    fn what_is_refused_is_refused_again() {
        let known = KnownLabels::default();
        assert_eq!(known.parse("{a=x}"), known.parse("{a=x}"));
        assert!(known.parse("{a=x}").is_err());
    }
}
