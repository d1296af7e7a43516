//! Metric queries by script: one case a line, `query @ times => answer`.
//!
//! First the data: `stream {…}` and below it entries, each `<second> <line>`. Times are seconds: `@ 60` asks at one moment,
//! `@ 0..120/30` at steps. An answer is a number, or series divided by `; `, each its labels and then its value, or
//! `second:value` for each of its points; nothing if there are none; or `error: …`. `#` says what is shown.

#![expect(clippy::unwrap_used, reason = "a test reads files that are part of it")]

use std::fs;
use std::path::Path;

use logql::ast::{Expr, MetricExpr};
use logql::eval::{RangeFold, Steps, evaluate, leaves};
use logql::matcher::Selector;
use logql::sample::Sampler;
use model::{EntryRef, Labels, Series, Value};

test_each_file::test_each_path! { for ["script"] in "shared/logql/tests/scripts/eval" as eval => run_script }

const SECOND_NS: i64 = 1_000_000_000;

type Streams = Vec<(Labels, Vec<(i64, String)>)>;

fn run_script([path]: [&Path; 1]) {
    let script = fs::read_to_string(path).unwrap();
    let mut streams = Streams::new();
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(labels) = line.strip_prefix("stream ") {
            let matchers = logql::parse_selector(labels).unwrap();
            streams.push((matchers.into_iter().map(|m| (m.name, m.value)).collect(), Vec::new()));
        } else if line.starts_with(|c: char| c.is_ascii_digit()) && !line.contains(" => ") && !line.contains(" @ ") {
            let (second, text) = line.split_once(' ').unwrap();
            streams.last_mut().unwrap().1.push((second.parse::<i64>().unwrap() * SECOND_NS, text.to_owned()));
        } else {
            let (question, want) = line.split_once(" =>").unwrap_or_else(|| panic!("no arrow: {line}"));
            let (query, times) = question.rsplit_once(" @ ").unwrap_or_else(|| panic!("no time: {line}"));
            let got = ask(&streams, query, times).unwrap_or_else(|error| format!("error: {error}"));
            cases += 1;
            if got != want.trim_start().replace("\\n", "\n") {
                wrong.push(format!("{question} => {got}\n  want:{want}"));
            }
        }
    }
    assert!(cases > 0, "no cases");
    assert!(wrong.is_empty(), "{} of {cases} wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn ask(streams: &Streams, query: &str, times: &str) -> Result<String, logql::Error> {
    let Expr::Metric(expr) = logql::parse(query)? else { panic!("a metric query: {query}") };
    let seconds = |text: &str| text.parse::<i64>().unwrap() * SECOND_NS;
    let (steps, is_range) = match times.split_once("..") {
        None => (Steps::instant(seconds(times)), false),
        Some((start, rest)) => {
            let (end, step) = rest.split_once('/').unwrap();
            (Steps::aligned(seconds(start), seconds(end), seconds(step)), true)
        }
    };
    let evaluated = evaluate(&expr, steps, feed(streams, &expr, steps)?)?;
    Ok(shown(&if is_range { evaluated.into_range() } else { evaluated.into_instant() }))
}

fn feed(streams: &Streams, expr: &MetricExpr, steps: Steps) -> Result<Vec<Vec<Series>>, logql::Error> {
    leaves(expr)
        .iter()
        .map(|leaf| {
            let selector = Selector::new(&leaf.aggregation.log.selector)?;
            let sampler = Sampler::new(leaf)?;
            let mut fold = RangeFold::new(leaf, steps);
            for (labels, entries) in streams.iter().filter(|(labels, _)| selector.matches(labels)) {
                let mut running = sampler.for_stream(labels);
                for (timestamp_ns, line) in
                    entries.iter().filter(|(timestamp_ns, _)| fold.wants(*timestamp_ns)).collect::<Vec<_>>()
                {
                    if let Some(sample) =
                        running.process(EntryRef { timestamp_ns: *timestamp_ns, line, metadata: &[] })?
                    {
                        fold.add(sample.series, *timestamp_ns, sample.value);
                    }
                }
            }
            Ok(fold.finish())
        })
        .collect()
}

fn shown(value: &Value) -> String {
    let number = |value: f64| {
        if value.fract() == 0.0 { value.to_string() } else { format!("{:.4}", value).trim_end_matches('0').to_owned() }
    };
    let all: Vec<String> = match value {
        Value::Scalar(point) => vec![number(point.value)],
        Value::Vector(samples) => samples.iter().map(|s| format!("{} {}", s.labels, number(s.point.value))).collect(),
        Value::Matrix(series) => series
            .iter()
            .map(|s| {
                let points = s.points.iter().map(|p| format!(" {}:{}", p.timestamp_ms / 1000, number(p.value)));
                format!("{}{}", s.labels, points.collect::<String>())
            })
            .collect(),
        Value::Entries(_) => panic!("numbers"),
    };
    all.join("; ")
}
