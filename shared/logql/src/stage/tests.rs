//! One line a case: stages, an entry, and what is left of it.

use model::{EntryRef, Labels};

use crate::ast::{self, LineMatch, LineOp, Stage};
use crate::pipeline::Pipeline;

fn text_filter(op: LineOp, needles: &[&str]) -> Stage {
    let alternatives = needles.iter().map(|needle| LineMatch::Text((*needle).into())).collect();
    Stage::LineFilter(ast::LineFilter { op, alternatives })
}

/// Runs stages over an entry of the stream `{app="api"}` with the metadata `trace="t1"`.
#[track_caller]
fn run(stages: &[Stage], line: &str) -> Option<String> {
    let pipeline = Pipeline::new(stages).unwrap();
    let stream = Labels::from_pairs([("app", "api")]);
    let mut stream = pipeline.for_stream(&stream);
    let entry = EntryRef { timestamp_ns: 0, line, metadata: &[("trace", "t1")] };
    let processed = stream.process(entry)?;
    let entry = processed.to_log_entry();
    assert_eq!(entry.stream.len() + entry.metadata.len() + entry.parsed.len(), processed.labels().to_labels().len());
    Some(format!("{} {} {} {}", entry.line, entry.stream, entry.metadata, entry.parsed))
}

#[test]
fn line_filters_choose_lines() {
    for (op, needles, line, want) in [
        (LineOp::Contains, &["err"][..], "an error", true),
        (LineOp::Contains, &["Err"], "an error", false),
        (LineOp::Contains, &[""], "", true),
        (LineOp::NotContains, &[""], "x", false),
        (LineOp::Contains, &["a", "b"], "xb", true),
        (LineOp::Contains, &["a", ""], "x", false),
        (LineOp::NotContains, &["a", "b"], "xb", false),
        (LineOp::NotContains, &["a", "b"], "x", true),
        (LineOp::Regex, &["e..or"], "an error", true),
        (LineOp::Regex, &["^e"], "an error", false),
        (LineOp::Regex, &["(?i)ERR"], "an error", true),
        (LineOp::Regex, &[".*err.*"], "an error", true),
        (LineOp::Regex, &[r"err\.*"], "an error", true),
        (LineOp::Regex, &["^$"], "", true),
        (LineOp::Regex, &["x|y", "rr"], "an error", true),
        (LineOp::NotRegex, &["e..or"], "an error", false),
        (LineOp::Pattern, &["<_> error <_>"], "an error here", true),
        (LineOp::Pattern, &["<_> error <_>"], "an error ", false),
        (LineOp::Pattern, &["error <_>"], "an error here", true),
        (LineOp::Pattern, &["<_> error"], "an error here", false),
        (LineOp::Pattern, &[""], "", true),
        (LineOp::Pattern, &[""], "x", false),
        (LineOp::NotPattern, &["<_>a"], "ba", false),
    ] {
        assert_eq!(run(&[text_filter(op, needles)], line).is_some(), want, "{op:?} {needles:?} on {line:?}");
    }
}

#[test]
fn json_makes_labels() {
    for (line, want) in [
        (r#"{"a":"x","b":{"c":1.0,"d":[1],"e":null},"f":true}"#, r#"{a="x", b_c="1.0", f="true"}"#),
        (r#"{"app":"y","trace":"z"}"#, r#"{app_extracted="y", trace_extracted="z"}"#),
        (r#"{"a":1,"a":2,"a.b":3,"a_b":4}"#, r#"{a="1", a_b="3"}"#),
        (r#"{"a":1}trailing"#, r#"{a="1"}"#),
        (r#"{"a":"q\"\u00e9\n"}"#, r#"{a="q\"é\n"}"#),
        (r#"{"a":"\ud800"}"#, r#"{a=""}"#),
        ("{}", "{}"),
        ("{", r#"{__error__="JSONParserErr", __error_details__="Malformed JSON error"}"#),
        (r#"{"a":1,"b":}"#, r#"{__error__="JSONParserErr", __error_details__="Unknown value type", a="1"}"#),
        (
            r#"{"a":1,"b":{"c":2"#,
            r#"{__error__="JSONParserErr", __error_details__="Value looks like object, but can't find closing '}' symbol", a="1"}"#,
        ),
        (
            "text",
            r#"{__error__="JSONParserErr", __error_details__="Value looks like object, but can't find closing '}' symbol"}"#,
        ),
    ] {
        let got = run(&[Stage::Json(vec![])], line).unwrap();
        assert_eq!(got, format!(r#"{line} {{app="api"}} {{trace="t1"}} {want}"#));
    }
}
