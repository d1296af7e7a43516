//! Documents of `_bulk` and `jsonline`: what is answered, and what is stored. One line a case.

mod common;

use std::io::Write as _;

use axum::body::Body;
use common::{NOW_NS, World, world};
use http::Request;
use tower::ServiceExt as _;

const BULK: &str = "/elasticsearch/_bulk";
const LINES: &str = "/insert/jsonline";

fn limits(text: &str) -> World {
    world(&format!("auth_enabled: false\nlimits_config: {{{text}}}"))
}

/// Everything stored, as text: labels, nanoseconds before now, line, metadata without the level.
async fn stored(world: &World) -> Vec<String> {
    let rows = world.rows("fake").await.into_iter().map(|(labels, time, line, metadata)| {
        let metadata = metadata.iter().filter(|(name, _)| *name != "detected_level");
        let metadata: Vec<String> = metadata.map(|(name, value)| format!("{name}={value}")).collect();
        format!("{labels} {} {line} | {}", NOW_NS - time, metadata.join(" "))
    });
    rows.collect()
}

/// Sends one body; gives status, text and what is stored.
async fn check(path: &str, headers: &[(&str, &str)], body: impl Into<Body>, want: (u16, &str, &[&str])) {
    let world = limits("");
    let (status, text) = world.send(path, headers, body).await;
    let rows = stored(&world).await;
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    assert_eq!((status.as_u16(), text.trim_end(), rows.as_slice()), want, "{path}");
}

#[tokio::test]
async fn json_lines() {
    let two = "{\"log\":{\"level\":\"info\",\"message\":\"hello\"},\"date\":\"0\",\"stream\":\"s1\"}\n{\"log\":{\"message\":\"oh\"},\"date\":1795199999,\"stream\":\"s2\",\"n\":5}\n";
    let named = "/insert/jsonline?_stream_fields=stream&_time_field=date&_msg_field=log.message";
    let rows: &[&str] = &[
        r#"{service_name="unknown_service", stream="s1"} 0 hello | log_level=info"#,
        r#"{service_name="unknown_service", stream="s2"} 1000000000 oh | n=5"#,
    ];
    check(named, &[], two, (200, "", rows)).await;
    let headers = [("VL-Stream-Fields", "stream"), ("VL-Time-Field", "date"), ("VL-Msg-Field", "nothing,log.message")];
    check(LINES, &headers, two, (200, "", rows)).await;
    // A parameter goes before the header; a message that is ignored is still the message.
    let headers = [("VL-Stream-Fields", "n"), ("VL-Ignore-Fields", "n,log.*")];
    let rows = rows.iter().map(|row| row.split(" | ").next().unwrap_or_default().to_owned() + " | ");
    let rows: Vec<String> = rows.collect();
    check(named, &headers, two, (200, "", &rows.iter().map(String::as_str).collect::<Vec<_>>())).await;
}

#[tokio::test]
async fn without_names() {
    let rows: &[&str] = &[
        r#"{job="jsonline", service_name="jsonline"} 0 x | a_b=1 env=prod"#,
        r#"{job="jsonline", service_name="jsonline"} -1 x | a_b=1 env=prod"#,
    ];
    // Equal documents without a time are two, as they were sent.
    let body = "{\"message\":\"x\",\"a\":{\"b\":1}}\n{\"message\":\"x\",\"a\":{\"b\":1}}";
    check("/insert/jsonline?extra_fields=env=prod", &[], body, (200, "", rows)).await;
    check(LINES, &[], "", (200, "", &[])).await;
}

#[tokio::test]
async fn lines_that_cannot_be_read_are_told_and_the_others_stored() {
    let body = "{\"message\":\"a\"}\nnonsense\n{\"message\":\"b\",\"_time\":\"1795199999\"}\n[]";
    let want = "1 errors like: line 2: expected ident at line 1 column 2; 1 errors like: line 4: invalid type: sequence, expected a JSON object at line 1 column 0";
    let rows: &[&str] = &[
        r#"{job="jsonline", service_name="jsonline"} 1000000000 b | "#,
        r#"{job="jsonline", service_name="jsonline"} 0 a | "#,
    ];
    check(LINES, &[], body, (400, want, rows)).await;
    let old = "entry for stream '{job=\"jsonline\", service_name=\"jsonline\"}' has timestamp too old: 1970-01-01T00:00:01Z, oldest acceptable timestamp is: 2026-11-13T18:40:00Z";
    check(LINES, &[], "{\"message\":\"a\",\"_time\":1}", (400, old, &[])).await;
    check(LINES, &[("Content-Encoding", "br")], "{}", (400, "Content-Encoding \"br\" not supported", &[])).await;
    check("/insert/jsonline?extra_fields=x", &[], "{}", (400, "extra field \"x\" is not name=value", &[])).await;
}

fn took(text: &str) -> String {
    let (_, rest) = text.split_once(',').expect("an answer");
    format!("{{{rest}")
}

#[tokio::test]
async fn bulk() {
    let body = concat!(
        "{\"create\":{\"_index\":\"logs\"}}\n{\"message\":\"a\",\"@timestamp\":\"2026-11-20T18:40:00.000Z\",\"host\":{\"name\":\"h\"}}\n",
        "{\"index\":{\"_id\":\"7\"}}\n{\"message\":\"old\",\"@timestamp\":\"2020-01-01T00:00:00Z\"}\n",
        "{\"create\":{}}\nno json\n",
    );
    for path in ["/elasticsearch/idx/_bulk", "/insert/elasticsearch/idx/_bulk"] {
        let world = limits("");
        let (status, text) = world.send(&format!("{path}?_stream_fields=host.name"), &[], body).await;
        let want = concat!(
            r#"{"errors":true,"items":[{"create":{"_index":"logs","result":"created","status":201}},"#,
            r#"{"index":{"_index":"idx","_id":"7","status":400,"error":{"type":"document_parsing_exception","reason":"entry for stream '{job=\"bulk\", service_name=\"bulk\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-11-13T18:40:00Z"}}},"#,
            r#"{"create":{"_index":"idx","status":400,"error":{"type":"document_parsing_exception","reason":"expected ident at line 1 column 2"}}}]}"#,
        );
        assert_eq!((status.as_u16(), took(&text).as_str()), (200, want), "{path}");
        assert_eq!(stored(&world).await, [r#"{host_name="h", service_name="unknown_service"} 0 a | "#]);
    }
}

#[tokio::test]
async fn bulk_as_a_whole() {
    let error = |kind: &str, why: &str, status: u16| {
        let error = format!(r#"{{"type":"{kind}","reason":"{why}"}}"#);
        format!(r#"{{"error":{{"root_cause":[{error}],{},"status":{status}}}"#, &error[1..])
    };
    let parsing = |why: &str| error("document_parsing_exception", why, 400);
    check(BULK, &[], "", (400, &parsing("request body is required"), &[])).await;
    let why = "Malformed action/metadata line [1], expected value at line 1 column 1";
    check(BULK, &[], "nope\n", (400, &parsing(why), &[])).await;
    let world = limits("ingestion_rate_mb: 1, ingestion_burst_size_mb: 0.000001");
    let (status, text) = world.send(BULK, &[], "{\"create\":{}}\n{\"message\":\"abc\"}\n").await;
    assert_eq!(status.as_u16(), 200);
    assert!(
        text.contains(r#""status":429,"error":{"type":"es_rejected_execution_exception","reason":"ingestion rate"#),
        "{text}"
    );
    let world = limits("block_ingestion_until: '2027-01-01T00:00:00Z', block_ingestion_status_code: 403");
    let (status, text) = world.send(BULK, &[], "{\"create\":{}}\n{\"message\":\"abc\"}\n").await;
    assert!(
        status.as_u16() == 403 && text.contains("security_exception") && text.contains("ingestion blocked"),
        "{text}"
    );
    assert_eq!(stored(&world).await, [""; 0]);
}

/// A compressed body; the same body twice is one, if its documents have times.
#[tokio::test]
async fn retries_and_compression() {
    let body = format!("{{\"create\":{{}}}}\n{{\"message\":\"a\",\"_time\":\"{NOW_NS}\"}}\n");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).expect("memory");
    let body = encoder.finish().expect("memory");
    let world = limits("");
    for _ in 0..2 {
        let (status, text) = world.send(BULK, &[("Content-Encoding", "gzip")], body.clone()).await;
        assert!(status.as_u16() == 200 && text.contains("\"errors\":false"), "{text}");
    }
    assert_eq!(stored(&world).await, [r#"{job="bulk", service_name="bulk"} 0 a | "#]);
    let (status, _) = world.send(BULK, &[("Content-Encoding", "gzip")], body[..20].to_vec()).await;
    assert_eq!(status.as_u16(), 400);
}

/// What Filebeat, Logstash, Fluent Bit and Vector ask before they send.
#[tokio::test]
async fn clients_are_told_what_they_ask() {
    let world = limits("");
    for (method, path, want) in [
        ("GET", "/elasticsearch", "\"number\":\"8."),
        ("GET", "/elasticsearch/", "\"number\":\"8."),
        ("HEAD", "/insert/elasticsearch/", ""),
        ("GET", "/insert/elasticsearch/_license", "\"status\":\"active\""),
        ("GET", "/elasticsearch/_ilm/policy/filebeat", "{}"),
        ("PUT", "/elasticsearch/_index_template/filebeat", "{}"),
        ("HEAD", "/elasticsearch/_template/logstash", ""),
        ("GET", "/elasticsearch/_nodes/http", "{}"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        let response = world.router.clone().oneshot(request).await.expect("never fails");
        let told = (response.status().as_u16(), response.headers().get("x-elastic-product").cloned());
        assert_eq!(told, (200, Some(http::HeaderValue::from_static("Elasticsearch"))), "{method} {path}");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        assert!(String::from_utf8_lossy(&body).contains(want), "{method} {path}: {body:?}");
    }
}

/// Old data of a backfill is accepted under labels that no client may send itself.
#[tokio::test]
async fn backfill() {
    let json = ("Content-Type", "application/json");
    let push = |labels: &str| common::body(labels, r#"["1600000000000000000","old"]"#);
    let send = async |shard: &str, labels: &str| {
        let world = limits("");
        let (status, text) =
            world.send("/loki/api/v1/push", &[json, ("X-Loki-Backfill-Shard", shard)], push(labels)).await;
        (status.as_u16(), text, stored(&world).await.len())
    };
    assert_eq!(send("2020-09", r#"{"app":"a"}"#).await, (204, String::new(), 1));
    assert_eq!(send("", r#"{"app":"a"}"#).await.0, 400);
    let long = "invalid X-Loki-Backfill-Shard header: value length 129 exceeds limit of 128\n";
    assert_eq!(send(&"x".repeat(129), r#"{"app":"a"}"#).await, (400, long.into(), 0));
    let reserved = "labels __backfill__ and __backfill_shard__ are reserved\n";
    assert_eq!(send("s", r#"{"__backfill__":"true"}"#).await, (400, reserved.into(), 0));
}

/// What is refused is counted by its reason, blocked and unreadable documents too.
#[tokio::test]
async fn refusals_are_counted() {
    let metrics = async |world: &World| {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        let response = world.router.clone().oneshot(request).await.expect("never fails");
        let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        String::from_utf8_lossy(&text).into_owned()
    };
    let world = limits("");
    assert_eq!(world.send(LINES, &[], "nonsense\n{\"message\":\"a\"}").await.0.as_u16(), 400);
    let text = metrics(&world).await;
    assert!(text.contains(r#"loki_discarded_bytes_total{reason="invalid_document",tenant="fake"} 8"#), "{text}");
    assert!(text.contains(r#"loki_distributor_lines_received_total{tenant="fake"} 2"#), "{text}");
    let world = limits("block_ingestion_until: '2027-01-01T00:00:00Z', block_ingestion_status_code: 200");
    assert_eq!(world.send(LINES, &[], "{\"message\":\"a\"}\n{\"message\":\"b\"}").await.0.as_u16(), 200);
    let text = metrics(&world).await;
    assert!(text.contains(r#"loki_discarded_samples_total{reason="blocked_ingestion",tenant="fake"} 2"#), "{text}");
}

/// A body without times that comes again is new entries, unlike one with times.
#[tokio::test]
async fn documents_without_a_time_are_no_retries() {
    let world = limits("");
    let (first, later) = (world.ingest.clone(), world.ingest.clone().with_clock(|| NOW_NS + 1_000));
    for ingest in [first, later] {
        let request = Request::post(LINES).body(Body::from("{\"message\":\"beat\"}")).expect("a request");
        let response = ingest_fn::router(ingest).oneshot(request).await.expect("never fails");
        assert_eq!(response.status().as_u16(), 200);
    }
    assert_eq!(stored(&world).await.len(), 2);
}
