//! Loki's recorded answers to log queries, asked of the pipeline.
//!
//! Reads the pushes and the questions of the conformance corpus, does in small what ingest and engine do (a service name,
//! a level, newest first, a limit), and compares lines, labels and categories. Metric queries are left to the whole server.

#![expect(clippy::unwrap_used, reason = "a test reads files that are part of it")]

mod stored;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;

use logql::ast::Expr;
use logql::matcher::Selector;
use logql::pipeline::Pipeline;
use model::{EntryRef, Labels, LogEntry, Stream};
use serde_json::Value;
use stored::{corpus, pairs, read, stored};

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
