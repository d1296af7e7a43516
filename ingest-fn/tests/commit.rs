//! Pushes become objects: one PUT each when alone, one together when they meet, none acknowledged that is not stored.

mod common;

use common::{NOW_NS, body, world};
use store::faulty::{Fault, Operation, Rule};

fn push_body(app: &str, line: &str) -> String {
    body(&format!(r#"{{"app":"{app}"}}"#), &format!(r#"["{NOW_NS}","{line}"]"#))
}

#[tokio::test]
async fn one_push_is_one_put() {
    let world = world("auth_enabled: false");
    for n in 1..=3 {
        assert_eq!(world.push(push_body("a", &format!("line {n}"))).await.0, 204);
        let counts = world.store.counters().snapshot();
        assert_eq!((counts.puts, counts.requests()), (n, n));
    }
    assert_eq!(world.rows("fake").await.len(), 3);
}

#[tokio::test]
async fn a_retry_meets_its_own_key() {
    let world = world("auth_enabled: false");
    assert_eq!(world.push(push_body("a", "x")).await.0, 204);
    let before = world.rows("fake").await;
    assert_eq!(world.push(push_body("a", "x")).await.0, 204);
    assert_eq!(world.rows("fake").await, before);
}

#[tokio::test]
async fn a_retry_after_a_lost_answer_stores_nothing_twice() {
    let world = world("auth_enabled: false");
    world.faulty.add(Rule::once(Operation::Put, Fault::LostResponse));
    assert_eq!(world.push(push_body("a", "x")).await.0, 503);
    assert_eq!(world.push(push_body("a", "x")).await.0, 204);
    assert_eq!(world.rows("fake").await.len(), 1);
}

#[tokio::test]
async fn the_collector_names_its_batches() {
    let world = world("auth_enabled: false");
    let headers = [("Content-Type", "application/json"), ("X-Logbarn-Batch", "000102030405060708090a0b0c0d0e0f")];
    // The same entries, written differently: the name decides, not the bytes.
    for text in [push_body("a", "x"), push_body("a", "x").replace(':', ": ")] {
        assert_eq!(world.send("/loki/api/v1/push", &headers, text).await.0.as_u16(), 204);
    }
    let tenant = model::TenantId::single();
    let all = model::TimeRange::new(0, i64::MAX).expect("ordered");
    let segments = world.store.segments(&tenant, all).await.expect("lists");
    assert_eq!(segments.len(), 1);
    assert!(segments[0].key.as_str().contains("000102030405060708090a0b0c0d0e0f"), "{}", segments[0].key.as_str());
}

#[tokio::test]
async fn a_push_over_two_days_is_two_objects() {
    let world = world("auth_enabled: false");
    let yesterday = NOW_NS - 86_400_000_000_000;
    let values = format!(r#"["{NOW_NS}","today"],["{yesterday}","yesterday"]"#);
    assert_eq!(world.push(body(r#"{"app":"a"}"#, &values)).await.0, 204);
    assert_eq!((world.puts(), world.rows("fake").await.len()), (2, 2));
}

#[tokio::test]
async fn what_fails_is_not_acknowledged() {
    for fault in [Fault::Unavailable, Fault::InternalError, Fault::Timeout, Fault::Full, Fault::Denied] {
        let world = world("auth_enabled: false");
        world.faulty.add(Rule::once(Operation::Put, fault));
        let (status, text) = world.push(push_body("a", "x")).await;
        assert_eq!(status, 503, "{fault:?}: {text}");
        assert!(text.starts_with("the store did not accept the push: ") && text.ends_with('\n'), "{fault:?}: {text}");
        assert!(world.rows("fake").await.is_empty(), "{fault:?}");
        assert_eq!(world.push(push_body("a", "x")).await.0, 204, "{fault:?}");
        assert_eq!(world.rows("fake").await.len(), 1, "{fault:?}");
    }
}

/// Pushes that meet in the window of a group share one PUT, and each is answered when it is stored.
#[tokio::test]
async fn pushes_that_meet_share_a_put() {
    // Nobody waits so long: the group goes because `shutdown` cuts its window short.
    let world = world("auth_enabled: false\nlogbarn: {commit_window: 1h}");
    let pushes: Vec<_> = (0..20)
        .map(|n| {
            let world = (world.router.clone(), n);
            tokio::spawn(async move { one_push(world.0, push_body("a", &format!("line {}", world.1))).await })
        })
        .collect();
    while world.ingest.pushes_waiting() < 20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.puts(), 0);
    world.ingest.shutdown().await;
    for push in pushes {
        assert_eq!(push.await.expect("not cancelled"), 204);
    }
    assert_eq!((world.puts(), world.rows("fake").await.len()), (1, 20));
    // Who comes after the end waits for nobody.
    assert_eq!(world.push(push_body("a", "late")).await.0, 204);
}

/// A group that fails fails for each of its members, and none of them is stored.
#[tokio::test]
async fn a_failed_group_is_acknowledged_to_nobody() {
    let world = world("auth_enabled: false\nlogbarn: {commit_window: 1h}");
    world.faulty.add(Rule::once(Operation::Put, Fault::Unavailable));
    let pushes: Vec<_> =
        (0..5).map(|n| tokio::spawn(one_push(world.router.clone(), push_body("a", &format!("line {n}"))))).collect();
    while world.ingest.pushes_waiting() < 5 {
        tokio::task::yield_now().await;
    }
    world.ingest.shutdown().await;
    for push in pushes {
        assert_eq!(push.await.expect("not cancelled"), 503);
    }
    assert!(world.rows("fake").await.is_empty());
}

/// Pushes that arrive while a PUT is under way go together in the next one. This PUT never ends, so it is given up: the
/// paused clock jumps there as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn pushes_that_arrive_during_a_commit_share_the_next() {
    let world = world("auth_enabled: false");
    world.faulty.add(Rule::once(Operation::Put, Fault::Hang));
    let hanging = tokio::spawn(one_push(world.router.clone(), push_body("a", "first")));
    while world.faulty.fired() == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> =
        (0..10).map(|n| tokio::spawn(one_push(world.router.clone(), push_body("a", &format!("line {n}"))))).collect();
    while world.ingest.pushes_waiting() < 11 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.puts(), 1);
    assert_eq!(hanging.await.expect("not cancelled"), 503);
    for push in others {
        assert_eq!(push.await.expect("not cancelled"), 204);
    }
    assert_eq!((world.puts(), world.rows("fake").await.len()), (2, 10));
}

#[tokio::test]
async fn tenants_do_not_share() {
    let world = world("auth_enabled: true");
    for tenant in ["a", "b"] {
        let headers = [("Content-Type", "application/json"), ("X-Scope-OrgID", tenant)];
        assert_eq!(world.send("/loki/api/v1/push", &headers, push_body("x", tenant)).await.0.as_u16(), 204);
    }
    assert_eq!((world.rows("a").await.len(), world.rows("b").await.len(), world.puts()), (1, 1, 2));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let world = world("auth_enabled: false\nlogbarn: {commit_window: 1h, commit_queue_bytes_max: 4KB}");
    let line = "x".repeat(3_000);
    let waiting = tokio::spawn(one_push(world.router.clone(), push_body("a", &line)));
    while world.ingest.pushes_waiting() < 1 {
        tokio::task::yield_now().await;
    }
    let (status, text) = world.push(push_body("b", &line)).await;
    assert_eq!((status, text.starts_with("too many bytes are waiting")), (503, true), "{text}");
    world.ingest.shutdown().await;
    assert_eq!(waiting.await.expect("not cancelled"), 204);
}

async fn one_push(router: axum::Router, text: String) -> u16 {
    use tower::ServiceExt as _;
    let request = http::Request::post("/loki/api/v1/push").header("Content-Type", "application/json");
    let request = request.body(axum::body::Body::from(text)).expect("a request");
    router.oneshot(request).await.expect("never fails").status().as_u16()
}
