//! `regex`: named groups of an expression become extracted values.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Names, Record, Slot};

/// Memory that one compiled expression may take.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// The stage's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    expression: String,
    source: Option<String>,
}

#[derive(Debug)]
pub(super) struct Regex {
    expression: regex::Regex,
    /// Group number and the name's slot.
    groups: Vec<(usize, Slot)>,
    source: Option<Slot>,
}

impl Regex {
    pub(super) fn new(settings: Settings, names: &mut Names) -> Result<Self, String> {
        let expression = regex::RegexBuilder::new(&settings.expression)
            .size_limit(EXPRESSION_BYTES_MAX)
            .build()
            .map_err(|error| error.to_string())?;
        let groups: Vec<_> =
            expression.capture_names().enumerate().filter_map(|(i, name)| Some((i, names.slot(name?)))).collect();
        if groups.is_empty() {
            return Err("the expression has no named group".into());
        }
        Ok(Regex { expression, groups, source: settings.source.map(|source| names.slot(&source)) })
    }

    pub(super) fn process(&self, record: &mut Record<'_>) {
        match record.source(self.source) {
            Some(Cow::Borrowed(text)) => self.extract(text, record, Cow::Borrowed),
            Some(Cow::Owned(text)) => self.extract(&text, record, |value| Cow::Owned(value.to_owned())),
            None => {}
        }
    }

    fn extract<'t, 'a>(&self, text: &'t str, record: &mut Record<'a>, keep: impl Fn(&'t str) -> Cow<'a, str>) {
        let Some(captures) = self.expression.captures(text) else { return };
        for (group, slot) in &self.groups {
            // A group that took no part gives empty text, as in Go.
            let value = captures.get(*group).map_or("", |found| found.as_str());
            record.extract(*slot, Some(keep(value)));
        }
    }
}
