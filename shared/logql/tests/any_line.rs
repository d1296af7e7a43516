//! No line, whatever its bytes, makes a stage panic or stop.

#![expect(clippy::unwrap_used, reason = "the queries are written here")]

use logql::ast::Expr;
use logql::labels::Needed;
use logql::pipeline::{Hints, Pipeline};
use model::{EntryRef, Labels};
use proptest::prelude::*;

/// Each parser, formatter and filter, and some of them behind one another.
const STAGES: &[&str] = &[
    "| json",
    r#"| json a, b="x.y[0]", c="[\"k\"]", d="[1][0]""#,
    "| logfmt",
    "| logfmt --strict --keep-empty",
    r#"| logfmt a, b="key""#,
    r#"| regexp "(?P<a>\\S+) (?P<b>\\S*)""#,
    "| pattern `<a> <_>\"<b>`",
    "| unpack | json | logfmt",
    "| decolorize | json",
    r#"| json | line_format "{{.a}}" | logfmt | label_format b=a, c="{{.b}}" | keep a, c="1""#,
    r#"| logfmt --keep-empty | a > 5 or b > 5s or c > 5KB or d = ip("10.0.0.0/8")"#,
    r#"|> "a<_>b" or "<_>c""#,
    r#"|= ip("10.0.0.0/8") or ip("::1-::9")"#,
    r#"!~ "(?i)a.*b|c""#,
];

/// Text made of what the formats are made of, so that it gets deep into the parsers.
fn line() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "\\u00e9",
        "\\ud83c",
        "\\udf89",
        ":",
        ",",
        "=",
        " ",
        "\t",
        "\n",
        "a",
        "b",
        "key",
        "_entry",
        "\"a\":",
        "{\"a\":1}",
        "\"b\":\"x\"",
        "null",
        "true",
        "1.5",
        "-",
        "10.0.0.1",
        "::1",
        "a=b",
        "c=\"d",
        "é",
        "🎉",
        "\u{fffd}",
        "\u{0}",
        "\u{1b}[31m",
        "\u{9b}",
        "<",
        "GET /",
    ];
    let word = prop_oneof![8 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn pipelines() -> Vec<Pipeline> {
    let stages = STAGES.iter().map(|stages| match logql::parse(&format!("{{x=\"y\"}} {stages}")).unwrap() {
        Expr::Log(expr) => expr.pipeline,
        Expr::Metric(_) => unreachable!("log queries"),
    });
    let needed = || Needed::Only(vec!["a".to_owned(), "b".to_owned()]);
    let both = |stages: Vec<logql::ast::Stage>| {
        [Pipeline::new(&stages).unwrap(), Pipeline::with_hints(&stages, Hints { needed: needed() }).unwrap()]
    };
    stages.flat_map(both).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn stages_survive_any_line(lines in prop::collection::vec(line(), 1..4)) {
        let stream = Labels::from_pairs([("app", "api"), ("a", "s")]);
        for pipeline in pipelines() {
            let mut running = pipeline.for_stream(&stream);
            for line in &lines {
                let metadata = [("a", "m"), ("b", ""), ("trace", line.as_str())];
                if let Some(processed) = running.process(EntryRef { timestamp_ns: 0, line, metadata: &metadata }) {
                    // Each name is there once, whatever was set, dropped and renamed.
                    let entry = processed.to_log_entry();
                    let parts = entry.stream.len() + entry.metadata.len() + entry.parsed.len();
                    prop_assert_eq!(parts, processed.labels().to_labels().len());
                    for (_, name, value) in processed.labels().iter() {
                        prop_assert_eq!(processed.labels().get(name), Some(value));
                    }
                }
            }
        }
    }

    /// What is left after one line does not depend on the line before it.
    #[test]
    fn entries_do_not_touch_each_other(first in line(), second in line()) {
        let stream = Labels::from_pairs([("app", "api")]);
        for pipeline in pipelines() {
            let alone = pipeline.for_stream(&stream).process(entry(&second)).map(|p| p.to_log_entry());
            let mut running = pipeline.for_stream(&stream);
            running.process(entry(&first));
            prop_assert_eq!(running.process(entry(&second)).map(|p| p.to_log_entry()), alone);
        }
    }
}

fn entry(line: &str) -> EntryRef<'_> {
    EntryRef { timestamp_ns: 0, line, metadata: &[("trace", "t")] }
}

/// Long and deep lines take as many steps as they have bytes, or they are cut short by a limit.
#[test]
fn hostile_lines_are_read_in_linear_time() {
    let many_keys: String = (0..10_000).map(|i| format!("\"key{i}\":{i},")).collect();
    let many_pairs: String = (0..10_000).map(|i| format!("key{i}={i} ")).collect();
    let long_keys = format!("{{\"{}\":{{{}\"z\":1}}}}", "k".repeat(10_000), "\"a\":1,".repeat(10_000));
    let lines = [
        format!("{{{many_keys}\"z\":1}}"),
        many_pairs,
        long_keys,
        "{\"a\":".repeat(20_000),
        format!("{}1{}", "{\"a\":".repeat(20_000), "}".repeat(20_000)),
        "[".repeat(50_000),
        format!("{{\"a\":{}", "[".repeat(50_000)),
        "\"".repeat(50_000),
        "=".repeat(50_000),
        "\\".repeat(50_000),
        "a=\"".repeat(20_000),
        "1.".repeat(20_000),
        "::1".repeat(20_000),
        "\u{1b}[".repeat(20_000),
        "\u{1b}[1;".repeat(20_000),
        " \"".repeat(20_000),
    ];
    let stream = Labels::from_pairs([("app", "api")]);
    for pipeline in pipelines() {
        let mut running = pipeline.for_stream(&stream);
        for line in &lines {
            running.process(entry(line));
        }
    }
}
