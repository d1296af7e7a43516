//! Whose logs are shown: tenants, several tenants at once, who signed in, and the limits of each.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use loki_api::config::Config;
use model::{Day, Entry, Labels, TenantId};
use query_fn::{Query, router};
use store::{FreshKey, Store, StoreUrl};
use tower::ServiceExt as _;

const START_NS: i64 = 1_795_168_800_000_000_000;
const RANGE: &str = "start=1795168800000000000&end=1795172400000000000";
/// The password is "right"; the token is "agent-token".
const SIGN_IN: &str = "logbarn: {sign_in: {basic_auth_users: {alice: {password_hash: HASH, tenant: a}},
    bearer_tokens: [{name: agent, sha256: 1e7f0e9b, tenant: b, tenants: [a]}]}}";

/// Questions to every endpoint that reads, `Q` being `{app="api"}`.
const QUESTIONS: &[&str] = &[
    "query_range?query=Q",
    "query_range?query=sum%20by%20(team)%20(count_over_time(Q%5B1h%5D))&step=3600",
    "query?query=sum%20by%20(team)%20(count_over_time(Q%5B1h%5D))&time=1795172399",
    "series?match%5B%5D=Q",
    "label/team/values?x=1",
    "label/team/values?query=Q",
    "index/volume?query=Q&targetLabels=team",
    "detected_fields?query=Q",
    "detected_field/trace_id/values?query=Q",
];

/// A server over one entry each of the tenants `a` and `b`.
async fn server(config: Config) -> axum::Router {
    let store = Store::open(&StoreUrl::memory(), []).expect("a store in memory");
    for id in ["a", "b"] {
        let team = format!("only_{id}");
        let labels = Labels::from_pairs([("app", "api"), ("team", &team)]);
        let metadata = Labels::from_pairs([("trace_id", team.as_str()), (team.as_str(), "x")]);
        let entry = Entry { timestamp_ns: START_NS, line: format!("line of {team}"), metadata };
        let mut writer = segment::Writer::new(segment::Options::default());
        let entries = [entry];
        writer.add(&labels, &entries);
        let built = writer.finish().expect("a segment");
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: 1, rows: built.rows };
        store.put_fresh(&TenantId::new(id).expect("an id"), key, built.bytes.into()).await.expect("stored");
    }
    router(Query::new(store, Arc::new(config)))
}

fn config(yaml: &str) -> Config {
    Config::from_yaml(yaml).expect("a configuration")
}

fn signing_in() -> Config {
    let hash = bcrypt_of_right();
    let yaml = SIGN_IN.replace("HASH", &format!("'{hash}'")).replace("1e7f0e9b", &sha256_of("agent-token"));
    config(&format!("querier: {{multi_tenant_queries_enabled: true}}\n{yaml}"))
}

fn bcrypt_of_right() -> String {
    bcrypt::hash("right", 4).expect("a hash")
}

fn sha256_of(token: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Status and body of a question with these headers.
async fn ask(server: &axum::Router, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = server.clone().oneshot(request).await.expect("infallible");
    let challenged = response.headers().contains_key(header::WWW_AUTHENTICATE);
    let status = response.status().as_u16();
    assert_eq!(challenged, status == 401 && headers.iter().all(|(name, _)| *name != "no-sign-in"), "{path}");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn url(question: &str) -> String {
    let (path, parameters) = question.split_once('?').expect("parameters");
    format!("/loki/api/v1/{path}?{}&{RANGE}", parameters.replace('Q', "%7Bapp%3D%22api%22%7D"))
}

fn basic(pair: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

#[tokio::test]
async fn no_endpoint_shows_another_tenants_logs() {
    let server = server(config("querier: {multi_tenant_queries_enabled: true}")).await;
    for question in QUESTIONS {
        let (status, body) = ask(&server, &url(question), &[("X-Scope-OrgID", "a")]).await;
        assert_eq!(status, 200, "{question}: {body}");
        assert!(
            body.contains("only_a") && !body.contains("only_b") && !body.contains("__tenant_id__"),
            "{question}: {body}"
        );
        let (status, body) = ask(&server, &url(question), &[("X-Scope-OrgID", "b|a")]).await;
        assert_eq!(status, 200, "{question}: {body}");
        assert!(body.contains("only_a") && body.contains("only_b"), "{question}: {body}");
        let (_, body) = ask(&server, &url(question), &[("X-Scope-OrgID", "c")]).await;
        assert!(!body.contains("only_"), "{question}: {body}");
        for smuggled in [&[("X-Scope-OrgID", "a"), ("X-Scope-OrgID", "b")][..], &[("X-Scope-OrgID", "a|../b")]] {
            let (status, body) = ask(&server, &url(question), smuggled).await;
            assert!(status == 400 && !body.contains("only_"), "{question}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn several_tenants_are_told_apart_by_a_label() {
    let server = server(config("querier: {multi_tenant_queries_enabled: true}")).await;
    let both = [("X-Scope-OrgID", "a|b")];
    let check = async |question: &str, want: &[&str], not: &[&str]| {
        let (status, body) = ask(&server, &url(question), &both).await;
        assert_eq!(status, 200, "{question}: {body}");
        for text in want {
            assert!(body.contains(text), "{question}: {text} in {body}");
        }
        for text in not {
            assert!(!body.contains(text), "{question}: {text} not in {body}");
        }
    };
    check("labels?x=1", &["\"__tenant_id__\"", "\"app\""], &[]).await;
    check("label/__tenant_id__/values?x=1", &["[\"a\",\"b\"]"], &[]).await;
    check("series?match%5B%5D=Q", &["\"__tenant_id__\":\"a\"", "\"__tenant_id__\":\"b\""], &[]).await;
    check("query_range?query=Q", &["\"__tenant_id__\":\"a\"", "\"__tenant_id__\":\"b\""], &[]).await;
    let by_tenant = "query?query=sum%20by%20(__tenant_id__)%20(count_over_time(Q%5B1h%5D))&time=1795172399";
    check(by_tenant, &["\"__tenant_id__\":\"a\"", "\"__tenant_id__\":\"b\""], &[]).await;
    let chosen = "query_range?query=%7Bapp%3D%22api%22,__tenant_id__%3D%22a%22%7D";
    check(chosen, &["only_a", "\"__tenant_id__\":\"a\""], &["only_b"]).await;
    check("index/stats?query=Q", &["\"entries\":2"], &[]).await;
    check("index/stats?query=%7B__tenant_id__!%3D%22a%22,app%3D%22api%22%7D", &["\"entries\":1"], &[]).await;
    check("detected_labels?query=Q", &["__tenant_id__"], &[]).await;
}

#[tokio::test]
async fn several_tenants_are_refused_unless_allowed() {
    let server = server(Config::default()).await;
    for question in QUESTIONS {
        let got = ask(&server, &url(question), &[("X-Scope-OrgID", "a|b")]).await;
        assert_eq!(got, (400, "multiple org IDs present".to_owned()), "{question}");
        let got = ask(&server, &url(question), &[("no-sign-in", "")]).await;
        assert_eq!(got, (401, "no org id".to_owned()), "{question}");
    }
}

#[tokio::test]
async fn nobody_gets_in_without_signing_in() {
    let server = server(signing_in()).await;
    let wrong = [basic("alice:wrong"), basic("bob:right"), "Bearer agent-toke".to_owned(), "Bearer ".to_owned()];
    for question in QUESTIONS.iter().map(|question| url(question)).chain(["/metrics".to_owned()]) {
        assert_eq!(ask(&server, &question, &[]).await, (401, "sign in first".to_owned()), "{question}");
        assert_eq!(ask(&server, &question, &[("X-Scope-OrgID", "a")]).await.0, 401, "{question}");
        for authorization in &wrong {
            let headers = [("Authorization", authorization.as_str()), ("X-Scope-OrgID", "a")];
            assert_eq!(ask(&server, &question, &headers).await.0, 401, "{question} {authorization}");
        }
    }
    assert_eq!(ask(&server, "/ready", &[]).await.0, 200);
}

#[tokio::test]
async fn who_signed_in_has_their_tenant() {
    let server = server(signing_in()).await;
    let (alice, agent) = (basic("alice:right"), "Bearer agent-token");
    for question in QUESTIONS {
        let check = async |authorization: &str, org_id: Option<&str>, want: (u16, &str, &str)| {
            let mut headers = vec![("Authorization", authorization)];
            headers.extend(org_id.map(|id| ("X-Scope-OrgID", id)));
            let (status, body) = ask(&server, &url(question), &headers).await;
            let (want_status, shown, hidden) = want;
            assert!(status == want_status && body.contains(shown), "{question} {org_id:?}: {status} {body}");
            assert!(hidden.is_empty() || !body.contains(hidden), "{question} {org_id:?}: {body}");
        };
        check(&alice, None, (200, "only_a", "only_b")).await;
        check(&alice, Some("a"), (200, "only_a", "only_b")).await;
        check(&alice, Some("b"), (403, "tenant 'b' is not yours", "only_")).await;
        check(&alice, Some("a|b"), (403, "tenant 'b' is not yours", "only_")).await;
        check(agent, None, (200, "only_b", "only_a")).await;
        check(agent, Some("a"), (200, "only_a", "only_b")).await;
        check(agent, Some("a|b"), (200, "only_b", "")).await;
    }
}

#[tokio::test]
async fn each_tenant_has_its_limits() {
    let config = config("querier: {multi_tenant_queries_enabled: true, per_request_limits_enabled: true}");
    let overrides = "overrides: {a: {max_entries_limit_per_query: 10, max_query_length: 30m},
        b: {max_query_parallelism: 0, blocked_queries: [{pattern: 'rate', regex: true}]}}";
    config.set_overrides(overrides).expect("loads");
    let server = server(config).await;
    let check = async |tenant: &str, parameters: &str, status: u16, text: &str| {
        let path = format!("/loki/api/v1/query_range?{}", parameters.replace('Q', "%7Bapp%3D%22api%22%7D"));
        let got = ask(&server, &path, &[("X-Scope-OrgID", tenant)]).await;
        assert!(got.0 == status && got.1.contains(text), "{tenant} {parameters}: {got:?}");
    };
    let short = "start=1795168800&end=1795169800";
    let too_long = "the query time range exceeds the limit (query length: 1h0m0s, limit: 30m)";
    check("a", &format!("query=Q&{RANGE}"), 400, too_long).await;
    check("a|c", &format!("query=Q&{RANGE}"), 400, too_long).await;
    let too_many = "max entries limit per query exceeded, limit > max_entries_limit_per_query (11 > 10)";
    check("a", &format!("query=Q&limit=11&{short}"), 400, too_many).await;
    check("b", &format!("query=Q&{short}"), 429, "querying is disabled, please contact your Loki operator").await;
    check("c", &format!("query=Q&{RANGE}"), 200, "success").await;
    let too_much = "the query would read too many bytes (query: 14 B, limit: 5 B); consider adding more specific stream \
                    selectors or reduce the time range of the query";
    let narrowed = [("X-Scope-OrgID", "a"), ("X-Loki-Query-Limits", r#"{"maxQueryBytesRead":"5B"}"#)];
    let path = format!("/loki/api/v1/query_range?query=%7Bapp%3D%22api%22%7D&limit=1&{short}");
    assert_eq!(ask(&server, &path, &narrowed).await, (400, too_much.to_owned()));
    let narrowed = [("X-Scope-OrgID", "c"), ("X-Loki-Query-Limits", r#"{"maxQueryLength":"1m"}"#)];
    let (status, body) = ask(&server, &url("query_range?query=Q"), &narrowed).await;
    assert!(status == 400 && body.contains("limit: 1m"), "{status} {body}");
}
