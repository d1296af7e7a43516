//! Which labels and fields there are: what Logs Drilldown shows of a service before anyone knows its logs.
//!
//! In: the streams of a selector, or the entries of a log query. Out: names with type, cardinality and the parser that
//! finds them. A field is structured metadata, a label that the query parsed, or else what `json`, or else `logfmt`,
//! finds in the line. Pure; counts are exact over the entries given.

use std::collections::{BTreeMap, BTreeSet};

use logql::ast::Stage;
use logql::pipeline::{Pipeline, StreamPipeline};
use model::{EntryRef, Labels, LogEntry};

use crate::Error;

/// Labels that are shown whatever their values.
const ALWAYS_SHOWN: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// A label and how many values it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectedLabel {
    /// Its name.
    pub label: String,
    /// Distinct values.
    pub cardinality: usize,
}

/// A field of log lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DetectedField {
    /// Its name, as a parser would make it.
    pub label: String,
    /// `int`, `float`, `boolean`, `duration`, `bytes` or `string`.
    pub kind: &'static str,
    /// Its values.
    pub values: BTreeSet<String>,
    /// `json`, `logfmt` or both; none for structured metadata.
    pub parsers: BTreeSet<&'static str>,
    /// The keys that lead to it in a JSON line.
    pub json_path: Vec<String>,
}

/// The labels of streams, without those whose values are ids.
pub(crate) fn labels(series: &BTreeSet<Labels>) -> Vec<DetectedLabel> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in series.iter().flat_map(Labels::iter) {
        values.entry(name).or_default().insert(value);
    }
    values.retain(|name, values| ALWAYS_SHOWN.contains(name) || !are_ids(values));
    values
        .into_iter()
        .map(|(label, values)| DetectedLabel { label: label.to_owned(), cardinality: values.len() })
        .collect()
}

/// Numbers and UUIDs tell nobody anything, but for 0 and 1.
fn are_ids(values: &BTreeSet<&str>) -> bool {
    let is_flag = values.len() <= 2 && values.iter().all(|value| matches!(*value, "0" | "1"));
    let is_uuid = |value: &str| {
        value.len() == 36
            && value
                .char_indices()
                .all(|(i, c)| if matches!(i, 8 | 13 | 18 | 23) { c == '-' } else { c.is_ascii_hexdigit() })
    };
    !is_flag && values.iter().all(|value| value.parse::<f64>().is_ok() || is_uuid(value))
}

/// The fields of entries, at most `limit` of them.
pub(crate) fn fields(entries: &[LogEntry], limit: usize) -> Result<Vec<DetectedField>, Error> {
    let json = Pipeline::new(&[Stage::Json(Vec::new())])?;
    let logfmt = Pipeline::new(&[Stage::Logfmt { strict: false, keep_empty: false, extractions: Vec::new() }])?;
    let mut fields: BTreeMap<String, DetectedField> = BTreeMap::new();
    for entry in entries {
        let mut add = |name: &str, value: &str, parser: Option<&'static str>| {
            if fields.contains_key(name) || fields.len() < limit {
                let field = fields.entry(name.to_owned()).or_insert_with(|| DetectedField {
                    label: name.to_owned(),
                    kind: kind(value),
                    ..DetectedField::default()
                });
                field.values.insert(value.to_owned());
                field.parsers.extend(parser);
            }
        };
        entry.metadata.iter().for_each(|(name, value)| add(name, value, None));
        let found = parse(&mut json.for_stream(&entry.stream), entry).map(|found| (found, "json"));
        let found =
            found.or_else(|| parse(&mut logfmt.for_stream(&entry.stream), entry).map(|found| (found, "logfmt")));
        // What the query has parsed is found again by the parser that reads the line.
        let parser = found.as_ref().map(|(_, parser)| *parser);
        let parsed = entry.parsed.iter().filter(|(name, _)| !name.starts_with("__"));
        parsed.for_each(|(name, value)| add(name, value, parser));
        if let Some((parsed, parser)) = found {
            parsed
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .for_each(|(name, value)| add(name, value, Some(parser)));
        }
    }
    let mut fields: Vec<DetectedField> = fields.into_values().collect();
    add_json_paths(&mut fields, entries);
    Ok(fields)
}

/// What a parser finds in the line, if it can read it. Metadata stays away: the same name in the line is a field too.
fn parse(pipeline: &mut StreamPipeline<'_>, entry: &LogEntry) -> Option<Labels> {
    let processed =
        pipeline.process(EntryRef { timestamp_ns: entry.timestamp_ns, line: &entry.line, metadata: &[] })?;
    let parsed = processed.to_log_entry().parsed;
    (!parsed.contains("__error__") && !parsed.is_empty()).then_some(parsed)
}

/// Finds the keys behind each flattened JSON name, in the first line that has it.
fn add_json_paths(fields: &mut [DetectedField], entries: &[LogEntry]) {
    let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.line.trim_start().starts_with('{')) {
        if let Ok(value) = serde_json::from_str(&entry.line) {
            walk(&value, &mut Vec::new(), &mut paths);
        }
    }
    for field in fields.iter_mut().filter(|field| field.parsers.contains("json")) {
        let plain = field.label.strip_suffix("_extracted").unwrap_or(&field.label);
        field.json_path = paths.get(&field.label).or_else(|| paths.get(plain)).cloned().unwrap_or_default();
    }
}

fn walk(value: &serde_json::Value, path: &mut Vec<String>, paths: &mut BTreeMap<String, Vec<String>>) {
    let serde_json::Value::Object(members) = value else {
        let name: Vec<String> = path.iter().map(|key| sanitized(key)).collect();
        paths.entry(name.join("_")).or_insert_with(|| path.clone());
        return;
    };
    for (key, value) in members {
        path.push(key.clone());
        walk(value, path, paths);
        path.pop();
    }
}

fn sanitized(key: &str) -> String {
    key.trim().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// What a value looks like, by the first that fits.
fn kind(value: &str) -> &'static str {
    if value.parse::<i64>().is_ok() {
        "int"
    } else if value.parse::<f64>().is_ok() {
        "float"
    } else if ["t", "T", "TRUE", "true", "True", "f", "F", "FALSE", "false", "False"].contains(&value) {
        "boolean"
    } else if is_duration(value) {
        "duration"
    } else if is_size(value) {
        "bytes"
    } else {
        "string"
    }
}

/// Go's durations: `1h2m3.5s`, `250µs`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = 0;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - unit.len()];
        let Some(length) = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"].iter().find(|u| unit.starts_with(**u))
        else {
            return false;
        };
        if number.parse::<f64>().is_err() {
            return false;
        }
        rest = &unit[length.len()..];
        parts += 1;
    }
    parts > 0
}

/// Sizes for people: `12 kB`, `3.5MiB`.
fn is_size(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
    let number = text[..text.len() - unit.len()].replace(',', "");
    let unit = unit.trim().to_ascii_lowercase();
    let prefix = unit.strip_suffix('b').unwrap_or(&unit);
    let prefix = prefix.strip_suffix('i').filter(|prefix| !prefix.is_empty()).unwrap_or(prefix);
    number.parse::<f64>().is_ok() && ["", "k", "m", "g", "t", "p", "e"].contains(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_kinds() {
        let check = |value, want| assert_eq!(kind(value), want, "{value}");
        check("12", "int");
        check("1.5", "float");
        check("true", "boolean");
        check("1m3.5s", "duration");
        check("12 kB", "bytes");
        check("1.5 PiB", "bytes");
        check("7B", "bytes");
        check("1,000", "bytes");
        check("7i", "string");
        check("12 apples", "string");
        check("", "string");
        check("s", "string");
        check("B", "string");
    }

    #[test]
    fn ids_are_no_labels() {
        let check = |values: &[&str], want| assert_eq!(are_ids(&values.iter().copied().collect()), want, "{values:?}");
        check(&["1", "2"], true);
        check(&["0", "1"], false);
        check(&["a", "1"], false);
        check(&["123e4567-e89b-12d3-a456-426614174000"], true);
    }
}
