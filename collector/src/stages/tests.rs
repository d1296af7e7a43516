//! Lines through pipelines: stages, a line, and what comes out.

use super::*;

/// Runs one line; the file has labels `job` and `filename`, and was read at 1000.
fn run(stages: &str, lines: &[&str]) -> String {
    let stages: Vec<Yaml> = serde_yaml_ng::from_str(stages).unwrap();
    let pipeline = Pipeline::new(&stages, ["job", "filename"].into_iter()).unwrap();
    let labels = pipeline.file_labels(&[("job".into(), "j".into()), ("filename".into(), "f".into())]);
    let metrics = Metrics::default();
    let mut record = pipeline.record();
    let mut out = Vec::new();
    for line in lines {
        if !pipeline.process(&mut record, &labels, line, 1_000, &metrics) {
            out.push("dropped".to_owned());
            continue;
        }
        let pairs = |pairs: &mut dyn Iterator<Item = (&str, &str)>| {
            let texts: Vec<String> =
                pairs.filter(|(n, _)| !matches!(*n, "job" | "filename")).map(|(n, v)| format!("{n}={v}")).collect();
            texts.join(",")
        };
        let labels = pairs(&mut pipeline.labels(&record).map(|(_, name, value)| (name, value)));
        let metadata = pairs(&mut pipeline.metadata(&record));
        let line = if record.line == *line { "" } else { &*record.line };
        out.push(format!("{} [{labels}] [{metadata}] {line}", record.timestamp_ns).trim_end().to_owned());
    }
    out.join("; ")
}

#[test]
fn json_values_become_labels() {
    let check = |expression: &str, line: &str, want: &str| {
        let stages = format!("[json: {{expressions: {{x: '{expression}'}}}}, labels: {{x: }}]");
        assert_eq!(run(&stages, &[line]), format!("1000 [{want}] []"), "{expression} in {line}");
    };
    check("x", r#"{"x":"a"}"#, "x=a");
    check("", r#"{"x":"a"}"#, "x=a");
    check("a.b", r#"{"a":{"b":"c"},"b":"no"}"#, "x=c");
    check("a[1]", r#"{"a":[1,"two"]}"#, "x=two");
    check("a[-1].b", r#"{"a":[{"b":1},{"b":2}]}"#, "x=2");
    check("\"a.b\".c", r#"{"a.b":{"c":true}}"#, "x=true");
    check("a", r#"{"a":"\u00e9\ud83d\ude00\n\"\ud800"}"#, "x=é😀\n\"\u{fffd}");
    check("a", r#"{"\u0061":1}"#, "x=1");
    // Numbers come out as Go prints its floats.
    check("a", r#"{"a":1.50}"#, "x=1.5");
    check("a", r#"{"a":1e3}"#, "x=1000");
    check("a", r#"{"a":200}"#, "x=200");
    check("a", r#"{"a":12345678901234567890}"#, "x=12345678901234567000");
    check("a", r#"{"a": {"z":1, "b":"<"} }"#, r#"x={"b":"\u003c","z":1}"#);
    check("a", r#"{"a":1,"a":2}"#, "x=2");
    check("a", r#" {"b":[],"c":{}, "a" : "v" } "#, "x=v");
    // Nothing comes of what is not there, null, or empty.
    check("a", r#"{"b":1}"#, "");
    check("a", r#"{"a":null}"#, "");
    check("a", r#"{"a":""}"#, "");
    check("a.b", r#"{"a":"text"}"#, "");
    check("a[9]", r#"{"a":[1]}"#, "");
    check("a", "null", "");
    // Nor of a line that is not one whole object, wherever it breaks.
    for line in [
        "",
        "plain",
        r#""a""#,
        "[1]",
        "1",
        r#"{"a":1"#,
        r#"{"a":1} x"#,
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
        r#"{"a":1,"b":tru}"#,
        r#"{a:1}"#,
        r#"{"a":1,"b":"\x"}"#,
        "{\"a\":1,\"b\":\"\t\"}",
        r#"{"a":1,"b":"\u12g4"}"#,
        r#"{"a":1,"b":+1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":1.}"#,
    ] {
        check("a", line, "");
    }
    check("a", &format!("{{\"a\":1,\"b\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)), "");
}

#[test]
fn stages_do_what_promtails_do() {
    let check = |stages: &str, line: &str, want: &str| assert_eq!(run(stages, &[line]), want, "{stages}");
    check("[json: {expressions: {m: }, drop_malformed: true}]", "{", "dropped");
    check("[json: {expressions: {m: msg}}, output: {source: m}]", r#"{"msg":"hi"}"#, "1000 [] [] hi");
    check("[json: {expressions: {m: msg}}, output: {source: m}]", "{}", "1000 [] []");
    // A stage may read what another one took out.
    check(
        "[{json: {expressions: {in: }}}, {json: {expressions: {x: }, source: in}}, {labels: {x: }}]",
        r#"{"in":"{\"x\":\"deep\"}"}"#,
        "1000 [x=deep] []",
    );
    check("[static_labels: {a: b, c: }]", "l", "1000 [a=b] []");
    check("[{static_labels: {a: b, c: d}}, {labeldrop: [a]}]", "l", "1000 [c=d] []");
    check("[{static_labels: {a: b, c: d}}, {labelallow: [a]}]", "l", "1000 [a=b] []");
    check("[{labels: {file: filename}}]", "l", "1000 [file=f] []");
    check("[{logfmt: {mapping: {t: trace}}}, {structured_metadata: {t: }}]", "trace=1", "1000 [] [t=1]");
    check("[{static_labels: {a: b}}, {structured_metadata: {m: a}}]", "l", "1000 [] [m=b]");
    check("[{regex: {expression: '^(?P<a>\\w+) (?P<b>x)?'}}, {labels: {a: , b: }}]", "hi there", "1000 [a=hi] []");
    check("[{regex: {expression: '(?<a>z)'}}, {labels: {a: }}]", "no", "1000 [] []");
    let logfmt = "[{logfmt: {mapping: {a: , b: beta}}}, {labels: {a: , b: }}]";
    check(logfmt, r#"x=1 a="q \"uo\" te" beta=2 flag"#, r#"1000 [a=q "uo" te,b=2] []"#);
    check(logfmt, r#"a= beta=="" a="open"#, r#"1000 [b==""] []"#);
}

#[test]
fn times_that_cannot_be_read_follow_the_line_before_or_stay() {
    let stages = |format: &str, more: &str| {
        format!("[{{json: {{expressions: {{t: }}}}}}, {{timestamp: {{source: t, format: {format}{more}}}}}]")
    };
    let check = |format: &str, more: &str, lines: &[&str], want: &[i64]| {
        let want: Vec<String> = want.iter().map(|ns| format!("{ns} [] []")).collect();
        assert_eq!(run(&stages(format, more), lines), want.join("; "), "{format}{more}");
    };
    check(
        "Unix",
        "",
        &[r#"{"t":5}"#, r#"{"t":"6.25"}"#, r#"{"t":7.5}"#],
        &[5_000_000_000, 6_250_000_000, 7_500_000_000],
    );
    check("UnixMs", "", &[r#"{"t":5}"#], &[5_000_000]);
    check("UnixUs", "", &[r#"{"t":"5"}"#], &[5_000]);
    check("UnixNs", "", &[r#"{"t":5}"#, r#"{"t":"1700000000123456789"}"#], &[5, 1_700_000_000_123_456_789]);
    // fudge is the default: one nanosecond behind the line before, each time.
    check("UnixNs", "", &["no", r#"{"t":5}"#, "no", r#"{"t":"x"}"#, r#"{"t":5}"#], &[1_000, 5, 6, 7, 5]);
    check("UnixNs", ", action_on_failure: skip", &[r#"{"t":5}"#, "no"], &[5, 1_000]);
    check(
        "RFC3339",
        ", fallback_formats: [Unix, '2006']",
        &[r#"{"t":"1971"}"#, r#"{"t":"x"}"#],
        &[1_971_000_000_000, 1_971_000_000_001],
    );
    check("'2006-01-02 15:04'", ", location: Europe/Berlin", &[r#"{"t":"1970-01-01 01:00"}"#], &[0]);
}

#[test]
fn a_pipeline_that_cannot_be_is_refused_by_name() {
    let check = |stage: &str, want: &str| {
        let stages: Vec<Yaml> = serde_yaml_ng::from_str(&format!("[{stage}]")).unwrap();
        let error = Pipeline::new(&stages, std::iter::empty()).expect_err(stage);
        assert!(error.contains(want), "{stage}: {error}");
    };
    check("{jsn: {}}", "pipeline_stages[0]: jsn: unknown stage");
    check("{multiline: {firstline: x}}", "multiline: Promtail's stage of that name is not supported here yet");
    check("{json: {expresions: {a: b}}}", "unknown field `expresions`");
    check("{json: {expressions: {a: 'b || c'}}}", "expression \"b || c\"");
    check("{json: {expressions: {}}}", "no expression");
    check("{labels: {a-b: }}", "invalid label name \"a-b\"");
    check("{regex: {expression: '('}}", "regex: ");
    check("{regex: {expression: 'a'}}", "no named group");
    check("{timestamp: {source: t, format: RFC3339, location: Mars/Base}}", "location \"Mars/Base\"");
    check("{timestamp: {source: t, format: RFC3339, action_on_failure: panic}}", "unknown variant `panic`");
    check("{json: {expressions: {a: b}}, labels: {a: }}", "exactly one name");
    check("json", "`- name: {…}`");
}

proptest::proptest! {
    /// The scan and a parser that builds a tree agree on what is JSON and what is in it.
    #[test]
    fn the_scan_agrees_with_a_tree(line in r#"[ ]?\{("a"|"b\\u0061")[ ]?:[ ]?("[a-z\\"é]{0,12}"|[-0-9.e]{1,5}|null|true|\[1,2\]|\{"c":3\})(,"x":"[^"]{0,9}")?\}"#) {
        let got = run("[{json: {expressions: {v: a}}}, {labels: {v: }}]", &[&line]);
        let tree: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let value = tree.as_ref().and_then(|tree| tree.get("a"));
        if let Some(serde_json::Value::String(text)) = value && !text.is_empty() {
            proptest::prop_assert_eq!(got, format!("1000 [v={text}] []"));
        } else if value.is_none_or(|value| value.is_null()) {
            proptest::prop_assert_eq!(got, "1000 [] []");
        }
    }

    #[test]
    fn any_line_passes_any_stage(line in ".{0,60}") {
        run("[{json: {expressions: {a: b}}}, {logfmt: {mapping: {c: }}}, {regex: {expression: '(?P<d>.)'}}, {labels: {a: , c: , d: }}]", &[&line]);
    }
}
