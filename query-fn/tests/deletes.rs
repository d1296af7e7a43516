//! Delete requests over HTTP: taken, listed, cancelled; and what questions show meanwhile.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use loki_api::config::Config;
use model::{Day, Entry, Labels, TenantId};
use query_fn::{Query, router};
use store::{FreshKey, Store, StoreUrl};
use tower::ServiceExt as _;

const DELETE: &str = "/loki/api/v1/delete";

/// Entries of the last two hours, a minute apart, of the tenants `a` and `b`.
async fn server(yaml: &str) -> (Router, Store, i64) {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    let now_s = jiff::Timestamp::now().as_second() / 60 * 60;
    for id in ["a", "b"] {
        let entries: Vec<Entry> = (0..120)
            .map(|minute| Entry {
                timestamp_ns: (now_s - 7200 + 60 * minute) * 1_000_000_000,
                line: format!("line {minute} of {id}"),
                metadata: Labels::from_pairs([("detected_level", if minute % 2 == 0 { "info" } else { "debug" })]),
            })
            .collect();
        for day in [0, 1].map(|ago| Day::of((now_s - 86_400 * ago) * 1_000_000_000)) {
            let entries: Vec<Entry> =
                entries.iter().filter(|entry| Day::of(entry.timestamp_ns) == day).cloned().collect();
            if entries.is_empty() {
                continue;
            }
            let mut writer = segment::Writer::new(segment::Options::default());
            let labels = Labels::from_pairs([("app", "x")]);
            writer.add(&labels, &entries);
            let built = writer.finish().expect("a segment");
            let (min_ts, max_ts) = (built.min_ts, built.max_ts);
            let key = FreshKey { day, min_ts, max_ts, batch_id: 1, rows: built.rows };
            store.put_fresh(&TenantId::new(id).expect("an id"), key, built.bytes.into()).await.expect("stored");
        }
    }
    let config = Config::from_yaml(yaml).expect("a configuration");
    (router(Query::new(store.clone(), Arc::new(config))), store, now_s)
}

const ON: &str = "compactor: {retention_enabled: true, delete_request_cancel_period: 1h}";

async fn ask(server: &Router, method: &str, path: &str, tenant: &str) -> (u16, Option<String>, String) {
    let request = Request::builder().method(method).uri(path).header("X-Scope-OrgID", tenant);
    let request = request.body(Body::empty()).expect("a request");
    let response = server.clone().oneshot(request).await.expect("infallible");
    let id = response.headers().get("X-Delete-Request-ID").map(|id| id.to_str().expect("text").to_owned());
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    (status, id, String::from_utf8_lossy(&body).into_owned())
}

/// How many entries a tenant sees.
async fn count(server: &Router, tenant: &str) -> f64 {
    let path = "/loki/api/v1/query?query=sum(count_over_time(%7Bapp%3D%22x%22%7D%5B3h%5D))";
    let (status, _, body) = ask(server, "GET", path, tenant).await;
    assert_eq!(status, 200, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    body["data"]["result"][0]["value"][1].as_str().map_or(0.0, |text| text.parse().expect("a number"))
}

async fn list(server: &Router, tenant: &str) -> serde_json::Value {
    let (status, _, body) = ask(server, "GET", DELETE, tenant).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[tokio::test]
async fn a_request_hides_at_once_until_it_is_cancelled() {
    let (server, store, now_s) = server(ON).await;
    let (first, second) = (count(&server, "a").await, count(&server, "b").await);
    assert_eq!((first, second), (120.0, 120.0));
    // Both ends are deleted: minutes 60 to 70.
    let (start, end) = (now_s - 3600, now_s - 3000);
    let path = format!("{DELETE}?query=%7Bapp%3D%22x%22%7D&start={start}&end={end}");
    let (status, id, _) = ask(&server, "POST", &path, "a").await;
    let id = id.expect("an id");
    assert_eq!(status, 204);
    assert_eq!((count(&server, "a").await, count(&server, "b").await), (109.0, 120.0));
    let (_, again, _) = ask(&server, "PUT", &path, "a").await;
    assert_eq!(again.as_ref(), Some(&id), "a request that is sent again is the same one");
    let listed = list(&server, "a").await;
    let row = &listed[0];
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!((&row["request_id"], &row["status"]), (&id.clone().into(), &"received".into()));
    assert_eq!((&row["start_time"], &row["end_time"]), (&start.into(), &end.into()));
    assert_eq!((row["query"].as_str(), row["user_id"].as_str()), (Some(r#"{app="x"}"#), Some("")));
    assert_eq!(list(&server, "b").await, serde_json::json!([]));

    // Another process heeds it with its very first question.
    let config = Config::from_yaml(ON).expect("a configuration");
    let other = router(Query::new(store, Arc::new(config)));
    assert_eq!(count(&other, "a").await, 109.0);

    let (status, _, _) = ask(&server, "DELETE", &format!("{DELETE}?request_id={id}"), "a").await;
    assert_eq!(status, 204);
    assert_eq!((count(&server, "a").await, count(&other, "a").await), (120.0, 120.0));
    let (status, _, body) = ask(&server, "DELETE", &format!("{DELETE}?request_id={id}"), "a").await;
    assert_eq!((status, body.as_str()), (404, "could not find delete request with given id"));

    // Filters: half of the entries, by level and text.
    let filters = "%7Bapp%3D%22x%22%7D%20%7C%3D%20%22line%22%20%7C%20detected_level%3D%22debug%22";
    let (status, ..) = ask(&server, "POST", &format!("{DELETE}?query={filters}&start=0000000000"), "a").await;
    assert_eq!((status, count(&server, "a").await), (204, 60.0));
}

#[tokio::test]
async fn refusals() {
    let (server, _, now_s) = server(&format!(
        "{ON}\nquerier: {{multi_tenant_queries_enabled: true}}\nlimits_config: {{deletion_mode: filter-only}}"
    ))
    .await;
    let check = async |method: &str, parameters: &str, tenant: &str, want: (u16, &str)| {
        let (status, _, body) = ask(&server, method, &format!("{DELETE}?{parameters}"), tenant).await;
        assert_eq!((status, body.as_str()), want, "{method} {parameters}");
    };
    check("POST", "start=1", "a", (400, "query not set")).await;
    check("POST", "query=%7Bapp%3D%22x%22%7D", "a", (400, "start time not set")).await;
    check("PUT", "query=rate&start=0000000001", "a", (400, "invalid query expression")).await;
    let ahead = format!("query=%7Bapp%3D%22x%22%7D&start=0000000001&end={}", now_s + 600);
    check("POST", &ahead, "a", (400, "deletes in the future are not allowed")).await;
    check("POST", "query=%7Bapp%3D%22x%22%7D&start=0000000001", "a|b", (400, "multiple org IDs present")).await;
    check("POST", "query=%7Bapp%3D%22x%22%7D&start=0000000001", "", (401, "no org id")).await;
    check("DELETE", "request_id=1", "a", (404, "could not find delete request with given id")).await;
}

#[tokio::test]
async fn a_tenant_may_not_delete_and_a_server_without_retention_has_no_such_path() {
    let (off, ..) = server("limits_config: {retention_period: 24h}").await;
    assert_eq!(ask(&off, "GET", DELETE, "a").await.0, 404);
    let (disabled, ..) = server(&format!("{ON}\nlimits_config: {{deletion_mode: disabled}}")).await;
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let (status, _, body) = ask(&disabled, method, DELETE, "a").await;
        assert_eq!((status, body.as_str()), (403, "deletion is not available for this tenant"), "{method}");
    }
}

/// A request that is too old is cancelled only by force.
#[tokio::test]
async fn too_late() {
    let (server, ..) = server("compactor: {retention_enabled: true, delete_request_cancel_period: 0s}").await;
    let (_, id, _) = ask(&server, "POST", &format!("{DELETE}?query=%7Bapp%3D%22x%22%7D&start=0000000001"), "a").await;
    let path = format!("{DELETE}?request_id={}", id.expect("an id"));
    let (status, _, body) = ask(&server, "DELETE", &path, "a").await;
    assert_eq!(status, 400);
    assert!(
        body.starts_with("deletion of request past the deadline of 0s since its creation is not allowed."),
        "{body}"
    );
    assert_eq!(count(&server, "a").await, 0.0);
    assert_eq!(ask(&server, "DELETE", &format!("{path}&force=true"), "a").await.0, 204);
    assert_eq!(count(&server, "a").await, 120.0);
}

/// Where nothing is forgotten, a question costs what it cost before.
#[tokio::test]
async fn deletes_cost_a_listing_where_they_are_switched_on() {
    for (yaml, want) in [("limits_config: {}", 0), (ON, 1)] {
        let (server, store, _) = server(yaml).await;
        count(&server, "a").await;
        let before = store.counters().snapshot();
        count(&server, "a").await;
        let lists = store.counters().snapshot().lists - before.lists;
        let days = if jiff::Timestamp::now().as_second() % 86_400 < 10_800 { 2 } else { 1 };
        assert_eq!(lists, days + want, "{yaml}");
    }
}
