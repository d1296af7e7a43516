//! What these tests of the function share: its process, a store of lines, and questions as each front of Lambda hands them over.

use model::{Day, Entry, Labels, TenantId};
use serde_json::{Value, json};
use store::{FreshKey, Store};
use testkit::generate::Numbers;
use testkit::lambda::{Lambda, Streaming};

const BINARY: &str = env!("CARGO_BIN_EXE_query-fn");
pub(crate) const YAML: &str = "auth_enabled: false\nlogbarn: {merge_objects_min: 3}";
const PATH: &str = "/loki/api/v1/query_range";

/// A folder as a store, with segments of so many lines that are at least so long.
pub(crate) async fn filled(segments: i64, lines: i64, bytes: usize) -> (tempfile::TempDir, String, Day) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", folder.path().join("store").display());
    let store = Store::open(&url.parse().expect("a URL"), []).expect("opens");
    // A day that has its end behind it, whatever the clock says.
    let start_ns = Day::of(jiff::Timestamp::now().as_nanosecond() as i64 - 86_400_000_000_000).start_ns();
    let (labels, mut numbers) = (Labels::from_pairs([("app", "api")]), Numbers::new(11));
    for segment in 0..segments {
        let mut entry = |n: i64| Entry {
            timestamp_ns: start_ns + segment * lines + n,
            line: (0..bytes.div_ceil(16).max(1)).map(|_| format!("{:016x}", numbers.draw())).collect(),
            metadata: Labels::default(),
        };
        let entries: Vec<Entry> = (0..lines).map(&mut entry).collect();
        let mut writer = segment::Writer::new(segment::Options::default());
        writer.add(&labels, &entries);
        let built = writer.finish().expect("a segment");
        let (min_ts, max_ts) = (built.min_ts, built.max_ts);
        let key = FreshKey { day: Day::of(min_ts), min_ts, max_ts, batch_id: segment as u128, rows: built.rows };
        store.put_fresh(&TenantId::single(), key, built.bytes.into()).await.expect("stored");
    }
    (folder, url, Day::of(start_ns))
}

/// The variables of a function on this store.
pub(crate) fn variables(store: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let fixed = [
        ("LOGBARN_STORE", store),
        ("LOGBARN_CONFIG", YAML),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    fixed.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) async fn start(variables: &[(String, String)]) -> Lambda {
    Lambda::start(BINARY, variables).await
}

pub(crate) async fn start_streaming(variables: &[(String, String)]) -> Streaming {
    let streams = [("LOGBARN_RESPONSE_STREAM".to_owned(), "true".to_owned())];
    Streaming::start(BINARY, &[variables, &streams].concat()).await
}

/// The parameters of a question over two days.
pub(crate) fn parameters(query: &str) -> Vec<(&'static str, String)> {
    let now_ns = jiff::Timestamp::now().as_nanosecond();
    let start = (now_ns - 2 * 86_400_000_000_000).to_string();
    vec![("query", query.to_owned()), ("start", start), ("end", now_ns.to_string()), ("limit", "5000".to_owned())]
}

fn encoded(parameters: &[(&str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// The question as a Function URL or API Gateway's version 2 hands it over.
pub(crate) fn function_url(query: &str, headers: Value) -> Value {
    let mut event = testkit::aws::function_url(PATH, headers, b"");
    event["requestContext"]["http"]["method"] = "GET".into();
    event["rawQueryString"] = encoded(&parameters(query)).into();
    event
}

/// The same question by every front, and as a form in a body.
pub(crate) fn every_front(query: &str) -> Vec<(&'static str, Value)> {
    let form = json!({"content-type": "application/x-www-form-urlencoded"});
    let parameters = parameters(query);
    let posted = testkit::aws::function_url(PATH, form, encoded(&parameters).as_bytes());
    let mut gateway = testkit::aws::api_gateway(PATH, json!({}), b"");
    let mut balancer = testkit::aws::load_balancer(PATH, json!({}), b"");
    for (name, value) in &parameters {
        gateway["queryStringParameters"][name] = value.as_str().into();
        // A balancer hands them over as they came.
        balancer["queryStringParameters"][name] =
            url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().into();
    }
    (gateway["httpMethod"], balancer["httpMethod"]) = ("GET".into(), "GET".into());
    vec![
        ("Function URL", function_url(query, json!({}))),
        ("form", posted),
        ("API Gateway v1", gateway),
        ("load balancer", balancer),
    ]
}

/// The body of a buffered answer, decoded if it is base64.
pub(crate) fn body(answer: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let text = answer["body"].as_str().expect("a body");
    match answer["isBase64Encoded"].as_bool() {
        Some(true) => base64::prelude::BASE64_STANDARD.decode(text).expect("base64"),
        _ => text.as_bytes().to_vec(),
    }
}

/// The entries of an answer to a question of logs.
pub(crate) fn entries(body: &[u8]) -> usize {
    let answer: Value = serde_json::from_slice(body).expect("JSON");
    let streams = answer["data"]["result"].as_array().expect("a result");
    streams.iter().map(|stream| stream["values"].as_array().expect("values").len()).sum()
}
