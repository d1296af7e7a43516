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

/// Users and tokens that the server knows, each with a tenant of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_01_save_and_test_signed_in() {
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    // Of the token "secret".
    let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let sign_in = format!(
        "basic_auth_users: {{grafana: {{password_hash: '{hash}', tenant: barn}}}}, \
         bearer_tokens: [{{name: grafana, sha256: {sha256}, tenant: barn}}]"
    );
    let limits = format!("limits_config: {{{ANY_AGE}}}");
    let config = format!("auth_enabled: true\n{limits}\nlogbarn: {{sign_in: {{{sign_in}}}}}\n");
    let grafana = Grafana::with_config(&config).await;
    passes(&grafana, &[("Authorization", "Basic Z3JhZmFuYTpzZWNyZXQ=")]).await;
    passes(&grafana, &[("Authorization", "Bearer secret")]).await;
    for wrong in ["Basic Z3JhZmFuYTpvdGhlcg==", "Bearer other"] {
        let reply = grafana.ask(&[("Authorization", wrong)], "/loki/api/v1/labels", &[]).await;
        assert_eq!(reply.status, 401, "{wrong}: {}", reply.text);
    }
}
