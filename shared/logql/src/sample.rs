//! Entries to samples.
//!
//! In: the entries of a stream, for one range aggregation. Out: for each that comes through the pipeline the labels of its
//! series, reduced to the grouping already, and its value: 1, the bytes of the line, or an unwrapped label. An entry that
//! still carries an error fails the query, in Loki's words, unless the query looks at `__error__` itself.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use model::{EntryRef, Labels};

use crate::Error;
use crate::ast::{Conversion, LabelFilter, RangeOp, Stage, Unwrap};
use crate::eval::{GroupingKey, Leaf};
use crate::labels::{ERROR, LineLabels, Needed};
use crate::pipeline::{Hints, LineFilter, Pipeline, Processed, StreamPipeline};
use crate::stage::{self, convert};

/// Most series whose labels are kept for a stream; beyond that all are forgotten and built again.
const SERIES_KEPT_MAX: usize = 4096;
const EXTRACTION_ERROR: &str = "SampleExtractionErr";

/// Makes samples for one range aggregation; shared by all threads of a query.
#[derive(Debug)]
pub struct Sampler {
    pipeline: Pipeline,
    value: Value,
    /// To what labels series are reduced; none: they keep all of theirs.
    grouping: Option<GroupingKey>,
    /// The query looks at errors, so they do not fail it.
    allows_errors: bool,
}

/// Where a sample's value comes from.
#[derive(Debug)]
enum Value {
    /// Each line counts 1.
    One,
    /// The bytes of the line, after the pipeline.
    Bytes,
    /// A label.
    Label { name: String, conversion: Conversion, filters: Vec<stage::LabelFilter> },
}

impl Sampler {
    /// Compiles the pipeline and the extraction of a leaf.
    pub fn new(leaf: &Leaf<'_>) -> Result<Self, Error> {
        let aggregation = leaf.aggregation;
        let unwrap = aggregation.unwrap.as_ref();
        let is_absent = aggregation.op == RangeOp::AbsentOverTime;
        let needed = if is_absent { Some(Vec::new()) } else { needed_labels(leaf, unwrap) };
        let value = match (unwrap, aggregation.op) {
            (Some(unwrap), _) => Value::Label {
                name: unwrap.label.clone(),
                conversion: unwrap.conversion,
                filters: unwrap.filters.iter().map(stage::LabelFilter::new).collect::<Result<_, _>>()?,
            },
            (None, RangeOp::BytesOverTime | RangeOp::BytesRate) => Value::Bytes,
            (None, _) => Value::One,
        };
        let mentions = needed.as_ref().is_some_and(|names| names.iter().any(|name| name == ERROR));
        let stages = &aggregation.log.pipeline;
        let allows_errors = needed.is_some() && (mentions || stages.iter().any(filters_errors));
        let hints = Hints { needed: needed.map_or(Needed::All, Needed::Only) };
        let grouping = if is_absent { Some(GroupingKey::new(None)) } else { leaf.grouping_key() };
        Ok(Sampler { pipeline: Pipeline::with_hints(stages, hints)?, value, grouping, allows_errors })
    }

    /// A sampler over the entries of one stream.
    pub fn for_stream(&self, stream: &Labels) -> StreamSampler<'_> {
        StreamSampler { sampler: self, pipeline: self.pipeline.for_stream(stream), series: SeriesCache::default() }
    }

    /// The line filters that see the stored line. They may be run over a whole block first, and `process_filtered` over
    /// what they leave.
    pub fn leading_line_filters(&self) -> &[LineFilter] {
        self.pipeline.leading_line_filters()
    }

    /// Whether each entry that comes through the leading line filters counts 1 and no stage follows: then its series is
    /// known without the line.
    pub fn counts_entries(&self) -> bool {
        matches!(self.value, Value::One) && self.pipeline.is_only_line_filters()
    }

    /// The same for the bytes of stored lines.
    pub fn counts_bytes(&self) -> bool {
        matches!(self.value, Value::Bytes) && self.pipeline.is_only_line_filters()
    }

    /// Whether structured metadata of that name can be a label of a series. If it cannot, its column need not be read for
    /// the series' sake.
    pub fn keeps_metadata(&self, name: &str) -> bool {
        self.grouping.as_ref().is_none_or(|grouping| {
            // Metadata of a stream label's name carries a suffix.
            grouping.keeps(name) || grouping.keeps(&format!("{name}_extracted"))
        })
    }
}

/// The labels that are used behind the pipeline; none if all of them are.
fn needed_labels(leaf: &Leaf<'_>, unwrap: Option<&Unwrap>) -> Option<Vec<String>> {
    let grouping = leaf.grouping().filter(|grouping| !grouping.without)?;
    let mut needed = grouping.labels.clone();
    if let Some(unwrap) = unwrap {
        // An unwrap that is not grouped by anything keeps what it meets.
        needed.push(unwrap.label.clone());
        needed.extend(unwrap.filters.iter().flat_map(LabelFilter::names).map(str::to_owned));
    }
    Some(needed)
}

/// Whether a stage filters by the error label.
fn filters_errors(stage: &Stage) -> bool {
    let Stage::LabelFilter(filter) = stage else { return false };
    filter.names().contains(&ERROR)
}

/// A sampler at work on one stream.
#[derive(Debug)]
pub struct StreamSampler<'s> {
    sampler: &'s Sampler,
    pipeline: StreamPipeline<'s>,
    series: SeriesCache,
}

/// A sample and the series it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRef<'a> {
    /// The series' labels, reduced to the grouping.
    pub series: &'a Labels,
    /// The value.
    pub value: f64,
}

impl StreamSampler<'_> {
    /// Runs the pipeline over an entry and takes its sample; `None` if a filter drops it or it has no label to unwrap.
    /// The error is one that fails the query.
    pub fn process(&mut self, entry: EntryRef<'_>) -> Result<Option<SampleRef<'_>>, Error> {
        match self.pipeline.process(entry) {
            Some(processed) => self.sampler.sample(processed, &mut self.series),
            None => Ok(None),
        }
    }

    /// As `process`, for an entry that the leading line filters let through already.
    pub fn process_filtered(&mut self, entry: EntryRef<'_>) -> Result<Option<SampleRef<'_>>, Error> {
        match self.pipeline.process_filtered(entry) {
            Some(processed) => self.sampler.sample(processed, &mut self.series),
            None => Ok(None),
        }
    }

    /// The series of an entry with that structured metadata, where the pipeline is only line filters: one call then
    /// serves all entries that share it.
    pub fn series(&mut self, metadata: &[(&str, &str)]) -> Option<&Labels> {
        let processed = self.pipeline.process_filtered(EntryRef { timestamp_ns: 0, line: "", metadata })?;
        Some(self.series.find(processed.labels(), self.sampler.grouping.as_ref(), None))
    }
}

impl Sampler {
    fn sample<'a>(
        &self,
        mut processed: Processed<'_>,
        series: &'a mut SeriesCache,
    ) -> Result<Option<SampleRef<'a>>, Error> {
        let (value, unwrapped) = match &self.value {
            Value::One => (1.0, None),
            Value::Bytes => (processed.line().len() as f64, None),
            Value::Label { name, conversion, filters } => {
                let Some(value) = unwrap(processed.labels_mut(), name, *conversion) else { return Ok(None) };
                if !filters.iter().all(|filter| filter.process(processed.labels_mut())) {
                    return Ok(None);
                }
                (value, Some(name.as_str()))
            }
        };
        let labels = processed.labels();
        if labels.error().is_some() && !self.allows_errors {
            return Err(pipeline_error(labels));
        }
        let grouping = self.grouping.as_ref();
        // The unwrapped label is no label of the series, unless the series are grouped by it.
        let dropped = unwrapped.filter(|_| grouping.is_none_or(GroupingKey::is_without));
        Ok(Some(SampleRef { series: series.find(labels, grouping, dropped), value }))
    }
}

/// The number in a label; none if the label is missing or empty. What is no number is 0 and marks the entry.
fn unwrap(labels: &mut LineLabels<'_>, name: &str, conversion: Conversion) -> Option<f64> {
    let text = labels.get(name).filter(|text| !text.is_empty())?;
    let converted = match conversion {
        Conversion::Number => convert::float(text),
        Conversion::Bytes => convert::bytes(text).map(|bytes| bytes as f64),
        Conversion::Duration | Conversion::DurationSeconds => convert::duration_ns(text).map(seconds),
    };
    Some(converted.unwrap_or_else(|why| {
        labels.set_error(EXTRACTION_ERROR, Some(&why));
        0.0
    }))
}

/// Seconds as Go counts them: whole and fraction apart, so that neither loses digits to the other.
fn seconds(nanos: i64) -> f64 {
    (nanos / 1_000_000_000) as f64 + (nanos % 1_000_000_000) as f64 / 1e9
}

/// Why the query fails: the entry's error, and how to get around it.
fn pipeline_error(labels: &LineLabels<'_>) -> Error {
    let error = labels.error().unwrap_or_default();
    Error::pipeline(format!(
        "pipeline error: '{error}' for series: '{}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n",
        labels.to_labels()
    ))
}

/// The series that a stream's entries were found to belong to.
#[derive(Debug, Default)]
struct SeriesCache {
    known: HashMap<Box<[u8]>, Labels, RandomState>,
    /// The labels of the entry at hand, one behind the other, each text behind its length.
    key: Vec<u8>,
    /// The entry before it nearly always belongs to the same series.
    last_key: Vec<u8>,
    last: Labels,
    everything: Labels,
}

impl SeriesCache {
    /// The series of an entry's labels. Labels come in the same order for entries alike; a set that comes in two orders is
    /// kept twice, which does no harm.
    fn find(&mut self, labels: &LineLabels<'_>, grouping: Option<&GroupingKey>, dropped: Option<&str>) -> &Labels {
        if grouping.is_some_and(GroupingKey::is_everything) {
            return &self.everything;
        }
        let keeps = |name: &str| Some(name) != dropped && grouping.is_none_or(|grouping| grouping.keeps(name));
        self.key.clear();
        for (_, name, value) in labels.iter().filter(|(_, name, _)| keeps(name)) {
            for text in [name, value] {
                self.key.extend_from_slice(&text.len().to_le_bytes());
                self.key.extend_from_slice(text.as_bytes());
            }
        }
        if self.key.is_empty() {
            return &self.everything;
        }
        if self.key != self.last_key {
            match self.known.get(self.key.as_slice()) {
                Some(known) => self.last = known.clone(),
                None => {
                    let pairs = labels.iter().filter(|(_, name, _)| keeps(name)).map(|(_, name, value)| (name, value));
                    self.last = Labels::from_pairs(pairs);
                    if self.known.len() >= SERIES_KEPT_MAX {
                        self.known.clear();
                    }
                    self.known.insert(self.key.as_slice().into(), self.last.clone());
                }
            }
            self.last_key.clone_from(&self.key);
        }
        &self.last
    }
}
