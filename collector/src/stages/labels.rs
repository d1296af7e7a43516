//! `labels`, `static_labels`, `labeldrop`, `labelallow`, `structured_metadata`: which names an entry carries, and where.

use super::{Names, Record, Slot, Sources, source_of};

/// `labels`: extracted values become labels.
#[derive(Debug)]
pub(super) struct SetLabels(Vec<(Slot, Slot)>);

impl SetLabels {
    pub(super) fn new(settings: Sources, names: &mut Names) -> Result<Self, String> {
        if settings.is_empty() {
            return Err("no label is named".into());
        }
        pairs(&settings, names).map(SetLabels)
    }

    pub(super) fn process(&self, record: &mut Record<'_>) {
        for (label, source) in &self.0 {
            if let Some(value) = record.extracted(*source).cloned() {
                record.set_label(*label, Some(value));
            }
        }
    }
}

/// `static_labels`: labels that the configuration gives.
#[derive(Debug)]
pub(super) struct SetStatic(Vec<(Slot, String)>);

impl SetStatic {
    pub(super) fn new(settings: Sources, names: &mut Names) -> Result<Self, String> {
        let mut labels = Vec::new();
        for (name, value) in settings {
            labels.push((names.label_slot(&name)?, value.unwrap_or_default()));
        }
        Ok(SetStatic(labels))
    }

    pub(super) fn process(&self, record: &mut Record<'_>) {
        for (slot, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            record.set_label(*slot, Some(value.clone().into()));
        }
    }
}

/// `labeldrop`: labels that go.
#[derive(Debug)]
pub(super) struct Drop(Vec<Slot>);

impl Drop {
    pub(super) fn new(settings: Vec<String>, names: &mut Names) -> Self {
        Drop(settings.iter().map(|name| names.slot(name)).collect())
    }

    pub(super) fn process(&self, record: &mut Record<'_>) {
        for slot in &self.0 {
            record.set_label(*slot, None);
        }
    }
}

/// `labelallow`: labels that stay; all others go.
#[derive(Debug)]
pub(super) struct Allow(Vec<Slot>);

impl Allow {
    pub(super) fn new(settings: Vec<String>, names: &mut Names) -> Self {
        Allow(settings.iter().map(|name| names.slot(name)).collect())
    }

    pub(super) fn process(&self, record: &mut Record<'_>) {
        for (i, label) in record.labels.iter_mut().enumerate() {
            if !self.0.contains(&Slot(i)) {
                *label = None;
            }
        }
    }
}

/// `structured_metadata`: extracted values, or labels that then go, become structured metadata.
#[derive(Debug)]
pub(super) struct SetMetadata(Vec<(Slot, Slot)>);

impl SetMetadata {
    pub(super) fn new(settings: Sources, names: &mut Names) -> Result<Self, String> {
        pairs(&settings, names).map(SetMetadata)
    }

    pub(super) fn process(&self, record: &mut Record<'_>) {
        for (name, source) in &self.0 {
            let label = record.labels.get_mut(source.0).and_then(Option::take);
            if let Some(value) = label.or_else(|| record.extracted(*source).cloned()) {
                record.metadata.push((*name, value));
            }
        }
    }
}

fn pairs(settings: &Sources, names: &mut Names) -> Result<Vec<(Slot, Slot)>, String> {
    let mut pairs = Vec::new();
    for (name, source) in settings {
        pairs.push((names.label_slot(name)?, names.slot(source_of(name, source))));
    }
    Ok(pairs)
}
