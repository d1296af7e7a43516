//! What is refused, how it is answered, and what of the same push is stored: one line a case.

mod common;

use std::io::Write as _;

use common::{NOW_NS, World, body, world};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use loki_api::push::encode_protobuf;
use model::{Entry, Stream};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PUSH: &str = "/loki/api/v1/push";
const HOUR_NS: i64 = 3_600_000_000_000;

fn limits(text: &str) -> World {
    world(&format!("auth_enabled: false\nlimits_config: {{{text}}}"))
}

/// Pushes one stream under these limits; gives status, text, and the lines stored.
async fn check(limit: &str, stream: &str, values: &[(i64, &str, &str)], want: (u16, &str, &[&str])) {
    let world = limits(limit);
    let values: Vec<String> = values
        .iter()
        .map(|(age_ns, line, metadata)| {
            let comma = if metadata.is_empty() { "" } else { "," };
            format!(r#"["{}","{line}"{comma}{metadata}]"#, NOW_NS - age_ns)
        })
        .collect();
    let (status, text) = world.push(body(stream, &values.join(","))).await;
    let rows = world.rows("fake").await;
    let lines: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
    assert_eq!((status, text.trim_end_matches('\n'), lines.as_slice()), want, "{limit}");
    assert_eq!(text.ends_with('\n'), !text.is_empty());
}

#[tokio::test]
async fn valid_entries_of_a_refused_push_are_stored() {
    let a = r#"{"app":"a"}"#;
    let s = r#"{app="a", service_name="a"}"#;
    let old = format!(
        "entry for stream '{s}' has timestamp too old: 2026-11-13T18:39:59Z, oldest acceptable timestamp is: 2026-11-13T18:40:00Z"
    );
    check("", a, &[(0, "new", ""), (168 * HOUR_NS + 1, "old", "")], (400, &old, &["new"])).await;
    check("reject_old_samples: false", a, &[(2_000 * HOUR_NS, "old", "")], (204, "", &["old"])).await;
    let new = format!("entry for stream '{s}' has timestamp too new: 2026-11-20T18:50:00Z");
    check("", a, &[(-HOUR_NS / 6 - 1, "new", ""), (-HOUR_NS / 6, "fine", "")], (400, &new, &["fine"])).await;
    let long =
        format!("max entry size '4' bytes exceeded for stream '{s}' while adding an entry with length '5' bytes");
    check("max_line_size: 4", a, &[(0, "1234", ""), (0, "12345", "")], (400, &long, &["1234"])).await;
    let twice = format!("2 errors like: {long}");
    check("max_line_size: 4", a, &[(0, "12345", ""), (0, "54321", "")], (400, &twice, &[])).await;
    let both = format!("1 errors like: {long}; 1 errors like: {new}");
    check(
        "max_line_size: 4",
        a,
        &[(0, "12345", ""), (-HOUR_NS / 6 - 1, "x", ""), (0, "ok", "")],
        (400, &both, &["ok"]),
    )
    .await;
    let cut = "max_line_size: 6, max_line_size_truncate: true, max_line_size_truncate_identifier: ..";
    check(cut, a, &[(0, "1234567", ""), (0, "äääää", "")], (204, "", &["1234..", "ää.."])).await;
}

#[tokio::test]
async fn metadata() {
    let a = r#"{"app":"a"}"#;
    let s = r#"stream '{app="a", service_name="a"}'"#;
    let pair = r#"{"k":"value"}"#;
    let no = format!(
        "{s} includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it"
    );
    check("allow_structured_metadata: false", a, &[(0, "x", pair), (0, "y", "")], (400, &no, &["y"])).await;
    let large = format!(
        "{s} has structured metadata too large: '6' bytes, limit: '5' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it"
    );
    check("max_structured_metadata_size: 5", a, &[(0, "x", pair), (0, "y", r#"{"k":"valu"}"#)], (400, &large, &["y"]))
        .await;
    let many = format!(
        "{s} has too many structured metadata labels: '2', limit: '1'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it"
    );
    check(
        "max_structured_metadata_entries_count: 1",
        a,
        &[(0, "x", r#"{"a":"b","c":"d"}"#), (0, "y", pair)],
        (400, &many, &["y"]),
    )
    .await;
}

#[tokio::test]
async fn labels() {
    let row: &[(i64, &str, &str)] = &[(0, "x", "")];
    check("discover_service_name: []", "{}", row, (400, "error at least one label pair is required per stream", &[]))
        .await;
    check("", "{}", row, (204, "", &["x"])).await;
    let long = r#"stream '{app="a", bcd="e", service_name="a"}' has label name too long: 'service_name'"#;
    check("max_label_name_length: 11", r#"{"app":"a","bcd":"e"}"#, row, (400, long, &[])).await;
    let value = r#"stream '{app="abcd", service_name="abcd"}' has label value too long: 'abcd'"#;
    check("max_label_value_length: 3", r#"{"app":"abcd"}"#, row, (400, value, &[])).await;
    let many = r#"entry for stream '{app="a", b="c", service_name="a"}' has 2 label names; limit 1"#;
    check("max_label_names_per_series: 1", r#"{"app":"a","b":"c"}"#, row, (400, many, &[])).await;
    let enforced =
        r#"missing required labels 'env,team' for user 'fake' for stream '{app="a", service_name="a"}' (policy: '')"#;
    check("enforced_labels: [app, env, team]", r#"{"app":"a"}"#, row, (400, enforced, &[])).await;
}

#[tokio::test]
async fn rates() {
    let a = r#"{"app":"a"}"#;
    let rate = "ingestion rate limit exceeded for user fake (limit: 1048576 bytes/sec) while attempting to ingest '2' lines totaling '10' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased";
    check(
        "ingestion_rate_mb: 1, ingestion_burst_size_mb: 0.000008",
        a,
        &[(0, "12345", ""), (0, "54321", "")],
        (429, rate, &[]),
    )
    .await;
    let stream = r#"Per stream rate limit exceeded (limit: 1KB/sec) while attempting to ingest for stream '{app="a", service_name="a"}' totaling 10B, consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased"#;
    check(
        "per_stream_rate_limit: 1KB, per_stream_rate_limit_burst: 9",
        a,
        &[(0, "12345", ""), (0, "54321", "")],
        (429, stream, &[]),
    )
    .await;
}

/// A stream beyond the limit is refused; the others of the push are stored, and a retry's new entries meet no old key.
#[tokio::test]
async fn streams_beyond_the_limit() {
    let world = limits("max_global_streams_per_user: 1");
    let entry = format!(r#"[["{NOW_NS}","x"]]"#);
    let two = format!(
        r#"{{"streams":[{{"stream":{{"app":"a"}},"values":{entry}}},{{"stream":{{"app":"b"}},"values":{entry}}}]}}"#
    );
    let (status, text) = world.push(two).await;
    let want = r#"maximum active stream limit exceeded when trying to create stream {app="b", service_name="b"}, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: 'fake'"#;
    assert_eq!((status, text.trim_end()), (429, want));
    assert_eq!(world.rows("fake").await.len(), 1);
}

/// Two attempts of one push may leave out different streams: both must be stored.
#[tokio::test]
async fn attempts_that_leave_out_something_else_are_different_batches() {
    let world = limits("per_stream_rate_limit: 1, per_stream_rate_limit_burst: 5");
    let push = |a: &str, b: &str| {
        let stream =
            |app: &str, line: &str| format!(r#"{{"stream":{{"app":"{app}"}},"values":[["{NOW_NS}","{line}"]]}}"#);
        format!(r#"{{"streams":[{},{}]}}"#, stream("a", a), stream("b", b))
    };
    // The clock stands still, so what a stream has used up stays used up.
    assert_eq!(world.push(push("12345", "123")).await.0, 204);
    assert_eq!(world.push(push("1", "54")).await.0, 429);
    let lines: Vec<String> = world.rows("fake").await.into_iter().map(|row| row.2).collect();
    assert_eq!(lines, ["12345", "123", "54"]);
}

#[tokio::test]
async fn blocked_tenants() {
    let blocked = "block_ingestion_until: '2027-01-01T00:00:00Z'";
    let text = "ingestion blocked for user 'fake' until '2027-01-01T00:00:00Z' with status code '260'";
    check(blocked, r#"{"app":"a"}"#, &[(0, "x", "")], (260, text, &[])).await;
    check(&format!("{blocked}, block_ingestion_status_code: 200"), r#"{"app":"a"}"#, &[(0, "x", "")], (200, "", &[]))
        .await;
    check("block_ingestion_until: '2026-01-01T00:00:00Z'", r#"{"app":"a"}"#, &[(0, "x", "")], (204, "", &["x"])).await;
}

#[tokio::test]
async fn tenants() {
    let world = world("auth_enabled: true");
    let text = body(r#"{"app":"a"}"#, &format!(r#"["{NOW_NS}","x"]"#));
    let send = async |id: &str| {
        let headers = [JSON, ("X-Scope-OrgID", id)];
        let headers = if id.is_empty() { &headers[..1] } else { &headers };
        let (status, text) = world.send(PUSH, headers, text.clone()).await;
        (status.as_u16(), text)
    };
    assert_eq!(send("").await, (401, "no org id\n".into()));
    assert_eq!(send("a|b").await, (400, "multiple org IDs present\n".into()));
    assert_eq!(send("..").await, (400, "tenant ID is '.' or '..'\n".into()));
    assert_eq!(send("a/b").await, (400, "tenant ID 'a/b' contains unsupported character '/'\n".into()));
    assert_eq!(send("team-1").await, (204, String::new()));
    assert_eq!(world.rows("team-1").await.len(), 1);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn protobuf(line: &str) -> Vec<u8> {
    let entry = Entry { timestamp_ns: NOW_NS, line: line.into(), metadata: [("trace_id", "t")].into_iter().collect() };
    encode_protobuf(&[Stream { labels: [("app", "a")].into_iter().collect(), entries: vec![entry] }])
}

#[tokio::test]
async fn formats_and_encodings() {
    let json = |line: &str| body(r#"{"app":"a"}"#, &format!(r#"["{NOW_NS}","{line}"]"#)).into_bytes();
    let legacy = r#"{"streams":[{"labels":"{app=\"a\"}","entries":[{"ts":"2026-11-20T18:40:00Z","line":"legacy"}]}]}"#;
    let proto = ("Content-Type", "application/x-protobuf");
    let encoded = |name| ("Content-Encoding", name);
    type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, Vec<u8>);
    let cases: Vec<Case<'_>> = vec![
        ("plain", PUSH, vec![("Content-Type", "Application/JSON; charset=utf-8")], json("plain")),
        ("gzip", PUSH, vec![JSON, encoded("gzip")], gzip(&json("gzip"))),
        ("deflate", PUSH, vec![JSON, encoded("deflate")], deflate(&json("deflate"))),
        ("proto", PUSH, vec![proto], protobuf("proto")),
        ("snappy", PUSH, vec![proto, encoded("snappy")], protobuf("snappy")),
        ("nested", PUSH, vec![proto, encoded("gzip")], gzip(&protobuf("nested"))),
        ("any", PUSH, vec![("Content-Type", "text/x-any")], protobuf("any")),
        ("legacy", "/api/prom/push", vec![JSON], legacy.into()),
        ("old-proto", "/api/prom/push", vec![proto], protobuf("old-proto")),
    ];
    let world = limits("");
    for (line, path, headers, bytes) in cases {
        let (status, text) = world.send(path, &headers, bytes).await;
        assert_eq!((status.as_u16(), text.as_str()), (204, ""), "{line}");
        let rows = world.rows("fake").await;
        let row = rows.iter().find(|row| row.2 == line).unwrap_or_else(|| panic!("{line} is not stored"));
        assert_eq!((row.0.to_string().as_str(), row.1), (r#"{app="a", service_name="a"}"#, NOW_NS), "{line}");
    }
    let refused = async |headers: &[(&str, &str)], bytes: Vec<u8>| {
        let (status, text) = world.send(PUSH, headers, bytes).await;
        (status.as_u16(), text)
    };
    assert_eq!(refused(&[], json("x")).await, (400, "mime: no media type\n".into()));
    assert_eq!(
        refused(&[JSON, encoded("br")], json("x")).await,
        (400, "Content-Encoding \"br\" not supported\n".into())
    );
    assert_eq!(refused(&[proto], b"\x03abc".to_vec()).await, (400, "snappy: corrupt input\n".into()));
}

/// Small bodies that unfold to large ones, and large bodies, end at their limits.
#[tokio::test]
async fn bodies_beyond_the_limits() {
    let world = world("auth_enabled: false\ndistributor: {max_recv_msg_size: 10KB, max_decompressed_size: 20KB}");
    let text = |size: usize| body(r#"{"app":"a"}"#, &format!(r#"["{NOW_NS}","{}"]"#, "x".repeat(size)));
    let send = async |headers: &[(&str, &str)], bytes: Vec<u8>| world.send(PUSH, headers, bytes).await;
    let (status, told) = send(&[JSON], text(10_240).into()).await;
    assert_eq!(status.as_u16(), 413);
    assert!(
        told.starts_with("request body too large: message size too large than max (") && told.ends_with(" vs 10240)\n"),
        "{told}"
    );
    assert_eq!(send(&[JSON, ("Content-Encoding", "gzip")], gzip(text(20_480).as_bytes())).await.0.as_u16(), 413);
    assert_eq!(send(&[JSON, ("Content-Encoding", "deflate")], deflate(text(20_480).as_bytes())).await.0.as_u16(), 413);
    assert_eq!(send(&[("Content-Type", "x/y")], protobuf(&"x".repeat(20_480))).await.0.as_u16(), 413);
    assert_eq!(send(&[JSON, ("Content-Encoding", "gzip")], gzip(text(19_000).as_bytes())).await.0.as_u16(), 204);
    // Not announced, but counted while it arrives.
    let chunks = (0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(1024)));
    let (status, _) = world.send(PUSH, &[JSON], axum::body::Body::from_stream(futures::stream::iter(chunks))).await;
    assert_eq!(status.as_u16(), 413);
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory")
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn otlp_json(line: &str) -> Vec<u8> {
    let record = format!(r#"{{"timeUnixNano":"{NOW_NS}","body":{{"stringValue":"{line}"}}}}"#);
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#).into_bytes()
}

/// Every encoding of OTLP: the whole body is stored; a bomb ends at the limit, a body cut off or garbled is refused.
#[tokio::test]
async fn otlp_encodings() {
    let world =
        world("auth_enabled: false\ndistributor: {max_decompressed_size: 20KB}\nlimits_config: {max_line_size: 0}");
    type Encode = fn(&[u8]) -> Vec<u8>;
    for (name, encode) in [("gzip", gzip as Encode), ("zstd", zstd), ("lz4", lz4), ("", <[u8]>::to_vec)] {
        let send = async |bytes: Vec<u8>| {
            let headers = [JSON, ("Content-Encoding", name)];
            let headers = if name.is_empty() { &headers[..1] } else { &headers };
            world.send("/otlp/v1/logs", headers, bytes).await.0.as_u16()
        };
        let whole = encode(&otlp_json(&format!("sent as {name}")));
        assert_eq!(send(whole.clone()).await, 204, "{name}");
        assert_eq!(send(encode(&otlp_json(&"x".repeat(20_480)))).await, 413, "{name}");
        for cut in 0..whole.len() {
            assert_eq!(send(whole[..cut].to_vec()).await, 400, "{name} cut at {cut}");
        }
        assert_eq!(send(b"\x28\xb5\x2f\xfd garbled".to_vec()).await, 400, "{name}");
    }
    let lines: Vec<String> = world.rows("fake").await.into_iter().map(|row| row.2).collect();
    assert_eq!(lines, ["sent as ", "sent as gzip", "sent as lz4", "sent as zstd"]);
}

/// A frame that asks for more memory than a sender may is refused before it gets any.
#[tokio::test]
async fn a_zstd_window_is_bounded() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    encoder.window_log(27).expect("a window");
    encoder.write_all(&otlp_json("wide")).expect("memory");
    let bytes = encoder.finish().expect("memory");
    let world = limits("");
    let (status, text) = world.send("/otlp/v1/logs", &[JSON, ("Content-Encoding", "zstd")], bytes).await;
    assert_eq!((status.as_u16(), text.contains("too much memory")), (400, true), "{text}");
}

#[tokio::test]
async fn otlp_config_of_a_tenant() {
    let world = world(
        "
auth_enabled: false
distributor: {otlp_config: {default_resource_attributes_as_index_labels: [team]}}
limits_config:
  otlp_config:
    resource_attributes: {attributes_config: [{action: drop, regex: secret.*}]}
    severity_text_as_label: true",
    );
    let attribute = |name: &str| format!(r#"{{"key":"{name}","value":{{"stringValue":"v"}}}}"#);
    let body = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{},{},{}]}},"scopeLogs":[{{"logRecords":[
            {{"timeUnixNano":"{NOW_NS}","severityText":"WARN","body":{{"stringValue":"x"}}}}]}}]}}]}}"#,
        attribute("team"),
        attribute("secret.key"),
        attribute("service.name")
    );
    assert_eq!(world.send("/otlp/v1/logs", &[JSON], body).await.0.as_u16(), 204);
    let rows = world.rows("fake").await;
    let (labels, metadata) = (rows[0].0.to_string(), rows[0].3.to_string());
    assert_eq!(labels, r#"{service_name="unknown_service", severity_text="WARN", team="v"}"#);
    assert_eq!(metadata, r#"{detected_level="warn", service_name="v", severity_text="WARN"}"#);
}

#[tokio::test]
async fn otlp_errors_are_statuses() {
    let world = limits("");
    let send = async |headers: &[(&str, &str)], bytes: &[u8]| {
        let (status, text) = world.send("/otlp/v1/logs", headers, bytes.to_vec()).await;
        (status.as_u16(), text)
    };
    let (status, text) = send(&[("Content-Type", "application/json; charset=utf-8")], b"{}").await;
    assert_eq!(status, 400);
    assert!(
        text.starts_with('\u{12}') && text.ends_with("content type: application/json; charset=utf-8 is not supported"),
        "{text:?}"
    );
    assert_eq!(send(&[JSON], b"{}").await.0, 422);
    let (status, text) = send(&[JSON, ("Content-Encoding", "br")], b"{}").await;
    assert_eq!(status, 400);
    assert!(text.ends_with("unsupported content encoding br: only gzip, lz4 and zstd are supported"), "{text:?}");
    assert_eq!(send(&[("Content-Type", "application/x-protobuf")], b"\xff").await.0, 400);
}

#[tokio::test]
async fn what_happened_is_counted() {
    let world = limits("max_line_size: 4");
    let values = format!(r#"["{NOW_NS}","1234"],["{NOW_NS}","12345"]"#);
    assert_eq!(world.push(body(r#"{"app":"a"}"#, &values)).await.0, 400);
    let request = http::Request::get("/metrics").body(axum::body::Body::empty()).expect("a request");
    let response = tower::ServiceExt::oneshot(world.router.clone(), request).await.expect("never fails");
    let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    let text = String::from_utf8_lossy(&text);
    for line in [
        r#"loki_discarded_samples_total{reason="line_too_long",tenant="fake"} 1"#,
        r#"loki_discarded_bytes_total{reason="line_too_long",tenant="fake"} 5"#,
        r#"loki_distributor_bytes_received_total{tenant="fake"} 9"#,
        r#"loki_distributor_lines_received_total{tenant="fake"} 2"#,
        r#"loki_request_duration_seconds_count{method="POST",route="loki_api_v1_push",status_code="400",ws="false"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_push_over_too_many_days_is_cut() {
    let world = limits("reject_old_samples: false");
    let values: Vec<String> = (0..401_i64).map(|day| format!(r#"["{}","x"]"#, NOW_NS - day * 24 * HOUR_NS)).collect();
    let (status, text) = world.push(body(r#"{"app":"a"}"#, &values.join(","))).await;
    assert_eq!((status, text.as_str()), (400, "entries of more than 400 days in one push\n"));
    assert_eq!(world.rows("fake").await.len(), 400);
}

/// A body that ends early is refused in every format and encoding, and nothing of it is stored.
#[tokio::test]
async fn bodies_cut_off_are_refused() {
    let json = body(r#"{"app":"a"}"#, &format!(r#"["{NOW_NS}","x"]"#)).into_bytes();
    let documents = format!("{{\"message\":\"a\",\"_time\":\"{NOW_NS}\"}}\n").repeat(3).into_bytes();
    let encoded = |name| ("Content-Encoding", name);
    let proto = ("Content-Type", "application/x-protobuf");
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Vec<u8>);
    let cases: Vec<Case<'_>> = vec![
        (PUSH, vec![JSON], json.clone()),
        (PUSH, vec![JSON, encoded("gzip")], gzip(&json)),
        (PUSH, vec![JSON, encoded("deflate")], deflate(&json)),
        (PUSH, vec![proto], protobuf("x")),
        (PUSH, vec![proto, encoded("deflate")], deflate(&protobuf("x"))),
        ("/insert/jsonline", vec![encoded("gzip")], gzip(&documents)),
        ("/insert/jsonline", vec![encoded("deflate")], deflate(&documents)),
        ("/insert/jsonline", vec![encoded("zstd")], zstd(&documents)),
    ];
    let world = limits("");
    for (path, headers, whole) in &cases {
        for cut in 0..whole.len() {
            // Nothing at all is no line, and a valid request.
            if *path == "/insert/jsonline" && cut == 0 {
                continue;
            }
            let (status, text) = world.send(path, headers, whole[..cut].to_vec()).await;
            assert_eq!(status.as_u16(), 400, "{path} {headers:?} cut at {cut}: {text}");
        }
    }
    assert_eq!(world.rows("fake").await.len(), 0);
    for (path, headers, whole) in cases {
        assert!(world.send(path, &headers, whole).await.0.is_success(), "{path} {headers:?}");
    }
}
