//! Every endpoint's shape: with data, with an empty store, and with a parameter that makes no sense.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use loki_api::config::Config;
use model::{Day, Entry, Labels, TenantId};
use query_fn::{Query, router};
use serde_json::{Value, json};
use store::{FreshKey, Store, StoreUrl};
use tower::ServiceExt as _;

/// 2026-11-20T10:00:00Z.
const START_NS: i64 = 1_795_168_800_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const HOUR: &str = "start=1795168800&end=1795172400";
/// `{app="api"}`
const API: &str = "query=%7Bapp%3D%22api%22%7D";
/// `{app!="x"}`, which chooses every stream.
const NEGATIVE: &str = "query=%7Bapp!%3D%22x%22%7D";
/// `{app="api"} |= "x"`
const PIPELINE: &str = "query=%7Bapp%3D%22api%22%7D%20%7C%3D%20%22x%22";
const EMPTY_COMPATIBLE: &str = "parse error : queries require at least one regexp or equality matcher that does not have an \
     empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";
const NO_QUERY: &str = "parse error : syntax error: unexpected $end";
const BACKWARDS: &str = "end timestamp must not be before or equal to start time";
const MATCHERS_ONLY: &str = "only label matchers are supported";

/// A server over some entries: stream, second, line.
async fn server(config: &str, entries: &[(&str, i64, &str)]) -> Router {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    if !entries.is_empty() {
        let rows: Vec<(Labels, Entry)> = (entries.iter())
            .map(|(app, second, line)| {
                let metadata = Labels::from_pairs([("detected_level", "info")]);
                let timestamp_ns = START_NS + second * SECOND_NS;
                let labels = Labels::from_pairs([("app", *app), ("pod", "1"), ("shard", "12")]);
                (labels, Entry { timestamp_ns, line: (*line).to_owned(), metadata })
            })
            .collect();
        let mut writer = segment::Writer::new(segment::Options::default());
        for (labels, entry) in &rows {
            writer.add(labels, std::slice::from_ref(entry));
        }
        let built = writer.finish().expect("a segment");
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: 1, rows: built.rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
    }
    let config = Config::from_yaml(&format!("auth_enabled: false\n{config}")).expect("a configuration");
    router(Query::new(store, Arc::new(config)))
}

const ENTRIES: [(&str, i64, &str); 5] = [
    ("api", 1, "took 15ms"),
    ("api", 70, "took 7ms"),
    ("api", 180, r#"{"user":{"name":"ann"},"app":"x","n":1.5}"#),
    ("api", 181, "size=3KB app=y"),
    ("web", 60, "hello"),
];

async fn full() -> Router {
    server("", &ENTRIES).await
}

/// Status, content type and body.
async fn get(server: &Router, path: &str) -> (u16, String, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = server.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    (parts.status.as_u16(), kind.to_owned(), String::from_utf8_lossy(&body).into_owned())
}

/// An answer without its statistics.
async fn answer(server: &Router, path: &str) -> Value {
    let (status, kind, body) = get(server, path).await;
    assert_eq!((status, kind.as_str()), (200, "application/json; charset=UTF-8"), "{path}: {body}");
    let mut body: Value = serde_json::from_str(&body).expect("JSON");
    for place in ["", "/data"] {
        if let Some(Value::Object(members)) = body.pointer_mut(place) {
            members.remove("stats");
        }
    }
    body
}

#[tokio::test]
async fn bad_parameters_are_told_in_lokis_words() {
    let server = full().await;
    let backwards = "start=1795172400&end=1795168800";
    let paths = [
        "labels",
        "label/app/values",
        "index/stats",
        "index/volume",
        "index/volume_range",
        "patterns",
        "detected_labels",
    ];
    for path in paths {
        let check = async |parameters: &str, want: &str| {
            let (status, kind, body) = get(&server, &format!("/loki/api/v1/{path}?{parameters}")).await;
            assert_eq!((status, body.as_str()), (400, want), "{path}?{parameters}");
            assert_eq!(kind, "text/plain; charset=utf-8");
        };
        check(&format!("{NEGATIVE}&{HOUR}"), EMPTY_COMPATIBLE).await;
        check(&format!("{PIPELINE}&{HOUR}"), MATCHERS_ONLY).await;
        check(&format!("{API}&{backwards}&step=60"), BACKWARDS).await;
        let start = r#"could not parse 'start' parameter: strconv.ParseInt: parsing "x": invalid syntax"#;
        check(&format!("{API}&start=x"), start).await;
    }
    let check = async |path: &str, want: &str| {
        let (status, _, body) = get(&server, path).await;
        assert_eq!((status, body.as_str()), (400, want), "{path}");
    };
    for path in ["index/stats", "index/volume", "index/volume_range", "patterns"] {
        check(&format!("/loki/api/v1/{path}?{HOUR}"), NO_QUERY).await;
    }
    for path in ["index/volume_range", "patterns"] {
        let step = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        check(&format!("/loki/api/v1/{path}?{API}&{HOUR}&step=0"), step).await;
    }
    let limit = "limit must be a positive value";
    check(&format!("/loki/api/v1/index/volume?{API}&{HOUR}&limit=-1"), limit).await;
    check(&format!("/loki/api/v1/detected_fields?{API}&{HOUR}&line_limit=0"), limit).await;
    check(
        &format!("/loki/api/v1/detected_field/x/values?{API}&limit=x"),
        r#"strconv.Atoi: parsing "x": invalid syntax"#,
    )
    .await;
    check(
        "/loki/api/v1/series?match[]=%7B",
        "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }",
    )
    .await;
    check(&format!("/loki/api/v1/index/volume?{API}&aggregateBy=x"), "invalid aggregation option").await;
    check("/api/prom/query?query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)", "legacy endpoints only support streams result type")
        .await;
    check(&format!("/api/prom/label?{NEGATIVE}"), EMPTY_COMPATIBLE).await;
    let (status, kind, body) = get(&server, "/prometheus/api/v1/rules?type=x").await;
    assert_eq!((status, kind.as_str()), (400, "application/json; charset=UTF-8"));
    assert!(body.contains(r#""error":"not supported value \"x\"""#), "{body}");
}

#[tokio::test]
async fn an_empty_store_has_answers() {
    let server = server("", &[]).await;
    let check = async |path: &str, want: Value| {
        assert_eq!(answer(&server, &format!("{path}?{API}&{HOUR}")).await, want, "{path}");
    };
    let nothing = |kind: &str| json!({"status": "success", "data": {"resultType": kind, "result": []}});
    check("/loki/api/v1/query_range", nothing("streams")).await;
    check("/loki/api/v1/labels", json!({"status": "success"})).await;
    check("/loki/api/v1/label/app/values", json!({"status": "success"})).await;
    check("/loki/api/v1/series", json!({"status": "success", "data": []})).await;
    check("/loki/api/v1/index/stats", json!({"streams": 0, "chunks": 0, "bytes": 0, "entries": 0})).await;
    check("/loki/api/v1/index/volume", nothing("vector")).await;
    check("/loki/api/v1/index/volume_range", nothing("vector")).await;
    check("/loki/api/v1/patterns", json!({"status": "success", "data": []})).await;
    check("/loki/api/v1/detected_labels", json!({"detectedLabels": []})).await;
    check("/loki/api/v1/detected_fields", json!({})).await;
    check("/loki/api/v1/detected_field/x/values", json!({"values": [], "limit": 1000})).await;
    check("/api/prom/query", json!({"streams": []})).await;
    check("/api/prom/label", json!({})).await;
    check("/api/prom/label/app/values", json!({})).await;
    check("/api/prom/series", json!({"status": "success", "data": []})).await;
    let none = |of: &str| json!({"status": "success", "data": {of: []}, "errorType": "", "error": ""});
    check("/prometheus/api/v1/rules", none("groups")).await;
    check("/prometheus/api/v1/alerts", none("alerts")).await;
    for path in ["/api/prom/rules", "/api/prom/rules/test/test", "/loki/api/v1/rules", "/loki/api/v1/rules/a"] {
        let (status, _, body) = get(&server, path).await;
        assert_eq!((status, body.as_str()), (404, "404 page not found\n"), "{path}");
    }
}

#[tokio::test]
async fn volume_by_step_and_label() {
    let server = full().await;
    let check = async |parameters: &str, want: Value| {
        let path = format!("/loki/api/v1/index/{parameters}&{HOUR}");
        assert_eq!(answer(&server, &path).await["data"], want, "{parameters}");
    };
    let api = json!({"app": "api"});
    // An entry belongs to the step at whose end it lies.
    let values = json!([[1795168860, "9"], [1795168920, "8"], [1795168980, "41"], [1795169040, "14"]]);
    let series = json!([{"metric": api, "values": values}]);
    check(&format!("volume_range?{API}&step=1m"), json!({"resultType": "matrix", "result": series})).await;
    let vector = json!({"resultType": "vector", "result": [{"metric": api, "value": [1795172400, "72"]}]});
    check(&format!("volume_range?{API}&step=1h"), vector.clone()).await;
    check(&format!("volume?{API}"), vector).await;
    let all = json!([
        {"metric": {"app": "api", "pod": "1", "shard": "12"}, "value": [1795172400, "72"]},
        {"metric": {"app": "web", "pod": "1", "shard": "12"}, "value": [1795172400, "5"]},
    ]);
    check("volume?query=%7B%7D", json!({"resultType": "vector", "result": all})).await;
    let first = json!([{"metric": {"app": "api"}, "value": [1795172400, "72"]}]);
    check("volume?query=%7B%7D&limit=1&targetLabels=app", json!({"resultType": "vector", "result": first})).await;
    let names = json!([{"metric": {"pod": ""}, "value": [1795172400, "77"]}]);
    let by_name = "volume?query=%7B%7D&aggregateBy=labels&targetLabels=pod&limit=0";
    check(by_name, json!({"resultType": "vector", "result": names})).await;
    check("volume?query=%7B%7D&targetLabels=nosuch", json!({"resultType": "vector", "result": []})).await;
    let named = json!([{"metric": {"app": ""}, "value": [1795172400, "72"]}]);
    check(&format!("volume?{API}&aggregateBy=labels"), json!({"resultType": "vector", "result": named})).await;
}

#[tokio::test]
async fn volume_has_limits() {
    let small = server("limits_config: {volume_max_series: 1}", &ENTRIES).await;
    let (status, _, body) = get(&small, &format!("/loki/api/v1/index/volume?query=%7B%7D&{HOUR}")).await;
    assert_eq!((status, body.as_str()), (400, "the query hit the max number of series limit (limit: 1 series)"));
    let off = server("limits_config: {volume_enabled: false}", &ENTRIES).await;
    for path in ["volume", "volume_range"] {
        let (status, _, body) = get(&off, &format!("/loki/api/v1/index/{path}?{API}&{HOUR}")).await;
        assert_eq!((status, body.as_str()), (404, "not found"), "{path}");
    }
}

#[tokio::test]
async fn patterns_have_samples() {
    let got = answer(&full().await, &format!("/loki/api/v1/patterns?{API}&{HOUR}&step=60s")).await;
    let first = json!({"pattern": "took <_>", "level": "info", "samples": [[1795168800, 1], [1795168860, 1]]});
    assert_eq!((&got["status"], &got["data"][0]), (&json!("success"), &first));
    assert_eq!(got["data"].as_array().map(Vec::len), Some(3));
    let off = server("pattern_ingester: {enabled: false}", &ENTRIES).await;
    let (status, _, body) = get(&off, &format!("/loki/api/v1/patterns?{API}&{HOUR}")).await;
    assert_eq!((status, body.as_str()), (404, ""));
}

#[tokio::test]
async fn labels_and_fields_are_detected() {
    let server = full().await;
    // Ids are left out, but for names that are always shown; an empty query asks for every stream.
    let labels = json!({"detectedLabels": [{"label": "app", "cardinality": 2}, {"label": "pod", "cardinality": 1}]});
    assert_eq!(answer(&server, &format!("/loki/api/v1/detected_labels?query=&{HOUR}")).await, labels);
    let got = answer(&server, &format!("/loki/api/v1/detected_fields?{API}&{HOUR}")).await;
    let field = |label: &str| {
        let fields = got["fields"].as_array().expect("fields");
        fields.iter().find(|field| field["label"] == label).cloned().unwrap_or_default()
    };
    let check = |label: &str, want: Value| assert_eq!(field(label), want, "{label}");
    let level = json!({"label": "detected_level", "type": "string", "cardinality": 1, "parsers": null});
    check("detected_level", level);
    let user = json!({"label": "user_name", "type": "string", "cardinality": 1, "parsers": ["json"], "jsonPath": ["user", "name"]});
    check("user_name", user);
    let both = json!({"label": "app_extracted", "type": "string", "cardinality": 2, "parsers": ["json", "logfmt"], "jsonPath": ["app"]});
    check("app_extracted", both);
    check("n", json!({"label": "n", "type": "float", "cardinality": 1, "parsers": ["json"], "jsonPath": ["n"]}));
    check("size", json!({"label": "size", "type": "bytes", "cardinality": 1, "parsers": ["logfmt"]}));
    check("app", Value::Null);
    assert_eq!(got["limit"], 1000);
    // A field that the query has parsed has the parser that reads the line.
    let parsed = format!("/loki/api/v1/detected_fields?{API}%20%7C%20logfmt&{HOUR}&line_limit=1");
    let parsed = answer(&server, &parsed).await;
    assert_eq!(parsed["fields"][2], json!({"label": "size", "type": "bytes", "cardinality": 1, "parsers": ["logfmt"]}));
    for (name, want) in [("detected_level", json!(["info"])), ("app_extracted", json!(["x", "y"]))] {
        let path = format!("/loki/api/v1/detected_field/{name}/values?{API}&{HOUR}");
        assert_eq!(answer(&server, &path).await, json!({"values": want, "limit": 1000}), "{name}");
    }
}

#[tokio::test]
async fn the_old_paths_have_the_old_shapes() {
    let server = full().await;
    let got = answer(&server, &format!("/api/prom/query?{API}&{HOUR}&regexp=7m.&limit=5")).await;
    let entries = json!([{"ts": "2026-11-20T10:01:10Z", "line": "took 7ms"}]);
    let labels = r#"{app="api", detected_level="info", pod="1", shard="12"}"#;
    assert_eq!(got, json!({"streams": [{"labels": labels, "entries": entries}]}));
    assert_eq!(answer(&server, &format!("/api/prom/label?{HOUR}")).await, json!({"values": ["app", "pod", "shard"]}));
    let values = answer(&server, &format!("/api/prom/label/app/values?{HOUR}")).await;
    assert_eq!(values, json!({"values": ["api", "web"]}));
}

#[tokio::test]
async fn settings_can_be_seen() {
    let server = server("limits_config: {max_query_series: 7}", &[]).await;
    let (status, kind, body) = get(&server, "/config?mode=diffs").await;
    assert_eq!((status, kind.as_str()), (200, "text/plain; charset=utf-8"));
    assert_eq!(body, "auth_enabled: false\nlimits_config:\n  max_query_series: 7\n");
    assert!(get(&server, "/config").await.2.contains("max_query_series: 7"));
    assert!(get(&server, "/config?mode=defaults").await.2.contains("max_query_series: 500"));
    let (status, kind, body) = get(&server, "/config/tenant/v1/limits").await;
    assert_eq!((status, kind.as_str()), (200, "text/plain; charset=utf-8"));
    assert!(body.contains("\nmax_query_series: 7\n"), "{body}");
    let limits = answer(&server, "/loki/api/v1/drilldown-limits").await;
    assert_eq!((&limits["limits"]["max_query_series"], &limits["limits"]["volume_enabled"]), (&json!(7), &json!(true)));
    assert_eq!(limits["pattern_ingester_enabled"], json!(true));
    let build = answer(&server, "/loki/api/v1/status/buildinfo").await;
    for key in ["version", "revision", "branch", "buildDate", "buildUser", "goVersion"] {
        assert!(build[key].is_string(), "{key}");
    }
}
