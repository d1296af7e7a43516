//! Label names, label values and series, from footers alone: no block is read.
//!
//! A stream counts if it has a row between its first and last time in the range, as in Loki: a superset, never less.

use std::collections::BTreeSet;

use logql::matcher::Selector;
use model::Labels;

use crate::reader::Reader;
use crate::{Error, LabelsRequest};

/// The label sets of all streams that match one of the selectors.
pub(crate) async fn series(request: &LabelsRequest, reader: &Reader) -> Result<BTreeSet<Labels>, Error> {
    let selectors: Vec<Selector> = (request.selectors.iter())
        .map(|text| logql::parse_selector(text).and_then(|matchers| Selector::new(&matchers)))
        .collect::<Result<_, _>>()?;
    let segments = reader.segments(request.range).await?;
    let mut found = BTreeSet::new();
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
    Ok(found)
}
