//! Templates by script: one case a line, `template => what it renders`.
//!
//! The entry is always the same. Behind the arrow stands the text as it is, or as a JSON string behind `q`; `error: …` if
//! the template cannot be parsed, `failed: …` if it cannot be rendered. `#` says what is shown.

#![expect(clippy::unwrap_used, reason = "a test reads files that are part of it")]

use std::fs;
use std::path::Path;

use logql::template::{Context, Template};
use proptest::prelude::*;

const LABELS: &[(&str, &str)] = &[
    ("app", "api"),
    ("dur", "1m30s"),
    ("empty", ""),
    ("level", "error"),
    ("msg", "hello big world"),
    ("num", "3.5"),
    ("size", "2 KiB"),
    ("status", "404"),
];

struct Entry;

impl Context for Entry {
    fn label(&self, name: &str) -> Option<&str> {
        LABELS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
    fn each_label(&self, visit: &mut dyn FnMut(&str, &str)) {
        LABELS.iter().for_each(|(name, value)| visit(name, value));
    }
    fn line(&self) -> &str {
        "GET /x?a=1 200"
    }
    fn timestamp_ns(&self) -> i64 {
        1_795_168_803_821_619_575
    }
}

fn render(template: &str) -> String {
    let template = match Template::parse(template) {
        Ok(template) => template,
        Err(error) => return format!("error: {error}"),
    };
    let mut out = String::new();
    match template.render(&Entry, &mut out) {
        Ok(()) => out,
        Err(error) => format!("failed: {error}"),
    }
}

test_each_file::test_each_path! { for ["script"] in "shared/logql/tests/scripts/template" as template => run_script }

fn run_script([path]: [&Path; 1]) {
    let script = fs::read_to_string(path).unwrap();
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (template, want) = line.rsplit_once(" =>").unwrap_or_else(|| panic!("no arrow: {line}"));
        let want = want.strip_prefix(' ').unwrap_or(want);
        let want = want.strip_prefix("q\"").map_or(want.to_owned(), |_| serde_json::from_str(&want[1..]).unwrap());
        let got = render(template);
        cases += 1;
        if got != want {
            wrong.push(format!("{template}\n  got:  {got:?}\n  want: {want:?}"));
        }
    }
    assert!(cases > 0, "no cases");
    assert!(wrong.is_empty(), "{} of {cases} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn errors_tell_the_line_and_the_template() {
    let error = Template::parse_named("label", "a\n{{.x").unwrap_err();
    assert_eq!(error.to_string(), "template: label:2: unclosed action");
    let template = Template::parse("a\n  {{define \"t\"}}\n {{upper 1}}{{end}}{{template \"t\"}}").unwrap();
    let error = template.render(&Entry, &mut String::new()).unwrap_err();
    assert_eq!(error.to_string(), "template: line:3:9: executing \"t\" at <1>: expected string; found 1");
}

#[test]
fn deep_nesting_is_refused_not_overflowed() {
    for (open, close) in [("{{if true}}", "{{end}}"), ("{{range 1}}", "{{end}}")] {
        assert!(render(&(open.repeat(50) + &close.repeat(50))).is_empty());
        assert!(render(&(open.repeat(100_000) + &close.repeat(100_000))).contains("max expression depth exceeded"));
    }
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(render(&parens).contains("max expression depth exceeded"));
    let chain = format!("{{{{if true}}}}{}{{{{end}}}}", "{{else if true}}".repeat(100_000));
    assert!(render(&chain).contains("max expression depth exceeded"));
}

/// Pieces that templates are made of, in any order.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    ".",
    ".app",
    "$",
    "$x",
    ":=",
    "=",
    "|",
    "(",
    ")",
    "if",
    "else",
    "end",
    "range",
    "with",
    "define",
    "template",
    "block",
    "break",
    "\"",
    "\"a\"",
    "`",
    "'",
    "1",
    "-2",
    "3.5",
    "nil",
    "true",
    "printf",
    "\"%5.2f%s\"",
    "trunc",
    "substr",
    "index",
    "slice",
    "fromJson",
    "\"[1,{}]\"",
    "date",
    "\"2006-01-02\"",
    "__timestamp__",
    "__line__",
    ".Unix",
    "regexReplaceAll",
    "alignLeft",
    "é",
    "toDate",
    "unixToTime",
    "add",
    "divf",
    "/*",
    "*/",
    ",",
    "\\",
    "%",
];

proptest! {
    #[test]
    fn no_text_makes_the_engine_panic(text in "(?s).{0,60}") {
        render(&text);
        render(&format!("{{{{{text}}}}}"));
    }

    #[test]
    fn no_pieces_make_the_engine_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24), spaced in any::<bool>()) {
        render(&pieces.join(if spaced { " " } else { "" }));
    }

    #[test]
    fn no_arguments_make_a_function_panic(
        function in prop::sample::select(vec![
            "trunc", "substr", "indent", "nindent", "repeat", "alignLeft", "alignRight", "slice", "index", "round", "printf",
            "date", "toDate", "unixToTime", "add", "sub", "mul", "div", "mod", "addf", "subf", "mulf", "divf", "max", "maxf",
            "title", "b64dec", "urldecode", "fromJson", "bytes", "duration", "count", "regexReplaceAll", "__timestamp__.AddDate",
            "__timestamp__.Truncate", "__timestamp__.Add", "Replace", "int", "float64", "ceil", "html", "js", "eq", "lt",
        ]),
        arguments in prop::collection::vec(prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            (-9_i64..9).prop_map(|n| n.to_string()),
            (-1e6..1e6_f64).prop_map(|n| format!("{n:?}")),
            "[ -~é]{0,8}".prop_map(|text| format!("{text:?}")),
            Just("(fromJson \"[1,2,{\\\"a\\\":null}]\")".to_owned()),
            Just("__timestamp__".to_owned()),
            Just(".".to_owned()),
            Just("nil".to_owned()),
        ], 0..5),
    ) {
        render(&format!("{{{{{function} {}}}}}", arguments.join(" ")));
    }

    #[test]
    fn any_layout_formats_and_reads(layout in "[ -~]{0,30}", text in "[ -~]{0,30}") {
        let layout = format!("{layout:?}");
        render(&format!("{{{{date {layout} __timestamp__}}}}{{{{toDate {layout} {text:?}}}}}"));
    }

    #[test]
    fn what_a_layout_writes_it_reads(seconds in 0_i64..4_000_000_000) {
        for layout in ["2006-01-02T15:04:05Z07:00", "Mon Jan _2 15:04:05 2006", "02/Jan/2006:03:04:05 PM -0700"] {
            let template = format!("{{{{unixToTime (printf \"%010d\" {seconds}) | date {layout:?} | toDate {layout:?} | unixEpoch}}}}");
            prop_assert_eq!(render(&template), seconds.to_string());
        }
    }
}
