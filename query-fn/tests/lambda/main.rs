//! The function as Lambda runs it: its real binary, frozen behind each answer, with answers in JSON and as streams.

mod asked;
mod refused;

use std::io::Read as _;

use asked::{body, entries, every_front, filled, function_url, start, start_streaming, variables};
use serde_json::{Value, json};
use testkit::lambda::Told;

const ALL: &str = r#"{app="api"}"#;
/// What Lambda passes on.
const ANSWER_BYTES_MAX: usize = 6 << 20;

/// Each front twice to one process, which is frozen between.
#[tokio::test(flavor = "multi_thread")]
async fn every_front_is_answered_again_and_again() {
    let (_folder, url, _) = filled(2, 300, 100).await;
    let lambda = start(&variables(&url, &[])).await;
    for _ in 0..2 {
        for (front, event) in every_front(ALL) {
            let answer = lambda.invoke(&event).await.expect(front);
            assert_eq!((&answer["statusCode"], entries(&body(&answer))), (&json!(200), 600), "{front}");
        }
    }
    let packed = lambda.invoke(&function_url(ALL, json!({"accept-encoding": "gzip"}))).await.expect("an answer");
    assert_eq!((&packed["isBase64Encoded"], &packed["headers"]["content-encoding"]), (&json!(true), &json!("gzip")));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(body(&packed).as_slice()).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(entries(&unpacked), 600);
}

/// An answer that Lambda would not pass on: told where it has to be whole, given where it is a stream.
#[tokio::test(flavor = "multi_thread")]
async fn six_megabytes_are_given_and_more_are_streamed() {
    let (_folder, url, _) = filled(1, 2_000, 4_000).await;
    let environment = variables(&url, &[]);
    let lambda = start(&environment).await;
    let few = format!("{ALL} |~ \"^[0-7]\"");
    let answer = lambda.invoke(&function_url(&few, json!({}))).await.expect("an answer");
    let bytes = body(&answer).len();
    assert!(answer["statusCode"] == 200 && bytes > ANSWER_BYTES_MAX / 2, "{} {bytes}", answer["statusCode"]);
    let answer = lambda.invoke(&function_url(ALL, json!({}))).await.expect("an answer");
    let text = String::from_utf8(body(&answer)).expect("text");
    assert!(answer["statusCode"] == 413 && text.contains("fewer entries"), "{} {text}", answer["statusCode"]);

    let mut lambda = start_streaming(&environment).await;
    let (head, whole) = lambda.invoke(&function_url(ALL, json!({}))).await;
    assert_eq!((&head["statusCode"], entries(&whole)), (&json!(200), 2_000));
    assert!(whole.len() > ANSWER_BYTES_MAX, "{}", whole.len());
    let (head, text) = lambda.invoke(&function_url("{app=", json!({}))).await;
    assert_eq!(head["statusCode"], 400, "{}", String::from_utf8_lossy(&text));
}

/// A listing that shows a day to be due is told to the function that merges, once, before the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_asks_for_the_merge_of_a_long_day() {
    let (_folder, url, day) = filled(3, 10, 100).await;
    let (told, endpoint) = Told::start().await;
    let merger = [("LOGBARN_MERGE_FUNCTION", "logs-ingest"), ("AWS_ENDPOINT_URL_LAMBDA", endpoint.as_str())];
    let question = function_url(ALL, json!({}));
    let wanted = [json!({"logbarn": {"merge": {"tenant": "fake", "day": day.to_string()}}})];
    let asked = |told: Vec<Value>| -> Vec<Value> {
        let of = |event: Value| {
            let merge = &event["logbarn"]["merge"];
            json!({"logbarn": {"merge": {"tenant": merge["tenant"], "day": merge["day"]}}})
        };
        told.into_iter().map(of).collect()
    };

    let lambda = start(&variables(&url, &merger)).await;
    assert_eq!(lambda.invoke(&question).await.expect("an answer")["statusCode"], 200);
    assert_eq!(asked(told.take()), wanted);
    assert_eq!(lambda.invoke(&question).await.expect("an answer")["statusCode"], 200);
    assert_eq!(told.take(), Vec::<Value>::new(), "somebody is at it");

    let mut lambda = start_streaming(&variables(&url, &merger)).await;
    assert_eq!(lambda.invoke(&question).await.0["statusCode"], 200);
    assert_eq!(asked(told.take()), wanted, "a stream, too");

    let off =
        [&merger[..], &[("LOGBARN_CONFIG", "auth_enabled: false\nlogbarn: {merge_objects_min: 3, merge: false}")]];
    let lambda = start(&variables(&url, &off.concat())).await;
    assert_eq!(lambda.invoke(&question).await.expect("an answer")["statusCode"], 200);
    assert_eq!(told.take(), Vec::<Value>::new(), "nobody is to merge");

    let nobody = [("LOGBARN_MERGE_FUNCTION", "logs-ingest"), ("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")];
    let lambda = start(&variables(&url, &nobody)).await;
    assert_eq!(lambda.invoke(&question).await.expect("an answer")["statusCode"], 200, "the question does not suffer");
}
