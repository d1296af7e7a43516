//! Both functions as real processes behind Function URLs, one bucket between them.

use localstack_tests::Deployed;
use serde_json::json;

const DAY_NS: i64 = 86_400_000_000_000;
const START_NS: i64 = 1_795_168_800_000_000_000;

fn body(job: &str, times: &[i64]) -> serde_json::Value {
    let values: Vec<_> = times.iter().map(|time| json!([time.to_string(), format!("line at {time}")])).collect();
    json!({ "streams": [{ "stream": { "job": job }, "values": values }] })
}

#[tokio::test]
#[ignore = "needs deployed functions: .ci/localstack-tests runs it"]
async fn a_push_is_one_object_and_a_retry_adds_none() {
    let deployed = Deployed::from_env();
    let body = body("one-object", &[START_NS, START_NS + 1, START_NS + 2]);
    let before = deployed.keys().await;
    assert_eq!(deployed.push(&body).await, (204, String::new()));
    let after = deployed.keys().await;
    assert_eq!(deployed.push(&body).await.0, 204);
    let again = deployed.keys().await;
    println!("objects: {} before, {} after one push, {} after its retry", before.len(), after.len(), again.len());
    let fresh = |keys: &[String]| keys.iter().filter(|key| key.contains("/l0/")).count();
    assert_eq!(fresh(&after), fresh(&before) + 1, "{after:?}");
    assert_eq!(fresh(&again), fresh(&after), "{again:?}");
    assert_eq!(deployed.lines(r#"{job="one-object"}"#, START_NS - 1, START_NS + DAY_NS).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs deployed functions: .ci/localstack-tests runs it"]
async fn a_batch_over_two_days_makes_two_objects_and_reads_back_whole() {
    let deployed = Deployed::from_env();
    let body = body("two-days", &[START_NS, START_NS + DAY_NS]);
    let before = deployed.keys().await;
    assert_eq!(deployed.push(&body).await.0, 204);
    let after = deployed.keys().await;
    let fresh = |keys: &[String]| keys.iter().filter(|key| key.contains("/l0/")).count();
    println!("objects: {} before, {} after", before.len(), after.len());
    assert_eq!(fresh(&after), fresh(&before) + 2, "{after:?}");
    assert_eq!(deployed.lines(r#"{job="two-days"}"#, START_NS - 1, START_NS + 2 * DAY_NS).await.len(), 2);
}

#[tokio::test]
#[ignore = "needs deployed functions: .ci/localstack-tests runs it"]
async fn good_entries_of_a_bad_push_are_kept() {
    let deployed = Deployed::from_env();
    let too_long = "x".repeat(300_000);
    let values = json!([[START_NS.to_string(), "kept"], [(START_NS + 1).to_string(), too_long]]);
    let body = json!({ "streams": [{ "stream": { "job": "half-good" }, "values": values }] });
    let (status, text) = deployed.push(&body).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("max entry size"), "{text}");
    let lines = deployed.lines(r#"{job="half-good"}"#, START_NS - 1, START_NS + DAY_NS).await;
    assert_eq!(lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>(), ["kept"]);
}
