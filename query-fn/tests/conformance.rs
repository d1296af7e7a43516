//! Loki's recorded answers, asked of both functions' routers in one process over a store in memory.
//!
//! Does what `check.py` of the corpus does over HTTP: pushes the data, asks every case, pushes good and bad bodies, asks
//! what is held then. Streams and series are compared as sets, entries in order, numbers within 1e-6, a 4xx by its status.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loki_api::config::Config;
use serde_json::Value;
use store::{Store, StoreUrl};
use tower::ServiceExt as _;

/// Cases that differ, each with its reason. Everything else must agree.
const KNOWN_DIFFERENCES: &[&str] = &[];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testkit/conformance")
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the corpus can be read");
    serde_json::from_str(&text).expect("the corpus is JSON")
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(corpus().join(folder)).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn server() -> Router {
    let text = std::fs::read_to_string(corpus().join("server.yaml")).expect("the corpus has a configuration");
    let config = Arc::new(Config::from_yaml(&text).expect("a configuration"));
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    let commit = ingest_fn::CommitSettings::new(&config, false);
    let ingest = ingest_fn::Ingest::new(store.clone(), config.clone(), commit);
    ingest_fn::api_router(ingest).merge(query_fn::api_router(query_fn::Query::new(store, config)))
}

async fn send(server: &Router, request: Request<Body>) -> (u16, String) {
    let response = server.clone().oneshot(request).await.expect("infallible");
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn push(server: &Router, path: &str, headers: &Value, body: Vec<u8>) -> (u16, String) {
    let mut request = Request::post(path);
    for (name, value) in headers.as_object().expect("headers") {
        request = request.header(name, value.as_str().expect("a header"));
    }
    send(server, request.body(Body::from(body)).expect("a request")).await
}

async fn ask(server: &Router, case: &Value) -> Result<(), String> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in case["params"].as_object().expect("params") {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        query.extend_pairs(values.iter().map(|value| (name, text(value))));
    }
    let mut request = Request::get(format!("{}?{}", text(&case["path"]), query.finish()));
    for (name, value) in case["headers"].as_object().into_iter().flatten() {
        request = request.header(name, text(value));
    }
    let (status, body) = send(server, request.body(Body::empty()).expect("a request")).await;
    compare(case, status, &body)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn compare(case: &Value, status: u16, body: &str) -> Result<(), String> {
    if case["status"] != status {
        return Err(format!("status {status}, want {}: {body:.200}", case["status"]));
    }
    let how = case["compare"].as_str().unwrap_or_default();
    if status >= 400 || how == "status" {
        return Ok(());
    }
    let got: Value = serde_json::from_str(body).map_err(|why| why.to_string())?;
    let want = &case["body"];
    let same = |want: &Value, got: &Value| if want == got { Ok(()) } else { Err(format!("want {want} got {got}")) };
    match how {
        "json" => same(want, &got),
        "detected_labels" => detected(&want["detectedLabels"], &got["detectedLabels"], false),
        "detected_fields" => detected(&want["fields"], &got["fields"], true),
        "values" => same(&sorted(&want["values"]), &sorted(&got["values"])),
        _ if want["data"].is_array() || want["data"].is_null() => same(&sorted(&want["data"]), &sorted(&got["data"])),
        _ => result(&want["data"], &got["data"], case["ordered"] == true),
    }
}

fn sorted(values: &Value) -> Value {
    let mut values: Vec<Value> = values.as_array().cloned().unwrap_or_default();
    values.sort_by_key(Value::to_string);
    values.into()
}

fn detected(want: &Value, got: &Value, fields: bool) -> Result<(), String> {
    let rows = |rows: &Value| -> BTreeMap<String, Value> {
        rows.as_array().into_iter().flatten().map(|row| (text(&row["label"]).to_owned(), row.clone())).collect()
    };
    let (want, got) = (rows(want), rows(got));
    if want.keys().ne(got.keys()) {
        return Err(format!("want {:?} got {:?}", want.keys(), got.keys()));
    }
    for ((name, want), got) in want.iter().zip(got.values()) {
        let (a, b) = (want["cardinality"].as_f64().unwrap_or(0.0), got["cardinality"].as_f64().unwrap_or(-1.0));
        let unlike = fields && (want["type"] != got["type"] || sorted(&want["parsers"]) != sorted(&got["parsers"]));
        if (a - b).abs() > (a * 0.1).max(2.0) || unlike {
            return Err(format!("{name}: want {want} got {got}"));
        }
    }
    Ok(())
}

fn result(want: &Value, got: &Value, ordered: bool) -> Result<(), String> {
    if want["resultType"] != got["resultType"] {
        return Err(format!("want {} got {}", want["resultType"], got["resultType"]));
    }
    let kind = text(&want["resultType"]);
    if kind == "scalar" {
        return point(&want["result"], &got["result"]);
    }
    let name = if kind == "streams" { "stream" } else { "metric" };
    let rows = |value: &Value| -> Vec<(String, Value)> {
        value["result"].as_array().into_iter().flatten().map(|row| (row[name].to_string(), row.clone())).collect()
    };
    let (wanted, gotten) = (rows(want), rows(got));
    if ordered && wanted.iter().map(|row| &row.0).ne(gotten.iter().map(|row| &row.0)) {
        return Err("wrong order of rows".to_owned());
    }
    let count = gotten.len();
    let (wanted, gotten): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (wanted.into_iter().collect(), gotten.into_iter().collect());
    if gotten.len() != count {
        return Err(format!("the same {name} twice"));
    }
    if wanted.keys().ne(gotten.keys()) {
        let missing: Vec<_> = wanted.keys().filter(|key| !gotten.contains_key(*key)).collect();
        let extra: Vec<_> = gotten.keys().filter(|key| !wanted.contains_key(*key)).collect();
        return Err(format!("missing {missing:?} extra {extra:?}"));
    }
    for ((labels, want), got) in wanted.iter().zip(gotten.values()) {
        let outcome = match kind {
            "streams" if want["values"] == got["values"] => Ok(()),
            "streams" => Err(first_difference(&want["values"], &got["values"])),
            "vector" => point(&want["value"], &got["value"]),
            _ => points(&want["values"], &got["values"]),
        };
        outcome.map_err(|why| format!("{labels}: {why}"))?;
    }
    Ok(())
}

fn first_difference(want: &Value, got: &Value) -> String {
    let (want, got) = (want.as_array().expect("values"), got.as_array().expect("values"));
    let at = want.iter().zip(got).position(|(a, b)| a != b).unwrap_or(want.len().min(got.len()));
    format!("{} entries, want {}; at {at} want {:?} got {:?}", got.len(), want.len(), want.get(at), got.get(at))
}

fn points(want: &Value, got: &Value) -> Result<(), String> {
    let (want, got) = (want.as_array().expect("points"), got.as_array().expect("points"));
    if want.len() != got.len() {
        return Err(format!("{} points, want {}: {want:?} got {got:?}", got.len(), want.len()));
    }
    want.iter().zip(got).try_for_each(|(want, got)| point(want, got))
}

fn point(want: &Value, got: &Value) -> Result<(), String> {
    let time = |value: &Value| value[0].as_f64().expect("a time");
    let number = |value: &Value| text(&value[1]).parse::<f64>().expect("a number");
    let (a, b) = (number(want), number(got));
    let close = (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-9);
    if close && (time(want) - time(got)).abs() <= 1e-3 { Ok(()) } else { Err(format!("want {want} got {got}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn loki_would_answer_the_same() {
    let server = server();
    let json = serde_json::json!({"Content-Type": "application/json"});
    for file in files("data") {
        let body = std::fs::read(file).expect("data");
        assert_eq!(push(&server, "/loki/api/v1/push", &json, body).await.0, 204);
    }
    let cases: Vec<Value> = files("cases").iter().flat_map(|f| read(f).as_array().expect("cases").clone()).collect();
    let (after, before): (Vec<_>, Vec<_>) = cases.iter().partition(|case| case["family"] == "after-push");
    let mut outcomes: Vec<(String, String, Result<(), String>)> = Vec::new();
    for case in before {
        outcomes.push((text(&case["family"]).to_owned(), text(&case["name"]).to_owned(), ask(&server, case).await));
    }
    for case in read(&corpus().join("push.json")).as_array().expect("pushes") {
        let body = STANDARD.decode(text(&case["body_b64"])).expect("base64");
        let (status, answer) = push(&server, text(&case["path"]), &case["headers"], body).await;
        let outcome = if case["status"] == status { Ok(()) } else { Err(format!("status {status}: {answer}")) };
        outcomes.push(("push".to_owned(), text(&case["name"]).to_owned(), outcome));
    }
    for case in after {
        outcomes.push(("after-push".to_owned(), text(&case["name"]).to_owned(), ask(&server, case).await));
    }

    let mut families: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (family, name, outcome) in &outcomes {
        families.entry(family).or_default()[usize::from(outcome.is_err())] += 1;
        if let Err(why) = outcome {
            println!("--- {name}\n    {why:.600}");
        }
    }
    families.iter().for_each(|(family, [agree, differ])| println!("{family:14} {agree:4} agree {differ:4} differ"));
    let differ: Vec<&str> = outcomes.iter().filter(|(.., o)| o.is_err()).map(|(_, name, _)| name.as_str()).collect();
    println!("{} agree, {} differ", outcomes.len() - differ.len(), differ.len());
    assert_eq!(differ, KNOWN_DIFFERENCES);
}
