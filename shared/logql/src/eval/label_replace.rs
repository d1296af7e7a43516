//! `label_replace(v, "dst", "replacement", "src", "regex")`.

use model::Labels;
use regex::Regex;

use super::table::Table;
use crate::{Error, ast::LabelReplace, regexp};

/// Sets the destination where the anchored expression matches the source; an empty result takes the label away.
pub(super) fn replace(replace: &LabelReplace, inner: Table) -> Result<Table, Error> {
    let regex = regexp::compile(&format!("^(?:{})$", replace.regex))
        .map_err(|error| Error::invalid(format!("invalid regex in label_replace: {}", error)))?;
    Ok(inner.relabel(|labels| relabel(labels, replace, &regex)))
}

fn relabel(labels: &Labels, replace: &LabelReplace, regex: &Regex) -> Labels {
    let Some(captures) = regex.captures(labels.get(&replace.source).unwrap_or_default()) else { return labels.clone() };
    let mut value = String::new();
    captures.expand(&replace.replacement, &mut value);
    let mut builder = labels.to_builder();
    if value.is_empty() {
        builder.remove(&replace.destination);
    } else {
        builder.set(&replace.destination, &value);
    }
    builder.build()
}
