//! The fold of shuffled, split and merged samples equals each operation's plain definition.

use logql::ast::{LogExpr, MatchOp, Matcher, RangeAggregation, RangeOp, Unwrap};
use logql::eval::{Leaf, RangeFold, Steps, leaf_time_range};
use model::{Labels, Point, Series};
use proptest::prelude::*;

const OPS: &[RangeOp] = &[
    RangeOp::CountOverTime,
    RangeOp::Rate,
    RangeOp::BytesOverTime,
    RangeOp::BytesRate,
    RangeOp::AbsentOverTime,
    RangeOp::RateCounter,
    RangeOp::SumOverTime,
    RangeOp::AvgOverTime,
    RangeOp::MinOverTime,
    RangeOp::MaxOverTime,
    RangeOp::StddevOverTime,
    RangeOp::StdvarOverTime,
    RangeOp::QuantileOverTime,
    RangeOp::FirstOverTime,
    RangeOp::LastOverTime,
];
const MS: i64 = 1_000_000;

fn aggregation(op: RangeOp, range_ms: i64, offset_ms: i64) -> RangeAggregation {
    let unwrap = Unwrap { label: "v".into(), conversion: logql::ast::Conversion::Number, filters: Vec::new() };
    let selector = vec![Matcher { name: "app".into(), op: MatchOp::Equal, value: "api".into() }];
    RangeAggregation {
        op,
        parameter: (op == RangeOp::QuantileOverTime).then_some(0.7),
        log: LogExpr { selector, pipeline: Vec::new() },
        unwrap: (!matches!(op, RangeOp::CountOverTime | RangeOp::Rate | RangeOp::BytesOverTime)).then_some(unwrap),
        range_ns: range_ms * MS,
        offset_ns: offset_ms * MS,
        grouping: None,
    }
}

fn labels(series: usize) -> Labels {
    Labels::from_pairs([("s", series.to_string())])
}

/// The operation over the samples of one window, oldest first, by the book.
fn by_the_book(op: RangeOp, window: &[(i64, f64)], range_ms: i64) -> f64 {
    let values: Vec<f64> = window.iter().map(|s| s.1).collect();
    let (sum, count) = (values.iter().sum::<f64>(), values.len() as f64);
    let mean = sum / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let seconds = range_ms as f64 / 1000.0;
    match op {
        RangeOp::CountOverTime => count,
        RangeOp::Rate => count / seconds,
        RangeOp::BytesRate => sum / seconds,
        RangeOp::BytesOverTime | RangeOp::SumOverTime => sum,
        RangeOp::AvgOverTime => mean,
        RangeOp::MinOverTime => values.iter().copied().fold(f64::INFINITY, f64::min),
        RangeOp::MaxOverTime => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        RangeOp::StddevOverTime => variance.sqrt(),
        RangeOp::StdvarOverTime => variance,
        RangeOp::FirstOverTime => values[0],
        RangeOp::LastOverTime => values[values.len() - 1],
        RangeOp::QuantileOverTime => {
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let rank = 0.7 * (count - 1.0);
            let low = sorted[rank.floor() as usize];
            low + (sorted[rank.ceil() as usize] - low) * rank.fract()
        }
        RangeOp::RateCounter | RangeOp::AbsentOverTime => unreachable!("checked on their own"),
    }
}

fn expected(leaf: &RangeAggregation, steps: Steps, samples: &[(usize, i64, f64)]) -> Vec<Series> {
    let mut all = Vec::new();
    for series in 0..3 {
        let mut points = Vec::new();
        let mut ours: Vec<(i64, f64)> = samples.iter().filter(|s| s.0 == series).map(|s| (s.1, s.2)).collect();
        ours.sort_by_key(|s| s.0);
        for step in 0..steps.count() {
            let end = steps.at(step) - leaf.offset_ns;
            let inside = |s: &&(i64, f64)| s.0 > end - leaf.range_ns && s.0 <= end;
            let window: Vec<(i64, f64)> = ours.iter().filter(inside).copied().collect();
            if !window.is_empty() {
                let value = by_the_book(leaf.op, &window, leaf.range_ns / MS);
                points.push(Point { timestamp_ms: steps.at(step) / MS, value });
            }
        }
        if !points.is_empty() {
            all.push(Series { labels: labels(series), points });
        }
    }
    all
}

fn assert_close(got: &[Series], want: &[Series]) {
    let flat = |all: &[Series]| -> Vec<(String, i64)> {
        all.iter().flat_map(|s| s.points.iter().map(|p| (s.labels.to_string(), p.timestamp_ms))).collect()
    };
    assert_eq!(flat(got), flat(want));
    let values = |all: &[Series]| -> Vec<f64> { all.iter().flat_map(|s| s.points.iter().map(|p| p.value)).collect() };
    for (got, want) in values(got).into_iter().zip(values(want)) {
        assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{got}, want {want}");
    }
}

proptest! {
    #[test]
    fn folds_agree_with_the_definition(
        op in prop::sample::select(OPS),
        times in prop::collection::btree_set(-3_000_i64..20_000, 0..60),
        values in prop::collection::vec((0_usize..3, -50_i64..50, 0_usize..3), 60),
        order in Just((0..60).collect::<Vec<usize>>()).prop_shuffle(),
        (start, length, step) in (0_i64..9_000, 0_i64..9_000, 1_i64..1_500),
        (range, offset) in (1_i64..9_000, -2_000_i64..2_000),
    ) {
        prop_assume!(!matches!(op, RangeOp::RateCounter | RangeOp::AbsentOverTime));
        let aggregation = aggregation(op, range, offset);
        let leaf = Leaf { aggregation: &aggregation, pushed_down: None };
        let steps = Steps { start_ns: start * MS, end_ns: (start + length) * MS, step_ns: step * MS };
        // No two samples share a time: which of them is first would depend on the order in which they come.
        let samples: Vec<(usize, i64, f64)> =
            times.iter().zip(&values).map(|(t, (series, v, _))| (*series, t * MS, *v as f64)).collect();
        let mut folds: Vec<RangeFold> = (0..3).map(|_| RangeFold::new(&leaf, steps)).collect();
        let (from, to) = leaf_time_range(&leaf, steps);
        for (i, (series, time, value)) in order.iter().filter_map(|i| samples.get(*i).map(|s| (i, s))) {
            prop_assert!(!folds[0].wants(*time) || (from < *time && *time <= to));
            folds[values[*i].2].add(&labels(*series), *time, *value);
        }
        let mut whole = folds.remove(0);
        folds.into_iter().for_each(|fold| whole.merge(fold));
        assert_close(&whole.finish(), &expected(&aggregation, steps, &samples));
    }

    #[test]
    fn bulk_counts_equal_single_ones(
        times in prop::collection::vec(0_i64..20_000, 0..200),
        (start, length, step, range) in (0_i64..9_000, 0_i64..9_000, 1_i64..1_500, 1_i64..9_000),
    ) {
        let aggregation = aggregation(RangeOp::CountOverTime, range, 0);
        let leaf = Leaf { aggregation: &aggregation, pushed_down: None };
        let steps = Steps { start_ns: start * MS, end_ns: (start + length) * MS, step_ns: step * MS };
        let mut times: Vec<i64> = times.iter().map(|t| t * MS).collect();
        times.sort_unstable();
        let (mut single, mut bulk) = (RangeFold::new(&leaf, steps), RangeFold::new(&leaf, steps));
        times.iter().for_each(|time| single.add(&labels(0), *time, 1.0));
        bulk.add_counts(&labels(0), &times);
        prop_assert_eq!(single.finish(), bulk.finish());
    }

    #[test]
    fn a_minute_goes_in_at_once_only_if_one_cell_holds_it(
        (start, step, range) in (0_i64..200, 1_i64..300, 1_i64..900),
        (first, length) in (0_i64..900, 0_i64..60),
    ) {
        let aggregation = aggregation(RangeOp::CountOverTime, range * 1000, 0);
        let leaf = Leaf { aggregation: &aggregation, pushed_down: None };
        let second = 1000 * MS;
        let steps = Steps { start_ns: start * second, end_ns: 1000 * second, step_ns: step * second };
        let mut single = RangeFold::new(&leaf, steps);
        let mut bulk = RangeFold::new(&leaf, steps);
        prop_assume!(single.same_windows(first * second, (first + length) * second));
        (first..=first + length).for_each(|t| single.add(&labels(0), t * second, 1.0));
        bulk.add_sum(&labels(0), first * second, length as u64 + 1, 0.0);
        prop_assert_eq!(single.finish(), bulk.finish());
    }
}

#[test]
fn what_is_absent_has_a_one() {
    let aggregation = aggregation(RangeOp::AbsentOverTime, 1_000, 0);
    let leaf = Leaf { aggregation: &aggregation, pushed_down: None };
    let steps = Steps { start_ns: 0, end_ns: 3_000 * MS, step_ns: 1_000 * MS };
    let mut fold = RangeFold::new(&leaf, steps);
    fold.add(&labels(0), 1_500 * MS, 0.0);
    fold.add(&labels(1), 1_600 * MS, 0.0);
    let series = fold.finish();
    assert_eq!(series[0].labels.to_string(), r#"{app="api"}"#);
    let times: Vec<i64> = series[0].points.iter().map(|p| p.timestamp_ms).collect();
    assert_eq!(times, [0, 1_000, 3_000]);
}

#[test]
fn memory_grows_with_series_not_with_samples() {
    let aggregation = aggregation(RangeOp::CountOverTime, 3_600_000, 0);
    let leaf = Leaf { aggregation: &aggregation, pushed_down: None };
    let steps = Steps { start_ns: 0, end_ns: 3_600_000 * MS, step_ns: 60_000 * MS };
    let mut fold = RangeFold::new(&leaf, steps);
    (0..1_000).for_each(|time| fold.add(&labels(0), time * MS, 1.0));
    let little = fold.memory_bytes();
    (0..100_000).for_each(|time| fold.add(&labels(0), time * 30 * MS, 1.0));
    assert!(fold.memory_bytes() < little + 2_000, "{} after {little}", fold.memory_bytes());
    (1..100).for_each(|series| fold.add(&labels(series), 0, 1.0));
    assert!(fold.memory_bytes() > little + 99 * 100);
    assert_eq!(fold.series_count(), 100);
}
