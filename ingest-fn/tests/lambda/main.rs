//! The function as Lambda runs it: a process that is invoked, frozen behind each answer, invoked again, and killed.

#[path = "../common/mod.rs"]
mod common;
mod function;
mod refused;

use function::{bucket, folder, now_ms, start, variables};
use futures::future::join_all;
use serde_json::{Value, json};
use store::Store;
use testkit::aws::{self, Sent, every_kind, function_url, gzip, object_created, push};
use testkit::gate::{Gate, Stop};
use testkit::http::client;
use testkit::lambda::Told;
use testkit::moto::Moto;

/// The entries whose lines begin with a tag: how many, and how many of them are another's copy.
async fn stored(store: &Store, tag: &str) -> (usize, usize) {
    let mut rows = common::rows(store, "fake").await;
    rows.retain(|row| row.2.starts_with(tag));
    let all = rows.len();
    rows.dedup();
    (rows.len(), all - rows.len())
}

#[expect(clippy::print_stdout, reason = "the table is what this test is for")]
fn print(kind: &str, sent: usize, (stored, doubled): (usize, usize)) {
    println!("| {kind:<24} | {sent:>4} | {stored:>6} | {doubled:>7} |");
}

#[expect(clippy::print_stdout, reason = "the table is what this test is for")]
fn print_head(what: &str) {
    println!("{what}\n| kind                     | sent | stored | doubled |\n|---|---|---|---|");
}

/// What an answer must be: HTTP's 2xx, or an event's.
fn assert_taken(kind: &str, answer: &Result<Value, String>) {
    let status = answer.as_ref().map(|answer| answer["statusCode"].as_u64().unwrap_or(200));
    assert!(matches!(status, Ok(200 | 204)), "{kind}: {answer:?}");
    let failures = answer.as_ref().map(|answer| answer["batchItemFailures"].as_array().map_or(0, Vec::len));
    assert_eq!(failures, Ok(0), "{kind}: {answer:?}");
}

/// Puts an object of three lines for a notification to speak of.
async fn put_object(moto: &Moto, tag: &str) -> Sent {
    let key = format!("app/{tag}.log.gz");
    let url = format!("{}/sources/{key}", moto.endpoint());
    let body = gzip(format!("{tag} one\n{tag} two\n{tag} three\n"));
    let answer = client().put(url).body(body).send().await.expect("moto answers");
    assert!(answer.status().is_success(), "{}", answer.status());
    Sent { kind: "S3", event: object_created(now_ms(), "sources", &key), entries: 3 }
}

/// Each kind of event twice to one process: all is stored when the process is frozen behind its first answer, and stays what it is
/// behind the second.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_stored_though_the_process_is_frozen() {
    let (_folder, url, store) = folder();
    let moto = Moto::start();
    let mut environment = variables(&url, &[]);
    if let Some(moto) = &moto {
        moto.create_bucket("sources");
        environment.extend(moto.environment());
    }
    let lambda = start(&environment).await;
    print_head("each event delivered twice");
    for index in 0..=every_kind(now_ms(), "").len() {
        let tag = format!("kinds-{index}-");
        let Some(Sent { kind, event, entries }) = kind(index, &tag, moto.as_ref()).await else { continue };
        assert_taken(kind, &lambda.invoke(&event).await);
        assert_eq!(stored(&store, &tag).await, (entries, 0), "{kind}: its answer came before its entries");
        assert_taken(kind, &lambda.invoke(&event).await);
        let found = stored(&store, &tag).await;
        print(kind, entries, found);
        assert_eq!(found, (entries, 0), "{kind}");
    }
}

/// The event of a number: one that needs nothing else, or at last one of S3, which needs an object.
async fn kind(index: usize, tag: &str, moto: Option<&Moto>) -> Option<Sent> {
    match (every_kind(now_ms(), tag).into_iter().nth(index), moto) {
        (Some(sent), _) => Some(sent),
        (None, Some(moto)) => Some(put_object(moto, tag).await),
        (None, None) => None,
    }
}

/// The process dies while the segment is on its way, once before the store has it and once behind; AWS delivers again to another.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_stores_once() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("logs");
    moto.create_bucket("sources");
    let gate = Gate::before(&moto.endpoint()).await;
    let (store, environment) = (bucket(&moto), variables("s3://logs/x", &[("AWS_ENDPOINT_URL", gate.endpoint())]));
    for (stop, tag) in [(Stop::Before, "before"), (Stop::Behind, "behind")] {
        print_head(&format!("killed {tag} the store had the segment, then delivered again"));
        for index in 0..=every_kind(now_ms(), tag).len() {
            let tag = format!("{tag}-{index}-");
            let Some(Sent { kind, event, entries }) = kind(index, &tag, Some(&moto)).await else { continue };
            gate.stop_next_put("/l0/", stop);
            let lambda = start(&environment).await;
            lambda.begin(&event).await;
            gate.stopped().await;
            lambda.kill();
            let there = if stop == Stop::Before { 0 } else { entries };
            assert_eq!(stored(&store, &tag).await, (there, 0), "{kind}");
            let lambda = start(&environment).await;
            assert_taken(kind, &lambda.invoke(&event).await);
            let found = stored(&store, &tag).await;
            print(kind, entries, found);
            assert_eq!(found, (entries, 0), "{kind}");
        }
    }
}

/// Eight processes start at once, each with a push of its own and one that all have.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_cold_starts_stores_each_push_once() {
    let (_folder, url, store) = folder();
    let (now, environment) = (now_ms(), variables(&url, &[]));
    let burst = (0..8).map(async |n| {
        let lambda = start(&environment).await;
        let own = Sent { event: request(&push(now, &format!("own-{n}-"), 5)), kind: "own", entries: 5 };
        let shared = Sent { event: request(&push(now, "shared", 5)), kind: "shared", entries: 5 };
        for sent in [&own, &shared] {
            assert_taken(sent.kind, &lambda.invoke(&sent.event).await);
        }
    });
    join_all(burst).await;
    assert_eq!((stored(&store, "own-").await, stored(&store, "shared").await), ((40, 0), (5, 0)));
}

fn request(body: &str) -> Value {
    let headers = json!({"content-type": "application/json", "content-encoding": "gzip"});
    function_url("/loki/api/v1/push", headers, &gzip(body))
}

/// Pushes make a day due, the function asks for its merge before it answers, and merges when it is asked. The merge too may be killed
/// at any of its writes and is asked for again by AWS.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_asked_for_and_survives_its_process() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("logs");
    let gate = Gate::before(&moto.endpoint()).await;
    let (told, lambda_api) = Told::start().await;
    let more = [("AWS_ENDPOINT_URL", gate.endpoint()), ("AWS_ENDPOINT_URL_LAMBDA", &lambda_api)];
    let (store, environment) = (bucket(&moto), variables("s3://logs/x", &more));
    let deaths =
        [("/seg/", Stop::Before), ("/seg/", Stop::Behind), ("/manifest/", Stop::Before), ("/manifest/", Stop::Behind)];
    let (mut pushed, now) = (0, now_ms());
    for (part, stop) in deaths {
        let lambda = start(&environment).await;
        for _ in 0..3 {
            pushed += 1;
            assert_taken("push", &lambda.invoke(&request(&push(now, &format!("m-{pushed}-"), 2))).await);
        }
        let requests = told.take();
        assert!(matches!(requests.as_slice(), [one] if one["logbarn"]["merge"]["tenant"] == "fake"), "{requests:?}");
        gate.stop_next_put(part, stop);
        lambda.begin(&requests[0]).await;
        gate.stopped().await;
        lambda.kill();
        assert_eq!(stored(&store, "m-").await, (2 * pushed, 0), "{part} {stop:?}");
        let lambda = start(&environment).await;
        let answer = lambda.invoke(&requests[0]).await.expect("merged");
        println!("killed {stop:?} {part}: asked again, {answer}");
        assert_eq!(stored(&store, "m-").await, (2 * pushed, 0), "{part} {stop:?}");
    }
    let (tenant, day) = (model::TenantId::single(), model::Day::of(now * 1_000_000));
    let current = store.current(&tenant, day).await.expect("lists");
    assert!(current.fresh.is_empty() && current.manifest.version >= 4, "{current:?}");
    let schedule = json!({"source": "aws.scheduler", "detail-type": "Scheduled Event"});
    let answer = start(&environment).await.invoke(&schedule).await;
    assert_eq!((answer, told.take().len()), (Ok(json!({"days": 1})), 1));
}

/// What Lambda itself would pass on is taken up to its limit, packed and in text.
#[tokio::test(flavor = "multi_thread")]
async fn six_megabytes_are_taken_and_more_are_told() {
    let (_folder, url, store) = folder();
    let yaml = "auth_enabled: false\ndistributor: {max_decompressed_size: 8MB}\nlimits_config: {ingestion_rate_mb: 100, \
                ingestion_burst_size_mb: 100, per_stream_rate_limit: 100MB, per_stream_rate_limit_burst: 100MB}";
    let lambda = start(&variables(&url, &[("LOGBARN_CONFIG", yaml)])).await;
    let large = |bytes: usize| {
        let mut numbers = testkit::generate::Numbers::new(7);
        let mut line = || (0..400).map(|_| format!("{:016x}", numbers.draw())).collect::<String>();
        let count = bytes / 6_450;
        let values: Vec<Value> =
            (0..count).map(|n| json!([(now_ms() * 1_000_000 + n as i64).to_string(), line()])).collect();
        (json!({"streams": [{"stream": {"app": "large"}, "values": values}]}).to_string(), count)
    };
    let plain =
        |body: &str| function_url("/loki/api/v1/push", json!({"content-type": "application/json"}), body.as_bytes());
    let status = async |event: &Value| {
        let answer = lambda.invoke(event).await.expect("an answer");
        (answer["statusCode"].as_u64(), answer["body"].as_str().unwrap_or_default().to_owned())
    };
    // base64 takes a third more.
    let (fits, count) = large(4_600_000);
    assert_eq!(status(&plain(&fits)).await, (Some(204), String::new()));
    assert_eq!(common::rows(&store, "fake").await.len(), count);
    let (too_large, _) = large(4_900_000);
    let (code, text) = status(&plain(&too_large)).await;
    assert!(code == Some(413) && text.contains("send smaller batches"), "{code:?} {text}");
    // Of hexadecimal digits gzip leaves half: small enough to come in, too large once it is unpacked.
    let (code, text) = status(&request(&large(8_800_000).0)).await;
    assert!(code == Some(413), "{code:?} {text}");
    assert_eq!(status(&request(&aws::push(now_ms(), "small", 1))).await.0, Some(204), "the process lives on");
}
