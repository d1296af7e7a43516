//! 6 to 9: parsers in chains, their labels, filters on them, and `unwrap`.

use serde_json::json;

use crate::ask::{Grafana, HOUR_NS, Range, SECOND_NS, T0_NS};
use crate::strict::{Answer, Entry};

fn all() -> Range {
    Range::new(T0_NS, T0_NS + HOUR_NS)
}

fn at(i: i64) -> i64 {
    T0_NS + i * SECOND_NS
}

/// The entry with this in its line.
fn entry<'a>(answer: &'a Answer, part: &str) -> &'a Entry {
    let found = answer.entries().find(|(_, entry)| entry.line.contains(part));
    found.unwrap_or_else(|| panic!("no line with {part}: {answer:?}")).1
}

/// Drilldown's query over a service that writes both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_06_what_is_no_json_reaches_logfmt() {
    let grafana = Grafana::start().await;
    grafana
        .push(json!([[{"service_name": "mixed"}, [
            [at(0), r#"{"level":"info","path":"/json"}"#],
            [at(1), "level=error path=/logfmt"],
            [at(2), "neither of them"]
        ]]]))
        .await;
    let query = r#"{service_name="mixed"}      | json  | logfmt | drop __error__, __error_details__   "#;
    let answer = grafana.range(query, all()).await;
    assert_eq!(answer.lines().len(), 3);
    assert_eq!(entry(&answer, "json").parsed["path"], "/json");
    assert_eq!(entry(&answer, "logfmt").parsed["path"], "/logfmt");
    for (_, entry) in answer.entries() {
        assert!(!entry.parsed.keys().any(|name| name.starts_with("__error")), "{entry:?}");
    }

    let with_errors = grafana.range(r#"{service_name="mixed"} | json | logfmt"#, all()).await;
    let failed = entry(&with_errors, "/logfmt");
    assert_eq!(failed.parsed["__error__"], "JSONParserErr");
    assert!(!failed.parsed["__error_details__"].is_empty());
    assert_eq!(failed.parsed["path"], "/logfmt");
    assert!(!entry(&with_errors, "/json").parsed.contains_key("__error__"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_07_json_is_flattened() {
    let grafana = Grafana::start().await;
    let line = r#"{"nested":{"object":{"url":"/a"}},"list":[1,2],"level":"warn","x":{"y":"deep"},"app":"other"}"#;
    grafana.push(json!([[{"app": "shop", "level": "info"}, [[at(0), line]]]])).await;

    let bare = grafana.range(r#"{app="shop"} | json"#, all()).await;
    let parsed = &entry(&bare, "nested").parsed;
    assert_eq!(parsed["nested_object_url"], "/a");
    assert_eq!((parsed["level_extracted"].as_str(), parsed["app_extracted"].as_str()), ("warn", "other"));
    assert!(!parsed.keys().any(|name| name.starts_with("list")), "{parsed:?}");

    let one = grafana.range(r#"{app="shop"} | json a="[\"x\"][\"y\"]""#, all()).await;
    let names: Vec<&String> = entry(&one, "nested").parsed.keys().collect();
    assert_eq!(names, ["a"]);
    assert_eq!(entry(&one, "nested").parsed["a"], "deep");

    let both = grafana.range(r#"{app="shop"} | json a="[\"x\"][\"y\"]" | json"#, all()).await;
    let parsed = &entry(&both, "nested").parsed;
    assert_eq!((parsed["a"].as_str(), parsed["x_y"].as_str()), ("deep", "deep"));
    assert_eq!(parsed["nested_object_url"], "/a");
}

/// On labels of all three kinds; what cannot be converted stays, marked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_08_numbers_in_label_filters() {
    let grafana = Grafana::start().await;
    grafana
        .push(json!([
            [{"app": "n", "bar": "7"}, [
                [at(0), "small bytes=1KB duration=20s", {"size": "3"}],
                [at(1), "large bytes=5MB duration=1s", {"size": "30"}],
                [at(2), "odd bytes=many duration=soon", {"size": "big"}]
            ]],
            [{"app": "n", "bar": "3"}, [[at(3), "other bytes=1KB duration=20s", {"size": "3"}]]]
        ]))
        .await;
    let cases = [
        (r#"{app="n",bar="7"} | logfmt | bytes<=2KB"#, &["small", "odd"][..]),
        (r#"{app="n",bar="7"} | logfmt | duration>10s"#, &["small", "odd"]),
        (r#"{app="n",bar="7"} | size>5"#, &["large", "odd"]),
        (r#"{app="n"} | bar>5 | logfmt | bytes<=2KB | duration>10s"#, &["small", "odd"]),
        (r#"{app="n"} | bar>5 | logfmt | bytes<=2KB | __error__="""#, &["small"]),
    ];
    for (query, want) in cases {
        let answer = grafana.range(query, all()).await;
        let firsts: Vec<&str> = answer.lines().iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(firsts, want, "{query}");
        for (_, entry) in answer.entries() {
            let error = entry.parsed.get("__error__").map(String::as_str);
            assert_eq!(error, entry.line.starts_with("odd").then_some("LabelFilterErr"), "{query}: {entry:?}");
        }
    }
}

/// A field panel: values that cannot be converted are left out when errors are, and refuse the query when not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_09_unwrap_leaves_bad_values_out() {
    let grafana = Grafana::start().await;
    grafana
        .push(json!([[{"app": "u"}, [
            [at(1), "took=1s size=1KB n=2"],
            [at(2), "took=3s size=3KB n=4"],
            [at(3), "took=soon size=big n=few"]
        ]]]))
        .await;
    let t = T0_NS + 60 * SECOND_NS;
    for (unwrap, want) in [("duration(took)", 2.0), ("bytes(size)", 2_000.0), ("n", 3.0)] {
        let query =
            |errors: &str| format!(r#"avg_over_time({{app="u"}} | logfmt | unwrap {unwrap}{errors} [1m]) by ()"#);
        let answer = grafana.range(&query(r#" | __error__="""#), Range::new(t, t)).await;
        assert_eq!(answer.samples(), [(t / 1_000_000, want)], "{unwrap}");
        let (start, text) = (t.to_string(), query(""));
        let asked =
            crate::ask::parameters(&[("query", &text), ("start", &start), ("end", &start), ("step", "60000ms")]);
        let reply = grafana.ask(&[], "/loki/api/v1/query_range", &asked).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert!(reply.text.starts_with("pipeline error: 'SampleExtractionErr' for series: '{"), "{}", reply.text);
    }
}
