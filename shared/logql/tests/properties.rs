//! Whatever is printed parses to the same tree, and no text makes the parser panic.

use logql::ast::*;
use logql::{parse, parse_selector, pretty};
use proptest::collection::vec;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    let words = ["and", "bool", "by", "drop", "json", "keep", "logfmt", "offset", "on", "or", "unpack", "unwrap"];
    let plain = "[a-z_][a-z0-9_]{0,5}".prop_filter("a keyword", move |name| !words.contains(&name.as_str()));
    prop_oneof![4 => plain, 1 => proptest::sample::select(vec!["rate", "sum", "bytes", "ip", "vector"]).prop_map(String::from)]
}

fn regex() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["a.+", "(?i)b", "x|y", r"\d+\.\d", "[^]a-z]+", "{", r"\Qa.b\E"])
        .prop_map(String::from)
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let plain = (name(), any::<bool>(), any::<String>()).prop_map(|(name, equal, value)| Matcher {
        name,
        op: if equal { MatchOp::Equal } else { MatchOp::NotEqual },
        value,
    });
    let matched = (name(), any::<bool>(), regex()).prop_map(|(name, equal, value)| Matcher {
        name,
        op: if equal { MatchOp::Regex } else { MatchOp::NotRegex },
        value,
    });
    prop_oneof![plain, matched]
}

fn line_filter() -> impl Strategy<Value = LineFilter> {
    let text = |op, text: BoxedStrategy<String>| {
        vec(text.prop_map(LineMatch::Text), 1..3).prop_map(move |alternatives| LineFilter { op, alternatives })
    };
    let pattern = || proptest::sample::select(vec!["<_>x", "a<_>b"]).prop_map(String::from).boxed();
    prop_oneof![
        text(LineOp::Contains, any::<String>().boxed()),
        text(LineOp::NotContains, any::<String>().boxed()),
        text(LineOp::Regex, regex().boxed()),
        text(LineOp::NotRegex, regex().boxed()),
        text(LineOp::Pattern, pattern()),
        text(LineOp::NotPattern, pattern()),
        Just(LineFilter { op: LineOp::Contains, alternatives: vec![LineMatch::Ip("10.0.0.0/8".into())] }),
    ]
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("not finite", |value| value.is_finite()), (-1000i32..1000).prop_map(f64::from)]
}

fn label_filter() -> impl Strategy<Value = LabelFilter> {
    let op = || proptest::sample::select(CompareOp::ALL.to_vec());
    let duration = prop_oneof![any::<i64>(), (-9_000_000i64..9_000_000).prop_map(|ms| ms * 1_000_000)];
    let size = prop_oneof![0u64..1 << 53, (0u64..5000, 0u32..5).prop_map(|(n, power)| n * 1000u64.pow(power))];
    let single = prop_oneof![
        matcher().prop_map(LabelFilter::String),
        (name(), op(), finite()).prop_map(|(name, op, value)| LabelFilter::Number { name, op, value }),
        (name(), op(), duration).prop_map(|(name, op, value_ns)| LabelFilter::Duration { name, op, value_ns }),
        (name(), op(), size).prop_map(|(name, op, value_bytes)| LabelFilter::Bytes { name, op, value_bytes }),
        (name(), any::<bool>()).prop_map(|(name, negated)| LabelFilter::Ip {
            name,
            negated,
            pattern: "::1".to_owned()
        }),
    ];
    single.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, any::<bool>()).prop_map(|(left, right, and)| {
            let join = if and { LabelFilter::And } else { LabelFilter::Or };
            join(Box::new(left), Box::new(right))
        })
    })
}

fn stage() -> impl Strategy<Value = Stage> {
    let extractions = || {
        let expression = proptest::sample::select(vec!["x", "y"]).prop_map(String::from);
        vec((name(), expression).prop_map(|(label, expression)| Extraction { label, expression }), 0..3)
    };
    let choices =
        || vec(prop_oneof![name().prop_map(LabelChoice::Name), matcher().prop_map(LabelChoice::Matcher)], 1..3);
    let format = (name(), name()).prop_map(|(label, source)| {
        Stage::LabelFormat(vec![LabelFormat { label, source: LabelSource::Label(source) }])
    });
    prop_oneof![
        line_filter().prop_map(Stage::LineFilter),
        extractions().prop_map(Stage::Json),
        (any::<bool>(), any::<bool>(), extractions()).prop_map(|(strict, keep_empty, extractions)| Stage::Logfmt {
            strict,
            keep_empty,
            extractions
        }),
        Just(Stage::Regexp("(?P<x>a+)".into())),
        Just(Stage::Pattern("<x> <_>".into())),
        Just(Stage::Unpack),
        Just(Stage::Decolorize),
        Just(Stage::LineFormat("{{.x}}".into())),
        format,
        label_filter().prop_map(Stage::LabelFilter),
        choices().prop_map(Stage::Drop),
        choices().prop_map(Stage::Keep),
    ]
}

fn log() -> impl Strategy<Value = LogExpr> {
    let narrowing = Matcher { name: "job".into(), op: MatchOp::Equal, value: "nginx".into() };
    (vec(matcher(), 0..3), vec(stage(), 0..5)).prop_map(move |(mut selector, stages)| {
        selector.push(narrowing.clone());
        let mut pipeline: Vec<Stage> = Vec::new();
        for stage in stages {
            if pipeline.last().is_some_and(|last| reads_on(last, &stage)) {
                pipeline.push(Stage::Unpack);
            }
            pipeline.push(stage);
        }
        LogExpr { selector, pipeline }
    })
}

/// `| drop a` takes a `!= "b"` behind it for its own: no query means a line filter there.
fn reads_on(stage: &Stage, next: &Stage) -> bool {
    let (Stage::Drop(choices) | Stage::Keep(choices)) = stage else { return false };
    let Stage::LineFilter(filter) = next else { return false };
    matches!(choices.last(), Some(LabelChoice::Name(_))) && matches!(filter.op, LineOp::NotContains | LineOp::NotRegex)
}

fn grouping() -> impl Strategy<Value = Grouping> {
    (any::<bool>(), vec(name(), 1..3)).prop_map(|(without, labels)| Grouping { without, labels })
}

fn range() -> impl Strategy<Value = MetricExpr> {
    let unwrap = (
        name(),
        proptest::sample::select(vec![
            Conversion::Number,
            Conversion::Bytes,
            Conversion::Duration,
            Conversion::DurationSeconds,
        ]),
        vec(label_filter(), 0..2),
    )
        .prop_map(|(label, conversion, filters)| Unwrap { label, conversion, filters });
    let offset =
        prop_oneof![Just(0), any::<i64>().prop_map(|ns| ns / 2), (0i64..100_000_000).prop_map(|s| s * 1_000_000_000)];
    (proptest::sample::select(RangeOp::ALL.to_vec()), log(), unwrap, 1i64..9_000_000_000, offset, grouping(), 0.0..1.0)
        .prop_map(|(op, log, unwrap, range_ms, offset_ns, grouping, parameter)| {
            use RangeOp::*;
            let counts = matches!(op, CountOverTime | BytesOverTime | BytesRate | Rate | AbsentOverTime);
            let groups = matches!(op, AvgOverTime | MaxOverTime | QuantileOverTime | FirstOverTime);
            MetricExpr::Range(Box::new(RangeAggregation {
                op,
                parameter: (op == QuantileOverTime).then_some(parameter),
                log,
                unwrap: (!counts).then_some(unwrap),
                range_ns: range_ms * 1_000_000,
                offset_ns,
                grouping: groups.then_some(grouping),
            }))
        })
}

fn matching() -> impl Strategy<Value = VectorMatching> {
    let cardinality =
        proptest::sample::select(vec![Cardinality::OneToOne, Cardinality::ManyToOne, Cardinality::OneToMany]);
    (any::<bool>(), vec(name(), 0..3), cardinality, vec(name(), 0..2)).prop_map(|(on, labels, cardinality, include)| {
        let include = if cardinality == Cardinality::OneToOne { Vec::new() } else { include };
        VectorMatching { on, labels, cardinality, include }
    })
}

fn metric() -> impl Strategy<Value = MetricExpr> {
    let leaf = prop_oneof![
        4 => range(),
        1 => finite().prop_map(|value| MetricExpr::VectorLiteral(value.abs())),
        1 => finite().prop_map(MetricExpr::Number),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let vector = (proptest::sample::select(VectorOp::ALL.to_vec()), inner.clone(), grouping(), 1..1000u64)
            .prop_map(|(op, inner, grouping, count)| {
                let counts = matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
                let groups = !matches!(op, VectorOp::Sort | VectorOp::SortDesc | VectorOp::ApproxTopk);
                let (parameter, grouping) = (counts.then_some(count), groups.then_some(grouping));
                MetricExpr::Vector(Box::new(VectorAggregation { op, parameter, inner, grouping }))
            });
        let binary = (
            proptest::sample::select(BinaryOp::ALL.to_vec()),
            inner.clone(),
            inner.clone(),
            any::<bool>(),
            proptest::option::of(matching()),
        )
            .prop_map(|(op, left, right, return_bool, matching)| {
                // Two literals would be computed, and sets have none.
                let no_literal = |metric| match metric {
                    MetricExpr::Number(value) => MetricExpr::VectorLiteral(value.abs()),
                    other => other,
                };
                let right = if matches!(op, BinaryOp::Add | BinaryOp::Equal) { right } else { no_literal(right) };
                let left = no_literal(left);
                MetricExpr::Binary(Box::new(BinaryOperation { op, left, right, return_bool, matching }))
            });
        let replace = (inner, any::<String>(), any::<String>(), any::<String>(), regex()).prop_map(
            |(inner, destination, replacement, source, regex)| {
                let replace = LabelReplace { inner, destination, replacement, source, regex };
                MetricExpr::LabelReplace(Box::new(replace))
            },
        );
        prop_oneof![vector, binary, replace]
    })
}

/// Tokens in any order: nearer to LogQL than arbitrary text.
fn soup() -> impl Strategy<Value = String> {
    let tokens = [
        "{",
        "}",
        "(",
        ")",
        "[5m]",
        "[",
        "]",
        "|",
        "|=",
        "!=",
        "=~",
        "=",
        "==",
        ">",
        ",",
        "or",
        "and",
        "by",
        "on",
        "sum",
        "rate",
        "topk",
        "quantile_over_time",
        "label_replace",
        "vector",
        "ip",
        "json",
        "logfmt",
        "--strict",
        "unwrap",
        "bytes",
        "offset",
        "5m",
        "-5m",
        "10KB",
        "1",
        "-",
        "+",
        "^",
        "\"x\"",
        "`(`",
        "a",
        "#",
        "/*",
        "'",
        "\"",
        "é",
        "0x",
    ];
    vec(proptest::sample::select(tokens.to_vec()), 0..40).prop_map(|tokens| tokens.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printed_logs_parse_to_the_same_tree(log in log()) {
        let expr = Expr::Log(log);
        prop_assert_eq!(parse(&expr.to_string()), Ok(expr.clone()), "{}", expr);
        prop_assert_eq!(parse(&pretty(&expr)), Ok(expr.clone()), "{}", pretty(&expr));
    }

    #[test]
    fn printed_metrics_parse_to_the_same_tree(metric in metric()) {
        let expr = Expr::Metric(metric);
        prop_assert_eq!(parse(&expr.to_string()), Ok(expr.clone()), "{}", expr);
        prop_assert_eq!(parse(&pretty(&expr)), Ok(expr.clone()), "{}", pretty(&expr));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = (parse(&text), parse_selector(&text));
    }

    #[test]
    fn no_tokens_make_the_parser_panic(text in soup()) {
        if let Ok(expr) = parse(&text) {
            prop_assert_eq!(parse(&expr.to_string()).map(|again| again.to_string()), Ok(expr.to_string()));
        }
    }

    #[test]
    fn no_regular_expression_panics(pattern in r"[\\\[\](){}|*+?^$.a-z0-9:<>=!PQEdwsbpx,&~-]{0,20}") {
        let _ = parse(&format!("{{a=~{}, b=\"c\"}}", model::quote(&pattern)));
    }
}
