//! 18 and 19: errors as Grafana shows, matches and retries them.

use serde_json::json;

use crate::ask::{DAY_NS, DRILLDOWN, Grafana, HOUR_NS, Range, SECOND_NS, T0_NS, between, parameters};

const SERIES: &str = r#"sum by (pod) (count_over_time({app="many"}[1m]))"#;

async fn with_pods(grafana: &Grafana, pods: usize) {
    let streams: Vec<_> =
        (0..pods).map(|pod| json!([{"app": "many", "pod": format!("{pod}")}, [[T0_NS, "x"]]])).collect();
    grafana.push(json!(streams)).await;
}

/// Refused with this status and a text that begins so; nothing compresses it, or Grafana could not show it.
async fn refused(grafana: &Grafana, path: &str, pairs: &[(&str, &str)], status: u16, text: &str) {
    let asked = if pairs.iter().any(|(name, _)| *name == "start") {
        parameters(pairs)
    } else {
        between(T0_NS, T0_NS + HOUR_NS, pairs)
    };
    let reply = grafana.ask(&[("Accept-Encoding", "gzip, br, zstd")], path, &asked).await;
    assert_eq!(reply.status, status, "{pairs:?}: {}", reply.text);
    assert!(reply.text.starts_with(text), "{pairs:?}: {}", reply.text);
    assert_eq!(reply.header("content-encoding"), "", "{pairs:?}");
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8", "{pairs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_18_errors_have_lokis_texts() {
    let grafana = Grafana::with_limits("max_query_bytes_read: 1KB, max_query_series: 3").await;
    with_pods(&grafana, 5).await;
    let long = "y".repeat(600);
    grafana.push(json!([[{"app": "long"}, (0..20).map(|i| json!([T0_NS + i, long])).collect::<Vec<_>>()]])).await;
    grafana.push(json!([[{"app": "bad"}, [[T0_NS, "took=soon"]]]])).await;
    let range = "/loki/api/v1/query_range";
    let no_matcher = "parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";
    let month = (T0_NS - 31 * DAY_NS).to_string();
    let (t0, before) = (T0_NS.to_string(), (T0_NS - 1).to_string());
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("query", "{a=")], "parse error at line 1, col 4: syntax error: unexpected $end, expecting STRING"),
        (&[("query", "{}")], no_matcher),
        (&[("query", r#"{a=~".*"}"#)], no_matcher),
        (&[("query", r#"{a!="b"}"#)], no_matcher),
        (&[("query", "{app=\"a\"} | logfmt | bar<`5KiB`")], "parse error at line 1"),
        (
            &[("query", r#"{app="a"}"#), ("limit", "999999")],
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (999999 > 5000)",
        ),
        (
            &[("query", SERIES)],
            "maximum number of series (3) reached for a single query; consider reducing query cardinality",
        ),
        (
            &[("query", r#"sum_over_time({app="bad"} | logfmt | unwrap took [1m])"#)],
            "pipeline error: 'SampleExtractionErr' for series: '{",
        ),
        (
            &[("query", r#"{app="a"}"#), ("start", &month), ("end", &t0)],
            "the query time range exceeds the limit (query length: 744h0m0s, limit: 30d1h)",
        ),
        (
            &[("query", r#"{app="a"}"#), ("start", &t0), ("end", &before)],
            "end timestamp must not be before or equal to start time",
        ),
        (&[("query", r#"{app="long"} |= "z""#)], "the query would read too many bytes (query: "),
        (&[("query", r#"{app="a"}"#), ("limit", "0")], "limit must be a positive value"),
        (&[("query", r#"{app="a"}"#), ("direction", "scan")], "invalid direction 'scan'"),
        (&[("query", r#"{app="a"}"#), ("start", "soon")], "could not parse 'start' parameter: "),
        (
            &[("query", r#"rate({app="a"}[1m])"#), ("step", "1ms")],
            "exceeded maximum resolution of 11,000 points per time series",
        ),
    ];
    for (pairs, text) in cases {
        refused(&grafana, range, pairs, 400, text).await;
    }
    let instant =
        "log queries are not supported as an instant query type, please change your query to a range query type";
    refused(&grafana, "/loki/api/v1/query", &[("query", r#"{app="a"}"#)], 400, instant).await;
    refused(
        &grafana,
        "/loki/api/v1/index/stats",
        &[("query", r#"{app="a"} |= "x""#)],
        400,
        "only label matchers are supported",
    )
    .await;
    let unknown = grafana.ask(&[], "/loki/api/v1/nowhere", &[]).await;
    assert_eq!((unknown.status, unknown.text.trim_end()), (404, "404 page not found"));
}

/// Grafana asks once more when it reads "timed out". The query has far more to do than the time allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_18_time_outs_say_so() {
    let grafana = Grafana::with_limits("query_timeout: 1ms").await;
    for day in 0..4 {
        let line = |i: i64| json!([T0_NS + day * DAY_NS + i, format!(r#"{{"n":{i},"text":"{}"}}"#, "ab ".repeat(60))]);
        grafana.push(json!([[{"app": "slow"}, (0..5_000).map(line).collect::<Vec<_>>()]])).await;
    }
    let query = r#"sum by (x) (count_over_time({app="slow"} | json | label_format x="{{ regexReplaceAll \"(a|b| )+\" .text \"c\" }}" [1d]))"#;
    let (start, end) = (T0_NS.to_string(), (T0_NS + 4 * DAY_NS).to_string());
    let asked = [("query", query), ("start", start.as_str()), ("end", end.as_str()), ("step", "86400000ms")];
    let text = "request timed out, decrease the duration of the request or add more label matchers";
    refused(&grafana, "/loki/api/v1/query_range", &asked, 504, text).await;
}

/// Everything is a GET: queries over alert state history come close to the longest URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_18_long_urls_are_read() {
    let grafana = Grafana::start().await;
    grafana.push(json!([[{"from": "state-history"}, [[T0_NS, r#"{"ruleUID":"u7"}"#]]]])).await;
    let uids: Vec<String> = (0..7_800).map(|i| format!("u{i}")).collect();
    let query = format!(r#"{{from="state-history"}} | json | ruleUID=~"{}""#, uids.join("|"));
    let sent = query.replace('|', "%7C").len();
    assert!((60_000..65_000).contains(&sent), "{sent} bytes");
    let answer = grafana.plain_range(&query, Range::new(T0_NS, T0_NS + SECOND_NS)).await;
    assert_eq!(answer.lines().len(), 1);
}

/// Drilldown takes a part and a warning; everybody else is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_19_drilldown_gets_a_part_and_a_warning() {
    let grafana = Grafana::with_limits("max_query_series: 3").await;
    with_pods(&grafana, 10).await;
    let asked = between(T0_NS, T0_NS + HOUR_NS, &[("direction", "backward"), ("query", SERIES), ("step", "60000ms")]);
    let answer = grafana.ask(&[DRILLDOWN], "/loki/api/v1/query_range", &asked).await.answer();
    assert_eq!(answer.warnings, ["maximum number of series (3) reached for a single query; returning partial results"]);
    assert_eq!((answer.kind.as_str(), answer.series.len()), ("matrix", 3));
    let text = "maximum number of series (3) reached for a single query; consider";
    refused(&grafana, "/loki/api/v1/query_range", &[("query", SERIES)], 400, text).await;
}
