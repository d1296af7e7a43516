//! A pipeline of stages, each a step that every line of a job passes.
//!
//! In: a line with the labels of its file. Out: the entry to ship (labels, time, line, structured metadata), or nothing if a stage
//! dropped it. Stages talk to each other through *extracted* values, named in the configuration; all those names are known
//! when the pipeline is built, so that a line's values lie in slots and borrow from the line wherever they can.
//! What a stage cannot read it leaves alone: no line is lost because it is malformed. No clock, no files, no network.

mod go_time;
mod json;
mod labels;
mod logfmt;
mod output;
mod regex;
mod timestamp;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_yaml_ng::Value as Yaml;

use crate::metrics::Metrics;

/// Stages of Promtail that this collector knows by name but does not run.
const UNSUPPORTED: [&str; 17] = [
    "cri",
    "decolorize",
    "docker",
    "drop",
    "eventlogmessage",
    "geoip",
    "limit",
    "luhn",
    "match",
    "metrics",
    "multiline",
    "pack",
    "replace",
    "sampling",
    "structured_metadata_drop",
    "template",
    "tenant",
];
/// Stages of one pipeline at most.
const STAGES_MAX: usize = 1_000;

/// Text that borrows from the line, or was made by a stage.
pub(crate) type Text<'a> = Cow<'a, str>;

/// The place of a name among all names of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(usize);

/// All names that a pipeline uses.
#[derive(Debug, Default)]
struct Names(Vec<String>);

impl Names {
    fn slot(&mut self, name: &str) -> Slot {
        Slot(self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        }))
    }

    /// The slot of a label, if the name may be one.
    fn label_slot(&mut self, name: &str) -> Result<Slot, String> {
        if is_label_name(name) { Ok(self.slot(name)) } else { Err(format!("invalid label name {name:?}")) }
    }
}

/// Whether Loki takes this as a label's name.
pub(crate) fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

#[derive(Debug)]
enum Stage {
    Json(json::Json),
    Timestamp(timestamp::Timestamp),
    Labels(labels::SetLabels),
    StaticLabels(labels::SetStatic),
    LabelDrop(labels::Drop),
    LabelAllow(labels::Allow),
    StructuredMetadata(labels::SetMetadata),
    Output(output::Output),
    Regex(regex::Regex),
    Logfmt(logfmt::Logfmt),
}

/// The stages of one job, ready to run.
#[derive(Debug)]
pub(crate) struct Pipeline {
    stages: Vec<Stage>,
    names: Names,
    /// Every name, sorted, so that labels come out in order.
    sorted: Vec<Slot>,
}

/// A line on its way through the stages.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// The line as it will be shipped.
    pub(crate) line: Text<'a>,
    /// Its time; first the time of reading.
    pub(crate) timestamp_ns: i64,
    /// The time of the entry before, in the same file, as far as it was told by a line.
    pub(crate) last_known_ns: Option<i64>,
    extracted: Vec<Option<Text<'a>>>,
    labels: Vec<Option<Text<'a>>>,
    metadata: Vec<(Slot, Text<'a>)>,
}

impl Pipeline {
    /// Builds the stages; `label_names` are those that files bring along.
    pub(crate) fn new<'n>(stages: &[Yaml], label_names: impl Iterator<Item = &'n str>) -> Result<Self, String> {
        if stages.len() > STAGES_MAX {
            return Err(format!("more than {STAGES_MAX} stages"));
        }
        let mut names = Names::default();
        for name in label_names {
            names.slot(name);
        }
        let mut built = Vec::new();
        for (i, stage) in stages.iter().enumerate() {
            built.push(Stage::new(stage, &mut names).map_err(|error| format!("pipeline_stages[{i}]: {error}"))?);
        }
        let mut sorted: Vec<Slot> = (0..names.0.len()).map(Slot).collect();
        sorted.sort_by_key(|slot| names.0.get(slot.0));
        Ok(Pipeline { stages: built, names, sorted })
    }

    /// A record with room for this pipeline's values, to be used for one line after the other.
    pub(crate) fn record<'a>(&self) -> Record<'a> {
        let slots = self.names.0.len();
        Record {
            line: Cow::Borrowed(""),
            timestamp_ns: 0,
            last_known_ns: None,
            extracted: vec![None; slots],
            labels: vec![None; slots],
            metadata: Vec::new(),
        }
    }

    /// The labels that a file brings along, with their slots. A name that the pipeline was not built with is left out.
    pub(crate) fn file_labels(&self, labels: &[(String, String)]) -> Vec<(Slot, String)> {
        let find = |name: &String| self.names.0.iter().position(|known| known == name).map(Slot);
        labels.iter().filter_map(|(name, value)| Some((find(name)?, value.clone()))).collect()
    }

    /// Runs a line through the stages. False: it is dropped.
    pub(crate) fn process<'a>(
        &self,
        record: &mut Record<'a>,
        file_labels: &'a [(Slot, String)],
        line: &'a str,
        read_ns: i64,
        metrics: &Metrics,
    ) -> bool {
        record.start(file_labels, line, read_ns);
        self.stages.iter().all(|stage| stage.process(record, metrics))
    }

    /// The labels of a record that have values, sorted by name.
    pub(crate) fn labels<'r>(&'r self, record: &'r Record<'_>) -> impl Iterator<Item = (Slot, &'r str, &'r str)> {
        self.sorted.iter().filter_map(|slot| {
            let value = record.labels.get(slot.0)?.as_deref().filter(|value| !value.is_empty())?;
            Some((*slot, self.name(*slot), value))
        })
    }

    /// The structured metadata of a record.
    pub(crate) fn metadata<'r>(&'r self, record: &'r Record<'_>) -> impl Iterator<Item = (&'r str, &'r str)> + Clone {
        record.metadata.iter().map(|(slot, value)| (self.name(*slot), &**value))
    }

    fn name(&self, slot: Slot) -> &str {
        self.names.0.get(slot.0).map_or("", String::as_str)
    }
}

impl Slot {
    /// The place as bytes, for keys of maps.
    pub(crate) fn to_bytes(self) -> [u8; 4] {
        (self.0 as u32).to_le_bytes()
    }
}

impl<'a> Record<'a> {
    fn start(&mut self, file_labels: &'a [(Slot, String)], line: &'a str, read_ns: i64) {
        self.line = Cow::Borrowed(line);
        self.timestamp_ns = read_ns;
        self.extracted.fill(None);
        self.labels.fill(None);
        self.metadata.clear();
        for (slot, value) in file_labels {
            // Stages may read the file's labels as if they had been extracted, as in Promtail.
            self.extract(*slot, Some(Cow::Borrowed(value)));
            self.set_label(*slot, Some(Cow::Borrowed(value)));
        }
    }

    fn extracted(&self, slot: Slot) -> Option<&Text<'a>> {
        self.extracted.get(slot.0)?.as_ref()
    }

    fn extract(&mut self, slot: Slot, value: Option<Text<'a>>) {
        if let Some(place) = self.extracted.get_mut(slot.0) {
            *place = value;
        }
    }

    fn set_label(&mut self, slot: Slot, value: Option<Text<'a>>) {
        if let Some(place) = self.labels.get_mut(slot.0) {
            *place = value;
        }
    }

    /// What a stage with a `source` reads: an extracted value, or the line.
    fn source(&self, source: Option<Slot>) -> Option<Text<'a>> {
        match source {
            Some(slot) => self.extracted(slot).cloned(),
            None => Some(self.line.clone()),
        }
    }
}

impl Stage {
    fn new(stage: &Yaml, names: &mut Names) -> Result<Self, String> {
        let mapping = stage.as_mapping().ok_or("a stage is written as `- name: {…}`")?;
        let mut entries = mapping.iter();
        let (Some((name, settings)), None) = (entries.next(), entries.next()) else {
            return Err("a stage has exactly one name".into());
        };
        let name = name.as_str().ok_or("a stage's name is text")?;
        let built = match name {
            "json" => json::Json::new(read(settings)?, names).map(Stage::Json),
            "timestamp" => timestamp::Timestamp::new(read(settings)?, names).map(Stage::Timestamp),
            "labels" => labels::SetLabels::new(read(settings)?, names).map(Stage::Labels),
            "static_labels" => labels::SetStatic::new(read(settings)?, names).map(Stage::StaticLabels),
            "labeldrop" => Ok(Stage::LabelDrop(labels::Drop::new(read(settings)?, names))),
            "labelallow" => Ok(Stage::LabelAllow(labels::Allow::new(read(settings)?, names))),
            "structured_metadata" => labels::SetMetadata::new(read(settings)?, names).map(Stage::StructuredMetadata),
            "output" => Ok(Stage::Output(output::Output::new(read(settings)?, names))),
            "regex" => regex::Regex::new(read(settings)?, names).map(Stage::Regex),
            "logfmt" => logfmt::Logfmt::new(read(settings)?, names).map(Stage::Logfmt),
            _ if UNSUPPORTED.contains(&name) => Err("Promtail's stage of that name is not supported here yet".into()),
            _ => Err("unknown stage".into()),
        };
        built.map_err(|error| format!("{name}: {error}"))
    }

    fn process(&self, record: &mut Record<'_>, metrics: &Metrics) -> bool {
        match self {
            Stage::Json(stage) => return stage.process(record),
            Stage::Timestamp(stage) => stage.process(record, metrics),
            Stage::Labels(stage) => stage.process(record),
            Stage::StaticLabels(stage) => stage.process(record),
            Stage::LabelDrop(stage) => stage.process(record),
            Stage::LabelAllow(stage) => stage.process(record),
            Stage::StructuredMetadata(stage) => stage.process(record),
            Stage::Output(stage) => stage.process(record),
            Stage::Regex(stage) => stage.process(record),
            Stage::Logfmt(stage) => stage.process(record),
        }
        true
    }
}

fn read<T: DeserializeOwned>(settings: &Yaml) -> Result<T, String> {
    serde_yaml_ng::from_value(settings.clone()).map_err(|error| error.to_string())
}

/// `name: source`, where an absent source is the name itself.
type Sources = BTreeMap<String, Option<String>>;

fn source_of<'s>(name: &'s str, source: &'s Option<String>) -> &'s str {
    source.as_deref().filter(|source| !source.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests;
