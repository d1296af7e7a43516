//! Live tails through real sockets: history, then live, each entry once, from both sources; refusals, closes, drops and the end.

mod live;

use std::collections::BTreeSet;
use std::time::Duration;

use live::{Source, World, now_ns};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

const QUERY: &str = r#"{app="x"}"#;

/// Both ways by which entries come live.
const SOURCES: [Source; 2] = [Source::Feed, Source::Store];

#[tokio::test]
async fn history_comes_first_and_then_what_is_pushed() {
    for source in SOURCES {
        let world = World::start(source, "").await;
        world.push("x", &["one", "two", "three"]).await;
        world.push("other", &["not asked for"]).await;
        let mut tail = world.tail(QUERY, "&limit=2").await;
        assert_eq!(tail.lines(2).await, ["two", "three"], "the newest, oldest first");
        world.push("other", &["not asked for"]).await;
        world.push("x", &["four", "five"]).await;
        let message = tail.message().await;
        assert_eq!(message["streams"][0]["values"][0][1], "four", "{message}");
        let labels = json!({"app": "x", "service_name": "x", "detected_level": "unknown"});
        assert_eq!(message["streams"][0]["stream"], labels, "metadata is told among the labels");
        assert_eq!(message["streams"].as_array().map(Vec::len), Some(2), "each entry is a stream of its own");
    }
}

#[tokio::test]
async fn a_pipeline_runs_over_live_entries() {
    let world = World::start(Source::Feed, "").await;
    let query = r#"{app="x"} |= "keep" | logfmt | status >= 400 | line_format "{{.status}} {{.app}}""#;
    let mut tail = world.tail(query, "").await;
    tail.is_live(&world).await;
    world.push("x", &["keep status=200", "status=500", "keep status=404", "keep status=503"]).await;
    assert_eq!(tail.lines(2).await, ["404 x", "503 x"]);
}

#[tokio::test]
async fn a_retry_is_not_told_again() {
    for source in SOURCES {
        let world = World::start(source, "").await;
        let mut tail = world.tail(QUERY, "").await;
        tail.is_live(&world).await;
        let body = world.body("x", &["sent twice"]);
        world.push_body(&body).await;
        world.push_body(&body).await;
        // The same entry in another push: another object, the same entry.
        world.push_body(&body.replace(':', ": ")).await;
        world.push("x", &["last"]).await;
        assert_eq!(tail.lines(2).await, ["sent twice", "last"]);
    }
}

/// Pushes go on while tails open: whatever of them a tail meets as history, live or as both, it tells every entry once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_doubled_at_the_seam() {
    const PUSHES: usize = 150;
    const TAILS: usize = 8;
    for source in SOURCES {
        let world = World::start(source, "limits_config: {max_concurrent_tail_requests: 0}").await;
        let pusher = tokio::spawn({
            let world = world.clone();
            async move {
                for i in 0..PUSHES {
                    world.push("x", &[&format!("{i} a"), &format!("{i} b")]).await;
                }
            }
        });
        let mut tails = Vec::new();
        for _ in 0..TAILS {
            let mut tail = world.tail(QUERY, "&limit=5000").await;
            // A few lines apart, so that they open at different moments of the pushing.
            let first = tail.lines_at_least(5).await;
            tails.push((tail, first));
        }
        pusher.await.expect("pushes go through");
        for (mut tail, mut lines) in tails {
            lines.extend(tail.lines(2 * PUSHES - lines.len()).await);
            let distinct: BTreeSet<&String> = lines.iter().collect();
            assert_eq!((lines.len(), distinct.len()), (2 * PUSHES, 2 * PUSHES), "{source:?}");
        }
    }
}

#[tokio::test]
async fn refusals_come_before_the_upgrade() {
    let world = World::start(Source::Feed, "auth_enabled: true").await;
    let check = async |tenant: &str, query: &str, rest: &str, status: u16, text: &str| {
        let refused = world.try_tail(tenant, "/loki/api/v1/tail", query, rest).await.err().expect("refused");
        assert_eq!((refused.0, refused.1.as_str()), (status, text), "{query} {rest}");
    };
    check("t", "{", "", 400, "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }")
        .await;
    check("t", QUERY, "&delay_for=6", 400, "delay_for can't be greater than 5").await;
    check("t", QUERY, "&limit=0", 400, "limit must be a positive value").await;
    check("a|b", QUERY, "", 400, "multiple org IDs present").await;
    check("", QUERY, "", 401, "no org id").await;
    let plain = world.get("/loki/api/v1/tail?query=%7Bapp%3D%22x%22%7D").await;
    assert_eq!(plain.0, 400, "{}", plain.1);
}

#[tokio::test]
async fn other_ends_come_as_closes() {
    let world = World::start(Source::Feed, "limits_config: {max_concurrent_tail_requests: 1}").await;
    let closed = world.tail("rate({app=\"x\"}[1m])", "").await.closed().await;
    assert_eq!(closed, Some((1011, "only log selector is supported".to_owned())));
    let mut first = world.tail(QUERY, "").await;
    first.is_live(&world).await;
    let closed = world.tail(QUERY, "").await.closed().await;
    assert_eq!(closed, Some((1011, "max concurrent tail requests limit exceeded, count > limit (2 > 1)".to_owned())));
    // A tail that has ended makes room.
    drop(first);
    world.until("loki_querier_tail_active", |open| open == 0).await;
    world.tail(QUERY, "").await.is_live(&world).await;
    let world = World::start(Source::Feed, "querier: {tail_max_duration: 100ms}").await;
    let closed = world.tail(QUERY, "").await.closed().await;
    assert_eq!(closed, Some((1011, "reached tail max duration limit".to_owned())));
}

#[tokio::test]
async fn pings_come_and_nothing_else() {
    let world = World::start(Source::Feed, "").await;
    let mut tail = world.tail(QUERY, "").await;
    assert!(matches!(tail.frame().await, Some(Message::Ping(_))));
    assert!(matches!(tail.frame().await, Some(Message::Ping(_))));
}

#[tokio::test]
async fn tenants_hear_their_own() {
    let world = World::start(Source::Feed, "auth_enabled: true").await;
    let path = "/loki/api/v1/tail";
    let mut tail = world.try_tail("a", path, QUERY, "").await.expect("open");
    world.until("loki_querier_tail_active", |open| open == 1).await;
    world.push_as("b", "x", &["theirs"]).await;
    world.push_as("a", "x", &["ours"]).await;
    assert_eq!(tail.lines(1).await, ["ours"]);
}

#[tokio::test]
async fn the_first_days_shape() {
    let world = World::start(Source::Feed, "").await;
    world.push("x", &["one"]).await;
    let mut tail = world.try_tail("", "/api/prom/tail", QUERY, "").await.expect("open");
    let message = tail.message().await;
    let stream = &message["streams"][0];
    assert_eq!(stream["labels"], r#"{app="x", detected_level="unknown", service_name="x"}"#, "{message}");
    assert_eq!(stream["entries"][0]["line"], "one");
    assert!(message["dropped_entries"].is_null());
}

/// A client that reads nothing holds nobody up, and is told what it missed when it reads again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_told_what_it_missed() {
    const LINE_BYTES: usize = 100_000;
    let world = World::start(Source::Feed, "limits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB}").await;
    let mut tail = world.tail(QUERY, "").await;
    tail.is_live(&world).await;
    let line = "x".repeat(LINE_BYTES);
    let mut pushed = 0;
    // Until the socket's buffers and the queue are full; each push is answered.
    while world.metric("logbarn_query_tail_dropped_entries_total").await == 0 {
        world.push("x", &[&line, &line, &line, &line]).await;
        pushed += 4;
        assert!(pushed < 10_000, "nothing was dropped");
    }
    world.push("x", &["the end"]).await;
    let (mut told, mut dropped, mut at_end) = (0, 0, false);
    while told + dropped < pushed || !at_end {
        let message = tail.message().await;
        for stream in message["streams"].as_array().expect("streams") {
            let is_end = stream["values"][0][1] == "the end";
            (told, at_end) = (told + usize::from(!is_end), at_end || is_end);
        }
        for entry in message["dropped_entries"].as_array().into_iter().flatten() {
            assert_eq!(entry["labels"]["app"], "x");
            let time: i64 = entry["timestamp"].as_str().expect("text").parse().expect("nanoseconds");
            assert!((now_ns() - time).abs() < 3_600_000_000_000);
            dropped += 1;
        }
        // The end itself may have been dropped: then it is counted among them.
        at_end |= told + dropped > pushed;
    }
    assert!(dropped > 0 && told > 0, "{told} told, {dropped} dropped");
    world.push("x", &["after"]).await;
    assert_eq!(tail.lines(1).await, ["after"], "the tail goes on");
}

/// A stopping server tells what waits and goes, without a close frame: clients come back then.
#[tokio::test]
async fn a_stop_ends_tails() {
    let world = World::start(Source::Feed, "").await;
    let mut tail = world.tail(QUERY, "&delay_for=5").await;
    tail.is_live(&world).await;
    world.push("x", &["held back"]).await;
    tokio::time::timeout(Duration::from_secs(30), world.query.shutdown()).await.expect("tails end");
    assert_eq!(tail.lines(1).await, ["held back"]);
    assert_eq!(tail.closed().await, None, "no close frame");
}
