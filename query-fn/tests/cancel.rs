//! Queries that nobody waits for any more: a client that went away, or a time that is up. Requests to the store are counted.

mod live;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use live::{Source, World};
use loki_api::config::Config;
use query_fn::Query;
use store::Store;
use store::faulty::{Fault, Operation, Rule};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tower::ServiceExt as _;

/// Paths of every kind of question, each with the request at which it will hang.
const QUESTIONS: [(&str, Operation); 4] = [
    ("/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D", Operation::Get),
    ("/loki/api/v1/query?query=sum(count_over_time(%7Bapp%3D%22x%22%7D%7C%3D%22line%22%5B1h%5D))", Operation::Get),
    ("/loki/api/v1/labels", Operation::List),
    ("/loki/api/v1/index/stats?query=%7Bapp%3D%22x%22%7D", Operation::Get),
];
const SEGMENTS: usize = 40;

/// The client closes while requests to the store are held. Then the store works again, and that query's engine asks it for nothing: not
/// one request, while another engine's questions go all the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_ends_its_query() {
    for (question, operation) in QUESTIONS {
        let world = World::start(Source::Feed, "").await;
        for i in 0..SEGMENTS {
            world.push("x", &[&format!("line {i}")]).await;
        }
        world.faulty.add(Rule::always(operation, Fault::Hold));
        let mut client = TcpStream::connect(world.address).await.expect("connects");
        let request = format!("GET {question} HTTP/1.1\r\nHost: logbarn\r\n\r\n");
        client.write_all(request.as_bytes()).await.expect("sent");
        until(|| world.faulty.held() > 0, question).await;
        drop(client);
        world.until_sum("loki_request_duration_seconds_count", "status_code=\"499\"", 1).await;
        until(|| world.faulty.held() == 0, question).await;
        let before = world.store.counters().snapshot();
        world.faulty.heal();
        // The same store by another way, with an engine and counters of its own: the query that was left has its chance to go on.
        let store = Store::new(Arc::new(world.faulty.clone()));
        let other = query_fn::router(Query::new(store.clone(), Arc::new(config())));
        for (question, _) in QUESTIONS {
            let request = Request::get(question).body(Body::empty()).expect("a request");
            assert_eq!(other.clone().oneshot(request).await.expect("infallible").status(), 200, "{question}");
        }
        assert!(store.counters().snapshot().requests() > SEGMENTS as u64, "the others did go all the way");
        let after = (world.store.counters().snapshot() - before).requests();
        assert_eq!(after, 0, "{question}: requests after the client went");
    }
}

/// Waits for what comes soon, or never.
async fn until(is_so: impl Fn() -> bool, what: &str) {
    let come = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), come).await.unwrap_or_else(|_| panic!("{what}"));
}

fn config() -> Config {
    Config::from_yaml("auth_enabled: false").expect("a configuration")
}

#[tokio::test]
async fn a_time_that_is_up_is_504() {
    const TEXT: &str = "request timed out, decrease the duration of the request or add more label matchers (prefer exact match \
                        over regex match) to reduce the amount of data processed";
    for (question, operation) in QUESTIONS {
        let world = World::start(Source::Feed, "limits_config: {query_timeout: 50ms}").await;
        world.push("x", &["line"]).await;
        world.faulty.add(Rule::always(operation, Fault::Hang));
        let got = tokio::time::timeout(Duration::from_secs(60), world.get(question)).await.expect("an answer");
        assert_eq!((got.0, got.1.as_str()), (504, TEXT), "{question}");
    }
}
