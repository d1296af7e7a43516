//! Label names, label values and series, from footers alone: no block is read.
//!
//! A stream counts if it has a row between its first and last time in the range, as in Loki: a superset, never less.

use std::collections::{BTreeSet, HashSet};

use foldhash::fast::RandomState;
use logql::ast::{Expr, LogExpr, Matcher};
use logql::matcher::Selector;
use model::Labels;

use crate::reader::Reader;
use crate::{Error, LabelsRequest};

/// The label sets of all streams that match one of the selectors.
pub(crate) async fn series(request: &LabelsRequest, reader: &Reader) -> Result<BTreeSet<Labels>, Error> {
    let selectors = selectors(request)?;
    let segments = reader.segments(request.range).await?;
    let mut found: HashSet<Labels, RandomState> = HashSet::default();
    for opened in reader.open(segments).await? {
        let streams = opened.footer.streams().iter();
        found.extend(
            streams
                .filter(|stream| request.range.overlaps(stream.min_ts, stream.max_ts))
                .map(|stream| &stream.labels)
                .filter(|labels| selectors.is_empty() || selectors.iter().any(|selector| selector.matches(labels)))
                .cloned(),
        );
    }
    Ok(found.into_iter().collect())
}

/// The selectors of a request.
pub(crate) fn selectors(request: &LabelsRequest) -> Result<Vec<Selector>, Error> {
    let compile = |text: &String| Ok(Selector::new(&logql::parse_selector(text)?)?);
    request.selectors.iter().map(compile).collect()
}

/// Matchers and nothing else, of which one must not match an empty value, or the selector would choose every stream.
pub(crate) fn matchers(selector: &str) -> Result<Vec<Matcher>, Error> {
    match logql::parse(selector)? {
        Expr::Log(LogExpr { selector, pipeline }) if pipeline.is_empty() => Ok(selector),
        _ => Err(Error::Invalid("only label matchers are supported".to_owned())),
    }
}

/// Whether a text is a selector that does not choose every stream; the error is what Loki answers.
pub fn check_selector(selector: &str) -> Result<(), Error> {
    matchers(selector).map(drop)
}
