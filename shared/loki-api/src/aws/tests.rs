//! Events as AWS documents them, and what is read from them.

use serde_json::json;

use super::cloudwatch::CloudWatch;
use super::content::Content;
use super::object::{Kind, Lines, ObjectRef, cloud_trail_records};
use super::{Event, Source};

fn object(key: &str) -> ObjectRef {
    ObjectRef { bucket: "logs".into(), key: key.into(), etag: "e".into(), size: 1, created_ns: Some(7) }
}

#[test]
fn events_are_told_by_their_shape() {
    assert_eq!(Event::tell(json!({"awslogs": {"data": "aGk="}})), Ok(Event::CloudWatch(b"hi".to_vec())));
    assert_eq!(Event::tell(json!({"Service": "Amazon S3", "Event": "s3:TestEvent"})), Ok(Event::Nothing));
    assert_eq!(Event::tell(json!({"source": "aws.events", "detail-type": "Scheduled Event"})), Ok(Event::Schedule));
    assert_eq!(Event::tell(json!({"source": "aws.scheduler", "detail": "{}"})), Ok(Event::Schedule));
    let kinesis = json!({"Records": [{"eventSource": "aws:kinesis", "eventSourceARN": "arn:k",
        "kinesis": {"data": "aGk=", "sequenceNumber": "42", "approximateArrivalTimestamp": 1545084650.987}}]});
    let Ok(Event::Records(records)) = Event::tell(kinesis) else { panic!("records") };
    assert_eq!((records[0].source, records[0].id.as_str()), (Source::Kinesis, "42"));
    assert_eq!(records[0].sent_ns, Some(1_545_084_650_987_000_000));
    let sqs = json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "eventSourceARN": "arn:q", "body": "line",
        "attributes": {"SentTimestamp": "1545082649183"}}]});
    let Ok(Event::Records(records)) = Event::tell(sqs) else { panic!("records") };
    assert_eq!((records[0].data.as_slice(), records[0].sent_ns), (&b"line"[..], Some(1_545_082_649_183_000_000)));
    let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"MessageId": "n", "TopicArn": "arn:t", "Message": "x",
        "Timestamp": "2019-01-02T12:45:07.000Z"}}]});
    let Ok(Event::Records(records)) = Event::tell(sns) else { panic!("records") };
    assert_eq!((records[0].source_arn.as_str(), records[0].sent_ns), ("arn:t", Some(1_546_433_107_000_000_000)));
    let firehose = json!({"invocationId": "i", "deliveryStreamArn": "arn:f",
        "records": [{"recordId": "r", "approximateArrivalTimestamp": 1495072949453_i64, "data": "aGk="}]});
    assert!(
        matches!(Event::tell(firehose), Ok(Event::Transformation(records)) if records[0].0.id == "r" && records[0].1 == "aGk=")
    );
}

#[test]
fn unknown_events_name_their_keys() {
    let error = Event::tell(json!({"detail": 1, "id": 2})).expect_err("unknown");
    assert_eq!(error.to_string(), "an event of an unknown kind, with the keys detail, id");
    assert!(Event::tell(json!([1])).is_err());
    assert!(Event::tell(json!({"awslogs": {"data": "%"}})).is_err());
    assert!(Event::tell(json!({"Records": [{"eventSource": "aws:ses"}]})).is_err());
}

#[test]
fn objects_of_a_notification_have_their_keys_unescaped() {
    let record = |name: &str, key: &str| {
        json!({"eventSource": "aws:s3", "eventName": name, "eventTime": "1970-01-01T00:00:01Z",
            "s3": {"bucket": {"name": "b"}, "object": {"key": key, "eTag": "t", "size": 3}}})
    };
    let event = json!({"Records": [record("ObjectCreated:Put", "a+b%2Fc%C3%A9"), record("ObjectRemoved:Delete", "x")]});
    let Ok(Event::Objects(objects)) = Event::tell(event) else { panic!("objects") };
    assert_eq!(objects.len(), 1);
    assert_eq!((objects[0].key.as_str(), objects[0].created_ns), ("a b/cé", Some(1_000_000_000)));
    let bridge = json!({"source": "aws.s3", "detail-type": "Object Created", "time": "1970-01-01T00:00:01Z",
        "detail": {"bucket": {"name": "b"}, "object": {"key": "a+b", "size": 1, "etag": "t"}}});
    assert!(matches!(Event::tell(bridge), Ok(Event::Objects(o)) if o[0].key == "a+b"));
    let elsewhere = json!({"source": "aws.s3", "detail": {"bucket": {"name": "../b"}, "object": {"key": "a"}}});
    assert!(Event::tell(elsewhere).is_err());
}

#[test]
fn keys_tell_the_kind_and_its_labels() {
    let check = |key: &str, want: &[(&str, &str)]| {
        let labels = object(key).tell().labels;
        let got: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(got, want, "{key}");
    };
    check(
        "p/AWSLogs/123/elasticloadbalancing/us-east-1/2022/01/24/123_elasticloadbalancing_us-east-1_app.my-lb.b13e_20220124T0000Z_0.0.0.0_2et2.log.gz",
        &[("__aws_log_type", "s3_lb"), ("__aws_s3_lb", "my-lb"), ("__aws_s3_lb_owner", "123")],
    );
    check(
        "AWSLogs/123/vpcflowlogs/us-east-1/2022/01/24/123_vpcflowlogs_us-east-1_fl-1234_20220124T0000Z_1621.log.gz",
        &[("__aws_log_type", "s3_vpc_flow"), ("__aws_s3_vpc_flow", "fl-1234"), ("__aws_s3_vpc_flow_owner", "123")],
    );
    check(
        "AWSLogs/123/CloudTrail/us-east-1/2022/01/24/123_CloudTrail_us-east-1_20220124T0000Z_4jhz.json.gz",
        &[("__aws_log_type", "s3_cloudtrail"), ("__aws_s3_cloudtrail", "123"), ("__aws_s3_cloudtrail_owner", "123")],
    );
    check(
        "cdn/E2K2LNL5N3WR51.2022-02-01-15.d9f2a1.gz",
        &[("__aws_log_type", "s3_cloudfront"), ("__aws_s3_cloudfront", "E2K2LNL5N3WR51")],
    );
    check("a/2019-02-06-00-02-11-1B2C3D4E5F6A7B8C", &[("__aws_log_type", "s3_access"), ("__aws_s3_access", "logs")]);
    check("app/today.jsonl", &[("__aws_log_type", "s3_object"), ("__aws_s3_object", "logs")]);
}

#[test]
fn lines_have_their_own_times() {
    let second = 1_000_000_000;
    let check = |kind: Kind, lines: &[&str], want: &[Option<i64>]| {
        let mut reader = Lines::new(kind, Some(7));
        let got: Vec<Option<i64>> = lines.iter().filter_map(|line| reader.entry(line)).collect();
        assert_eq!(got, want, "{kind:?}");
    };
    let noon = Some(1_577_880_000 * second);
    check(Kind::LoadBalancer, &["https 2020-01-01T12:00:00Z app/lb 1.2.3.4:1 -"], &[noon]);
    check(Kind::LoadBalancer, &["tls 2.0 2020-01-01T12:00:00 net/lb"], &[noon]);
    check(Kind::CloudFront, &["#Version: 1.0", "#Fields: date time", "2020-01-01\t12:00:00\tSEA"], &[noon]);
    let flow = "2 123 eni-1 1.1.1.1 2.2.2.2 1 2 6 3 4 1577880000 1577880060 ACCEPT OK";
    check(
        Kind::VpcFlow,
        &[
            "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status",
            flow,
        ],
        &[noon],
    );
    check(Kind::VpcFlow, &["start end", "1577880000 1577880060"], &[noon]);
    check(Kind::Access, &[r#"79a5 bucket [01/Jan/2020:12:00:00 +0000] 1.2.3.4 - REST"#], &[noon]);
    check(Kind::Msk, &["[2020-01-01 12:00:00,000] INFO started"], &[noon]);
    check(Kind::Waf, &[r#"{"timestamp":1577880000000,"action":"ALLOW"}"#], &[noon]);
    check(
        Kind::Plain,
        &["2020-01-01T12:00:00Z hello", "hello", "", r#"{"ts":"2020-01-01T12:00:00Z"}"#, r#"{"ts":"#],
        &[noon, Some(7), noon, Some(7)],
    );
}

#[test]
fn cloud_trail_records_stay_as_they_are() {
    let document = r#"{"Records":[{"eventTime":"2020-01-01T12:00:00Z","b": 1 },{"a":[]}]}"#;
    assert_eq!(cloud_trail_records(document).expect("a document").len(), 2);
    assert_eq!(
        cloud_trail_records(document).expect("a document")[0],
        r#"{"eventTime":"2020-01-01T12:00:00Z","b": 1 }"#
    );
    assert!(cloud_trail_records("{").is_err());
}

#[test]
fn cloud_watch_messages_become_streams() {
    let message = json!({"messageType": "DATA_MESSAGE", "owner": "123", "logGroup": "/aws/lambda/f", "logStream": "s",
        "subscriptionFilters": ["x"], "logEvents": [{"id": "1", "timestamp": 1_440_442_987_000_i64, "message": "hello\n"}]});
    let decoded = CloudWatch::decode(message.to_string().as_bytes()).expect("a message");
    let stream = decoded.stream(&[], false).expect("data");
    assert_eq!(
        stream.labels.to_string(),
        r#"{__aws_cloudwatch_log_group="/aws/lambda/f", __aws_cloudwatch_owner="123", __aws_log_type="cloudwatch"}"#
    );
    assert_eq!(stream.entries[0].line, "hello");
    assert_eq!(stream.entries[0].timestamp_ns, Some(1_440_442_987_000_000_000));
    let kept = decoded.stream(&[], true).expect("data");
    assert_eq!(kept.labels.get("__aws_cloudwatch_log_stream"), Some("s"));
    let control = json!({"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "x"}]});
    assert!(CloudWatch::decode(control.to_string().as_bytes()).expect("a message").stream(&[], false).is_none());
}

#[test]
fn records_are_opened_envelope_by_envelope() {
    let s3 = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}]});
    let sns = json!({"Type": "Notification", "TopicArn": "arn", "Message": s3.to_string()}).to_string();
    assert!(matches!(Content::of(sns.as_bytes()), Ok(Content::Objects(o)) if o[0].key == "k"));
    let s3 = s3.to_string();
    assert!(matches!(Content::of(s3.as_bytes()), Ok(Content::Objects(_))));
    assert!(matches!(Content::of(br#"{"streams":[]}"#), Ok(Content::Push(_))));
    assert!(matches!(Content::of(b"a line\n"), Ok(Content::Text(line)) if line == "a line"));
    assert!(matches!(Content::of(br#"{"msg":"json is a line"}"#), Ok(Content::Text(_))));
    assert!(matches!(Content::of(b""), Ok(Content::Nothing)));
    let mut nested = s3;
    for _ in 0..10 {
        nested = json!({"Type": "Notification", "TopicArn": "arn", "Message": nested}).to_string();
    }
    assert!(matches!(Content::of(nested.as_bytes()), Ok(Content::Text(_))), "too many envelopes are a line");
}
