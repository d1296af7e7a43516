//! Loki's recorded answers to metric queries, asked of sampler, fold and evaluation.
//!
//! Does in small what the engine does: aligns the steps, feeds each leaf, splits its samples over two folds.

#![expect(clippy::unwrap_used, reason = "a test reads files that are part of it")]

mod stored;

use std::collections::{BTreeMap, HashMap};

use logql::ast::{Expr, MetricExpr};
use logql::eval::{RangeFold, Steps, evaluate, leaf_time_range, leaves};
use logql::matcher::Selector;
use logql::sample::Sampler;
use model::{EntryRef, Labels, Series, Stream, Value as Answer};
use serde_json::Value;
use stored::{corpus, pairs, read, stored};

/// The series of each leaf of an expression.
fn feed(streams: &[Stream], expr: &MetricExpr, steps: Steps) -> Result<Vec<Vec<Series>>, logql::Error> {
    let mut results = Vec::new();
    for leaf in leaves(expr) {
        let selector = Selector::new(&leaf.aggregation.log.selector)?;
        let sampler = Sampler::new(&leaf)?;
        let mut folds = [RangeFold::new(&leaf, steps), RangeFold::new(&leaf, steps)];
        let (from, to) = leaf_time_range(&leaf, steps);
        for (turn, stream) in streams.iter().filter(|stream| selector.matches(&stream.labels)).enumerate() {
            let mut running = sampler.for_stream(&stream.labels);
            for entry in stream.entries.iter().filter(|entry| from < entry.timestamp_ns && entry.timestamp_ns <= to) {
                let metadata: Vec<(&str, &str)> = entry.metadata.iter().collect();
                let entry = EntryRef { timestamp_ns: entry.timestamp_ns, line: &entry.line, metadata: &metadata };
                let fold = &mut folds[turn % 2];
                if fold.wants(entry.timestamp_ns)
                    && let Some(sample) = running.process(entry)?
                {
                    fold.add(sample.series, entry.timestamp_ns, sample.value);
                }
            }
        }
        let [mut whole, other] = folds;
        whole.merge(other);
        results.push(whole.finish());
    }
    Ok(results)
}

fn ask(streams: &[Stream], query: &str, params: &Value) -> Result<Answer, logql::Error> {
    let Expr::Metric(expr) = logql::parse(query)? else { panic!("a metric query: {query}") };
    let nanos = |name: &str| params[name].as_str().unwrap().parse::<i64>().unwrap();
    if !params["time"].is_null() {
        let steps = Steps::instant(nanos("time"));
        return Ok(evaluate(&expr, steps, feed(streams, &expr, steps)?)?.into_instant());
    }
    let (start, end) = (nanos("start"), nanos("end"));
    let step_ns = match params["step"].as_str() {
        Some("1m30s") => 90_000_000_000,
        Some(seconds) => (seconds.parse::<f64>().unwrap() * 1e9) as i64,
        None => ((end - start) / 250 / 1_000_000_000).max(1) * 1_000_000_000,
    };
    let steps = Steps::aligned(start, end, step_ns);
    Ok(evaluate(&expr, steps, feed(streams, &expr, steps)?)?.into_range())
}

/// Series by labels, points as milliseconds and value. The order of the rows comes along.
type Rows = (Vec<String>, BTreeMap<String, Vec<(i64, f64)>>);

fn rows(answer: &Answer) -> Rows {
    let all: Vec<(String, Vec<(i64, f64)>)> = match answer {
        Answer::Vector(samples) => {
            samples.iter().map(|s| (s.labels.to_string(), vec![(s.point.timestamp_ms, s.point.value)])).collect()
        }
        Answer::Matrix(series) => series
            .iter()
            .map(|s| (s.labels.to_string(), s.points.iter().map(|p| (p.timestamp_ms, p.value)).collect()))
            .collect(),
        Answer::Scalar(point) => vec![(String::new(), vec![(point.timestamp_ms, point.value)])],
        Answer::Entries(_) => panic!("numbers"),
    };
    (all.iter().map(|(labels, _)| labels.clone()).collect(), all.into_iter().collect())
}

fn recorded(data: &Value) -> Rows {
    let point = |point: &Value| {
        let text = point[1].as_str().unwrap();
        ((point[0].as_f64().unwrap() * 1000.0).round() as i64, text.replace('+', "").parse::<f64>().unwrap())
    };
    let result = data["result"].as_array().unwrap();
    let all: Vec<(String, Vec<(i64, f64)>)> = match data["resultType"].as_str().unwrap() {
        // Behind its frontend Loki multiplies the time of a number by a thousand.
        "scalar" => vec![(String::new(), vec![(point(&data["result"]).0 / 1000, point(&data["result"]).1)])],
        kind => {
            let points = |row: &Value| match kind {
                "vector" => vec![point(&row["value"])],
                _ => row["values"].as_array().unwrap().iter().map(point).collect(),
            };
            result.iter().map(|row| (Labels::from_pairs(pairs(&row["metric"])).to_string(), points(row))).collect()
        }
    };
    (all.iter().map(|(labels, _)| labels.clone()).collect(), all.into_iter().collect())
}

/// What differs first; numbers within 1e-6 are the same.
fn difference(got: &Rows, want: &Rows, ordered: bool) -> Option<String> {
    if got.1.keys().ne(want.1.keys()) {
        let missing: Vec<_> = want.1.keys().filter(|k| !got.1.contains_key(*k)).take(2).collect();
        let extra: Vec<_> = got.1.keys().filter(|k| !want.1.contains_key(*k)).take(2).collect();
        return Some(format!("missing {missing:?}, extra {extra:?}"));
    }
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * a.abs().max(b.abs());
    for (labels, want) in &want.1 {
        let got = &got.1[labels];
        let differs = got.iter().zip(want).find(|(g, w)| g.0 != w.0 || !same(g.1, w.1));
        if got.len() != want.len() || differs.is_some() {
            return Some(format!("{labels}: {} points for {}, got and want {differs:?}", got.len(), want.len()));
        }
    }
    (ordered && got.0 != want.0).then(|| format!("order {:?}, want {:?}", got.0, want.0))
}

#[test]
fn metric_queries_are_answered_as_recorded() {
    let streams = stored();
    let mut asked: HashMap<&str, usize> = HashMap::new();
    let mut wrong = Vec::new();
    for family in [
        "range-agg",
        "unwrap",
        "vector-agg",
        "binop",
        "function",
        "step",
        "seed",
        "parser",
        "label-filter",
        "line-filter",
        "window",
    ] {
        for case in read(&corpus().join("cases").join(format!("{family}.json"))).as_array().unwrap() {
            let query = case["params"]["query"].as_str().unwrap_or_default();
            let failed = case["status"] == 400;
            if case["body"]["data"]["resultType"] == "streams" || !matches!(logql::parse(query), Ok(Expr::Metric(_))) {
                continue;
            }
            *asked.entry(family).or_default() += 1;
            let differs = match (ask(&streams, query, &case["params"]), failed) {
                (Ok(got), false) => difference(&rows(&got), &recorded(&case["body"]["data"]), case["ordered"] == true),
                (Err(error), true) => {
                    let kind = |text: &str| text.split(" for series").next().unwrap_or_default().to_owned();
                    let want = case["error"].as_str().unwrap();
                    (kind(&error.to_string()) != kind(want)).then(|| format!("{error}, want {want}"))
                }
                (Ok(_), true) => Some("should fail".to_owned()),
                (Err(error), false) => Some(error.to_string()),
            };
            wrong.extend(differs.map(|why| format!("{} {query}\n  {why}", case["name"])));
        }
    }
    assert!(asked.values().sum::<usize>() > 150, "{asked:?}");
    assert!(wrong.is_empty(), "{} wrong of {asked:?}\n{}", wrong.len(), wrong.join("\n"));
}
