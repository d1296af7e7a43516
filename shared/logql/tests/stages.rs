//! Stages by script: one case a line, `line => what is left of it`.
//!
//! A script line that starts with `|` or `!` sets the stages for the cases below it, `stream` and `metadata` set the
//! labels that an entry comes with, `#` says what is shown. A case's line stands as it is, or quoted behind `q` as a JSON
//! string. What is left: the line if it changed, labels of stream and metadata that are gone as `-name`, then the parsed
//! labels; or `dropped`, or `error: …` if the stages themselves are refused.

#![expect(clippy::unwrap_used, reason = "a test reads files that are part of it")]

use std::fs;
use std::path::Path;

use logql::ast::Expr;
use logql::pipeline::Pipeline;
use model::{EntryRef, Labels};

test_each_file::test_each_path! { for ["script"] in "shared/logql/tests/scripts/stage" as stage => run_script }

fn run_script([path]: [&Path; 1]) {
    let script = fs::read_to_string(path).unwrap();
    let mut stages = String::new();
    let (mut stream, mut metadata) = (labels(r#"{app="api", env="prod"}"#), labels(r#"{trace="t1"}"#));
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with(['|', '!']) {
            stages = line.to_owned();
        } else if let Some(given) = line.strip_prefix("stream ") {
            stream = labels(given);
        } else if let Some(given) = line.strip_prefix("metadata ") {
            metadata = labels(given);
        } else {
            let (input, want) = line.rsplit_once(" =>").unwrap_or_else(|| panic!("no arrow: {line}"));
            let quoted = input.strip_prefix("q\"").map(|_| serde_json::from_str(&input[1..]).unwrap());
            let input = quoted.unwrap_or_else(|| input.to_owned());
            let got = run(&stages, &stream, &metadata, &input);
            cases += 1;
            if got != want.trim_start() {
                wrong.push(format!("{stages}\n  {line}\n  got: {got}"));
            }
        }
    }
    assert!(cases > 0, "no cases");
    assert!(wrong.is_empty(), "{} of {cases} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// A set of labels, written as a selector.
fn labels(text: &str) -> Labels {
    let matchers = if text == "{}" { Vec::new() } else { logql::parse_selector(text).unwrap() };
    matchers.into_iter().map(|matcher| (matcher.name, matcher.value)).collect()
}

fn run(stages: &str, stream: &Labels, metadata: &Labels, line: &str) -> String {
    let pipeline = match compile(stages) {
        Ok(pipeline) => pipeline,
        Err(error) => return format!("error: {}", error.text()),
    };
    let pairs: Vec<(&str, &str)> = metadata.iter().collect();
    let mut running = pipeline.for_stream(stream);
    // An entry before it must leave nothing behind.
    running.process(EntryRef { timestamp_ns: 1, line: r#"{"left":"over"} left=over"#, metadata: &[("left", "over")] });
    let Some(processed) = running.process(EntryRef { timestamp_ns: 1, line, metadata: &pairs }) else {
        return "dropped".to_owned();
    };
    let entry = processed.to_log_entry();
    let mut out = Vec::new();
    if entry.line != line {
        out.push(serde_json::to_string(&entry.line).unwrap());
    }
    let gone = |before: &Labels, after: &Labels| {
        before.iter().filter(|(n, v)| after.get(n) != Some(v)).map(|(name, _)| format!("-{name}")).collect::<Vec<_>>()
    };
    out.extend(gone(stream, &entry.stream));
    out.extend(gone(metadata, &entry.metadata));
    let more: Labels = entry.metadata.iter().filter(|(name, _)| !metadata.contains(name)).collect();
    if !more.is_empty() {
        out.push(format!("+{more}"));
    }
    out.push(entry.parsed.to_string());
    out.join(" ")
}

fn compile(stages: &str) -> Result<Pipeline, logql::Error> {
    match logql::parse(&format!("{{a=\"b\"}} {stages}"))? {
        Expr::Log(expr) => Pipeline::new(&expr.pipeline),
        Expr::Metric(_) => panic!("no log query: {stages}"),
    }
}
