//! Small metric queries over small data: sampled, folded, evaluated and written as JSON, never a panic.
//!
//! Two folds that share the samples and are merged give the series of one; answers hold each series once, in order of time.

#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use logql::ast::{Expr, MetricExpr};
use logql::eval::{RangeFold, Steps, evaluate, leaves};
use logql::matcher::Selector;
use logql::sample::Sampler;
use loki_api::response::{Encoding, query};
use model::{EntryRef, QueryStats, Series, Stream, Value};

const SECOND_NS: i64 = 1_000_000_000;

fuzz_target!(|input: &[u8]| {
    // Recorded queries as text get data of their own; everything else is choices.
    let (text, mut u) = match fuzz::choices(input) {
        Some(mut u) => (fuzz::query::metric(&mut u).unwrap_or_default(), u),
        None => {
            let end = input.iter().position(|byte| *byte == 0xff).unwrap_or(input.len());
            let (text, rest) = input.split_at(end);
            (String::from_utf8_lossy(text).into_owned(), Unstructured::new(rest.get(1..).unwrap_or_default()))
        }
    };
    let Ok(Expr::Metric(expr)) = logql::parse(&text) else { return };
    let (Ok(steps), Ok(streams)) = (steps(&mut u), fuzz::data::streams(&mut u)) else { return };
    let Ok(series) = feed(&streams, &expr, steps) else { return };
    let Ok(evaluated) = evaluate(&expr, steps, series) else { return };
    answered(&evaluated.clone().into_range(), &text);
    answered(&evaluated.into_instant(), &text);
});

/// One step, or up to a few hundred.
fn steps(u: &mut Unstructured<'_>) -> Result<Steps> {
    let start_ns = i64::from(u.int_in_range(0..=600u32)?) * SECOND_NS;
    if u.arbitrary()? {
        return Ok(Steps::instant(start_ns));
    }
    let (length, step) = (i64::from(u.int_in_range(0..=300u32)?), i64::from(u.int_in_range(1..=60u32)?));
    Ok(Steps::aligned(start_ns, start_ns + length * SECOND_NS, step * SECOND_NS))
}

fn feed(streams: &[Stream], expr: &MetricExpr, steps: Steps) -> std::result::Result<Vec<Vec<Series>>, logql::Error> {
    let mut results = Vec::new();
    for leaf in leaves(expr) {
        let selector = Selector::new(&leaf.aggregation.log.selector)?;
        let sampler = Sampler::new(&leaf)?;
        let mut one = RangeFold::new(&leaf, steps);
        let mut halves = [RangeFold::new(&leaf, steps), RangeFold::new(&leaf, steps)];
        for stream in streams.iter().filter(|stream| selector.matches(&stream.labels)) {
            let mut running = sampler.for_stream(&stream.labels);
            for (turn, entry) in stream.entries.iter().enumerate() {
                if !one.wants(entry.timestamp_ns) {
                    continue;
                }
                let metadata: Vec<(&str, &str)> = entry.metadata.iter().collect();
                let entry = EntryRef { timestamp_ns: entry.timestamp_ns, line: &entry.line, metadata: &metadata };
                if let Some(sample) = running.process(entry)? {
                    one.add(sample.series, entry.timestamp_ns, sample.value);
                    halves[turn % 2].add(sample.series, entry.timestamp_ns, sample.value);
                }
            }
        }
        let [mut merged, other] = halves;
        merged.merge(other);
        let (one, merged) = (one.finish(), merged.finish());
        assert_eq!(shape(&one), shape(&merged), "merged folds have other series");
        results.push(one);
    }
    Ok(results)
}

fn shape(series: &[Series]) -> Vec<(String, Vec<i64>)> {
    let times = |series: &Series| series.points.iter().map(|point| point.timestamp_ms).collect();
    series.iter().map(|series| (series.labels.to_string(), times(series))).collect()
}

fn answered(value: &Value, text: &str) {
    for encoding in [Encoding::Merged, Encoding::Categorized] {
        let json = query(value, &QueryStats::default(), &[], encoding);
        serde_json::from_str::<serde_json::Value>(&json).unwrap_or_else(|error| panic!("{text}: {error} in {json}"));
    }
    if let Value::Matrix(series) = value {
        for pair in series.windows(2) {
            assert!(pair[0].labels != pair[1].labels, "{text}: {} is there twice", pair[0].labels);
        }
        for series in series {
            assert!(series.points.windows(2).all(|pair| pair[0].timestamp_ms < pair[1].timestamp_ms), "{text}");
        }
    }
}
