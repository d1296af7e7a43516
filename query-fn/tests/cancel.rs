//! Queries that nobody waits for any more: a client that went away, or a time that is up. Requests to the store are counted.

mod live;

use std::time::Duration;

use live::{Source, World};
use store::faulty::{Fault, Operation, Rule};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Paths of every kind of question, each with the request at which it will hang.
const QUESTIONS: [(&str, Operation); 4] = [
    ("/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D", Operation::Get),
    ("/loki/api/v1/query?query=sum(count_over_time(%7Bapp%3D%22x%22%7D%7C%3D%22line%22%5B1h%5D))", Operation::Get),
    ("/loki/api/v1/labels", Operation::List),
    ("/loki/api/v1/index/stats?query=%7Bapp%3D%22x%22%7D", Operation::Get),
];
const SEGMENTS: usize = 40;

/// The client closes while requests to the store are under way; then the store works again, and is asked nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_ends_its_query() {
    for (question, operation) in QUESTIONS {
        let world = World::start(Source::Feed, "").await;
        for i in 0..SEGMENTS {
            world.push("x", &[&format!("line {i}")]).await;
        }
        world.faulty.add(Rule::always(operation, Fault::Hang));
        let mut client = TcpStream::connect(world.address).await.expect("connects");
        let request = format!("GET {question} HTTP/1.1\r\nHost: logbarn\r\n\r\n");
        client.write_all(request.as_bytes()).await.expect("sent");
        while world.faulty.fired() == 0 {
            tokio::task::yield_now().await;
        }
        drop(client);
        world.until_sum("logbarn_query_request_duration_seconds_count", "status_code=\"499\"", 1).await;
        let before = world.store.counters().snapshot().requests();
        world.faulty.heal();
        // Another query goes all the way meanwhile: the first one has had its chance to go on.
        let (status, answer) = world.get("/loki/api/v1/series").await;
        assert_eq!(status, 200, "{answer}");
        let alone = world.store.counters().snapshot().requests() - before;
        let again = world.store.counters().snapshot().requests();
        world.get("/loki/api/v1/series").await;
        let cached = world.store.counters().snapshot().requests() - again;
        assert!(alone <= SEGMENTS as u64 + cached, "{question}: {alone} requests after the client went");
    }
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
