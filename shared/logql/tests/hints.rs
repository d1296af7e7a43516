//! What parsers leave out when only some labels are needed, and what of a malformed line is then still seen.

#![expect(clippy::unwrap_used, reason = "the queries are written here")]

use logql::ast::Expr;
use logql::labels::Needed;
use logql::pipeline::{Hints, Pipeline};
use model::{EntryRef, Labels};

#[track_caller]
fn check(stages: &str, needed: &[&str], line: &str, want: &str) {
    let Expr::Log(expr) = logql::parse(&format!("{{x=\"y\"}} {stages}")).unwrap() else { panic!("no log query") };
    let needed = Needed::Only(needed.iter().map(|name| (*name).to_owned()).collect());
    let pipeline = Pipeline::with_hints(&expr.pipeline, Hints { needed }).unwrap();
    let stream = Labels::from_pairs([("app", "api")]);
    let mut running = pipeline.for_stream(&stream);
    let processed = running.process(EntryRef { timestamp_ns: 0, line, metadata: &[] });
    assert_eq!(processed.map(|p| p.to_log_entry().parsed.to_string()).unwrap_or_default(), want);
}

#[test]
fn parsers_make_only_what_is_needed() {
    // Nothing is needed: a malformed line is no error.
    check("| json", &[], "{", "{}");
    check("| logfmt --strict", &[], "=", "{}");
    // Only that label, and nothing behind it.
    check("| json", &["a"], r#"{"b":1,"a":2,"c":"#, r#"{a="2"}"#);
    check("| json", &["b_c"], r#"{"a":{"c":1},"b":{"d":1,"c":2},"e""#, r#"{b_c="2"}"#);
    check("| logfmt --strict", &["a"], "b=1 a=2 =", r#"{a="2"}"#);
    // What the stages read is needed too.
    check(r#"| json | b="1""#, &["a"], r#"{"b":1,"a":2,"c":"#, r#"{a="2", b="1"}"#);
    check("| json | label_format a=b", &["a"], r#"{"c":1,"b":2}"#, r#"{a="2"}"#);
    // A label of the stream is not found in the line, so that all of it is read.
    check(
        "| json",
        &["app"],
        r#"{"b":1"#,
        r#"{__error__="JSONParserErr", __error_details__="Value is array, but can't find closing ']' symbol"}"#,
    );
    // As is the suffixed one, since the plain one counts as missing.
    check("| json", &["app_extracted"], r#"{"app":1,"b":2}"#, r#"{app_extracted="1"}"#);
}

#[test]
fn a_template_needs_the_labels_that_it_reads() {
    let line = r#"{"b":1,"a":2,"c":3,"d":"#;
    check(r#"| json | line_format "{{.a}}""#, &["c"], line, r#"{a="2", c="3"}"#);
    check(r#"| json | line_format "{{if eq .a \"2\"}}{{.c | upper}}{{end}}""#, &[], line, r#"{a="2", c="3"}"#);
    check(
        r#"| json | label_format x="{{.a}}-{{(printf \"%s\" .c)}}""#,
        &["x"],
        line,
        r#"{__error__="JSONParserErr", __error_details__="Malformed JSON error", a="2", c="3", x="2-3"}"#,
    );
    check(
        r#"| json | line_format "{{define \"t\"}}{{.c}}{{end}}{{template \"t\" .}}""#,
        &[],
        r#"{"a":1,"c":2}"#,
        r#"{a="1", c="2"}"#,
    );
    // One that reads none does not make the parser run.
    check(r#"| json | line_format "x {{__line__}}""#, &[], "{", "{}");
    // The dot, and variables, may be any label.
    check(r#"| json | line_format "{{.}}""#, &["b"], r#"{"b":1,"a":2}"#, r#"{a="2", b="1"}"#);
    check(r#"| json | line_format "{{$x := .}}{{$x.a}}""#, &["b"], r#"{"b":1,"a":2}"#, r#"{a="2", b="1"}"#);
}
