//! 17: the alerting pages, which ask every Loki datasource for its rules.

use serde_json::json;

use crate::ask::{Grafana, parameters};

/// Without a ruler: an empty list, so that no page shows an error, and a 404 whose text makes Grafana take the rules as read-only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_17_no_ruler_is_no_error() {
    let grafana = Grafana::start().await;
    for asked in [&[][..], &[("rule_group", "a b%c"), ("exclude_alerts", "true"), ("group_limit", "50")]] {
        let answer = grafana.ask(&[], "/prometheus/api/v1/rules", &parameters(asked)).await.json();
        assert_eq!((&answer["status"], &answer["data"]), (&json!("success"), &json!({"groups": []})));
    }
    let alerts = grafana.ask(&[], "/prometheus/api/v1/alerts", &[]).await.json();
    assert_eq!((&alerts["status"], &alerts["data"]), (&json!("success"), &json!({"alerts": []})));
    for path in ["/api/prom/rules/test/test", "/api/prom/rules", "/api/prom/rules/a%20b"] {
        let reply = grafana.ask(&[], path, &parameters(&[("subtype", "mimir")])).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.text.contains("page not found"), "{path}: {}", reply.text);
    }
}
