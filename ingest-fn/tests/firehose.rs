//! Firehose's deliveries over HTTP: what they carry, who may send them, what is answered.

mod common;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{NOW_NS, Row, World, world};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const NOW_MS: i64 = NOW_NS / 1_000_000;

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(text.as_ref()).expect("memory");
    out.finish().expect("memory")
}

fn delivery(records: &[&[u8]]) -> String {
    let records: Vec<Value> = records.iter().map(|data| json!({"data": BASE64.encode(data)})).collect();
    json!({"requestId": "r-1", "timestamp": NOW_MS, "records": records}).to_string()
}

const HEADERS: [(&str, &str); 3] = [
    ("Content-Type", "application/json"),
    ("X-Amz-Firehose-Request-Id", "r-1"),
    ("X-Amz-Firehose-Source-Arn", "arn:aws:firehose:r:1:deliverystream/d"),
];

async fn send(world: &World, more: &[(&str, &str)], body: impl Into<axum::body::Body>) -> (u16, Value) {
    let headers: Vec<_> = HEADERS.iter().chain(more).copied().collect();
    let (status, text) = world.send("/awsfirehose/api/v1/push", &headers, body).await;
    (status.as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn told(row: &Row) -> (Vec<(&str, &str)>, i64, &str) {
    (row.0.iter().filter(|(name, _)| *name != "service_name").collect(), row.1, &row.2)
}

#[tokio::test]
async fn records_become_entries_once() {
    let world = world("auth_enabled: false");
    let watch = json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s",
        "logEvents": [{"id": "1", "timestamp": NOW_MS + 1, "message": "watched"}]});
    let body = delivery(&[b"a line\n", &gzip(watch.to_string()), &gzip("zipped")]);
    let attributes = ("X-Amz-Firehose-Common-Attributes", r#"{"commonAttributes":{"lbl_team":"a","other":"b"}}"#);
    let want = (200, json!({"requestId": "r-1", "timestamp": NOW_MS}));
    assert_eq!(send(&world, &[attributes], body.clone()).await, want);
    assert_eq!(send(&world, &[attributes, ("Content-Encoding", "gzip")], gzip(body)).await, want, "a second try");
    let rows = world.rows("fake").await;
    let arn = "arn:aws:firehose:r:1:deliverystream/d";
    let labels = vec![("__aws_firehose_event_source_arn", arn), ("__aws_log_type", "firehose"), ("team", "a")];
    let mut watched = labels.clone();
    watched.splice(0..0, [("__aws_cloudwatch_log_group", "g"), ("__aws_cloudwatch_owner", "1")]);
    let rows: Vec<_> = rows.iter().map(told).collect();
    let want =
        [(watched, NOW_NS + 1_000_000, "watched"), (labels.clone(), NOW_NS, "a line"), (labels, NOW_NS, "zipped")];
    assert_eq!(rows, want);
}

/// A poisoned record fails the delivery after the rest is stored: Firehose tries again, then keeps it in its backup bucket.
#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let world = world("auth_enabled: false");
    let poisoned = delivery(&[b"good", &[0x1f, 0x8b, 0, 1], b"better"]);
    for _ in 0..2 {
        let (status, answer) = send(&world, &[], poisoned.clone()).await;
        assert_eq!((status, &answer["requestId"]), (400, &json!("r-1")));
        assert!(answer["errorMessage"].as_str().is_some_and(|text| text.starts_with("record r-1/1: ")), "{answer}");
    }
    assert_eq!(world.rows("fake").await.len(), 2);
    let (status, answer) = send(&world, &[], "{}").await;
    assert!(status == 400 && answer["errorMessage"].is_string(), "{answer}");
    let (status, answer) = send(&world, &[("X-Amz-Firehose-Common-Attributes", "{")], delivery(&[b"x"])).await;
    assert!(status == 400 && answer["errorMessage"].is_string(), "{answer}");
}

/// A notification of S3 from AWS is followed; from somebody who only has an access key it is a line.
#[tokio::test]
async fn a_sender_cannot_choose_what_is_fetched() {
    let world = world("auth_enabled: false");
    let notification = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "secrets"}, "object": {"key": "all"}}}]});
    let (status, _) = send(&world, &[], delivery(&[notification.to_string().as_bytes()])).await;
    let rows = world.rows("fake").await;
    assert_eq!((status, rows.len(), rows[0].2.contains("secrets")), (200, 1, true));
}

#[tokio::test]
async fn the_access_key_is_a_token() {
    // SHA-256 of "opensesame".
    let world = world(
        "auth_enabled: true\nlogbarn: {sign_in: {bearer_tokens: [{name: f, tenant: team, sha256: \
         d9fb92e3bbe65be1f1aad4a82eef4567f7a1ebe2cd110c8049b9698be7a70c88}]}}",
    );
    let body = || delivery(&[b"line"]);
    assert_eq!(send(&world, &[], body()).await.0, 401);
    assert_eq!(send(&world, &[("X-Amz-Firehose-Access-Key", "wrong")], body()).await.0, 401);
    let both = [("Authorization", "Bearer wrong"), ("X-Amz-Firehose-Access-Key", "opensesame")];
    assert_eq!(send(&world, &both, body()).await.0, 401, "the usual header counts");
    assert_eq!(send(&world, &[("X-Amz-Firehose-Access-Key", "opensesame")], body()).await.0, 200);
    assert_eq!(world.rows("team").await.len(), 1);
}
