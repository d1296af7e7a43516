//! 1: "Save & test" of the datasource.

use crate::ask::{ANY_AGE, Grafana, parameters};

/// Grafana means four seconds after 1970, but ten digits are seconds: a time in 2096, which must not be refused.
const TIME: &str = "4000000000";

async fn passes(grafana: &Grafana, headers: &[(&str, &str)]) {
    let asked = parameters(&[("direction", "backward"), ("query", "vector(1)+vector(1)"), ("time", TIME)]);
    let answer = grafana.ask(headers, "/loki/api/v1/query", &asked).await.answer();
    assert_eq!(answer.kind, "vector");
    assert!(answer.series[0].labels.is_empty());
    assert_eq!(answer.samples(), [(4_000_000_000_000, 2.0)]);
}

/// With no data at all, and with whatever sign-in a datasource can be configured with while the server asks for none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_01_save_and_test() {
    let open = Grafana::start().await;
    let basic = ("Authorization", "Basic Z3JhZmFuYTpzZWNyZXQ=");
    for headers in [&[][..], &[basic], &[("Authorization", "Bearer secret")], &[("X-Scope-OrgID", "barn")]] {
        passes(&open, headers).await;
    }
    let tenants = Grafana::with_config(&format!("auth_enabled: true\nlimits_config: {{{ANY_AGE}}}\n")).await;
    passes(&tenants, &[("X-Scope-OrgID", "barn")]).await;
    let asked = parameters(&[("direction", "backward"), ("query", "vector(1)+vector(1)"), ("time", TIME)]);
    let reply = tenants.ask(&[], "/loki/api/v1/query", &asked).await;
    assert_eq!((reply.status, reply.text.trim_end()), (401, "no org id"));
}
