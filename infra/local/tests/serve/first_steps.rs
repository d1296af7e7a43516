//! README's first page: start it, append lines to ./logs/app.log, ask for them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Server;

/// How long a line may take from the file to an answer.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

const CONFIG: &str = "auth_enabled: false";

/// Asks until there are as many entries as wanted; the answer's streams.
async fn streams_with(server: &Server, query: &str, entries: usize) -> Vec<Value> {
    let deadline = Instant::now() + ARRIVAL_MAX;
    loop {
        let answer = server.get("/loki/api/v1/query_range", &[("query", query)]).await;
        let streams = answer["data"]["result"].as_array().expect("streams").clone();
        let found: usize = streams.iter().map(|stream| stream["values"].as_array().map_or(0, Vec::len)).sum();
        if found >= entries {
            return streams;
        }
        assert!(Instant::now() < deadline, "{found} of {entries} entries for {query} after {ARRIVAL_MAX:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The folder may come after the server; JSON lines have their level as a label, others are shipped as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_appended_to_a_log_file_are_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG).await;
    fs::create_dir(folder.path().join("logs")).expect("a folder for logs");
    let path = folder.path().join("logs/app.log");
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a log file");
    writeln!(file, r#"{{"level":"info","service":"shop","msg":"hello barn"}}"#).expect("a line");
    writeln!(file, r#"{{"level":"error","service":"shop","msg":"the door is open"}}"#).expect("a line");
    writeln!(file, r#"{{"level":"error", no JSON at all"#).expect("a line");

    let all = streams_with(&server, r#"{job="logs"}"#, 3).await;
    let filename = all[0]["stream"]["filename"].as_str().expect("a filename label");
    assert!(filename.ends_with("logs/app.log"), "{filename}");
    let errors = streams_with(&server, r#"{job="logs", level="error"} | json"#, 1).await;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["stream"]["msg"], "the door is open");
    let broken = streams_with(&server, r#"{job="logs", level=""} |= "no JSON""#, 1).await;
    assert_eq!(broken[0]["values"][0][1], r#"{"level":"error", no JSON at all"#);
}

/// What an error message calls a key can be given to `inspect`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspect_prints_a_segment() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), "auth_enabled: false\nlimits_config: {reject_old_samples: false}").await;
    let body = r#"{"streams":[{"stream":{"job":"inspected"},"values":[["1795168800000000000","one line"]]}]}"#;
    let request =
        server.client.post(format!("{}/loki/api/v1/push", server.url)).header("Content-Type", "application/json");
    assert_eq!(request.body(body).send().await.expect("an answer").status(), 204);
    server.terminate();

    let data = folder.path().join("data");
    let day = data.join("t/fake/2026-11-20/l0");
    let segment = fs::read_dir(&day).expect("the day's folder").next().expect("a segment").expect("a segment").path();
    let key = segment.strip_prefix(&data).expect("below the store").to_str().expect("text").to_owned();
    let store = format!("file://{}", data.display());
    let output = Command::new(env!("CARGO_BIN_EXE_logbarn"))
        .args(["inspect", &key, "--store", &store])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("inspected") && text.contains("rows"), "{text}");
}
