//! Label names, label values and series, from footers alone: no block is read, but where perhaps all of a stream is deleted.
//!
//! A stream counts if it has a row between its first and last time in the range, as in Loki: a superset, never less.

use std::collections::{BTreeSet, HashSet};

use foldhash::fast::RandomState;
use logql::ast::{Expr, LogExpr, Matcher};
use logql::matcher::Selector;
use model::Labels;

use crate::forget::{self, Remains};
use crate::plan::Chosen;
use crate::reader::Reader;
use crate::slices::waves;
use crate::{Error, LabelsRequest};

/// The label sets of all streams that match one of the selectors.
pub(crate) async fn series(request: &LabelsRequest, reader: &Reader) -> Result<BTreeSet<Labels>, Error> {
    let selectors = selectors(request)?;
    let mut chosen = Chosen::new(|labels: &Labels| {
        selectors.is_empty() || selectors.iter().any(|selector| selector.matches(labels))
    });
    let segments = reader.segments(request.range).await?;
    let forgets = reader.forgets();
    let mut found: HashSet<Labels, RandomState> = HashSet::default();
    let mut perhaps: HashSet<Labels, RandomState> = HashSet::default();
    let mut to_ask = Vec::new();
    for wave in waves(segments, reader.settings()) {
        for opened in reader.open(wave).await? {
            let forget = forgets.of_segment(&opened);
            let mut asks = false;
            let streams = opened.footer.streams().iter();
            for stream in streams.filter(|stream| request.range.overlaps(stream.min_ts, stream.max_ts)) {
                if !chosen.has(&stream.labels) {
                    continue;
                }
                let forget = forget.as_ref().map(|forget| forget.of_stream(&stream.labels));
                match forget.map_or(Remains::Yes, |of| of.remains(request.range, stream.min_ts, stream.max_ts)) {
                    Remains::Yes => {
                        found.insert(stream.labels.clone());
                    }
                    Remains::Perhaps => {
                        asks = true;
                        perhaps.insert(stream.labels.clone());
                    }
                    Remains::No => {}
                }
            }
            to_ask.extend(asks.then_some(opened));
        }
    }
    perhaps.retain(|labels| !found.contains(labels));
    found.extend(forget::left(perhaps, request.range, to_ask, reader).await?);
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
