//! What cannot be done is told by name: unknown events, shards of others, a missing right, a bucket that is not there, wrong settings.

use axum::Router;
use axum::http::StatusCode;
use serde_json::json;

use crate::asked::{body, filled, function_url, start, variables};
use crate::{ALL, entries};

#[tokio::test(flavor = "multi_thread")]
async fn unknown_events_fail_by_name_and_the_process_lives_on() {
    let (_folder, url, _) = filled(1, 10, 100).await;
    let lambda = start(&variables(&url, &[])).await;
    for (event, says) in [
        (json!({"detail": {}, "id": 1}), "an event of an unknown kind, with the keys detail, id"),
        (json!([1]), "an event of an unknown kind, with the keys of no object"),
        (json!({"Records": [{"eventSource": "aws:sqs"}]}), "an event of an unknown kind, with the keys Records"),
        (json!({"logbarn_shard": 5}), "invalid type"),
        (json!({"logbarn_shard": "bm9uc2Vuc2U="}), "the message of another version"),
    ] {
        let error = lambda.invoke(&event).await.expect_err("refused");
        assert!(error.contains(says), "{event}: {error}");
    }
    let answer = lambda.invoke(&function_url(ALL, json!({}))).await.expect("an answer");
    assert_eq!(entries(&body(&answer)), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_and_a_missing_bucket_are_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let refuse = async |request: axum::extract::Request| {
        let (status, code) = match request.uri().path().split('/').nth(1) {
            Some("absent") => (StatusCode::NOT_FOUND, "NoSuchBucket"),
            _ => (StatusCode::FORBIDDEN, "AccessDenied"),
        };
        (status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>"))
    };
    tokio::spawn(axum::serve(listener, Router::new().fallback(refuse)).into_future());
    for (bucket, says) in
        [("forbidden", ["AccessDenied", "s3:ListBucket", "forbidden"]), ("absent", ["NoSuchBucket", "absent", "store"])]
    {
        let url = format!("s3://{bucket}/logs");
        let lambda = start(&variables(&url, &[("AWS_ENDPOINT_URL", &endpoint)])).await;
        let answer = lambda.invoke(&function_url(ALL, json!({}))).await.expect("an answer");
        let text = String::from_utf8(body(&answer)).expect("text");
        println!("{bucket}: {} {text}", answer["statusCode"]);
        assert_eq!(answer["statusCode"], 503, "{text}");
        for part in says {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
}

/// A setting that is wrong ends the start and says which it is: the first push or question would be too late.
#[test]
fn wrong_settings_end_the_start() {
    let selector = "limits_config: {retention_stream: [{selector: '{app=', period: 24h}]}";
    for (name, value, says) in [
        ("LOGBARN_STORE", "ftp://bucket", "LOGBARN_STORE"),
        ("LOGBARN_CONFIG", "limits_config: {no_such_key: 1}", "no_such_key"),
        ("LOGBARN_CONFIG", selector, "`limits_config.retention_stream`: invalid labels matchers"),
        ("LOGBARN_BEARER_TOKENS", "[{name: x}]", "LOGBARN_BEARER_TOKENS"),
    ] {
        let variables = variables("file:///tmp/logbarn-never-made", &[(name, value)]);
        let said = testkit::lambda::refused(env!("CARGO_BIN_EXE_query-fn"), &variables);
        assert!(said.contains(says), "{name}={value}: {said}");
    }
}
