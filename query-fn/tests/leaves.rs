//! Leaves that are Lambda functions: the real function behind an Invoke API of our own, asked by a root over the same store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use lambda_http::lambda_runtime::FunctionResponse;
use lambda_http::{Context, LambdaEvent, Service as _};
use loki_api::config::Config;
use model::{Day, Entry, Labels, TenantId};
use query_fn::{Function, Query, router};
use serde_json::Value;
use store::{FreshKey, Store, StoreUrl};
use tower::ServiceExt as _;

const START_NS: i64 = 1_795_168_800_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

const QUESTIONS: [&str; 4] = [
    r#"sum(count_over_time({app="api"} |= "line"[5m]))"#,
    r#"quantile_over_time(0.9, {app="api"} | logfmt | unwrap n [7m])"#,
    r#"{app="api"} |= "n=1""#,
    r#"{app="api"} | logfmt | n>5000"#,
];

/// Sixteen segments of five minutes each.
async fn store() -> Store {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    for part in 0..16 {
        let entry = |n: i64| Entry {
            timestamp_ns: START_NS + part * 5 * MINUTE_NS + n * MINUTE_NS / 20,
            line: format!("line n={}", part * 100 + n),
            metadata: Labels::default(),
        };
        let entries: Vec<Entry> = (0..100).map(entry).collect();
        let labels = Labels::from_pairs([("app", "api")]);
        let mut writer = segment::Writer::new(segment::Options::default());
        writer.add(&labels, &entries);
        let built = writer.finish().expect("a segment");
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: part as u128, rows: built.rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
    }
    store
}

/// What stands behind the name of the function.
#[derive(Clone)]
struct Lambda {
    function: Function,
    invoked: Arc<AtomicUsize>,
    /// Every so many-th invocation is refused; 0: none.
    throttled_every: usize,
}

async fn invoke(State(lambda): State<Lambda>, Path(name): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let signed = headers
        .get("authorization")
        .is_some_and(|value| value.to_str().expect("text").contains("/lambda/aws4_request"));
    assert!(name == "logs-query" && signed, "{name} {headers:?}");
    let turn = lambda.invoked.fetch_add(1, Ordering::Relaxed) + 1;
    if lambda.throttled_every > 0 && turn % lambda.throttled_every == 0 {
        return (StatusCode::TOO_MANY_REQUESTS, r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"}"#)
            .into_response();
    }
    let event: Value = serde_json::from_slice(&body).expect("an event is JSON");
    match lambda.function.clone().call(LambdaEvent::new(event, Context::default())).await {
        Ok(FunctionResponse::BufferedResponse(answer)) => answer.to_string().into_response(),
        Ok(_) => panic!("a shard is answered in JSON"),
        Err(error) => {
            ([("x-amz-function-error", "Unhandled")], format!("{{\"errorMessage\":\"{error}\"}}")).into_response()
        }
    }
}

async fn ask(server: &Router, path: &str) -> Value {
    let response =
        server.clone().oneshot(Request::get(path).body(Body::empty()).expect("a request")).await.expect("infallible");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into())
}

fn path(query: &str) -> String {
    let mut parameters = url::form_urlencoded::Serializer::new(String::from("/loki/api/v1/query_range?"));
    parameters.append_pair("query", query).append_pair("start", &START_NS.to_string());
    parameters
        .append_pair("end", &(START_NS + 80 * MINUTE_NS).to_string())
        .append_pair("step", "60")
        .append_pair("limit", "900");
    parameters.finish()
}

/// Asks everything of a root with leaves and of one alone; gives the invocations, and the counters of the root.
async fn compare(throttled_every: usize) -> (usize, String) {
    let store = store().await;
    let config = |leaves: &str| {
        let yaml =
            format!("auth_enabled: false\nlogbarn: {{fan_out: {{{leaves} bytes_per_shard: 300, shards_max: 12}}}}");
        Arc::new(Config::from_yaml(&yaml).expect("a configuration"))
    };
    let function = Function::new(Query::new(store.clone(), config("")), true);
    let lambda = Lambda { function, invoked: Arc::default(), throttled_every };
    let app = Router::new().route("/2015-03-31/functions/{name}/invocations", post(invoke)).with_state(lambda.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let environment = [
        ("AWS_ENDPOINT_URL_LAMBDA", endpoint.as_str()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let root = Query::open(store.clone(), config("leaves: 'lambda:logs-query',"), environment).expect("leaves");
    let (root, alone) = (router(root), router(Query::new(store, config(""))));
    for query in QUESTIONS {
        let (a, b) = (ask(&alone, &path(query)).await, ask(&root, &path(query)).await);
        assert!(a["data"]["result"].is_array(), "{a}");
        assert_eq!(a["data"]["result"], b["data"]["result"], "{query}");
    }
    let metrics = ask(&root, "/metrics").await;
    (lambda.invoked.load(Ordering::Relaxed), metrics.as_str().expect("text").to_owned())
}

fn counter(metrics: &str, name: &str) -> usize {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("logbarn_query_{name}_total ")));
    line.expect(name).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_asks_itself() {
    let (invoked, metrics) = compare(0).await;
    let [shards, undone] = ["shards", "shards_undone"].map(|name| counter(&metrics, name));
    println!("{invoked} invocations for {} questions", QUESTIONS.len());
    assert!(
        shards >= 4 * 8 && undone == 0 && invoked == shards,
        "{shards} shards, {undone} undone, {invoked} invocations"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_throttled_is_done_by_the_root() {
    let (invoked, metrics) = compare(3).await;
    let [shards, undone] = ["shards", "shards_undone"].map(|name| counter(&metrics, name));
    assert!(invoked >= shards && undone >= shards / 4 && undone < shards, "{shards} shards, {undone} undone");
}
