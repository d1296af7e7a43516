//! The function as the Lambda runtime sees it: requests and shards as events, answers in JSON or as a stream.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt as _;
use lambda_http::lambda_runtime::{FunctionResponse, StreamResponse};
use lambda_http::{Context, LambdaEvent, Service as _};
use loki_api::config::Config;
use model::{Day, Entry, Labels, TenantId};
use query_fn::{Function, Query};
use serde_json::{Value, json};
use store::{FreshKey, Store, StoreUrl};

const START_NS: i64 = 1_795_168_800_000_000_000;
/// The largest part of a stream.
const PART_BYTES_MAX: usize = 64 << 10;

/// A store of a thousand long lines.
async fn query() -> Query {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    let labels = Labels::from_pairs([("app", "api")]);
    let entry = |n: i64| Entry {
        timestamp_ns: START_NS + n,
        line: format!("{n} {}", "é".repeat(500)),
        metadata: Labels::default(),
    };
    let entries: Vec<Entry> = (0..1000).map(entry).collect();
    let mut writer = segment::Writer::new(segment::Options::default());
    writer.add(&labels, &entries);
    let built = writer.finish().expect("a segment");
    let (min_ts, max_ts) = (built.min_ts, built.max_ts);
    let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: 1, rows: built.rows };
    store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
    Query::new(store, Arc::new(Config { auth_enabled: false, ..Config::default() }))
}

/// A request of a Function URL.
fn request(query: &str) -> Value {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("query", query)
        .append_pair("start", &START_NS.to_string())
        .append_pair("end", &(START_NS + 3_600_000_000_000).to_string())
        .append_pair("limit", "5000")
        .finish();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/loki/api/v1/query_range", "rawQueryString": query,
        "headers": {"host": "x.lambda-url.eu-west-1.on.aws"}, "isBase64Encoded": false,
        "requestContext": {
            "accountId": "anonymous", "apiId": "x", "domainName": "x.lambda-url.eu-west-1.on.aws", "domainPrefix": "x",
            "http": {"method": "GET", "path": "/loki/api/v1/query_range", "protocol": "HTTP/1.1", "sourceIp": "1.2.3.4", "userAgent": "test"},
            "requestId": "1", "routeKey": "$default", "stage": "$default", "time": "20/Nov/2026:10:00:00 +0000", "timeEpoch": 1795168800000_i64,
        },
    })
}

async fn call(streams: bool, event: Value) -> Result<FunctionResponse<Value, query_fn::Parts>, String> {
    let mut function = Function::new(query().await, streams);
    function.call(LambdaEvent::new(event, Context::default())).await.map_err(|error| error.to_string())
}

/// The whole of a stream, whose parts are small.
async fn whole(response: StreamResponse<query_fn::Parts>) -> Vec<u8> {
    let parts: Vec<bytes::Bytes> = response.stream.map(|part| part.expect("a part")).collect().await;
    assert!(parts.iter().all(|part| part.len() <= PART_BYTES_MAX) && parts.len() > 10, "{} parts", parts.len());
    parts.concat()
}

fn entries(body: &[u8]) -> usize {
    let answer: Value = serde_json::from_slice(body).expect("JSON");
    answer["data"]["result"][0]["values"].as_array().expect("values").len()
}

#[tokio::test]
async fn a_url_in_stream_mode_gets_a_stream() {
    let answered = call(true, request(r#"{app="api"}"#)).await.expect("an answer");
    let FunctionResponse::StreamingResponse(response) = answered else { panic!("a stream") };
    assert_eq!(response.metadata_prelude.status_code, 200);
    assert_eq!(response.metadata_prelude.headers["content-type"], "application/json; charset=UTF-8");
    assert_eq!(entries(&whole(response).await), 1000);
    let answered = call(true, request("{app=")).await.expect("an answer");
    let FunctionResponse::StreamingResponse(response) = answered else { panic!("a stream") };
    assert_eq!(response.metadata_prelude.status_code, 400);
}

#[tokio::test]
async fn others_get_json() {
    let answered = call(false, request(r#"{app="api"}"#)).await.expect("an answer");
    let FunctionResponse::BufferedResponse(response) = answered else { panic!("JSON") };
    assert_eq!(
        (&response["statusCode"], entries(response["body"].as_str().expect("text").as_bytes())),
        (&json!(200), 1000)
    );
}

#[tokio::test]
async fn what_is_neither_request_nor_shard_is_an_error() {
    for event in [json!({}), json!({"logbarn_shard": 5}), json!({"logbarn_shard": "?"}), json!([1])] {
        assert!(call(true, event.clone()).await.is_err(), "{event}");
    }
    let nonsense = json!({"logbarn_shard": BASE64_STANDARD.encode("nonsense")});
    assert_eq!(call(true, nonsense).await.err().as_deref(), Some("the message of another version"));
}
