//! The function merges by asking itself: a day that became due is asked for before the answer, and merged by another invocation.

mod common;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use common::{NOW_NS, World, body, world};
use door::merger::Merger;
use http::{HeaderMap, StatusCode};
use ingest_fn::{CommitSettings, EventSettings, Events, Function, Ingest, Merges, router};
use lambda_http::{Context, LambdaEvent, Service as _};
use loki_api::config::Config;
use serde_json::{Value, json};

/// What the function asked of whom, in place of Lambda.
type Told = Arc<Mutex<Vec<Value>>>;

async fn lambda(State((told, status)): State<(Told, StatusCode)>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["x-amz-invocation-type"], "Event", "nobody waits for a merge");
    told.lock().expect("nobody panicked").push(serde_json::from_slice(&body).expect("JSON"));
    status
}

/// A function that asks a Lambda API which answers everything with a status.
struct Asking {
    world: World,
    function: Function,
    told: Told,
}

async fn asking(yaml: &str, status: StatusCode) -> Asking {
    let told = Told::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let api = Router::new().fallback(lambda).with_state((told.clone(), status));
    tokio::spawn(axum::serve(listener, api).into_future());
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "r"),
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let merger = Merger::open(variables.to_vec(), "ingest".to_owned()).expect("settings");
    let config = Arc::new(Config::from_yaml(yaml).expect("the configuration loads"));
    let world = world(yaml);
    let merges = Merges::new(world.store.clone(), &config, Some(merger));
    let commit = CommitSettings::new(&config, false);
    let ingest = Ingest::new(merges.watched_store(), config, commit).with_clock(|| NOW_NS);
    let events = Events::new(ingest.clone(), EventSettings::default()).with_merges(merges);
    Asking { world, function: Function::new(router(ingest), events), told }
}

impl Asking {
    async fn call(&mut self, event: Value) -> Result<Value, String> {
        let mut context = Context::default();
        // Real time: a deadline of Lambda is one.
        context.deadline = u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("after 1970") + 60_000;
        self.function.call(LambdaEvent::new(event, context)).await.map_err(|e| e.to_string())
    }

    async fn push(&mut self, line: &str) {
        let body = body(r#"{"app":"m"}"#, &format!(r#"["{NOW_NS}","{line}"]"#));
        let event = json!({"httpMethod": "POST", "path": "/loki/api/v1/push", "body": body, "isBase64Encoded": false,
            "headers": {"content-type": "application/json"},
            "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/t/1"}}});
        assert_eq!(self.call(event).await.expect("answered")["statusCode"], 204);
    }

    fn told(&self) -> Vec<Value> {
        std::mem::take(&mut self.told.lock().expect("nobody panicked"))
    }

    async fn segments(&self) -> (usize, u64) {
        let (tenant, day) = (model::TenantId::single(), model::Day::of(NOW_NS));
        let current = self.world.store.current(&tenant, day).await.expect("lists");
        (current.fresh.len(), current.manifest.version)
    }
}

const YAML: &str = "auth_enabled: false\nlogbarn: {merge_objects_min: 3}";

#[tokio::test]
async fn a_due_day_is_asked_for_and_merged() {
    let mut asking = asking(YAML, StatusCode::ACCEPTED).await;
    for n in 0..2 {
        asking.push(&format!("line {n}")).await;
    }
    assert_eq!(asking.told(), [] as [Value; 0]);
    asking.push("line 2").await;
    let request = json!({"logbarn": {"merge": {"tenant": "fake", "day": "2026-11-20", "all": false, "round": 0}}});
    assert_eq!(asking.told(), std::slice::from_ref(&request), "asked for before the answer, once");
    assert_eq!(asking.segments().await, (3, 0));

    let done = asking.call(request.clone()).await.expect("merged");
    assert_eq!((&done["merges"], &done["segments_in"], &done["more"]), (&json!(1), &json!(3), &json!(false)));
    assert_eq!(asking.segments().await, (0, 1));
    let again = asking.call(request).await.expect("nothing is due");
    assert_eq!((&again["merges"], asking.segments().await), (&json!(0), (0, 1)));
    assert_eq!(asking.told(), [] as [Value; 0], "who has done all there was asks for no more");
}

#[tokio::test]
async fn nobody_suffers_if_nobody_can_be_asked() {
    let mut asking = asking(YAML, StatusCode::FORBIDDEN).await;
    for n in 0..3 {
        asking.push(&format!("line {n}")).await;
    }
    assert_eq!((asking.told().len(), asking.segments().await), (1, (3, 0)));
    let error = asking.call(json!({"source": "aws.events"})).await.expect_err("a schedule is to be tried again");
    assert!(error.contains("ingest is refused (403)"), "{error}");
}

#[tokio::test]
async fn a_schedule_looks_after_the_days() {
    let mut asking = asking(YAML, StatusCode::ACCEPTED).await;
    asking.push("one").await;
    asking.push("two").await;
    let yesterday = NOW_NS - 86_400_000_000_000;
    asking.world.push(body(r#"{"app":"m"}"#, &format!(r#"["{yesterday}","a"]"#))).await;
    asking.world.push(body(r#"{"app":"m"}"#, &format!(r#"["{yesterday}","b"]"#))).await;
    let done = asking.call(json!({"source": "aws.scheduler", "detail-type": "Scheduled Event"})).await;
    assert_eq!(done, Ok(json!({"days": 2})));
    let requests = asking.told();
    let mut days: Vec<String> = requests.iter().map(|told| told["logbarn"]["merge"].to_string()).collect();
    days.sort();
    let want = [
        r#"{"all":false,"day":"2026-11-20","round":0,"tenant":"fake"}"#,
        r#"{"all":true,"day":"2026-11-19","round":0,"tenant":"fake"}"#,
    ];
    assert_eq!(days, want, "only a day that is over is merged down to the last segment");
    for request in requests {
        asking.call(request).await.expect("looked after");
    }
    assert_eq!(asking.segments().await, (2, 0), "today is not due");
    assert_eq!(asking.world.rows("fake").await.len(), 4);
}

/// No time, no work, no further request; and a request that came too often is the last.
#[tokio::test]
async fn a_request_does_not_follow_itself_for_ever() {
    let mut asking = asking(YAML, StatusCode::ACCEPTED).await;
    for n in 0..3 {
        asking.push(&format!("line {n}")).await;
    }
    let request = asking.told().remove(0);
    let done = asking.function.call(LambdaEvent::new(request, Context::default())).await.expect("no time, no error");
    assert_eq!((&done["merges"], &done["more"], &done["asked_again"]), (&json!(0), &json!(true), &json!(false)));
    assert_eq!(asking.told(), [] as [Value; 0]);
}

#[tokio::test]
async fn a_store_that_must_not_be_merged_is_not() {
    let mut asking =
        asking("auth_enabled: false\nlogbarn: {merge: false, merge_objects_min: 1}", StatusCode::ACCEPTED).await;
    asking.push("one").await;
    asking.push("two").await;
    assert_eq!(asking.told(), [] as [Value; 0]);
    let request = json!({"logbarn": {"merge": {"tenant": "fake", "day": "2026-11-20"}}});
    assert_eq!(asking.call(request).await.expect("refused kindly")["allowed"], false);
    assert_eq!(asking.segments().await, (2, 0));
}
