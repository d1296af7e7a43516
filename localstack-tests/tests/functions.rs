//! Both functions as real processes behind Function URLs, one bucket between them.

use aws_sdk_s3::types::{Object, ServerSideEncryption};
use localstack_tests::Deployed;
use regex::RegexSet;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

const DAY_NS: i64 = 86_400_000_000_000;
const START_NS: i64 = 1_795_168_800_000_000_000;

fn body(job: &str, times: &[i64]) -> serde_json::Value {
    let values: Vec<_> = times.iter().map(|time| json!([time.to_string(), format!("line at {time}")])).collect();
    json!({ "streams": [{ "stream": { "job": job }, "values": values }] })
}

/// The fresh segments: each with when and as what it was written.
fn fresh(objects: &[Object]) -> Vec<String> {
    let fresh = objects.iter().filter(|object| object.key().is_some_and(|key| key.contains("/l0/")));
    fresh.map(|object| format!("{:?} {:?} {:?}", object.key(), object.last_modified(), object.e_tag())).collect()
}

#[tokio::test]
#[ignore = "needs deployed functions: .ci/localstack-tests runs it"]
async fn a_push_is_one_object_and_a_retry_adds_none() {
    let deployed = Deployed::from_env();
    let body = body("one-object", &[START_NS, START_NS + 1, START_NS + 2]);
    let before = fresh(&deployed.objects().await);
    assert_eq!(deployed.push(&body).await, (204, String::new()));
    let after = fresh(&deployed.objects().await);
    assert_eq!(deployed.push(&body).await.0, 204);
    let again = fresh(&deployed.objects().await);
    println!("segments: {} before, {} after one push, {} after its retry", before.len(), after.len(), again.len());
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    assert_eq!(again, after, "the retry has written nothing, not even the same again");
    assert_eq!(deployed.lines(r#"{job="one-object"}"#, START_NS - 1, START_NS + DAY_NS).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs deployed functions: .ci/localstack-tests runs it"]
async fn a_batch_over_two_days_makes_two_objects_and_reads_back_whole() {
    let deployed = Deployed::from_env();
    let body = body("two-days", &[START_NS, START_NS + DAY_NS]);
    let before = fresh(&deployed.objects().await);
    assert_eq!(deployed.push(&body).await.0, 204);
    let after = fresh(&deployed.objects().await);
    println!("segments: {} before, {} after", before.len(), after.len());
    assert_eq!(after.len(), before.len() + 2, "{after:?}");
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

/// What may lie in the bucket, and under which keys.
const KINDS: [(&str, &str); 4] = [
    ("fresh segment", r"^logs/t/fake/\d{4}-\d\d-\d\d/l0/\d{19}-\d{19}-[0-9a-f]{32}-[1-9]\d*\.seg$"),
    ("merged segment", r"^logs/t/fake/\d{4}-\d\d-\d\d/seg/[0-9a-f]{32}-[1-9]\d*\.seg$"),
    ("manifest", r"^logs/t/fake/\d{4}-\d\d-\d\d/manifest/\d{10}-[1-9]\d*\.json$"),
    ("probe", r"^logs/probe/v1(\.json|/[a-z]+)$"),
];
/// Pushes after which a function asks itself for a merge, and some.
const PUSHES: i64 = 70;

#[tokio::test]
#[ignore = "needs deployed functions: .ci/localstack-tests runs it"]
async fn nothing_lies_in_the_bucket_but_whole_encrypted_objects_of_known_kinds() {
    let deployed = Deployed::from_env();
    for push in 0..PUSHES {
        assert_eq!(deployed.push(&body("many", &[START_NS + 2 * DAY_NS + push])).await.0, 204);
    }
    // The merge that the function asked itself for is nobody's to wait for but ours.
    while !deployed.keys().await.iter().any(|key| key.contains("/manifest/")) {
        tokio::task::yield_now().await;
    }
    let known = RegexSet::new(KINDS.map(|(_, shape)| shape)).expect("shapes of keys");
    let mut counts = KINDS.map(|_| 0);
    for listed in deployed.objects().await {
        let key = listed.key().expect("an object has a key");
        let kind = known.matches(key).into_iter().next().unwrap_or_else(|| panic!("a stranger: {key}"));
        counts[kind] += 1;
        let (bytes, object) = deployed.object(key).await;
        assert_eq!(listed.size(), i64::try_from(bytes.len()).ok(), "{key}");
        assert_eq!(object.server_side_encryption(), Some(&ServerSideEncryption::Aes256), "{key}");
        match KINDS[kind].0 {
            "fresh segment" | "merged segment" => assert!(bytes.ends_with(b"LBS\x1a"), "{key} has no trailer"),
            "manifest" => assert_sealed(key, &bytes),
            _ => {}
        }
    }
    println!("{:?}", KINDS.map(|(name, _)| name).iter().zip(counts).collect::<Vec<_>>());
    assert!(counts[0] >= 70 && counts[1] >= 1 && counts[2] >= 1, "{counts:?}");
    assert_eq!(deployed.unfinished_uploads().await, 0);
    let found = deployed.lines(r#"{job="many"}"#, START_NS + 2 * DAY_NS - 1, START_NS + 3 * DAY_NS).await;
    assert_eq!(found.len(), 70);
}

/// A manifest's first line holds the checksum of the rest.
fn assert_sealed(key: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("a manifest is text");
    let (head, body) = text.split_once('\n').expect("a manifest has a head");
    let want = format!("{:016x}", xxh3_64(body.as_bytes()));
    assert!(head.starts_with("logbarn manifest ") && head.ends_with(&want), "{key}: {head}, and {want}");
}
