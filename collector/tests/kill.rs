//! kill -9 of the real binary, again and again, while lines are written and the server misbehaves: nothing lost, nothing doubled.

// Helpers are tests too.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use support::{Answer, Server, config, wait_until};

const KILLS: usize = 25;
const FILES: usize = 3;

/// A collector that does not outlive the test.
struct Collector(Child);

impl Drop for Collector {
    /// The signal is SIGKILL: the process gets no say.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(yaml: &std::path::Path) -> Collector {
    let child = Command::new(env!("CARGO_BIN_EXE_logbarn-collector"))
        .arg(format!("-config.file={}", yaml.display()))
        .args(["-log.level", "error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    Collector(child.unwrap())
}

/// Lines have no time of their own, so that only the journal can make a batch the same twice.
#[tokio::test(flavor = "multi_thread")]
async fn every_line_arrives_once_whenever_the_collector_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let yaml = folder.path().join("promtail.yaml");
    // Small batches: many of them are under way when the end comes.
    let text =
        config(folder.path(), &server.url, "[]").replace("batchwait: 20ms", "batchwait: 1ms\n    batchsize: 2000");
    std::fs::write(&yaml, text).unwrap();
    let mut logs: Vec<File> =
        (0..FILES).map(|i| File::create(folder.path().join(format!("{i}.log"))).unwrap()).collect();

    let mut written = 0;
    let mut write = |count: usize| {
        for _ in 0..count {
            // Every third line comes in two pieces, so that partial lines are lying about.
            let line = format!("line {written:07} {}\n", "x".repeat(written % 90));
            logs[written % FILES].write_all(line.as_bytes()).unwrap();
            written += 1;
        }
        written
    };
    for kill in 0..KILLS {
        write(300);
        // Some answers are lost, so that a batch is stored and its sender does not know.
        let answers = [Answer::StoreAndFail, Answer::Store, Answer::StoreAndHang, Answer::Refuse(500), Answer::Store];
        server.script(&answers[kill % answers.len()..]);
        let before = server.with(|recorded| recorded.attempts);
        let collector = start(&yaml);
        write(200);
        // Each time at another place: after the first, second, third … attempt.
        wait_until("attempts", || server.with(|recorded| recorded.attempts) > before + kill % 6).await;
        drop(collector);
    }
    server.with(|recorded| assert!(recorded.attempts >= KILLS));
    let total = write(100);
    let collector = start(&yaml);
    let count = || server.with(|recorded| recorded.batches.iter().map(|(_, entries)| entries.len()).sum::<usize>());
    wait_until("all lines", || count() >= total).await;
    drop(collector);

    let mut counts: HashMap<String, usize> = HashMap::new();
    for line in server.lines() {
        *counts.entry(line.split_whitespace().nth(1).unwrap().to_owned()).or_default() += 1;
    }
    let lost = (0..total).filter(|i| !counts.contains_key(&format!("{i:07}"))).count();
    let doubled = counts.values().filter(|count| **count > 1).count();
    server.with(|recorded| {
        println!(
            "kills {KILLS}, lines written {total}, attempts {}, batches stored {} (again under the same id: {}), lost {lost}, doubled {doubled}",
            recorded.attempts,
            recorded.batches.len(),
            recorded.repeated
        );
        assert_eq!(recorded.broken, [""; 0], "one id, two contents");
    });
    assert_eq!((lost, doubled, counts.len()), (0, 0, total));
}
