//! Every kind of question, asked of an engine; the answers as text.

use std::time::Duration;

use engine::{
    Direction, Engine, LabelsRequest, Limits, LiveQuery, PatternsRequest, QueryRequest, VolumeBy, VolumeRequest, When,
};
use model::{TenantId, TimeRange};

use crate::case::{Asking, DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, START_NS};

const LOGS: [&str; 6] = [
    r#"{app=~".+"}"#,
    r#"{app="a"} |= "3""#,
    r#"{env="dev"} | logfmt | v > 3"#,
    r#"{app=~"a|b"} | detected_level="error""#,
    r#"{app="c"} | trace="t1""#,
    r#"{app=~"b|c", tier=""}"#,
];

/// With a window in the place of `W`. The first five are answered from the counts of footers as far as those reach.
const METRICS: [&str; 11] = [
    r#"count_over_time({app=~".+"}[W])"#,
    r#"sum by (detected_level) (count_over_time({app=~".+"}[W]))"#,
    r#"sum(rate({app=~"a|c"}[W]))"#,
    r#"sum by (env) (bytes_over_time({app=~".+"}[W]))"#,
    r#"bytes_rate({app="a"}[W] offset 10m)"#,
    r#"sum by (app) (count_over_time({app=~".+"} |= "3"[W]))"#,
    r#"sum by (trace) (count_over_time({app=~".+"} | detected_level!="info"[W]))"#,
    r#"sum by (app) (sum_over_time({app=~".+"} | logfmt | v!="" | unwrap v [W]))"#,
    r#"max_over_time({app=~".+"} | logfmt | v!="" | unwrap v [W]) by (env)"#,
    r#"absent_over_time({tier="x"}[W])"#,
    r#"sum(count_over_time({app="a"}[W])) / sum(count_over_time({app=~".+"}[W]))"#,
];

/// Questions and their answers.
pub(crate) type Answers = Vec<(String, String)>;

fn query(query: &str, when: When, direction: Direction, limit: usize) -> QueryRequest {
    let limits = Limits { split_queries_by_interval: Duration::ZERO, max_query_series: 0, ..Limits::default() };
    let tenants = vec![TenantId::single()];
    QueryRequest { tenants, query: query.to_owned(), when, direction, limit, limits, partial_series: false }
}

fn span(start_ns: i64, end_ns: i64) -> TimeRange {
    TimeRange::new(start_ns, end_ns).expect("a range")
}

/// Everything there is, and some around.
fn all() -> TimeRange {
    span(START_NS - DAY_NS, START_NS + 3 * DAY_NS)
}

/// A query for every entry.
pub(crate) fn everything() -> QueryRequest {
    let (start_ns, end_ns) = (all().start_ns(), all().end_ns());
    let when = When::Range { start_ns, end_ns, step_ns: SECOND_NS, interval_ns: 0 };
    query(LOGS[0], when, Direction::Forward, 5000)
}

/// Queries, as other processes may be asked for them too.
pub(crate) async fn of_logql(engine: &Engine, asking: &Asking) -> Answers {
    let mut answers = Answers::new();
    let step_ns = asking.step_s * SECOND_NS;
    for text in LOGS {
        for (range, direction, limit, interval_ns) in [
            (all(), Direction::Forward, 5000, 0),
            (span(asking.from_ns, asking.to_ns), Direction::Forward, asking.limit, 0),
            (span(asking.from_ns, asking.to_ns), Direction::Backward, asking.limit, 0),
            (all(), Direction::Backward, asking.limit, MINUTE_NS),
        ] {
            let (start_ns, end_ns) = (range.start_ns(), range.end_ns());
            let when = When::Range { start_ns, end_ns, step_ns: SECOND_NS, interval_ns };
            let answer = engine.query(query(text, when, direction, limit)).await.expect("an answer");
            answers.push((format!("{text} {direction:?} {limit} {interval_ns}"), format!("{:#?}", answer.value)));
        }
    }
    for text in METRICS {
        let window = text.replace('W', &format!("{}s", asking.window_s));
        let whole = text.replace('W', "1h");
        let steps = 40 * step_ns;
        let from_ns = asking.from_ns;
        for (text, when) in [
            (window.clone(), When::Range { start_ns: from_ns, end_ns: from_ns + steps, step_ns, interval_ns: 0 }),
            (
                whole,
                When::Range {
                    start_ns: START_NS,
                    end_ns: START_NS + 2 * DAY_NS + HOUR_NS,
                    step_ns: HOUR_NS,
                    interval_ns: 0,
                },
            ),
            (window, When::Instant { time_ns: asking.to_ns }),
            (text.replace('W', "50h"), When::Instant { time_ns: START_NS + 2 * DAY_NS }),
        ] {
            let answer = engine.query(query(&text, when, Direction::Forward, 0)).await.expect("an answer");
            answers.push((format!("{text} {when:?}"), format!("{:#?}", answer.value)));
        }
    }
    answers
}

/// Everything else that is exact.
pub(crate) async fn of_the_rest(engine: &Engine, asking: &Asking) -> Answers {
    let mut answers = Answers::new();
    let mut add = |question: String, answer: String| answers.push((question, answer));
    for selectors in [&[][..], &[r#"{app="a"}"#], &[r#"{env="dev"}"#, r#"{tier="x"}"#]] {
        let of = |range| labels_request(range, selectors);
        add(format!("labels {selectors:?}"), format!("{:?}", engine.labels(of(all())).await.expect("labels")));
        for name in ["app", "tier", "detected_level"] {
            let values = engine.label_values(name, of(all())).await.expect("values");
            add(format!("values of {name} {selectors:?}"), format!("{values:?}"));
        }
        add(format!("series {selectors:?}"), format!("{:#?}", engine.series(of(all())).await.expect("series")));
        let detected = engine.detected_labels(of(all())).await.expect("labels");
        add(format!("detected labels {selectors:?}"), format!("{detected:#?}"));
        for range in [all(), whole_minutes(asking)] {
            let stats = engine.index_stats(of(range), &Limits::default()).await.expect("stats");
            // How many pieces there are depends on what was merged.
            let stats = engine::IndexStats { chunks: 0, ..stats };
            add(format!("index stats {selectors:?} {range:?}"), format!("{stats:?}"));
            let env = vec!["env".to_owned()];
            for (by, step_ns) in [
                (VolumeBy::Series(Vec::new()), 0),
                (VolumeBy::Labels(Vec::new()), HOUR_NS),
                (VolumeBy::Series(env), MINUTE_NS * (asking.step_s / 60 + 1)),
            ] {
                let (limit, limits) = (100, Limits::default());
                let request = VolumeRequest { of: of(range), by, step_ns, limit, series_max: 0, limits };
                let question = format!("volume {selectors:?} {range:?} {:?} {step_ns}", request.by);
                add(question, format!("{:#?}", engine.volume(request).await.expect("volumes").value));
            }
        }
    }
    for text in [LOGS[0], LOGS[2]] {
        let when =
            When::Range { start_ns: START_NS, end_ns: START_NS + 2 * DAY_NS, step_ns: SECOND_NS, interval_ns: 0 };
        let fields = engine.detected_fields(query(text, when, Direction::Backward, 5000), 50).await.expect("fields");
        add(format!("detected fields {text}"), format!("{fields:#?}"));
        let live = LiveQuery::parse(text).expect("LogQL").expect("of logs");
        let (range, tenant) = (span(asking.from_ns, asking.to_ns), TenantId::single());
        let history = engine.history(&live, &tenant, range, asking.limit, Duration::ZERO).await.expect("entries");
        add(format!("history {text} {}", asking.limit), format!("{history:#?}"));
    }
    for (selector, range) in [(LOGS[0], all()), (r#"{app="a"}"#, span(asking.from_ns, asking.to_ns))] {
        let request = PatternsRequest {
            tenants: vec![TenantId::single()],
            selector: selector.to_owned(),
            range,
            step_ns: HOUR_NS,
            limits: Limits::default(),
        };
        let mut patterns = engine.patterns(request).await.expect("patterns").patterns;
        patterns.sort_by(|a, b| (&a.text, &a.level).cmp(&(&b.text, &b.level)));
        add(format!("patterns {selector} {range:?}"), format!("{patterns:#?}"));
    }
    answers
}

/// The streams of a part of all time, which is no exact answer: footers tell the first and the last entry of a stream.
pub(crate) async fn series_within(engine: &Engine, asking: &Asking) -> Vec<model::Labels> {
    engine.series(labels_request(span(asking.from_ns, asking.to_ns), &[])).await.expect("series")
}

fn labels_request(range: TimeRange, selectors: &[&str]) -> LabelsRequest {
    let selectors = selectors.iter().map(|selector| (*selector).to_owned()).collect();
    LabelsRequest { tenants: vec![TenantId::single()], range, selectors }
}

/// The minutes that are touched: a minute that an edge cuts is shared out by time, which is no exact answer.
fn whole_minutes(asking: &Asking) -> TimeRange {
    let end_of = |time_ns: i64| -(-time_ns).div_euclid(MINUTE_NS) * MINUTE_NS;
    span(end_of(asking.from_ns) + 1 - MINUTE_NS, end_of(asking.to_ns) + 1)
}
