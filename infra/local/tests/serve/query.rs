//! `logbarn query` as a user runs it: the built binary asks a real server, and its output is compared to the letter.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::Server;

const CONFIG: &str = "auth_enabled: false
limits_config: {reject_old_samples: false, discover_service_name: [], discover_log_levels: false}
";
/// 2026-11-20T10:00:00Z.
const START_NS: i64 = 1_795_168_800_000_000_000;
const RANGE: [&str; 4] = ["--from", "2026-11-20T10:00:00Z", "--to", "2026-11-20T11:00:00Z"];

/// Runs the binary, without what this process has in its environment for it.
fn run(address: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logbarn"));
    for name in ["LOGBARN_ADDR", "LOKI_ADDR", "LOKI_USERNAME", "LOKI_PASSWORD", "LOKI_BEARER_TOKEN", "LOKI_ORG_ID"] {
        command.env_remove(name);
    }
    command.env("LOGBARN_ADDR", address).envs(environment.iter().copied());
    command.arg("query").args(arguments).output().expect("the binary runs")
}

/// What it prints, if all is well.
#[track_caller]
fn printed(server: &Server, arguments: &[&str]) -> String {
    let output = run(&server.url, arguments, &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn check(server: &Server, arguments: &[&str], want: &str) {
    let all: Vec<&str> = arguments.iter().chain(&RANGE).copied().collect();
    assert_eq!(printed(server, &all), want, "{arguments:?}");
}

async fn push(server: &Server, labels: serde_json::Value, entries: &[(i64, String)]) {
    let values: Vec<_> = entries.iter().map(|(time, line)| json!([(START_NS + time).to_string(), line])).collect();
    let body = json!({"streams": [{"stream": labels, "values": values}]}).to_string();
    let request = server.client.post(format!("{}/loki/api/v1/push", server.url));
    let answer = request.header("Content-Type", "application/json").body(body).send().await.expect("an answer");
    assert_eq!(answer.status(), 204, "{}", answer.text().await.expect("text"));
}

/// A server with three entries of two streams.
async fn barn(folder: &tempfile::TempDir) -> Server {
    let server = Server::start(folder.path(), CONFIG).await;
    let entries = [(0, "first"), (1, "second \x1b[1m")].map(|(second, line)| (second * 1_000_000_000, line.to_owned()));
    push(&server, json!({"app": "shop", "level": "info"}), &entries).await;
    push(&server, json!({"app": "door", "level": "error"}), &[(2_000_000_001, "open".to_owned())]).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_has_its_forms() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = barn(&folder).await;
    let all = r#"{app=~".+"}"#;
    let (first, second) = (
        "2026-11-20T10:00:00Z {app=\"shop\", level=\"info\"} first\n",
        "2026-11-20T10:00:01Z {app=\"shop\", level=\"info\"} second \x1b[1m\n",
    );
    let third = "2026-11-20T10:00:02.000000001Z {app=\"door\", level=\"error\"} open\n";
    check(&server, &[all], &format!("{third}{second}{first}"));
    check(&server, &[all, "--forward", "--limit", "2"], &format!("{first}{second}"));
    check(&server, &[all, "-o", "raw"], "open\nsecond \x1b[1m\nfirst\n");
    let object =
        r#"{"labels":{"app":"door","level":"error"},"line":"open","timestamp":"2026-11-20T10:00:02.000000001Z"}"#;
    check(&server, &[r#"{app="door"}"#, "-o", "jsonl"], &format!("{object}\n"));
    let coloured = "\x1b[2m2026-11-20T10:00:02.000000001Z\x1b[0m \x1b[31m{app=\"door\", level=\"error\"}\x1b[0m open\n";
    check(&server, &[r#"{app="door"}"#, "--color", "always"], coloured);

    let counts = r#"sum by (app) (count_over_time({app="shop"}[1m]))"#;
    let points = "2026-11-20T10:00:00Z {app=\"shop\"} 1\n2026-11-20T10:01:00Z {app=\"shop\"} 1\n";
    check(&server, &[counts, "--step", "60"], points);
    let now = ["instant-query", counts, "--now", "2026-11-20T10:00:30Z"];
    check(&server, &now, "2026-11-20T10:00:30Z {app=\"shop\"} 2\n");
    check(&server, &[now.as_slice(), &["-o", "raw"]].concat(), "2\n");
    let object = "{\"labels\":{\"app\":\"shop\"},\"timestamp\":\"2026-11-20T10:00:30Z\",\"value\":\"2\"}\n";
    check(&server, &[now.as_slice(), &["-o", "jsonl"]].concat(), object);
    check(&server, &["instant", "vector(3)"], "2026-11-20T11:00:00Z {} 3\n");

    check(&server, &["labels"], "app\nlevel\n");
    check(&server, &["labels", "app"], "door\nshop\n");
    check(&server, &["labels", "app", "-o", "jsonl"], "\"door\"\n\"shop\"\n");
    check(&server, &["labels", "nothing/../app"], "");
    check(&server, &["series", r#"{app="door"}"#], "{app=\"door\", level=\"error\"}\n");
    check(&server, &["series", r#"{app="door"}"#, "-o", "jsonl"], "{\"app\":\"door\",\"level\":\"error\"}\n");
    let stats = printed(&server, &[&["stats", all], RANGE.as_slice()].concat());
    assert!(stats.starts_with("streams  2\nchunks   ") && stats.contains("\nentries  3\nbytes    20\n"), "{stats}");
    check(&server, &["volume", all, "-o", "raw"], "16 {app=\"shop\"}\n4 {app=\"door\"}\n");
    check(&server, &["volume", all, "--limit", "1"], "            16 B {app=\"shop\"}\n");
}

/// More entries at one time than a page has, in each direction, to the last one and to a limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_join_without_gap_or_double() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG).await;
    // Times with 1, 25, 3 and again 25 entries of two streams; the last of them alone.
    let times = [0, 1, 1, 2, 3, 4].into_iter().zip([1, 10, 15, 3, 25, 1]);
    let mut forward = Vec::new();
    for (part, (time, count)) in times.enumerate() {
        let lines: Vec<(i64, String)> =
            (0..count).map(|line| (time, format!("time {time} part {part} line {line}"))).collect();
        forward.extend(lines.iter().cloned());
        push(&server, json!({"app": "pages", "part": (part % 2).to_string()}), &lines).await;
    }
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    let want = sorted(forward.iter().map(|(_, line)| line.clone()).collect());
    for direction in [&["--forward"][..], &[]] {
        for batch in ["1", "7", "10", "26", "1000"] {
            let asked =
                [&[r#"{app="pages"}"#, "-o", "raw", "--limit", "0", "--batch", batch], direction, &RANGE].concat();
            let lines: Vec<String> = printed(&server, &asked).lines().map(str::to_owned).collect();
            let times: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').nth(1)).collect();
            let in_order = if direction.is_empty() { times.iter().rev().is_sorted() } else { times.is_sorted() };
            assert!(in_order, "{asked:?}: {times:?}");
            assert_eq!(sorted(lines), want, "{asked:?}");
            let limited =
                [&[r#"{app="pages"}"#, "-o", "raw", "--limit", "31", "--batch", batch], direction, &RANGE].concat();
            let lines: Vec<String> = printed(&server, &limited).lines().map(str::to_owned).collect();
            let distinct: std::collections::BTreeSet<&String> = lines.iter().collect();
            assert_eq!((lines.len(), distinct.len()), (31, 31), "{limited:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = barn(&folder).await;
    let query = r#"{app="door"} |= "open""#;
    let text = printed(&server, &[&[query, "--explain"], RANGE.as_slice()].concat());
    let pieces = [
        "{app=\"door\"} |= \"open\"\nreads 1 LIST + 2 GET, ",
        ", $0.0",
        "us-east-1",
        "\n  time      2026-11-20T10:00:00Z to 2026-11-20T11:00:00Z\n  segments  2: 2 opened, 1 without chosen streams\n",
        "\n  streams   1 chosen of 2\n",
        "\n  blocks    2: 1 of other streams, 1 read\n",
    ];
    for piece in pieces {
        assert!(text.contains(piece), "{piece:?} is not in {text}");
    }
    let instant = ["instant-query", "rate({app=\"door\"}[1m])", "--explain", "-o", "jsonl"];
    let text = printed(&server, &[&instant, RANGE.as_slice()].concat());
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON, on one line");
    assert_eq!((text.lines().count(), &answer["exact"]), (1, &json!(true)), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG).await;
    let fails = |address: &str, arguments: &[&str], code: i32, want: &str| {
        let output = run(address, arguments, &[]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.starts_with(want) && output.stdout.is_empty(), "{arguments:?}: {errors}");
        assert!(code == 2 || errors.lines().count() == 1, "{errors}");
    };
    fails(&server.url, &["{app="], 1, "error: 400: parse error at line 1, col 6: syntax error");
    fails(&server.url, &["{}"], 1, "error: 400: parse error");
    fails(&server.url, &["{app=\"a\"}", "--limit", "6000", "--batch", "6000"], 1, "error: 400: max entries limit");
    fails(&server.url, &["tail", "rate({app=\"a\"}[1m])"], 1, "error: only log selector is supported");
    fails("http://127.0.0.1:1", &["labels"], 1, "error: cannot ask http://127.0.0.1:1/: ");
    fails(
        "ftp://127.0.0.1",
        &["labels"],
        1,
        "error: a server's URL begins with http:// or https://, not ftp://127.0.0.1/",
    );
    fails(&server.url, &[], 2, "error: a query is missing");
    fails(
        &server.url,
        &["{app=\"a\"}", "--from", "yesterday"],
        2,
        "error: invalid value 'yesterday' for '--from <TIME>'",
    );
    fails(&server.url, &["{app=\"a\"}", "--from", "20", "--to", "10"], 2, "error: --to is before --from");
    fails(&server.url, &["labels", "--since", "soon"], 2, "error: invalid value 'soon' for '--since <DURATION>'");
    fails(&server.url, &["{app=\"a\"}", "-o", "xml"], 2, "error: invalid value 'xml'");
}

/// Who asks is told by logcli's arguments and variables.
#[test]
fn the_asker_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/below/", listener.local_addr().expect("an address"));
    let asked = |arguments: &[&str], environment: &[(&str, &str)]| {
        std::thread::scope(|scope| {
            let heard = scope.spawn(|| {
                let (mut socket, _) = listener.accept().expect("a connection");
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    socket.read_exact(&mut byte).expect("a request");
                    request.extend(byte);
                }
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{\"status\": \"success\"}";
                socket.write_all(answer).expect("it listens");
                String::from_utf8(request).expect("text").to_lowercase()
            });
            let output = run(&address, &[&["labels"], arguments].concat(), environment);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            heard.join().expect("a request")
        })
    };
    let request = asked(&[], &[("LOKI_USERNAME", "me"), ("LOKI_PASSWORD", "secret"), ("LOKI_ORG_ID", "a|b")]);
    assert!(request.starts_with("get /below/loki/api/v1/labels?start="), "{request}");
    assert!(request.contains("\r\nauthorization: basic bwu6c2vjcmv0\r\n"), "{request}");
    assert!(request.contains("\r\nx-scope-orgid: a|b\r\n"), "{request}");
    let request =
        asked(&["--bearer-token", "t0", "--org-id", "one"], &[("LOKI_USERNAME", "me"), ("LOKI_ORG_ID", "two")]);
    assert!(request.contains("\r\nauthorization: bearer t0\r\n"), "{request}");
    assert!(request.contains("\r\nx-scope-orgid: one\r\n"), "{request}");
}

/// What is there, then what comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_prints_what_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG).await;
    let now = || i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("before 2262") - START_NS;
    push(&server, json!({"app": "tail"}), &[(now(), "before".to_owned())]).await;
    let query = r#"{app="tail"} |= "e""#;
    for how in [&["tail", query][..], &[query, "--tail"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_logbarn"))
            .args(["query", "--addr", &server.url, "-o", "raw"])
            .args(how)
            .args(["--limit", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = Lines::of(&mut child);
        assert_eq!(lines.next().await, "before", "{how:?}");
        push(&server, json!({"app": "tail"}), &[(now(), "not".to_owned()), (now(), "before".to_owned())]).await;
        assert_eq!(lines.next().await, "before", "{how:?}");
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}

/// Lines of a process, as they come.
struct Lines(tokio::sync::mpsc::UnboundedReceiver<String>);

impl Lines {
    fn of(child: &mut std::process::Child) -> Lines {
        let out = child.stdout.take().expect("a pipe");
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(out)).map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Lines(receiver)
    }

    async fn next(&mut self) -> String {
        let line = tokio::time::timeout(Duration::from_secs(20), self.0.recv()).await;
        line.expect("a line within 20 s").expect("a line before the end")
    }
}
