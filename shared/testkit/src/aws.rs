//! Events of AWS services, made by hand as their documentation shows them, each with lines that a tag tells apart.
//!
//! In: a time and a tag. Out: the JSON that a function is invoked with, and how many entries it brings.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// An event, and what it should leave in the store.
#[derive(Debug, Clone)]
pub struct Sent {
    /// What AWS calls it.
    pub kind: &'static str,
    /// What the function is invoked with.
    pub event: Value,
    /// Entries that it brings; each line begins with the tag.
    pub entries: usize,
}

/// gzip.
///
/// # Panics
/// Never: memory takes everything.
pub fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(text.as_ref()).expect("memory");
    out.finish().expect("memory")
}

/// What CloudWatch Logs sends to subscribers, before gzip.
pub fn cloud_watch(now_ms: i64, tag: &str, lines: usize) -> String {
    let event = |n: usize| json!({"id": n.to_string(), "timestamp": now_ms, "message": format!("{tag} watched {n}")});
    let events: Vec<Value> = (0..lines).map(event).collect();
    json!({"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/aws/lambda/f", "logStream": "s",
        "subscriptionFilters": ["f"], "logEvents": events})
    .to_string()
}

/// A push in Loki's JSON.
pub fn push(now_ms: i64, tag: &str, lines: usize) -> String {
    let value = |n: i64| json!([(now_ms * 1_000_000 + n).to_string(), format!("{tag} pushed {n}")]);
    let values: Vec<Value> = (0..lines as i64).map(value).collect();
    json!({"streams": [{"stream": {"app": "events"}, "values": values}]}).to_string()
}

/// A record of a queue.
pub fn sqs(now_ms: i64, id: &str, body: &str) -> Value {
    json!({"messageId": id, "receiptHandle": "h", "body": body, "attributes": {"ApproximateReceiveCount": "1",
        "SentTimestamp": now_ms.to_string()}, "messageAttributes": {}, "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q", "awsRegion": "us-east-1"})
}

/// A record of a data stream.
pub fn kinesis(now_ms: i64, number: &str, data: impl AsRef<[u8]>) -> Value {
    json!({"kinesis": {"kinesisSchemaVersion": "1.0", "partitionKey": "p", "sequenceNumber": number,
        "data": BASE64.encode(data), "approximateArrivalTimestamp": now_ms as f64 / 1e3},
        "eventSource": "aws:kinesis", "eventID": format!("shardId-000000000000:{number}"), "eventName": "aws:kinesis:record",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/k"})
}

/// A record of a topic.
pub fn sns(now_ms: i64, id: &str, message: &str) -> Value {
    json!({"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "arn:aws:sns:us-east-1:123456789012:t:s",
        "Sns": {"Type": "Notification", "MessageId": id, "TopicArn": "arn:aws:sns:us-east-1:123456789012:t",
        "Subject": null, "Message": message, "Timestamp": now_ms.to_string()}})
}

/// Records on their way through Firehose.
pub fn transformation(now_ms: i64, records: &[&[u8]]) -> Value {
    let record = |(n, data): (usize, &&[u8])| json!({"recordId": format!("r{n}"), "approximateArrivalTimestamp": now_ms, "data": BASE64.encode(data)});
    json!({"invocationId": "i", "deliveryStreamArn": "arn:aws:firehose:us-east-1:123456789012:deliverystream/d",
        "region": "us-east-1", "records": records.iter().enumerate().map(record).collect::<Vec<_>>()})
}

/// A notification of S3.
pub fn object_created(now_ms: i64, bucket: &str, key: &str) -> Value {
    json!({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": now_ms.to_string(), "awsRegion": "us-east-1",
        "s3": {"bucket": {"name": bucket, "arn": format!("arn:aws:s3:::{bucket}")},
            "object": {"key": key, "eTag": "t", "size": 1}}}]})
}

/// A request as a Function URL or API Gateway's version 2 sends it.
pub fn function_url(path: &str, headers: Value, body: &[u8]) -> Value {
    json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers,
        "requestContext": {"accountId": "1", "apiId": "a", "domainName": "d", "stage": "$default", "requestId": "r",
            "routeKey": "$default", "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1, "domainPrefix": "d",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "1.2.3.4", "userAgent": "u"}},
        "isBase64Encoded": true, "body": BASE64.encode(body)})
}

/// A request as API Gateway's version 1 sends it.
pub fn api_gateway(path: &str, headers: Value, body: &[u8]) -> Value {
    json!({"resource": "/{proxy+}", "path": path, "httpMethod": "POST", "headers": headers, "multiValueHeaders": {},
        "requestContext": {"accountId": "1", "apiId": "a", "stage": "prod", "requestId": "r", "resourcePath": "/{proxy+}",
            "httpMethod": "POST", "identity": {"sourceIp": "1.2.3.4"}},
        "isBase64Encoded": true, "body": BASE64.encode(body)})
}

/// A request as a load balancer sends it.
pub fn load_balancer(path: &str, headers: Value, body: &[u8]) -> Value {
    json!({"httpMethod": "POST", "path": path, "headers": headers, "queryStringParameters": {},
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/t/1"}},
        "isBase64Encoded": true, "body": BASE64.encode(body)})
}

/// A delivery of Firehose to an HTTP endpoint, through a Function URL.
pub fn delivery(now_ms: i64, id: &str, records: &[&[u8]]) -> Value {
    let records: Vec<Value> = records.iter().map(|data| json!({"data": BASE64.encode(data)})).collect();
    let body = json!({"requestId": id, "timestamp": now_ms, "records": records}).to_string();
    let headers = json!({"content-type": "application/json", "x-amz-firehose-request-id": id,
        "x-amz-firehose-protocol-version": "1.0",
        "x-amz-firehose-source-arn": "arn:aws:firehose:us-east-1:123456789012:deliverystream/d"});
    function_url("/awsfirehose/api/v1/push", headers, body.as_bytes())
}

/// One event of each kind that needs nothing but itself. The tag is part of every id, so that two tags are two deliveries.
pub fn every_kind(now_ms: i64, tag: &str) -> Vec<Sent> {
    let line = |n: usize| format!("{tag} line {n}");
    let id = |n: usize| format!("{tag}-{n}");
    let watch = gzip(cloud_watch(now_ms, tag, 3));
    let headers = json!({"content-type": "application/json", "content-encoding": "gzip"});
    let request = |front: fn(&str, Value, &[u8]) -> Value| {
        front("/loki/api/v1/push", headers.clone(), &gzip(push(now_ms, tag, 4)))
    };
    let records = [kinesis(now_ms, &id(1), line(1)), kinesis(now_ms, &id(2), &watch), kinesis(now_ms, &id(3), line(3))];
    let messages = [sqs(now_ms, &id(1), &line(1)), sqs(now_ms, &id(2), &push(now_ms, tag, 2))];
    let (first, second) = (line(1), line(2));
    let plain = [first.as_bytes(), second.as_bytes(), watch.as_slice()];
    vec![
        Sent { kind: "Function URL", event: request(function_url), entries: 4 },
        Sent { kind: "API Gateway v1", event: request(api_gateway), entries: 4 },
        Sent { kind: "load balancer", event: request(load_balancer), entries: 4 },
        Sent { kind: "CloudWatch Logs", event: json!({"awslogs": {"data": BASE64.encode(&watch)}}), entries: 3 },
        Sent { kind: "Kinesis", event: json!({"Records": records}), entries: 5 },
        Sent { kind: "SQS", event: json!({"Records": messages}), entries: 3 },
        Sent { kind: "SNS", event: json!({"Records": [sns(now_ms, &id(1), &line(1))]}), entries: 1 },
        Sent { kind: "Firehose transformation", event: transformation(now_ms, &plain), entries: 5 },
        Sent { kind: "Firehose over HTTP", event: delivery(now_ms, &id(1), &plain), entries: 5 },
    ]
}
