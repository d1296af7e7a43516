//! Many at once: tails and queries against the built `logbarn serve` while pushes go on.
//!
//! Every answer is checked against a ledger of what was sent, and the server's peak memory against the sum of its named limits. Short
//! by default; `.ci/load` asks for the full form (`LOGBARN_LOAD=full`), of another length (`LOGBARN_LOAD_SECONDS`) or of another binary
//! (`LOGBARN_LOAD_BINARY`).

mod entry;
mod ledger;
mod memory;
mod pushes;
mod queries;
mod tails;

#[path = "../serve/support.rs"]
#[expect(dead_code, reason = "the other test programs need the rest of it")]
mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;

use entry::Wanted;
use ledger::Ledger;
use memory::Bound;
use support::Server;
use tails::Tail;

/// How much is asked at a time, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) tails: usize,
    pub(crate) queries: usize,
    pub(crate) pushers: usize,
    pub(crate) duration: Duration,
}

/// What a debug build does besides other tests.
const SHORT: Load = Load { tails: 40, queries: 16, pushers: 2, duration: Duration::from_secs(5) };
const FULL: Load = Load { tails: 200, queries: 64, pushers: 8, duration: Duration::from_secs(60) };

#[expect(clippy::disallowed_methods, reason = "the edge: whoever starts the test says how long it may take")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn load() -> Load {
    let load = if variable("LOGBARN_LOAD").as_deref() == Some("full") { FULL } else { SHORT };
    let seconds = variable("LOGBARN_LOAD_SECONDS").map(|text| text.parse().expect("LOGBARN_LOAD_SECONDS is a number"));
    Load { duration: seconds.map_or(load.duration, Duration::from_secs), ..load }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_wrong_and_memory_is_bound() {
    let load = load();
    let binary = variable("LOGBARN_LOAD_BINARY").map_or_else(support::built_binary, PathBuf::from);
    let folder = tempfile::tempdir().expect("a folder");
    let server =
        Arc::new(Server::start_as(&binary, folder.path(), &memory::config(), "http", testkit::http::client()).await);
    let bound = Bound::of(load, memory::peak_bytes(server.pid()));
    let ledger = Arc::new(Ledger::new(now_ns()));
    let stop = Arc::new(AtomicBool::new(false));

    // Pushes first, so that tails open at different moments of the pushing.
    let pushers: Vec<_> =
        (0..load.pushers).map(|_| tokio::spawn(pushes::push(server.clone(), ledger.clone(), stop.clone()))).collect();
    let (sent, all_sent) = watch::channel(None);
    let mut tails = Vec::new();
    for i in 0..load.tails {
        let tail = Tail::open(&server, Wanted::nth(i), ledger.clone()).await;
        tails.push(tokio::spawn(tail.follow(all_sent.clone())));
    }
    let clients: Vec<_> = (0..load.queries)
        .map(|client| tokio::spawn(queries::ask(server.clone(), ledger.clone(), client, stop.clone())))
        .collect();
    tokio::time::sleep(load.duration).await;
    stop.store(true, Ordering::SeqCst);

    let answered: Vec<_> = join_all(clients).await.into_iter().map(|asked| asked.expect("a client ends")).collect();
    let pushed: u64 = join_all(pushers).await.into_iter().map(|pushed| pushed.expect("a pusher ends")).sum();
    sent.send_replace(Some(ledger.sent()));
    let told: Vec<_> = join_all(tails).await.into_iter().map(|told| told.expect("a tail ends")).collect();
    assert_eq!((pushed, ledger.acknowledged()), (ledger.sent(), ledger.sent()));

    let wrong: Vec<&String> =
        answered.iter().flat_map(|asked| &asked.wrong).chain(told.iter().flat_map(|told| &told.wrong)).collect();
    let peak = memory::peak_bytes(server.pid());
    let queries: u64 = answered.iter().map(|asked| asked.answered).sum();
    println!("tails {}, query clients {}, seconds {}", load.tails, load.queries, load.duration.as_secs());
    println!("entries pushed {pushed}, queries answered {queries}");
    println!("entries told to tails {}", told.iter().map(|told| told.entries).sum::<u64>());
    println!("entries dropped and reported {}", told.iter().map(|told| told.dropped).sum::<u64>());
    println!("wrong {}", wrong.len());
    println!("{}", bound.beside(peak));
    assert!(wrong.is_empty(), "{:#?}", wrong.iter().take(20).collect::<Vec<_>>());
    assert!(told.iter().all(|told| told.entries > 0), "a tail was told nothing");
    assert!(answered.iter().all(|asked| asked.answered > 0), "a client was never answered");
    assert!(bound.holds(peak), "the server took more memory than its limits allow");
}

#[expect(clippy::disallowed_methods, reason = "a tail follows what is new")]
fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_nanos()).expect("before 2262")
}
