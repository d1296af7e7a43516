//! `output`: an extracted value becomes the line.

use serde::Deserialize;

use super::{Names, Record, Slot};

/// The stage's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    source: String,
}

#[derive(Debug)]
pub(super) struct Output(Slot);

impl Output {
    pub(super) fn new(settings: Settings, names: &mut Names) -> Self {
        Output(names.slot(&settings.source))
    }

    pub(super) fn process(&self, record: &mut Record<'_>) {
        if let Some(value) = record.extracted(self.0) {
            record.line = value.clone();
        }
    }
}
