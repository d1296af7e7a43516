//! Every kind of AWS event, delivered twice: what was sent is stored, and stored once.

mod common;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{NOW_NS, World, world};
use flate2::Compression;
use flate2::write::GzEncoder;
use ingest_fn::{EventSettings, Events, Function};
use lambda_http::{Context, LambdaEvent, Service as _};
use serde_json::{Value, json};
use testkit::http::client;
use testkit::moto::Moto;
use tokio::time::Instant;

const NOW_MS: i64 = NOW_NS / 1_000_000;
const YAML: &str = "auth_enabled: false";

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(text.as_ref()).expect("memory");
    out.finish().expect("memory")
}

fn events(world: &World) -> Events {
    Events::new(world.ingest.clone(), EventSettings::default())
}

fn cloud_watch(lines: usize) -> String {
    let events: Vec<Value> =
        (0..lines).map(|n| json!({"id": n.to_string(), "timestamp": NOW_MS, "message": format!("line {n}")})).collect();
    json!({"messageType": "DATA_MESSAGE", "owner": "123", "logGroup": "/aws/lambda/f", "logStream": "s", "logEvents": events})
        .to_string()
}

fn sqs(id: &str, body: &str) -> Value {
    json!({"eventSource": "aws:sqs", "eventSourceARN": "arn:q", "messageId": id, "body": body,
        "attributes": {"SentTimestamp": NOW_MS.to_string()}})
}

fn kinesis(number: &str, data: impl AsRef<[u8]>) -> Value {
    json!({"eventSource": "aws:kinesis", "eventSourceARN": "arn:k",
        "kinesis": {"data": BASE64.encode(data), "sequenceNumber": number, "approximateArrivalTimestamp": NOW_MS as f64 / 1e3}})
}

/// Delivers an event twice; gives the answer, which must be the same, and how many distinct and how many rows are stored.
async fn twice(world: &World, event: Value) -> (Result<Value, String>, usize, usize) {
    let events = events(world);
    let first = events.handle(event.clone(), Instant::now()).await.map_err(|e| e.to_string());
    let second = events.handle(event, Instant::now()).await.map_err(|e| e.to_string());
    assert_eq!(first, second);
    let rows = world.rows("fake").await;
    let mut distinct = rows.clone();
    distinct.dedup();
    (first, distinct.len(), rows.len())
}

#[tokio::test]
async fn each_kind_of_event_is_stored_once() {
    let push = json!({"streams": [{"stream": {"app": "p"}, "values": [[NOW_NS.to_string(), "pushed"]]}]}).to_string();
    let watch = gzip(cloud_watch(3));
    let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"MessageId": "n", "TopicArn": "arn:t", "Message": "x",
        "Timestamp": "2026-11-20T00:00:00.000Z"}}]});
    let firehose = json!({"invocationId": "i", "deliveryStreamArn": "arn:f",
        "records": [{"recordId": "r", "approximateArrivalTimestamp": NOW_MS, "data": BASE64.encode("x")}]});
    let none = json!({"batchItemFailures": []});
    let kinds = [
        ("CloudWatch Logs", json!({"awslogs": {"data": BASE64.encode(&watch)}}), Value::Null, 3),
        ("Kinesis", json!({"Records": [kinesis("1", "a"), kinesis("2", &watch), kinesis("3", "a")]}), none.clone(), 4),
        ("SQS", json!({"Records": [sqs("1", "a"), sqs("2", "b"), sqs("3", &push)]}), none, 3),
        ("SNS", sns, Value::Null, 1),
        ("Firehose", firehose, json!({"records": [{"recordId": "r", "result": "Ok", "data": BASE64.encode("x")}]}), 1),
    ];
    for (kind, event, answer, sent) in kinds {
        let world = world(YAML);
        let (got, distinct, rows) = twice(&world, event).await;
        println!("{kind}: entries sent {sent}, stored {distinct}, doubled {}", rows - distinct);
        assert_eq!(got, Ok(answer), "{kind}");
        assert_eq!((distinct, rows), (sent, sent), "{kind}");
    }
}

#[tokio::test]
async fn labels_are_those_of_lambda_promtail() {
    let world = world(YAML);
    let settings =
        EventSettings { extra_labels: vec![("__extra_team".into(), "a".into())], ..EventSettings::default() };
    let event = json!({"Records": [kinesis("1", gzip(cloud_watch(1)))]});
    Events::new(world.ingest.clone(), settings).handle(event, Instant::now()).await.expect("stored");
    let rows = world.rows("fake").await;
    let labels: Vec<(&str, &str)> = rows[0].0.iter().filter(|(name, _)| *name != "service_name").collect();
    let want = [
        ("__aws_cloudwatch_log_group", "/aws/lambda/f"),
        ("__aws_cloudwatch_owner", "123"),
        ("__aws_kinesis_event_source_arn", "arn:k"),
        ("__aws_log_type", "kinesis"),
        ("__extra_team", "a"),
    ];
    assert_eq!(labels, want);
}

#[tokio::test]
async fn a_poisoned_record_is_named_and_the_rest_is_stored() {
    let world = world(YAML);
    let broken = [0x1f, 0x8b, 0, 1, 2, 3];
    let event = json!({"Records": [kinesis("1", "good"), kinesis("2", broken), kinesis("3", "better")]});
    let (answer, distinct, _) = twice(&world, event).await;
    assert_eq!(answer, Ok(json!({"batchItemFailures": [{"itemIdentifier": "2"}]})));
    assert_eq!(distinct, 2);
    let world = common::world(YAML);
    let event = json!({"Records": [sqs("1", r#"{"streams":[{"stream":1}]}"#), sqs("2", "good")]});
    let (answer, distinct, _) = twice(&world, event).await;
    assert_eq!(answer, Ok(json!({"batchItemFailures": [{"itemIdentifier": "1"}]})));
    assert_eq!(distinct, 1);
}

#[tokio::test]
async fn a_store_that_fails_fails_the_event() {
    use store::faulty::{Fault, Operation, Rule};
    let world = world(YAML);
    world.faulty.add(Rule::once(Operation::Put, Fault::LostResponse));
    let event = json!({"Records": [sqs("1", "a")]});
    assert!(events(&world).handle(event.clone(), Instant::now()).await.is_err(), "AWS is to send it again");
    events(&world).handle(event, Instant::now()).await.expect("the second time it is there");
    assert_eq!(world.rows("fake").await.len(), 1);
}

#[tokio::test]
async fn unknown_events_fail_by_name() {
    let world = world(YAML);
    let error = events(&world).handle(json!({"detail": {}}), Instant::now()).await.expect_err("unknown").to_string();
    assert_eq!(error, "an event of an unknown kind, with the keys detail");
}

/// A request as a Function URL or API Gateway's version 2 sends it.
fn v2(path: &str, headers: Value, body: &[u8]) -> Value {
    json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers,
        "requestContext": {"accountId": "1", "apiId": "a", "domainName": "d", "stage": "$default", "requestId": "r",
            "routeKey": "$default", "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1, "domainPrefix": "d",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "1.2.3.4", "userAgent": "u"}},
        "isBase64Encoded": true, "body": BASE64.encode(body)})
}

fn v1(path: &str, headers: Value, body: &[u8]) -> Value {
    json!({"resource": "/{proxy+}", "path": path, "httpMethod": "POST", "headers": headers, "multiValueHeaders": {},
        "requestContext": {"accountId": "1", "apiId": "a", "stage": "prod", "requestId": "r", "resourcePath": "/{proxy+}",
            "httpMethod": "POST", "identity": {"sourceIp": "1.2.3.4"}},
        "isBase64Encoded": true, "body": BASE64.encode(body)})
}

fn alb(path: &str, headers: Value, body: &[u8]) -> Value {
    json!({"httpMethod": "POST", "path": path, "headers": headers, "queryStringParameters": {},
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/t/1"}},
        "isBase64Encoded": true, "body": BASE64.encode(body)})
}

#[tokio::test]
async fn requests_of_every_front_reach_the_router() {
    type Front = fn(&str, Value, &[u8]) -> Value;
    let fronts: [(&str, Front); 3] = [("Function URL", v2), ("API Gateway v1", v1), ("load balancer", alb)];
    let body = json!({"streams": [{"stream": {"app": "p"}, "values": [[NOW_NS.to_string(), "pushed"]]}]}).to_string();
    for (front, request) in fronts {
        let world = world(YAML);
        let mut function = Function::new(world.router.clone(), events(&world));
        for _ in 0..2 {
            let headers = json!({"content-type": "application/json", "content-encoding": "gzip"});
            let event = request("/loki/api/v1/push", headers, &gzip(&body));
            let answer = function.call(LambdaEvent::new(event, Context::default())).await.expect("answered");
            let status = answer["statusCode"].as_u64();
            assert_eq!(status, Some(204), "{front}: {answer}");
        }
        assert_eq!(world.rows("fake").await.len(), 1, "{front}");
    }
}

/// Objects of a real S3 server, each announced twice.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_s3_are_read_line_by_line() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("sources");
    let put = async |key: &str, body: Vec<u8>| {
        let url = format!("{}/sources/{key}", moto.endpoint());
        let answer = client().put(url).body(body).send().await.expect("moto answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    };
    let flow = "version start end\n2 1795200000 1795200060\n2 1795200001 1795200060\n";
    let trail =
        r#"{"Records":[{"eventTime":"2026-11-20T00:00:00Z","n":1},{"eventTime":"2026-11-20T00:00:01Z","n":2}]}"#;
    let long: String = (0..110_000).map(|n| format!("a line that is one of many, number {n}\n")).collect();
    let objects = [
        ("AWSLogs/1/vpcflowlogs/r/2026/11/20/1_vpcflowlogs_r_fl-1_20261120T0000Z_1.log.gz", gzip(flow), 2),
        ("AWSLogs/1/CloudTrail/r/2026/11/20/1_CloudTrail_r_20261120T0000Z_1.json.gz", gzip(trail), 2),
        ("app/plain.log", b"one\n\ntwo\r\nthree".to_vec(), 3),
        ("app/long.log.gz", gzip(&long), 110_000),
    ];
    for (key, body, lines) in objects {
        put(key, body).await;
        let world = world(
            "auth_enabled: false\nlimits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB}",
        );
        let aws = moto.environment().into_iter().collect();
        let events = Events::new(world.ingest.clone(), EventSettings { aws, ..EventSettings::default() });
        let event = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "eventTime": "2026-11-20T00:00:00Z",
            "s3": {"bucket": {"name": "sources"}, "object": {"key": key, "eTag": "t", "size": 1}}}]});
        for _ in 0..2 {
            events.handle(event.clone(), Instant::now()).await.expect("stored");
        }
        let stored = world.rows("fake").await.len();
        println!("{key}: lines {lines}, stored {stored}");
        assert_eq!(stored, lines, "{key}");
    }
    let world = world(YAML);
    let settings = EventSettings {
        aws: moto.environment().into_iter().collect(),
        own_bucket: Some("own".into()),
        ..EventSettings::default()
    };
    let events = Events::new(world.ingest.clone(), settings);
    for (bucket, key, says) in
        [("sources", "absent", "not found"), ("own", "x", "bucket of the store itself"), ("none", "x", "s3://none/x")]
    {
        let event = json!({"source": "aws.s3", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}});
        let error = events.handle(event, Instant::now()).await.expect_err("not stored").to_string();
        assert!(error.contains(says), "{error}");
    }
}
