//! From files to a server: rotation, truncation, partial lines, restarts, servers that misbehave.

// Helpers are tests too.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use support::{Answer, Running, Server, config, wait_until};

fn append(path: &Path, text: &str) {
    File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The original guide's configuration, byte for byte but for the folder of its logs.
#[tokio::test]
async fn the_guides_configuration_ships_the_guides_lines() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let yaml = include_str!("fixtures/guide.yaml");
    let guide = collector::Config::parse(yaml).unwrap();
    assert_eq!((guide.jobs.len(), guide.clients[0].url.as_str()), (1, "http://localhost:3100/loki/api/v1/push"));

    let mut config = collector::Config::parse(&yaml.replace("/app/logs", folder.path().to_str().unwrap())).unwrap();
    config.set_client_url(&server.url).unwrap();
    config.positions_path = folder.path().join("positions.yaml");
    let line = r#"{"timestamp": "2024-11-14T14:16:54.123Z", "level": "info", "logger_name": "uvicorn.access", "message": "GET /api/health 200", "service_name": "aichemol-backend", "trace_id": "abc123def456789", "status_code": 200}"#;
    append(&folder.path().join("app.log"), &format!("{line}\nnot JSON at all\n"));

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(collector::run(config, async move { drop(stopped.await) }));
    let got = server.wait_for(2).await;
    let file = format!("filename=\"{}/app.log\", job=\"aichemol_backend\"", folder.path().display());
    assert_eq!(got[0].line, line);
    assert_eq!(got[0].timestamp_ns, 1_731_593_814_123_000_000);
    assert_eq!(
        got[0].labels,
        format!(
            "{{{file}, level=\"info\", service=\"backend\", service_name=\"aichemol-backend\", trace_id=\"abc123def456789\"}}"
        )
    );
    // The malformed line is shipped as it is, right behind the one before.
    assert_eq!(got[1].line, "not JSON at all");
    assert_eq!(got[1].timestamp_ns, got[0].timestamp_ns + 1);
    assert_eq!(got[1].labels, format!("{{{file}, service=\"backend\"}}"));
    drop(stop);
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn lines_end_with_their_line_end_and_broken_bytes_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let log = folder.path().join("a.log");
    append(&log, "one\r\n\npart");
    let running = Running::start(&config(folder.path(), &server.url, "[]"));
    assert_eq!(server.wait_for(2).await.len(), 2);
    File::options().append(true).open(&log).unwrap().write_all(b"ial\nbroken \xff\xfe \xe2\x82\nlast").unwrap();
    server.wait_for(4).await;
    running.stop().await;
    assert_eq!(server.lines(), ["one", "", "partial", "broken \u{fffd}\u{fffd} \u{fffd}"]);
    // Equal lines of one moment stay two: no two times are the same.
    let mut times: Vec<i64> = server.entries().iter().map(|entry| entry.timestamp_ns).collect();
    times.dedup();
    assert_eq!(times.len(), 4);
}

#[tokio::test]
async fn a_renamed_file_is_finished_before_the_one_that_took_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let log = folder.path().join("a.log");
    append(&log, "1\n2\n");
    let running = Running::start(&config(folder.path(), &server.url, "[]"));
    server.wait_for(2).await;
    let mut old = File::options().append(true).open(&log).unwrap();
    fs::rename(&log, folder.path().join("a.log.1")).unwrap();
    old.write_all(b"3\n").unwrap();
    append(&log, "4\n");
    server.wait_for(4).await;
    // The writer has not noticed the rotation yet.
    old.write_all(b"5\n").unwrap();
    server.wait_for(5).await;
    // And once more, with a file that still matches the pattern.
    fs::rename(&log, folder.path().join("b.log")).unwrap();
    append(&log, "6\n");
    server.wait_for(6).await;
    running.stop().await;
    assert_eq!(server.lines(), ["1", "2", "3", "4", "5", "6"]);
}

#[tokio::test]
async fn a_truncated_file_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let log = folder.path().join("a.log");
    append(&log, "first\nsecond\n");
    let running = Running::start(&config(folder.path(), &server.url, "[]"));
    server.wait_for(2).await;
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    wait_until("the truncation", || running.metrics.truncations.get() == 1).await;
    append(&log, "third, which is longer than both\n");
    server.wait_for(3).await;
    // Deleted and made again.
    fs::remove_file(&log).unwrap();
    append(&log, "fourth\n");
    server.wait_for(4).await;
    running.stop().await;
    assert_eq!(server.lines(), ["first", "second", "third, which is longer than both", "fourth"]);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was_even_across_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let log = folder.path().join("a.log");
    append(&log, "1\n");
    let yaml = config(folder.path(), &server.url, "[]");
    let running = Running::start(&yaml);
    server.wait_for(1).await;
    running.stop().await;
    append(&log, "2\n");
    fs::rename(&log, folder.path().join("a.log.1")).unwrap();
    append(&log, "3\n");
    let running = Running::start(&yaml);
    server.wait_for(3).await;
    running.stop().await;
    // A third start finds nothing new.
    let running = Running::start(&yaml);
    append(&log, "4\n");
    server.wait_for(4).await;
    running.stop().await;
    assert_eq!(server.lines(), ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_until_it_takes_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let refuse = |status| Answer::Refuse(status);
    server.script(&[refuse(500), refuse(429), refuse(503), Answer::StoreAndFail, Answer::StoreAndHang, Answer::Store]);
    append(&folder.path().join("a.log"), "one\ntwo\n");
    let running = Running::start(&config(folder.path(), &server.url, "[]"));
    wait_until("six attempts", || server.with(|recorded| recorded.attempts) == 6).await;
    append(&folder.path().join("a.log"), "three\n");
    server.wait_for(3).await;
    assert_eq!(running.metrics.retries.get(), 5);
    running.stop().await;
    assert_eq!(server.lines(), ["one", "two", "three"]);
    server.with(|recorded| {
        assert_eq!(recorded.repeated, 2, "stored twice more under the same id");
        assert_eq!(recorded.broken, [""; 0]);
    });
}

#[tokio::test]
async fn what_the_server_refuses_for_good_is_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    server.script(&[Answer::Refuse(400)]);
    append(&folder.path().join("a.log"), "bad\n");
    let running = Running::start(&config(folder.path(), &server.url, "[]"));
    wait_until("the refusal", || running.metrics.batches_dropped.get() == 1).await;
    append(&folder.path().join("a.log"), "good\n");
    server.wait_for(1).await;
    assert_eq!(running.metrics.entries_dropped.get(), 1);
    running.stop().await;
    assert_eq!(server.lines(), ["good"]);
}

#[tokio::test]
async fn each_client_gets_every_line_with_its_own_labels_and_headers() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Server::start().await, Server::start().await);
    append(&folder.path().join("a.log"), "line\n");
    let yaml = config(folder.path(), &one.url, "[]").replace(
        "positions:",
        &format!(
            "  - {{url: '{}', tenant_id: team, external_labels: {{zone: eu, job: outer}}, bearer_token: t0ken, headers: {{X-A: b}}}}\npositions:",
            two.url
        ),
    );
    let running = Running::start(&yaml);
    one.wait_for(1).await;
    two.wait_for(1).await;
    running.stop().await;
    let file = format!("filename=\"{}/a.log\"", folder.path().display());
    assert_eq!(one.entries()[0].labels, format!("{{{file}, job=\"test\"}}"));
    assert_eq!(two.entries()[0].labels, format!("{{{file}, job=\"test\", zone=\"eu\"}}"));
    two.with(|recorded| {
        let header = |name: &str| recorded.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("x-scope-orgid").as_deref(), Some("team"));
        assert_eq!(header("authorization").as_deref(), Some("Bearer t0ken"));
        assert_eq!(header("x-a").as_deref(), Some("b"));
        assert_eq!(header("content-type").as_deref(), Some("application/x-protobuf"));
    });
}

#[tokio::test]
async fn a_folder_is_read_with_its_levels() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    append(&folder.path().join("app.log"), "{\"level\":\"error\",\"m\":1}\nplain\n");
    append(&folder.path().join("app.txt"), "not a log\n");
    let positions = folder.path().join("positions.yaml");
    let config = collector::Config::for_folder(folder.path(), &server.url, &positions).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(collector::run(config, async move { drop(stopped.await) }));
    let got = server.wait_for(2).await;
    let file = format!("filename=\"{}/app.log\"", folder.path().display());
    assert_eq!(got[0].labels, format!("{{{file}, job=\"logs\", level=\"error\"}}"));
    assert_eq!(got[1].labels, format!("{{{file}, job=\"logs\"}}"));
    drop(stop);
    task.await.unwrap().unwrap();
}
