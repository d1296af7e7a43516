//! The shapes of HTTP: paths, parameters, status codes, headers. What queries mean is tested in the engine.

use std::io::Read as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use loki_api::config::Config;
use model::{Day, Entry, Labels, TenantId};
use query_fn::{Query, router};
use store::{FreshKey, Store, StoreUrl};
use tower::ServiceExt as _;

const START_NS: i64 = 1_795_168_800_000_000_000;
const RANGE: &str = "start=1795168800000000000&end=1795172400000000000";

/// A server over a few entries of two tenants.
async fn server(auth_enabled: bool) -> axum::Router {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    for (tenant, line) in [("fake", "hello 500 world"), ("other", "theirs")] {
        let labels = Labels::from_pairs([("app", "api")]);
        let metadata = Labels::from_pairs([("trace_id", "abc")]);
        let entries =
            [0, 1].map(|i| Entry { timestamp_ns: START_NS + i, line: line.to_owned(), metadata: metadata.clone() });
        let mut writer = segment::Writer::new(segment::Options::default());
        writer.add(&labels, &entries);
        let built = writer.finish().expect("a segment");
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: 1, rows: built.rows };
        let tenant = TenantId::new(tenant).expect("an id");
        store.put_fresh(&tenant, key, built.bytes.into()).await.expect("stored");
    }
    let config = Config { auth_enabled, ..Config::default() };
    router(Query::new(store, Arc::new(config)))
}

struct Got {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

async fn send(auth_enabled: bool, request: Request<Body>) -> Got {
    let response = server(auth_enabled).await.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body").to_vec();
    Got { status: parts.status, headers: parts.headers, body }
}

async fn get(path: &str) -> Got {
    send(false, Request::get(path).body(Body::empty()).expect("a request")).await
}

async fn check(path: &str, status: u16, want: &str) {
    let got = get(path).await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (status, want), "{path}");
}

/// As `check`, for an answer in JSON, whose keys may stand in any order.
async fn check_json(path: &str, want: &str) {
    let got = get(path).await;
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!((got.status.as_u16(), parse(&got.text())), (200, parse(want)), "{path}");
}

async fn data(path: &str) -> String {
    let got = get(path).await;
    assert_eq!(got.status, 200, "{path}: {}", got.text());
    let answer: serde_json::Value = serde_json::from_str(&got.text()).expect("JSON");
    answer["data"]["result"].to_string()
}

#[tokio::test]
async fn log_lines_come_back() {
    let path = format!("/loki/api/v1/query_range?query=%7Bapp%3D%22api%22%7D%20%7C%3D%20%22500%22&{RANGE}&limit=1");
    let stream = r#"{"stream":{"app":"api","trace_id":"abc"},"values":[["1795168800000000001","hello 500 world"]]}"#;
    assert_eq!(data(&path).await, format!("[{stream}]"));
}

#[tokio::test]
async fn a_form_body_is_joined_with_the_url() {
    let request = Request::post(format!("/loki/api/v1/query_range?{RANGE}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("query=%7Bapp%3D%22api%22%7D&limit=1"))
        .expect("a request");
    let got = send(false, request).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(got.text().contains("hello 500 world"));
}

#[tokio::test]
async fn grafana_gets_categories_if_it_asks() {
    let request = Request::get(format!("/loki/api/v1/query_range?query=%7Bapp%3D%22api%22%7D&limit=1&{RANGE}"))
        .header("X-Loki-Response-Encoding-Flags", "categorize-labels")
        .body(Body::empty())
        .expect("a request");
    let got = send(false, request).await.text();
    assert!(got.contains(r#""encodingFlags":["categorize-labels"]"#), "{got}");
    assert!(got.contains(r#"{"structuredMetadata":{"trace_id":"abc"}}"#), "{got}");
}

#[tokio::test]
async fn tenants_see_their_own() {
    let ask = |tenant: &str| {
        let request = Request::get(format!("/loki/api/v1/query_range?query=%7Bapp%3D%22api%22%7D&{RANGE}"));
        let request = if tenant.is_empty() { request } else { request.header("X-Scope-OrgID", tenant) };
        send(true, request.body(Body::empty()).expect("a request"))
    };
    assert!(ask("other").await.text().contains("theirs"));
    assert!(!ask("other").await.text().contains("hello"));
    let got = ask("").await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (401, "no org id"));
    let got = ask("a|b").await;
    assert_eq!((got.status.as_u16(), got.text().as_str()), (400, "multiple org IDs present"));
}

#[tokio::test]
async fn errors_are_plain_text() {
    check(
        "/loki/api/v1/query?query=%7Bapp%3D%22api%22%7D",
        400,
        "log queries are not supported as an instant query type, please change your query to a range query type",
    )
    .await;
    check("/loki/api/v1/query_range?query=%7B%7D&limit=-5", 400, "limit must be a positive value").await;
    check(
        &format!("/loki/api/v1/query_range?query=%7Bapp%3D%22api%22%7D&{RANGE}&limit=6000"),
        400,
        "max entries limit per query exceeded, limit > max_entries_limit_per_query (6000 > 5000)",
    )
    .await;
    check(
        "/loki/api/v1/query_range?query=%7Bapp%3D%22api%22%7D&start=1792288800&end=1795168800",
        400,
        "the query time range exceeds the limit (query length: 800h0m0s, limit: 30d1h)",
    )
    .await;
    check("/nowhere", 404, "404 page not found\n").await;
    let got = get("/loki/api/v1/query_range?query=nonsense").await;
    assert_eq!(got.status, 400);
    assert_eq!(got.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(got.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let request = Request::delete("/loki/api/v1/labels").body(Body::empty()).expect("a request");
    assert_eq!(send(false, request).await.status, 405);
}

#[tokio::test]
async fn only_answers_are_compressed() {
    let ask = |path: String| {
        let request = Request::get(path).header(header::ACCEPT_ENCODING, "gzip").body(Body::empty());
        send(false, request.expect("a request"))
    };
    let got = ask(format!("/loki/api/v1/query_range?query=%7Bapp%3D%22api%22%7D&{RANGE}")).await;
    assert_eq!(got.headers[header::CONTENT_ENCODING], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(got.body.as_slice()).read_to_string(&mut text).expect("gzip");
    assert!(text.contains("hello 500 world"));
    let got = ask(format!("/loki/api/v1/query_range?query={}", "x".repeat(2000))).await;
    assert_eq!(got.status, 400);
    assert!(!got.headers.contains_key(header::CONTENT_ENCODING));
}

#[tokio::test]
async fn health_check_of_grafana() {
    let path = "/loki/api/v1/query?direction=backward&query=vector(1)%2Bvector(1)&time=4000000000";
    assert_eq!(data(path).await, r#"[{"metric":{},"value":[4000000000,"2"]}]"#);
}

#[tokio::test]
async fn labels_and_series() {
    check_json(&format!("/loki/api/v1/labels?{RANGE}"), r#"{"status":"success","data":["app"]}"#).await;
    check_json(&format!("/loki/api/v1/label/app/values?{RANGE}"), r#"{"status":"success","data":["api"]}"#).await;
    check_json(&format!("/loki/api/v1/label/nosuch/values?{RANGE}"), r#"{"status":"success"}"#).await;
    check_json("/loki/api/v1/labels?start=1&end=2", r#"{"status":"success"}"#).await;
    check_json(&format!("/loki/api/v1/series?{RANGE}"), r#"{"status":"success","data":[{"app":"api"}]}"#).await;
    check_json(
        &format!("/loki/api/v1/series?match[]=%7Bapp%3D%22x%22%7D&{RANGE}"),
        r#"{"status":"success","data":[]}"#,
    )
    .await;
    check("/loki/api/v1/series?match[]=%7B%7D&match[]=%7Ba%3D%22b%22%7D", 400, "0 matchers in group: {}").await;
}

#[tokio::test]
async fn what_needs_no_data() {
    check("/ready", 200, "ready\n").await;
    check_json(
        "/loki/api/v1/format_query?query=%7B%20a%3D%22b%22%7D%7C%3D%22x%22",
        r#"{"status":"success","data":"{a=\"b\"} |= \"x\""}"#,
    )
    .await;
    let got = get("/loki/api/v1/format_query?query=%7B").await;
    assert_eq!(got.status, 400);
    assert!(got.text().contains(r#""status":"invalid-query""#), "{}", got.text());
    assert!(get("/loki/api/v1/status/buildinfo").await.text().contains("version"));
    assert!(get("/metrics").await.text().contains("logbarn_query_store_requests"));
}

#[tokio::test]
async fn volume_comes_from_footers() {
    let selector = "query=%7Bapp%3D%22api%22%7D";
    check_json(
        &format!("/loki/api/v1/index/stats?{selector}&{RANGE}"),
        r#"{"streams":1,"chunks":1,"bytes":30,"entries":2}"#,
    )
    .await;
    let path = format!("/loki/api/v1/index/volume?{selector}&{RANGE}");
    assert_eq!(data(&path).await, r#"[{"metric":{"app":"api"},"value":[1795172400,"30"]}]"#);
    let path = format!("/loki/api/v1/index/volume?{selector}&{RANGE}&aggregateBy=labels");
    assert_eq!(data(&path).await, r#"[{"metric":{"app":""},"value":[1795172400,"30"]}]"#);
    check(&format!("/loki/api/v1/index/volume?{selector}&aggregateBy=x"), 400, "invalid aggregation option").await;
    // The range starts inside the minute that holds the second entry.
    check_json(
        &format!("/loki/api/v1/index/stats?{selector}&start=1795168800000000001&end=1795172400000000000"),
        r#"{"streams":1,"chunks":1,"bytes":15,"entries":1}"#,
    )
    .await;
}

/// An explanation has the same parameters and refusals as the query that it explains.
#[tokio::test]
async fn explanations() {
    let explain = "/logbarn/api/v1/explain";
    let got = get(&format!("{explain}?query=%7Bapp=%22api%22%7D&{RANGE}")).await;
    let answer: serde_json::Value = serde_json::from_str(&got.text()).expect("JSON");
    assert_eq!(got.header(header::CONTENT_TYPE), "application/json; charset=UTF-8");
    assert_eq!((&answer["query"], &answer["exact"]), (&serde_json::json!(r#"{app="api"}"#), &serde_json::json!(true)));
    let reads = &answer["reads"];
    assert_eq!((reads["lists"].as_u64(), reads["gets"].as_u64()), (Some(1), Some(1)), "{answer}");
    assert_eq!(answer["parts"][0]["entries"], 2, "{answer}");
    assert!(answer["dollars"]["total"].as_f64().is_some_and(|dollars| dollars > 5.4e-6), "{answer}");

    let got = get(&format!("{explain}?query=sum(rate(%7Bapp=%22api%22%7D%5B1m%5D))&time=1795168860&format=text")).await;
    assert_eq!(got.header(header::CONTENT_TYPE), "text/plain; charset=utf-8");
    let text = got.text();
    for piece in
        ["sum(rate({app=\"api\"}[1m]))\nreads 1 LIST + 1 GET, ", "  streams   1 chosen of 1\n", "1 counted by footers"]
    {
        assert!(text.contains(piece), "{piece:?} is not in {text}");
    }

    check(&format!("{explain}?query=%7Bapp=%22api%22%7D&limit=-1"), 400, "limit must be a positive value").await;
    let log = "log queries are not supported as an instant query type, please change your query to a range query type";
    check(&format!("{explain}?query=%7Bapp=%22api%22%7D&time=1"), 400, log).await;
    let most = "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)";
    check(&format!("{explain}?query=%7Bapp=%22api%22%7D&limit=5001"), 400, most).await;
    check(&format!("{explain}?query=%7Bapp=%22api%22%7D&format=yaml"), 400, r#"format "yaml" is not json or text"#)
        .await;
}

#[tokio::test]
async fn every_answer_names_its_trace() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let asked = Request::get("/loki/api/v1/labels").header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let got = send(false, asked.body(Body::empty()).expect("a request")).await;
    assert_eq!(got.header(header::HeaderName::from_static("x-trace-id")), trace);
    let (one, other) = (get("/nothing").await, get("/ready").await);
    let id = |got: &Got| got.header(header::HeaderName::from_static("x-trace-id")).to_owned();
    assert!(id(&one).len() == 32 && id(&other).len() == 32 && id(&one) != id(&other));
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for() {
    let got = get("/metrics").await;
    assert_eq!(got.header(header::CONTENT_TYPE), "text/plain; version=0.0.4; charset=utf-8");
    assert!(got.text().contains("# TYPE logbarn_query_store_requests_total counter"), "{}", got.text());
    let asked = Request::get("/metrics").header(header::ACCEPT, "application/openmetrics-text; version=1.0.0");
    let got = send(false, asked.body(Body::empty()).expect("a request")).await;
    assert!(got.header(header::CONTENT_TYPE).starts_with("application/openmetrics-text"));
    assert!(got.text().ends_with("# EOF\n"), "{}", got.text());
}
