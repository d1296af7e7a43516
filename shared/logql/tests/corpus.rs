//! Loki's recorded answers to log queries, asked of the pipeline.
//!
//! Reads the pushes and the questions of the conformance corpus, does in small what ingest and engine do (a service name,
//! a level, newest first, a limit), and compares lines, labels and categories. Metric queries are left to the whole server.

#![expect(clippy::unwrap_used, reason = "a test reads files that are part of it")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use logql::ast::Expr;
use logql::matcher::Selector;
use logql::pipeline::Pipeline;
use model::{Entry, EntryRef, Labels, LogEntry, Stream};
use serde_json::Value;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/conformance")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn pairs(object: &Value) -> Vec<(String, String)> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// All that was pushed, as it would be stored.
fn stored() -> Vec<Stream> {
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

/// The entries that a log query gives, in the order asked.
fn ask(streams: &[Stream], query: &str, params: &Value) -> Result<Vec<LogEntry>, logql::Error> {
    let Expr::Log(expr) = logql::parse(query)? else { panic!("a log query: {query}") };
    let selector = Selector::new(&expr.selector)?;
    let pipeline = Pipeline::new(&expr.pipeline)?;
    let number = |name: &str| params[name].as_str().map(|text| text.parse::<i64>().unwrap());
    let (start, end) = (number("start").unwrap(), number("end").unwrap());
    let mut found = Vec::new();
    for stream in streams.iter().filter(|stream| selector.matches(&stream.labels)) {
        let mut running = pipeline.for_stream(&stream.labels);
        for (i, entry) in stream.entries.iter().enumerate() {
            let metadata: Vec<(&str, &str)> = entry.metadata.iter().collect();
            let entry = EntryRef { timestamp_ns: entry.timestamp_ns, line: &entry.line, metadata: &metadata };
            if (start..end).contains(&entry.timestamp_ns)
                && let Some(processed) = running.process(entry)
            {
                found.push((i, processed.to_log_entry()));
            }
        }
    }
    // The order of arrival decides between equal times.
    found.sort_by_key(|(i, entry)| (entry.timestamp_ns, *i));
    if params["direction"] != "forward" {
        found.reverse();
    }
    let limit = number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(100);
    Ok(found.into_iter().take(limit).map(|(_, entry)| entry).collect())
}

/// Entries by stream, each as a line of text, as the answer on the wire groups them.
type Grouped = BTreeMap<String, Vec<String>>;

fn grouped(entries: &[LogEntry], categorised: bool) -> Grouped {
    let mut streams = Grouped::new();
    for entry in entries {
        let all = entry.stream.iter().chain(entry.metadata.iter()).chain(entry.parsed.iter());
        let (stream, more) = if categorised {
            (entry.stream.clone(), format!("{} {}", entry.metadata, entry.parsed))
        } else {
            (all.collect(), String::new())
        };
        let text = format!("{} {:?} {more}", entry.timestamp_ns, entry.line);
        streams.entry(stream.to_string()).or_default().push(text);
    }
    streams
}

fn recorded(body: &Value, categorised: bool) -> Grouped {
    let mut streams = Grouped::new();
    for stream in body["data"]["result"].as_array().unwrap() {
        let labels = Labels::from_pairs(pairs(&stream["stream"]));
        for value in stream["values"].as_array().unwrap() {
            let category = |name: &str| Labels::from_pairs(pairs(&value[2][name]));
            let more = if categorised {
                format!("{} {}", category("structuredMetadata"), category("parsed"))
            } else {
                String::new()
            };
            let text = format!("{} {:?} {more}", value[0].as_str().unwrap(), value[1].as_str().unwrap());
            streams.entry(labels.to_string()).or_default().push(text);
        }
    }
    streams
}

#[test]
fn log_queries_are_answered_as_recorded() {
    let streams = stored();
    let mut asked: HashMap<String, usize> = HashMap::new();
    let mut wrong = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(corpus().join("cases")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| !file.ends_with("after-push.json")) {
        for case in read(file).as_array().unwrap() {
            let query = case["params"]["query"].as_str().unwrap_or_default();
            let is_log = case["body"]["data"]["resultType"] == "streams";
            // How times are written is the server's business.
            let plain =
                |name: &str| case["params"][name].as_str().is_some_and(|t| t.len() == 19 && t.parse::<i64>().is_ok());
            if !is_log || !case["params"]["interval"].is_null() || !plain("start") || !plain("end") {
                continue;
            }
            *asked.entry(case["family"].as_str().unwrap().to_owned()).or_default() += 1;
            let categorised = case["headers"].to_string().contains("categorize-labels");
            let want = recorded(&case["body"], categorised);
            match ask(&streams, query, &case["params"]) {
                Ok(entries) => {
                    let got = grouped(&entries, categorised);
                    if got != want {
                        wrong.push(format!("{query}\n{}", difference(&got, &want)));
                    }
                }
                // Until templates know more than labels.
                Err(error) if error.text().contains(" template: ") => {}
                Err(error) => wrong.push(format!("{query}\n  {error}")),
            }
        }
    }
    assert!(asked.values().sum::<usize>() > 100, "{asked:?}");
    assert!(wrong.is_empty(), "{} wrong of {asked:?}\n{}", wrong.len(), wrong.join("\n"));
}

fn difference(got: &Grouped, want: &Grouped) -> String {
    let only = |from: &Grouped, other: &Grouped, mark: &str| {
        let lines = from.iter().filter(|(stream, lines)| other.get(*stream) != Some(lines));
        lines.take(2).map(|(stream, lines)| format!("  {mark} {stream} {lines:?}\n")).collect::<String>()
    };
    only(got, want, "got ") + &only(want, got, "want")
}
