//! The data of the conformance corpus, as it would be stored: with service names and levels.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::{Entry, Labels, Stream};
use serde_json::Value;

pub(crate) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/conformance")
}

pub(crate) fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn pairs(object: &Value) -> Vec<(String, String)> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// All that was pushed, as it would be stored.
pub(crate) fn stored() -> Vec<Stream> {
    let mut streams: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
    let mut files: Vec<PathBuf> = fs::read_dir(corpus().join("data")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files {
        for stream in read(&file)["streams"].as_array().unwrap() {
            let labels = with_service_name(Labels::from_pairs(pairs(&stream["stream"])));
            for value in stream["values"].as_array().unwrap() {
                let line = value[1].as_str().unwrap().to_owned();
                let mut metadata: Vec<(String, String)> =
                    pairs(&value[2]).into_iter().map(|(name, value)| (clean(&name), value)).collect();
                metadata.push(("detected_level".into(), level(&labels, &metadata, &line)));
                let entry = Entry {
                    timestamp_ns: value[0].as_str().unwrap().parse().unwrap(),
                    line,
                    metadata: Labels::from_pairs(metadata),
                };
                let entries = streams.entry(labels.clone()).or_default();
                if !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
        }
    }
    streams.into_iter().map(|(labels, entries)| Stream { labels, entries }).collect()
}

fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn with_service_name(labels: Labels) -> Labels {
    if labels.contains("service_name") {
        return labels;
    }
    let known = ["service", "app", "application", "app_name", "name", "container", "component", "workload", "job"];
    let name = known.iter().find_map(|name| labels.get(name)).unwrap_or("unknown_service").to_owned();
    let mut builder = labels.to_builder();
    builder.set("service_name", &name);
    builder.build()
}

/// As much of level detection as this data needs.
fn level(labels: &Labels, metadata: &[(String, String)], line: &str) -> String {
    let names = ["level", "LEVEL", "Level", "severity", "SEVERITY", "Severity", "lvl", "LVL", "Lvl"];
    let given = names.iter().find_map(|name| {
        let in_metadata = metadata.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        labels.get(name).or(in_metadata)
    });
    if let Some(given) = given {
        return normal(given).unwrap_or(given).to_owned();
    }
    let object = serde_json::from_str::<Value>(line).ok();
    let field = object.as_ref().and_then(|object| names.iter().find_map(|name| object.get(name)?.as_str()));
    let pair = names.iter().find_map(|name| {
        let (_, rest) =
            line.split(' ').find_map(|word| word.split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case(name)))?;
        Some(rest.trim_matches('"'))
    });
    if let Some(level) = field.or(pair).and_then(normal) {
        return level.to_owned();
    }
    keyword(line).unwrap_or("unknown").to_owned()
}

fn normal(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "trace" | "trc" => "trace",
        "debug" | "dbg" => "debug",
        "info" | "inf" | "information" => "info",
        "warn" | "wrn" | "warning" => "warn",
        "error" | "err" => "error",
        "critical" => "critical",
        "fatal" => "fatal",
        _ => return None,
    })
}

/// The first level that stands as a word in the line.
fn keyword(line: &str) -> Option<&'static str> {
    let lower = line.to_ascii_lowercase();
    let words = ["trace", "debug", "fatal", "critical", "error", "err", "warning", "warn", "info"];
    let before = |at: usize| lower[..at].chars().next_back().is_none_or(|c| " \t\n\r[({\"'=,|".contains(c));
    let after = |at: usize| lower[at..].chars().next().is_none_or(|c| " \t\n\r[({\"'=,|])}:!".contains(c));
    let found = words
        .iter()
        .flat_map(|word| lower.match_indices(word).filter(|(at, word)| before(*at) && after(at + word.len())));
    found.min().and_then(|(_, word)| normal(word))
}
