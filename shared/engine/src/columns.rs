//! Which columns a metric query looks at.
//!
//! In: a leaf of the expression. Out: the columns without which its samples would differ. Asks for too much rather than
//! too little: a template may read any label.

use logql::ast::{LabelChoice, LabelFilter, LabelSource, RangeOp, Stage};
use logql::eval::Leaf;

use crate::rows::{Columns, MetadataColumns};

/// The columns of a leaf.
pub(crate) fn of_leaf(leaf: &Leaf<'_>) -> Columns {
    let aggregation = leaf.aggregation;
    let stages = &aggregation.log.pipeline;
    let bytes = matches!(aggregation.op, RangeOp::BytesOverTime | RangeOp::BytesRate);
    let lines = bytes || stages.iter().any(reads_line);
    let metadata = match names(leaf) {
        None => MetadataColumns::All,
        Some(mut names) => {
            // Metadata with a stream label's name is seen under another name, and moves a parsed label aside.
            let hidden: Vec<String> =
                names.iter().filter_map(|name| name.strip_suffix("_extracted").map(str::to_owned)).collect();
            names.extend(hidden);
            MetadataColumns::Named(names)
        }
    };
    Columns { lines, lengths: lines, metadata }
}

/// What a sample amounts to, if only its labels and its stored line decide whether there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// Each entry is a sample.
    Rows,
    /// Each entry's length is a sample.
    Lengths,
}

impl Bulk {
    /// Of a leaf whose stages look at labels alone, or are line filters, which then run before all others: entries with
    /// the same labels make samples of the same series.
    pub(crate) fn of_leaf(leaf: &Leaf<'_>) -> Option<Self> {
        let aggregation = leaf.aggregation;
        let other = |stage: &Stage| reads_line(stage) && !matches!(stage, Stage::LineFilter(_));
        if aggregation.log.pipeline.iter().any(other) || aggregation.unwrap.is_some() {
            return None;
        }
        match aggregation.op {
            RangeOp::CountOverTime | RangeOp::Rate | RangeOp::AbsentOverTime => Some(Bulk::Rows),
            RangeOp::BytesOverTime | RangeOp::BytesRate => Some(Bulk::Lengths),
            _ => None,
        }
    }

    /// The columns that are enough.
    pub(crate) fn columns(self, leaf: &Leaf<'_>) -> Columns {
        let lines = filters_lines(leaf);
        Columns { lines, lengths: lines || self == Bulk::Lengths, ..of_leaf(leaf) }
    }
}

/// Whether any stage is a line filter.
pub(crate) fn filters_lines(leaf: &Leaf<'_>) -> bool {
    leaf.aggregation.log.pipeline.iter().any(|stage| matches!(stage, Stage::LineFilter(_)))
}

fn reads_line(stage: &Stage) -> bool {
    match stage {
        Stage::LabelFilter(_) | Stage::Drop(_) | Stage::Keep(_) => false,
        Stage::LabelFormat(formats) => formats.iter().any(|format| matches!(format.source, LabelSource::Template(_))),
        Stage::LineFilter(_)
        | Stage::Json(_)
        | Stage::Logfmt { .. }
        | Stage::Regexp(_)
        | Stage::Pattern(_)
        | Stage::Unpack
        | Stage::LineFormat(_)
        | Stage::Decolorize => true,
    }
}

/// The labels that decide about samples; none: all of them.
fn names(leaf: &Leaf<'_>) -> Option<Vec<String>> {
    let aggregation = leaf.aggregation;
    let mut names = match leaf.grouping() {
        Some(grouping) if !grouping.without => grouping.labels.clone(),
        _ if aggregation.op == RangeOp::AbsentOverTime => Vec::new(),
        _ => return None,
    };
    for stage in &aggregation.log.pipeline {
        match stage {
            Stage::LabelFilter(filter) => names.extend(filter.names().into_iter().map(str::to_owned)),
            Stage::Drop(choices) | Stage::Keep(choices) => names.extend(choices.iter().map(|choice| match choice {
                LabelChoice::Name(name) => name.clone(),
                LabelChoice::Matcher(matcher) => matcher.name.clone(),
            })),
            Stage::LabelFormat(formats) => {
                for format in formats {
                    let LabelSource::Label(source) = &format.source else { return None };
                    names.extend([format.label.clone(), source.clone()]);
                }
            }
            Stage::LineFormat(_) => return None,
            // What a parser makes counts only by its name, which is here if anyone asks for it.
            _ => {}
        }
    }
    if let Some(unwrap) = &aggregation.unwrap {
        names.push(unwrap.label.clone());
        names.extend(unwrap.filters.iter().flat_map(LabelFilter::names).map(str::to_owned));
    }
    Some(names)
}
