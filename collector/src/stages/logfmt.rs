//! `logfmt`: values of `key=value key="quoted value"` become extracted values.

use std::borrow::Cow;

use serde::Deserialize;

use super::json::unescape;
use super::{Names, Record, Slot, Sources, source_of};

/// The stage's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    mapping: Sources,
    source: Option<String>,
}

#[derive(Debug)]
pub(super) struct Logfmt {
    /// Key in the line, and where its value goes.
    keys: Vec<(String, Slot)>,
    source: Option<Slot>,
}

impl Logfmt {
    pub(super) fn new(settings: Settings, names: &mut Names) -> Result<Self, String> {
        if settings.mapping.is_empty() {
            return Err("the mapping names no key".into());
        }
        let keys =
            settings.mapping.iter().map(|(name, key)| (source_of(name, key).to_owned(), names.slot(name))).collect();
        Ok(Logfmt { keys, source: settings.source.map(|source| names.slot(&source)) })
    }

    pub(super) fn process(&self, record: &mut Record<'_>) {
        match record.source(self.source) {
            Some(Cow::Borrowed(text)) => self.extract(text, record, |value| value),
            Some(Cow::Owned(text)) => self.extract(&text, record, |value| Cow::Owned(value.into_owned())),
            None => {}
        }
    }

    fn extract<'t, 'a>(&self, text: &'t str, record: &mut Record<'a>, keep: impl Fn(Cow<'t, str>) -> Cow<'a, str>) {
        let mut rest = text;
        while let Some((key, value, behind)) = next_pair(rest) {
            rest = behind;
            for (_, slot) in self.keys.iter().filter(|(wanted, _)| wanted == key) {
                record.extract(*slot, Some(keep(value.clone())));
            }
        }
    }
}

/// The next key and value; a key without `=` has an empty value.
fn next_pair(text: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let text = text.trim_start_matches(|c: char| c <= ' ' || c == '=' || c == '"');
    let end = text.find(|c: char| c <= ' ' || c == '=' || c == '"').unwrap_or(text.len());
    let (key, rest) = text.split_at_checked(end).filter(|(key, _)| !key.is_empty())?;
    let Some(value) = rest.strip_prefix('=') else { return Some((key, Cow::Borrowed(""), rest)) };
    let Some(quoted) = value.strip_prefix('"') else {
        let end = value.find(|c: char| c <= ' ').unwrap_or(value.len());
        let (value, rest) = value.split_at_checked(end)?;
        return Some((key, Cow::Borrowed(value), rest));
    };
    let mut escaped = false;
    let end = quoted.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let (inside, rest) = quoted.split_at_checked(end)?;
    Some((key, unescape(inside), rest.get(1..)?))
}
