//! Which columns a metric query looks at.
//!
//! In: a leaf of the expression. Out: the columns without which its samples would differ. Asks for too much rather than
//! too little: a template may read any label.

use logql::ast::{LabelChoice, LabelFilter, LabelSource, RangeOp, Stage};
use logql::eval::Leaf;
use segment::{BlockMeta, ColumnKind};

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

/// How a leaf's samples can be counted without looking at any entry, if nothing tells entries of a stream apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// Each entry is a sample.
    Rows,
    /// Each entry's length is a sample.
    Lengths,
}

impl Bulk {
    /// Of a leaf whose stages look at labels alone.
    pub(crate) fn of_leaf(leaf: &Leaf<'_>) -> Option<Self> {
        let aggregation = leaf.aggregation;
        if aggregation.log.pipeline.iter().any(reads_line) || aggregation.unwrap.is_some() {
            return None;
        }
        match aggregation.op {
            RangeOp::CountOverTime | RangeOp::Rate | RangeOp::AbsentOverTime => Some(Bulk::Rows),
            RangeOp::BytesOverTime | RangeOp::BytesRate => Some(Bulk::Lengths),
            _ => None,
        }
    }

    /// Whether it goes for a block: if no metadata that the query looks at is there.
    pub(crate) fn fits(self, columns: &Columns, block: &BlockMeta) -> bool {
        !columns.of(block).iter().any(|column| matches!(column.kind, ColumnKind::Metadata(_)))
    }

    /// The columns that are enough.
    pub(crate) fn columns(self) -> Columns {
        let metadata = MetadataColumns::Named(Vec::new());
        Columns { lines: false, lengths: self == Bulk::Lengths, metadata }
    }
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
