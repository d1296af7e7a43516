//! 20: a tenant sees its own logs, wherever it asks.

use serde_json::json;

use crate::ask::{ANY_AGE, CATEGORIZE, Grafana, HOUR_NS, T0_NS, between};

/// Every question that Grafana has, each with a selector that both tenants' data would match.
const QUESTIONS: &[(&str, &[(&str, &str)])] = &[
    ("/loki/api/v1/query_range", &[("query", r#"{app=~".+"} | json"#)]),
    ("/loki/api/v1/query_range", &[("query", r#"sum by (app) (count_over_time({app=~".+"}[1h]))"#)]),
    ("/loki/api/v1/query", &[("query", r#"sum by (app, secret) (count_over_time({app=~".+"} | json [87600h]))"#)]),
    ("/loki/api/v1/labels", &[]),
    ("/loki/api/v1/label/app/values", &[]),
    ("/loki/api/v1/series", &[("match[]", r#"{app=~".+"}"#)]),
    ("/loki/api/v1/index/stats", &[("query", r#"{app=~".+"}"#)]),
    ("/loki/api/v1/index/volume", &[("query", r#"{app=~".+"}"#)]),
    ("/loki/api/v1/index/volume_range", &[("query", r#"{app=~".+"}"#), ("step", "1h")]),
    ("/loki/api/v1/patterns", &[("query", r#"{app=~".+"}"#), ("step", "1m")]),
    ("/loki/api/v1/detected_labels", &[("query", "")]),
    ("/loki/api/v1/detected_fields", &[("query", r#"{app=~".+"}"#)]),
    ("/loki/api/v1/detected_field/secret/values", &[("query", r#"{app=~".+"}"#)]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_20_tenants_see_their_own() {
    let grafana = Grafana::with_config(&format!("auth_enabled: true\nlimits_config: {{{ANY_AGE}}}\n")).await;
    for tenant in ["anna", "boris"] {
        let stream = json!([[{"app": format!("{tenant}-app"), (format!("{tenant}_label")): "x"}, [
            [T0_NS, format!(r#"{{"secret":"{tenant}-secret"}}"#), {(format!("{tenant}_meta")): "x"}]
        ]]]);
        grafana.push_as(&[("X-Scope-OrgID", tenant)], stream).await;
    }
    for (path, pairs) in QUESTIONS {
        let asked = between(T0_NS, T0_NS + HOUR_NS, pairs);
        for (tenant, other) in [("anna", "boris"), ("boris", "anna")] {
            let reply = grafana.ask(&[CATEGORIZE, ("X-Scope-OrgID", tenant)], path, &asked).await;
            assert_eq!(reply.status, 200, "{path} {pairs:?}: {}", reply.text);
            assert!(!reply.text.contains(other), "{path} tells {tenant} of {other}: {}", reply.text);
            let counts_alone = path.ends_with("stats");
            assert!(counts_alone || reply.text.contains(tenant), "{path} tells {tenant} nothing: {}", reply.text);
            assert!(!counts_alone || reply.json()["entries"] == 1, "{}", reply.text);
        }
        let stranger = grafana.ask(&[("X-Scope-OrgID", "stranger")], path, &asked).await;
        assert!(!stranger.text.contains("-app") && !stranger.text.contains("-secret"), "{path}: {}", stranger.text);
        let nobody = grafana.ask(&[], path, &asked).await;
        assert_eq!((nobody.status, nobody.text.trim_end()), (401, "no org id"), "{path}");
    }
}
