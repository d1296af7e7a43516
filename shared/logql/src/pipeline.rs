//! The stages of a query, compiled once and run per stream.
//!
//! In: entries of a stream. Out: those that stay, with the line and the labels that the stages made. `Pipeline` is
//! shared by all threads of a query; each stream and task gets its own `StreamPipeline`, whose buffers are used again
//! for every entry.

use model::{EntryRef, Labels, LogEntry};

use crate::Error;
use crate::ast;
use crate::labels::{Category, DUPLICATE_SUFFIX, ERROR, ERROR_DETAILS, LineLabels, Needed, Overlay};
use crate::stage::{Line, LineBuffers, Stage};
use crate::template::Template;

pub use crate::stage::{LineFilter, StringFilter};

/// What a pipeline may leave out because nobody looks at it. A log query needs everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// The labels that are used behind the pipeline: by a `by` grouping and an unwrap. What the stages themselves use is
    /// added. With no label at all, parsers do not run, and so a malformed line is no error.
    pub needed: Needed,
}

/// The compiled stages of a query.
#[derive(Debug)]
pub struct Pipeline {
    leading: Vec<LineFilter>,
    stages: Vec<Stage>,
    needed: Needed,
}

impl Pipeline {
    /// Compiles the stages of a log query.
    pub fn new(stages: &[ast::Stage]) -> Result<Self, Error> {
        Self::with_hints(stages, Hints::default())
    }

    /// Compiles the stages of a metric query.
    pub fn with_hints(stages: &[ast::Stage], hints: Hints) -> Result<Self, Error> {
        let needed = add_needed_by_stages(hints.needed, stages);
        let skips_parsers = matches!(&needed, Needed::Only(names) if names.is_empty());
        let mut leading = Vec::new();
        let mut rest = Vec::new();
        for stage in reorder(stages) {
            match Stage::new(stage)? {
                Stage::LineFilter(filter) if rest.is_empty() => leading.push(filter),
                stage if skips_parsers && stage.is_parser() => {}
                stage => rest.push(stage),
            }
        }
        Ok(Pipeline { leading, stages: rest, needed })
    }

    /// A pipeline over the entries of one stream.
    pub fn for_stream(&self, stream: &Labels) -> StreamPipeline<'_> {
        StreamPipeline {
            pipeline: self,
            stream: stream.clone(),
            overlay: Overlay::new(stream, &self.needed),
            buffers: LineBuffers::default(),
        }
    }

    /// The line filters that see the stored line. They may be run over a whole block first, and `process_filtered` over
    /// what they leave.
    pub fn leading_line_filters(&self) -> &[LineFilter] {
        &self.leading
    }

    /// What is asked of the structured metadata before any stage changes a label: in a stream without a label of that name, an
    /// entry stays only if its metadata's value, or an empty one, matches. They may be asked of stored columns first.
    pub fn leading_metadata_filters(&self) -> Vec<&StringFilter> {
        let mut matchers = Vec::new();
        for stage in &self.stages {
            let Stage::LabelFilter(filter) = stage else { break };
            filter.required(&mut matchers);
        }
        // Errors are the pipeline's own, and a suffix may tell the stream's and the metadata's labels apart.
        let is_own = |name: &str| matches!(name, ERROR | ERROR_DETAILS) || name.ends_with(DUPLICATE_SUFFIX);
        matchers.retain(|matcher| !is_own(matcher.name()));
        matchers
    }

    /// Whether there is nothing behind the leading line filters.
    pub fn is_only_line_filters(&self) -> bool {
        self.stages.is_empty()
    }
}

/// A pipeline at work on one stream.
#[derive(Debug)]
pub struct StreamPipeline<'p> {
    pipeline: &'p Pipeline,
    stream: Labels,
    overlay: Overlay,
    buffers: LineBuffers,
}

impl StreamPipeline<'_> {
    /// Runs all stages over an entry; `None` if a filter drops it.
    pub fn process<'a>(&'a mut self, entry: EntryRef<'a>) -> Option<Processed<'a>> {
        let stays = self.pipeline.leading.iter().all(|filter| filter.matches(entry.line));
        if stays { self.process_filtered(entry) } else { None }
    }

    /// As `process`, for an entry that the leading line filters let through already.
    pub fn process_filtered<'a>(&'a mut self, entry: EntryRef<'a>) -> Option<Processed<'a>> {
        let mut labels = LineLabels::new(&entry, &self.stream, &mut self.overlay, &self.pipeline.needed);
        let mut line = Line::new(entry.line, &mut self.buffers);
        for stage in &self.pipeline.stages {
            if !stage.process(&mut line, &mut labels, entry.timestamp_ns) {
                return None;
            }
        }
        Some(Processed { timestamp_ns: entry.timestamp_ns, line: line.into_str(), labels })
    }
}

/// An entry that came through.
#[derive(Debug)]
pub struct Processed<'a> {
    timestamp_ns: i64,
    line: &'a str,
    labels: LineLabels<'a>,
}

impl<'a> Processed<'a> {
    /// Nanoseconds since 1970, UTC.
    pub fn timestamp_ns(&self) -> i64 {
        self.timestamp_ns
    }

    /// The line after the last stage.
    pub fn line(&self) -> &str {
        self.line
    }

    /// The labels after the last stage.
    pub fn labels(&self) -> &LineLabels<'a> {
        &self.labels
    }

    /// The same, to be changed by what follows: an unwrap takes its label away and may mark the entry.
    pub fn labels_mut(&mut self) -> &mut LineLabels<'a> {
        &mut self.labels
    }

    /// The entry as the answer to a log query.
    pub fn to_log_entry(&self) -> LogEntry {
        LogEntry {
            timestamp_ns: self.timestamp_ns,
            line: self.line.to_owned(),
            stream: self.labels.category(Category::Stream),
            metadata: self.labels.category(Category::Metadata),
            parsed: self.labels.category(Category::Parsed),
        }
    }
}

/// Moves line filters in front of what does not change the line, since they are cheap and drop much. Loki also moves
/// them over `decolorize`, where it shows: `| decolorize |= "x"` asks the coloured line. So do we.
fn reorder(stages: &[ast::Stage]) -> Vec<&ast::Stage> {
    let mut ordered = Vec::with_capacity(stages.len());
    for section in stages.split_inclusive(is_barrier) {
        ordered.extend(section.iter().filter(|stage| matches!(stage, ast::Stage::LineFilter(_))));
        ordered.extend(section.iter().filter(|stage| !matches!(stage, ast::Stage::LineFilter(_))));
    }
    ordered
}

fn is_barrier(stage: &ast::Stage) -> bool {
    matches!(stage, ast::Stage::LineFormat(_) | ast::Stage::Unpack)
}

/// Adds the labels that the stages read to those that are needed behind them.
fn add_needed_by_stages(needed: Needed, stages: &[ast::Stage]) -> Needed {
    let Needed::Only(mut names) = needed else { return Needed::All };
    for stage in stages {
        match stage {
            ast::Stage::LabelFilter(filter) => names.extend(filter.names().into_iter().map(str::to_owned)),
            ast::Stage::LabelFormat(formats) => {
                for format in formats {
                    match &format.source {
                        ast::LabelSource::Label(source) => names.push(source.clone()),
                        ast::LabelSource::Template(text) => match template_labels(text) {
                            Some(labels) => names.extend(labels),
                            None => return Needed::All,
                        },
                    }
                }
            }
            ast::Stage::LineFormat(text) => match template_labels(text) {
                Some(labels) => names.extend(labels),
                None => return Needed::All,
            },
            _ => {}
        }
    }
    // As in Loki, a suffixed name asks for the plain one too; parsers seldom find both, and so read the whole line.
    let plain = names.iter().filter_map(|name| name.strip_suffix(DUPLICATE_SUFFIX)).map(str::to_owned);
    names.extend(plain.collect::<Vec<_>>());
    names.sort();
    names.dedup();
    Needed::Only(names)
}

/// The labels that a template reads, if they are known. One that is wrong is told of when its stage is compiled.
fn template_labels(text: &str) -> Option<Vec<String>> {
    Template::parse(text).ok()?.labels()
}
