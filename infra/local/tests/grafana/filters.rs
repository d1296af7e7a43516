//! 10 to 12: patterns, absent labels, and trace to logs.

use serde_json::json;

use crate::ask::{Grafana, HOUR_NS, Range, SECOND_NS, T0_NS};

fn all() -> Range {
    Range::new(T0_NS, T0_NS + HOUR_NS)
}

fn at(i: i64) -> i64 {
    T0_NS + i * SECOND_NS
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_10_patterns_keep_and_empty_lines() {
    let grafana = Grafana::start().await;
    grafana
        .push(json!([[{"app": "p"}, [
            [at(0), "user 7 logged in from 10.0.0.1", {"a": "1", "b": "2", "c": "3"}],
            [at(1), "user 8 logged out"],
            [at(2), "disk full"]
        ]]]))
        .await;
    let cases = [
        (r#"{app="p"} |> "user <_> logged in from <_>""#, &["user 7 logged in from 10.0.0.1"][..]),
        (r#"{app="p"} !> "user <_> logged in from <_>""#, &["user 8 logged out", "disk full"]),
        (
            r#"{app="p"} |> "user <_> logged in from <_>" or "<_> full""#,
            &["user 7 logged in from 10.0.0.1", "disk full"],
        ),
        (r#"{app="p"} !> "user <_> logged out" !> "<_> full""#, &["user 7 logged in from 10.0.0.1"]),
        ("{app=\"p\"} |= `` |~ \"(?i)DISK\"", &["disk full"]),
    ];
    for (query, want) in cases {
        assert_eq!(grafana.range(query, all()).await.lines(), want, "{query}");
    }

    let named = grafana.range(r#"{app="p"} |= "from" | pattern "user <id> logged in from <ip>""#, all()).await;
    let (_, entry) = named.entries().next().expect("one entry");
    assert_eq!((entry.parsed["id"].as_str(), entry.parsed["ip"].as_str()), ("7", "10.0.0.1"));

    let kept = grafana.range(r#"{app="p"} |= "from" | keep a ,b"#, all()).await;
    let (labels, entry) = kept.entries().next().expect("one entry");
    let names: Vec<String> = entry.merged(labels).into_keys().collect();
    assert_eq!(names, ["a", "b"]);

    // Some panels read labels alone and make the line empty: the entries are still told.
    let empty = grafana.range(r#"{app="p"} | pattern "<first> <_>" | line_format """#, all()).await;
    assert_eq!(empty.lines(), ["", "", ""]);
    assert!(empty.entries().all(|(_, entry)| entry.parsed.contains_key("first")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_11_empty_is_absent() {
    let grafana = Grafana::start().await;
    grafana
        .push(json!([
            [{"app": "e", "x": "1"}, [[at(0), "level=info has x", {"meta": "m"}]]],
            [{"app": "e"}, [[at(1), "level=info no x"]]]
        ]))
        .await;
    let (with, without) = ("level=info has x", "level=info no x");
    let cases = [
        (r#"{app="e"} | x="""#, &[without][..]),
        ("{app=\"e\"} | x=``", &[without]),
        (r#"{app="e"} | x!="""#, &[with]),
        (r#"{app="e", x=""}"#, &[without]),
        (r#"{app="e" ,x != ""}"#, &[with]),
        (r#"{app="e"} | meta="""#, &[without]),
        (r#"{app="e"} | meta!="""#, &[with]),
        (r#"{app="e"} | logfmt | level!="""#, &[with, without]),
        (r#"{app="e"} | logfmt | nowhere!="""#, &[]),
        (r#"{app="e"} | detected_level="""#, &[]),
        (r#"{app="e"} | detected_level!="""#, &[with, without]),
        (r#"{app="e", detected_level=""}"#, &[with, without]),
        (r#"{app="e", detected_level!=""}"#, &[]),
    ];
    for (query, want) in cases {
        assert_eq!(grafana.range(query, all()).await.lines(), want, "{query}");
    }
}

/// The link from a span: lines that contain its trace's id, or carry it as metadata.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_12_trace_to_logs() {
    let grafana = Grafana::start().await;
    grafana
        .push(json!([[{"service_name": "shop"}, [
            [at(0), "in the line: 3fa414edcef6ad90"],
            [at(1), "in the metadata", {"trace_id": "3fa414edcef6ad90"}],
            [at(2), "another trace", {"trace_id": "ffffffffffffffff"}],
            [at(3), "none"]
        ]]]))
        .await;
    let query = r#"{service_name="shop"} | label_format log_line_contains_trace_id=`{{ contains "3fa414edcef6ad90" __line__  }}` | log_line_contains_trace_id="true" or trace_id="3fa414edcef6ad90""#;
    let answer = grafana.range(query, all()).await;
    assert_eq!(answer.lines(), ["in the line: 3fa414edcef6ad90", "in the metadata"]);
    for (_, entry) in answer.entries() {
        let contains = entry.line.starts_with("in the line");
        assert_eq!(entry.parsed["log_line_contains_trace_id"], contains.to_string());
    }
}
