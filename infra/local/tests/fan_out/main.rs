//! A server that fans out to eight others over HTTP: real processes over one folder, asked what Loki was asked.
//!
//! Every question of the corpus is asked of a server that is alone and of one with leaves, and must be answered alike: with good leaves,
//! and with leaves that are killed, throttled, stuck, failing or talk nonsense. What the leaves did is read from `/metrics`.

#[path = "../serve/support.rs"]
#[expect(dead_code, reason = "the other test program needs the rest of it")]
mod support;

mod broken;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::Server;
use tempfile::TempDir;

const LEAVES: usize = 8;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testkit/conformance")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("the corpus can be read")).expect("the corpus is JSON")
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(corpus().join(folder)).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// The corpus' own configuration with ours behind it. Nothing is merged, so that every process sees the same.
fn config(fan_out: &str) -> String {
    let corpus = std::fs::read_to_string(corpus().join("server.yaml")).expect("the corpus has a configuration");
    format!("{corpus}\nlogbarn: {{merge: false, fan_out: {{token: between-us, timeout: 500ms, {fan_out}}}}}\n")
}

/// Small shards, so that the corpus makes many.
fn root_config(leaves: &[String]) -> String {
    config(&format!("leaves: [{}], bytes_per_shard: 4KB, shards_max: 16, concurrency_max: 8", leaves.join(", ")))
}

/// A folder with the data of the corpus, and a server that answers from it alone.
async fn alone() -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &config("")).await;
    for file in files("data") {
        let body = std::fs::read(file).expect("data");
        let push =
            server.client.post(format!("{}/loki/api/v1/push", server.url)).header("content-type", "application/json");
        assert_eq!(push.body(body).send().await.expect("an answer").status(), 204);
    }
    (folder, server)
}

/// The questions of the corpus that ask for logs or metrics.
fn questions() -> Vec<Value> {
    let cases =
        files("cases").iter().flat_map(|file| read(file).as_array().expect("cases").clone()).collect::<Vec<_>>();
    let asks =
        |case: &Value| ["/loki/api/v1/query_range", "/loki/api/v1/query"].iter().any(|path| case["path"] == *path);
    cases.into_iter().filter(|case| asks(case) && case["family"] != "after-push").collect()
}

async fn ask(server: &Server, case: &Value) -> (u16, Value) {
    let mut parameters = Vec::new();
    for (name, value) in case["params"].as_object().expect("params") {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        parameters.extend(values.iter().map(|value| (name.as_str(), value.as_str().expect("a string"))));
    }
    let path = case["path"].as_str().expect("a path");
    let mut request = server.client.get(format!("{}{path}", server.url)).query(&parameters);
    for (name, value) in case["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().expect("a header"));
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Numbers are texts in answers; those made of fractions may differ in their last digits.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::String(a), Value::String(b)) if a != b => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            _ => false,
        },
        _ => a == b,
    }
}

/// Asks both servers every so many-th question of the corpus; gives the number of questions.
async fn compare(alone: &Server, root: &Server, every: usize) -> usize {
    let (questions, mut differ) = (questions().into_iter().step_by(every).collect::<Vec<_>>(), Vec::new());
    for case in &questions {
        let ((a_status, a), (b_status, b)) = (ask(alone, case).await, ask(root, case).await);
        let (a_result, b_result) =
            if a_status == 200 { (&a["data"]["result"], &b["data"]["result"]) } else { (&a, &b) };
        // Which of many entries is told in an error is chance.
        let alike = a_status == b_status && (same(a_result, b_result) || a_status != 200);
        if !alike {
            differ.push(format!("{}: {a_status} {b_status}\n  {a_result:.300}\n  {b_result:.300}", case["name"]));
        }
    }
    assert!(differ.is_empty(), "{} of {} differ:\n{}", differ.len(), questions.len(), differ.join("\n"));
    questions.len()
}

/// The counters of a server's queries.
async fn counters(server: &Server) -> BTreeMap<String, u64> {
    let text = server.client.get(format!("{}/metrics", server.url)).send().await.expect("an answer").text().await;
    let text = text.expect("a body");
    let lines = text.lines().filter_map(|line| line.strip_prefix("logbarn_query_")?.split_once("_total "));
    lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_leaves_answer_as_one_server_does() {
    let (folder, alone) = alone().await;
    let mut leaves = Vec::new();
    for _ in 0..LEAVES {
        leaves.push(Server::start(folder.path(), &config("")).await);
    }
    let urls: Vec<String> = leaves.iter().map(|leaf| leaf.url.clone()).collect();
    let root = Server::start(folder.path(), &root_config(&urls)).await;
    let asked = compare(&alone, &root, 1).await;
    let (one, many) = (counters(&alone).await, counters(&root).await);
    println!("{asked} questions; alone: {} requests, {} bytes of the store", one["store_requests"], one["store_bytes"]);
    println!(
        "over {LEAVES} leaves: {} requests, {} bytes, {} shards, {} of them undone",
        many["store_requests"], many["store_bytes"], many["shards"], many["shards_undone"]
    );
    assert!(many["shards"] > 500 && many["shards_undone"] == 0, "{many:?}");
    for leaf in &leaves {
        assert!(counters(leaf).await["shards_answered"] > 20, "every leaf has its share");
    }
    costs(&root).await;
}

/// Prints what some questions cost, and checks that each went to leaves.
#[expect(clippy::print_stdout, reason = "what the test measures on its way")]
async fn costs(root: &Server) {
    let mut before = counters(root).await;
    let kinds = ["count_over_time", "|~", "quantile_over_time", "unwrap", "topk"];
    for kind in kinds {
        let of_kind = |case: &&Value| case["status"] == 200 && case["params"]["query"].to_string().contains(kind);
        let all = questions();
        let Some(case) = all.iter().find(of_kind) else { continue };
        ask(root, case).await;
        let after = counters(root).await;
        let cost = |name: &str| after[name] - before[name];
        println!(
            "{}: {} shards, {} requests, {} bytes",
            case["params"]["query"],
            cost("shards"),
            cost("store_requests"),
            cost("store_bytes")
        );
        before = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_that_fail_change_nothing() {
    let (folder, alone) = alone().await;
    let (good, killed) =
        (Server::start(folder.path(), &config("")).await, Server::start(folder.path(), &config("")).await);
    let mut urls = vec![good.url.clone(), killed.url.clone()];
    for how in broken::ALL {
        urls.push(broken::start(how, &good.url).await);
    }
    let root = Server::start(folder.path(), &root_config(&urls)).await;
    killed.kill();
    // A leaf that is stuck costs half a second each time.
    let asked = compare(&alone, &root, 7).await;
    let counted = counters(&root).await;
    println!("{asked} questions: {} shards, {} of them undone", counted["shards"], counted["shards_undone"]);
    assert!(counted["shards_undone"] > 100 && counted["shards"] > counted["shards_undone"], "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_needs_the_token() {
    let (_folder, server) = alone().await;
    let check = async |token: Option<&str>, want: u16| {
        let mut request = server.client.post(format!("{}/logbarn/v1/shard", server.url)).body("nonsense");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), want, "{token:?}");
    };
    check(None, 404).await;
    check(Some("between-them"), 404).await;
    check(Some("between-us"), 400).await;
}
