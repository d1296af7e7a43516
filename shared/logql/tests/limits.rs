//! Queries that are too long, too deep or too costly end with an error, on the small stack of a test thread too.

use logql::ast::Expr;
use logql::eval::{RangeFold, Steps, evaluate};
use logql::sample::Sampler;
use logql::{Kind, NESTING_MAX, OPERATORS_MAX, QUERY_BYTES_MAX, REGEXPS_MAX, parse};

#[test]
fn deep_queries_are_refused() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("sum(", "vector(1)", ")"),
        ("label_replace(", "vector(1)", ",\"a\",\"b\",\"c\",\"d\")"),
        ("vector(1) ^ ", "1", ""),
        ("{a=\"b\"} | ", "x=\"y\"", ""),
        ("rate(", "{a=\"b\"}[5m]", ")"),
        ("-", "1", ""),
        ("{", "", "}"),
    ] {
        for depth in [NESTING_MAX as usize + 1, 5000] {
            let query = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            assert!(parse(&query[..query.len().min(QUERY_BYTES_MAX - 1)]).is_err(), "{open} {depth} times");
        }
    }
    for depth in [5000, 60_000] {
        assert_eq!(parse(&"(".repeat(depth)).map_err(|e| e.kind()), Err(Kind::Limit));
        let filters = format!("{{a=\"b\"}} | {}x=\"y\"", "(".repeat(depth));
        assert_eq!(parse(&filters).map_err(|e| e.kind()), Err(Kind::Limit));
        let ranges = format!("rate({}", "(".repeat(depth));
        assert_eq!(parse(&ranges).map_err(|e| e.kind()), Err(Kind::Limit));
    }
}

#[test]
fn long_chains_are_refused() {
    let operators = OPERATORS_MAX as usize;
    for (item, join, prefix) in [
        ("vector(1)", " + ", ""),
        ("1", "+", ""),
        ("x=\"y\"", " or ", "{a=\"b\"} | "),
        ("x=\"y\"", " and ", "{a=\"b\"} | "),
    ] {
        let chain = |length: usize| format!("{prefix}{}", vec![item; length].join(join));
        let expr = parse(&chain(operators + 1)).unwrap_or_else(|error| panic!("{join}: {error}"));
        // Walks and drops of the highest tree fit the stack.
        assert!(!logql::pretty(&expr.clone()).is_empty());
        assert_eq!(parse(&chain(operators + 2)).map_err(|e| e.kind()), Err(Kind::Limit), "{join}");
    }
}

#[test]
fn long_queries_are_refused() {
    let query = |length: usize| format!("{{a=\"{}\"}}", "b".repeat(length - 6));
    assert!(parse(&query(QUERY_BYTES_MAX - 1)).is_ok());
    let error = parse(&query(QUERY_BYTES_MAX)).expect_err("too long");
    assert_eq!(error.to_string(), "parse error : input size too long (131072 > 131072)");
}

#[test]
fn costly_regular_expressions_are_refused() {
    for pattern in ["(((a{1000}){1000}){1000}){1000}", r"\p{L}{1000}{1000}", "(.{900}){900}", r"(\pL{999}|x){999}"] {
        let error = parse(&format!("{{a=~{}}}", model::quote(pattern))).expect_err(pattern);
        assert!(error.to_string().contains("error parsing regexp"), "{error}");
    }
}

#[test]
fn many_regular_expressions_are_refused() {
    for (start, item, end) in [
        ("{", "a=~\"b.\",", "c=\"d\"}"),
        ("{a=\"b\"}", " |~ \"x.\"", ""),
        ("{a=\"b\"} |~ \"x\"", " or \"x.\"", ""),
        ("{a=\"b\"}", " | x=~\"y.\"", ""),
        ("{a=\"b\"}", " | drop x!~\"y.\"", ""),
        ("{a=\"b\"}", " | regexp \"(?P<x>y)\"", ""),
    ] {
        let query = |count: usize| format!("{start}{}{end}", item.repeat(count));
        let most = REGEXPS_MAX - usize::from(start.contains('~'));
        assert!(parse(&query(most)).is_ok(), "{item}");
        assert_eq!(parse(&query(most + 1)).map_err(|e| e.kind()), Err(Kind::Limit), "{item}");
    }
}

#[test]
fn large_regular_expressions_are_refused_together() {
    let large = |count: usize| {
        let filters: Vec<String> = (0..count).map(|i| format!("|~ \"{i}\\\\pL{{40}}\"")).collect();
        format!("{{a=\"b\"}} {}", filters.join(" "))
    };
    // A few may be as large as they like.
    assert!(parse(&large(16)).is_ok());
    let error = parse(&large(REGEXPS_MAX)).expect_err("more than the budget");
    assert_eq!(error.kind(), Kind::Limit);
    assert!(error.to_string().contains("regular expressions of the query are too large"), "{error}");
}

/// The stack of a thread by default, and of the runtime's blocking threads.
const STACK_BYTES: usize = 2 << 20;

/// Parses, prints, compiles and evaluates a query.
fn live_through(query: &str) {
    let expr = parse(query).unwrap_or_else(|error| panic!("{error}"));
    assert!(!logql::pretty(&expr).is_empty() && !expr.to_string().is_empty());
    let Expr::Metric(metric) = &expr else { panic!("a metric query") };
    let steps = Steps::aligned(0, 60_000_000_000, 30_000_000_000);
    let leaves = logql::eval::leaves(metric);
    leaves.iter().for_each(|leaf| drop(Sampler::new(leaf).unwrap_or_else(|error| panic!("{error}"))));
    let series = leaves.iter().map(|leaf| RangeFold::new(leaf, steps).finish()).collect();
    let evaluated = evaluate(metric, steps, series).unwrap_or_else(|error| panic!("{error}"));
    assert!(evaluated.series_count() <= 1);
    drop((evaluated.clone().into_instant(), evaluated.into_range(), expr.clone()));
}

#[test]
fn the_highest_trees_are_evaluated_on_a_small_stack() {
    let operators = OPERATORS_MAX as usize;
    // Some constructs take two levels.
    let nested = |open: &str, middle: &str, close: &str| {
        let query = |depth: usize| format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
        let deepest = (60..=NESTING_MAX as usize).rev().map(query).find(|query| parse(query).is_ok());
        deepest.unwrap_or_else(|| panic!("{open} does not nest"))
    };
    let queries = [
        vec!["vector(1)"; operators + 1].join(" + "),
        vec!["sum(rate({a=\"b\"} | json | x > 5 [5m]))"; 401].join(" + "),
        vec!["rate({a=\"b\"}[5m])"; operators + 1].join(" or "),
        format!("rate({{a=\"b\"}} | {} [5m])", vec!["x=\"y\""; operators + 1].join(" or ")),
        nested("(", "vector(1)", ")"),
        nested("sum by (a) (", "rate({a=\"b\"} | json [5m])", ")"),
        nested("label_replace(", "vector(1)", ",\"a\",\"b\",\"c\",\"d\")"),
        nested("1 + (", "vector(1)", ")"),
        nested("vector(1) ^ ", "vector(1)", ""),
    ];
    let run = move || queries.iter().for_each(|query| live_through(query));
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).expect("a thread can be made");
    thread.join().expect("no query exhausts the stack or fails");
}
