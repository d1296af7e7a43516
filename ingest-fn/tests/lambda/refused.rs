//! What cannot be done is told by name: unknown events, poisoned records, a missing right, a bucket that is not there.

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use testkit::aws::{kinesis, push, sns, sqs};

use crate::function::{folder, now_ms, start, variables};
use crate::{common, request};

#[tokio::test(flavor = "multi_thread")]
async fn unknown_events_fail_by_name_and_poisoned_records_alone() {
    let (_folder, url, store) = folder();
    let lambda = start(&variables(&url, &[])).await;
    let now = now_ms();
    let errors = [
        (json!({"detail": {}, "id": 1}), "an event of an unknown kind, with the keys detail, id"),
        (json!([1]), "an event of an unknown kind, with the keys of no object"),
        (json!({"awslogs": {"data": "%"}}), "an event of CloudWatch Logs that cannot be read"),
        (json!({"logbarn": {"drop": "all"}}), "an event of Logbarn itself that cannot be read"),
        (json!({"Records": [sns(now, "1", r#"{"streams":[{"stream":1}]}"#)]}), ""),
    ];
    for (event, says) in errors {
        let error = lambda.invoke(&event).await.expect_err("refused");
        assert!(error.contains(says), "{event}: {error}");
    }
    let poison = [0x1f, 0x8b, 0, 1, 2];
    let event = json!({"Records": [kinesis(now, "1", "good"), kinesis(now, "2", poison), kinesis(now, "3", "better")]});
    let failures = |id: &str| Ok(json!({"batchItemFailures": [{"itemIdentifier": id}]}));
    assert_eq!(lambda.invoke(&event).await, failures("2"));
    let event = json!({"Records": [sqs(now, "a", r#"{"streams":[{"stream":1}]}"#), sqs(now, "b", "best")]});
    assert_eq!(lambda.invoke(&event).await, failures("a"));
    assert_eq!(common::rows(&store, "fake").await.len(), 3);
}

/// S3 as it answers a role without rights, or for a bucket that is not there.
async fn refusing_s3(request: Request) -> Response {
    let path = request.uri().path();
    let (status, code) = match path.split('/').nth(1) {
        Some("absent") => (StatusCode::NOT_FOUND, "NoSuchBucket"),
        _ => (StatusCode::FORBIDDEN, "AccessDenied"),
    };
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
    assert!(request.method() != Method::DELETE);
    (status, [("content-type", "application/xml")], body).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_and_a_missing_bucket_are_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(axum::serve(listener, Router::new().fallback(refusing_s3)).into_future());
    let event = request(&push(now_ms(), "refused", 1));
    let merge = json!({"logbarn": {"merge": {"tenant": "fake", "day": "2026-11-20"}}});
    let object = testkit::aws::object_created(now_ms(), "theirs", "a.log");
    let told = |answer: Result<Value, String>| match answer {
        Ok(answer) => format!("{} {}", answer["statusCode"], answer["body"].as_str().unwrap_or_default()),
        Err(error) => error,
    };
    for (bucket, event, says) in [
        ("forbidden", &event, ["503", "AccessDenied", "s3:PutObject", "forbidden"]),
        ("absent", &event, ["503", "NoSuchBucket", "absent", "store"]),
        ("forbidden", &merge, ["merging", "AccessDenied", "s3:GetObject", "forbidden"]),
        ("forbidden", &object, ["s3://theirs/a.log", "AccessDenied", "s3:GetObject", "theirs"]),
    ] {
        let url = format!("s3://{bucket}/logs");
        let lambda = start(&variables(&url, &[("AWS_ENDPOINT_URL", &endpoint)])).await;
        let text = told(lambda.invoke(event).await);
        println!("{bucket}: {text}");
        for part in says {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
}

/// A setting that is wrong ends the start and says which it is: the first push would be too late.
#[test]
fn wrong_settings_end_the_start() {
    let selector = "limits_config: {retention_stream: [{selector: '{app=', period: 24h}]}";
    for (name, value, says) in [
        ("LOGBARN_STORE", "ftp://bucket", "LOGBARN_STORE"),
        ("LOGBARN_CONFIG", selector, "`limits_config.retention_stream`: invalid labels matchers"),
        ("LOGBARN_BEARER_TOKENS", "[{name: x}]", "LOGBARN_BEARER_TOKENS"),
        ("LOGBARN_MERGE_FUNCTION", "merger", "AWS_REGION is not set"),
    ] {
        let variables = variables("file:///tmp/logbarn-never-made", &[(name, value)]);
        let said = testkit::lambda::refused(env!("CARGO_BIN_EXE_ingest-fn"), &variables);
        assert!(said.contains(says), "{name}={value}: {said}");
    }
}
