//! Tails files, runs Promtail pipelines, ships batches to the Loki push API.
//!
//! In: a configuration in Promtail's form, and files that grow. Out: push requests, each line in exactly one batch. Two halves work
//! at the same time: the reader fills a batch from all files, the shipper sends the one before. Between them lies a queue of one, so
//! that a slow server stops the reading, not the memory. Resuming after any kind of end is `journal`'s and `positions`' part.

pub mod config;

mod targets;

mod fingerprint;
mod tail;

mod reader;

mod stages;

mod batch;

mod journal;
mod positions;

mod ship;

mod dry_run;

mod metrics;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::batch::Batch;
pub use crate::config::Config;
use crate::journal::{Journal, Planned};
pub use crate::metrics::{Counter, Metrics};
use crate::positions::Positions;
use crate::reader::Reader;
use crate::ship::Shipper;

/// How soon files are looked at again while lines come; while none come, the pause doubles up to the second.
const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(1);
/// How long the end of the collector waits for the last batch to arrive; what has not arrived is sent at the next start.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// Runs a collector until the shutdown future is done. What was read by then is sent.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    run_counted(config, Arc::new(Metrics::default()), shutdown).await
}

/// Runs a collector that counts what it does.
pub async fn run_counted(
    config: Config,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (journal, recovered) = Journal::open(&config.positions_path)?;
    let positions = Positions::load(&config.positions_path, || format!("{:032x}", rand::random::<u128>()))?;
    let collecting = Collecting::new(&config, &positions, &recovered, Arc::clone(&metrics))?;
    let shipper = Shipper::new(&config.clients, positions, journal, config.positions_period, &metrics)?;
    let (sender, receiver) = mpsc::channel(1);
    let mut shipping = tokio::spawn(shipper.run(recovered, receiver));
    tokio::select! {
        ended = collecting.run(sender, shutdown) => ended?,
        // The shipper ends first only if it cannot keep its accounts.
        ended = &mut shipping => return ended?.context("cannot go on"),
    }
    match tokio::time::timeout(SHUTDOWN_WAIT, &mut shipping).await {
        Ok(ended) => ended??,
        Err(_) => {
            shipping.abort();
            tracing::warn!("the last batch has not arrived; it will be sent at the next start");
        }
    }
    tracing::debug!(?metrics, "collector ended");
    Ok(())
}

/// Reads all files from their beginning to their end, as if all was sent, and hands each batch's compressed body on. Nothing
/// leaves the process, and no positions are kept: for dry runs and measurements.
pub fn read_to_end(config: &Config, metrics: Arc<Metrics>, mut take: impl FnMut(&[u8])) {
    let mut reader = Reader::new(config, Vec::new(), now_ns, metrics);
    let external_labels: Vec<_> = config.clients.iter().map(|client| &client.external_labels).collect();
    let mut batch = Batch::default();
    while reader.fill(&mut batch) > 0 {
        for body in std::mem::take(&mut batch).plan("", &external_labels).bodies {
            take(&body.bytes);
        }
    }
}

/// Reads all files once and prints their entries, as a push would carry them.
pub fn dry_run(config: &Config, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    let mut failed = Ok(());
    read_to_end(config, Arc::default(), |body| {
        if failed.is_ok() {
            failed = dry_run::print(body, out);
        }
    });
    failed
}

/// The reading half.
struct Collecting {
    reader: Reader,
    batch: Batch,
    agent: String,
    external_labels: Vec<std::collections::BTreeMap<String, String>>,
    batch_wait: Duration,
}

impl Collecting {
    fn new(
        config: &Config,
        positions: &Positions,
        recovered: &journal::Recovered,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        // Reading goes on behind the batch under way, which the shipper sends first.
        let mut resume = positions.files().to_vec();
        for batch in recovered.done.iter().chain(&recovered.pending) {
            positions::apply(&mut resume, &batch.advances, &batch.forgotten);
        }
        Ok(Collecting {
            reader: Reader::new(config, resume, now_ns, metrics),
            batch: Batch::default(),
            agent: positions.agent().to_owned(),
            external_labels: config.clients.iter().map(|client| client.external_labels.clone()).collect(),
            batch_wait: config.clients.iter().map(|client| client.batchwait).min().unwrap_or_default(),
        })
    }

    async fn run(mut self, sender: mpsc::Sender<Planned>, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::pin!(shutdown);
        let mut deadline: Option<Instant> = None;
        let mut pause = POLL_MIN;
        loop {
            let (collecting, read) = self.fill().await?;
            self = collecting;
            if !self.batch.is_empty() && deadline.is_none() {
                deadline = Some(Instant::now() + self.batch_wait);
            }
            let due = deadline.is_some_and(|at| Instant::now() >= at);
            if due || self.batch.is_full(self.reader.batch_bytes_max()) {
                deadline = None;
                if self.hand_over(&sender, &mut shutdown).await.is_break() {
                    return Ok(());
                }
                continue;
            }
            pause = if read > 0 { POLL_MIN } else { (pause * 2).min(POLL_MAX) };
            let wake = Instant::now() + pause;
            tokio::select! {
                () = tokio::time::sleep_until(deadline.map_or(wake, |at| at.min(wake))) => {}
                () = &mut shutdown => break,
            }
        }
        let plan = self.take_plan();
        if !plan.bodies.is_empty() || !plan.advances.is_empty() {
            // Not in time: the lines stay in their files, and are read again at the next start.
            drop(tokio::time::timeout(SHUTDOWN_WAIT, sender.send(plan)).await);
        }
        Ok(())
    }

    /// Reads where blocking is allowed.
    async fn fill(mut self) -> anyhow::Result<(Self, u64)> {
        let filled = tokio::task::spawn_blocking(move || {
            let read = self.reader.fill(&mut self.batch);
            (self, read)
        });
        Ok(filled.await?)
    }

    /// Gives the batch to the shipper; while that is busy, new and renamed files are still noticed, so that none is missed.
    async fn hand_over(
        &mut self,
        sender: &mpsc::Sender<Planned>,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
    ) -> std::ops::ControlFlow<()> {
        loop {
            tokio::select! {
                permit = sender.reserve() => {
                    let Ok(permit) = permit else { return std::ops::ControlFlow::Break(()) };
                    permit.send(self.take_plan());
                    break;
                }
                () = tokio::time::sleep(POLL_MAX) => self.reader.discover(std::time::Instant::now()),
                () = &mut *shutdown => return std::ops::ControlFlow::Break(()),
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    fn take_plan(&mut self) -> Planned {
        let external_labels: Vec<_> = self.external_labels.iter().collect();
        std::mem::take(&mut self.batch).plan(&self.agent, &external_labels)
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: lines without a time of their own get the time of reading")]
fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
