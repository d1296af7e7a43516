//! Commits batches: one segment a (tenant, day), one PUT, and an answer only when it is stored.
//!
//! In: accepted batches. Out: stored, or why not. Batches of a tenant that arrive while a commit of that tenant is under way
//! share the next segment; a window makes them wait for one another on stores where a PUT costs money. A group's id is made
//! of its members' ids and a single member keeps its own, so that a retry meets its own key. Nothing is acknowledged before
//! it is durable; what waits is bounded, and beyond the bound a push is refused at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use loki_api::config::Config;
use model::TenantId;
use store::{Committed, FreshKey, Store};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::batch::Batch;
use crate::live::{Listener, StoredDay};
use crate::pack::pack;

/// The window on a bucket, where every PUT is paid for.
const BUCKET_WINDOW: Duration = Duration::from_millis(200);
/// Commits of one tenant at a time: a second one begins only when a whole group waits already.
const COMMITS_PER_TENANT_MAX: usize = 2;
/// After so long a PUT is given up: whether it took place is not known, a retry will meet its key. Below it the store's own
/// repeats have their time.
const PUT_TIMEOUT: Duration = Duration::from_secs(60);
/// Days of one group that are written at a time.
const PUTS_PER_COMMIT_MAX: usize = 4;

/// How batches are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitSettings {
    /// How long the first batch of a group waits for others.
    pub window: Duration,
    /// Bytes at which a group waits no longer.
    pub group_bytes_max: usize,
    /// Bytes that may wait, over all tenants.
    pub queue_bytes_max: usize,
}

impl CommitSettings {
    /// The settings of a configuration; on a bucket batches wait for one another unless it says otherwise.
    pub fn new(config: &Config, on_bucket: bool) -> Self {
        let default = if on_bucket { BUCKET_WINDOW } else { Duration::ZERO };
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        CommitSettings {
            window: config.logbarn.commit_window.unwrap_or(default),
            group_bytes_max: bytes(config.logbarn.commit_bytes_max),
            queue_bytes_max: bytes(config.logbarn.commit_queue_bytes_max),
        }
    }
}

/// Why a batch is not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// More bytes wait than may: come back later.
    #[error("too many bytes are waiting to be stored (limit: {0} bytes), try again later")]
    Busy(usize),
    /// The store did not take it.
    #[error("the store did not accept the push: {0}")]
    Store(store::Error),
    /// The store did not answer.
    #[error("the store did not answer within {} seconds", PUT_TIMEOUT.as_secs())]
    Timeout,
    /// The segment could not be built, or the task that builds it died.
    #[error("the push could not be packed: {0}")]
    Packing(String),
}

/// Takes batches, gives answers.
#[derive(Debug, Clone)]
pub(crate) struct Committer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    settings: CommitSettings,
    /// Told of what was stored.
    listener: OnceLock<Listener>,
    queue: Mutex<Queue>,
    /// Batches accepted and not answered yet.
    open: watch::Sender<usize>,
    /// Set once: nobody waits for a window any more.
    closing: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Queue {
    tenants: HashMap<TenantId, Line>,
    bytes: usize,
}

/// A tenant's batches that wait.
#[derive(Debug, Default)]
struct Line {
    waiting: Vec<Waiting>,
    bytes: usize,
    commits: usize,
    /// Tells a commit that waits for its window that the group is full.
    full: Arc<tokio::sync::Notify>,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    bytes: usize,
    since: Instant,
    answer: oneshot::Sender<Result<(), CommitError>>,
}

/// How long a group may still grow.
struct Window {
    end: Instant,
    full: Arc<tokio::sync::Notify>,
}

impl Committer {
    pub(crate) fn new(store: Store, settings: CommitSettings) -> Self {
        let (open, closing) = (watch::Sender::new(0), watch::Sender::new(false));
        let listener = OnceLock::new();
        Committer(Arc::new(Inner { store, settings, listener, queue: Mutex::default(), open, closing }))
    }

    /// Names who is told of what was stored; the first one stays.
    pub(crate) fn listen(&self, listener: Listener) {
        let _ = self.0.listener.set(listener);
    }

    /// Stores a batch. It is committed even if the caller goes away meanwhile.
    pub(crate) async fn commit(&self, tenant: &TenantId, batch: Batch) -> Result<(), CommitError> {
        let answered = self.0.enqueue(tenant, batch)?;
        answered.await.unwrap_or_else(|_| Err(CommitError::Packing("the commit was interrupted".to_owned())))
    }

    /// Batches accepted and not answered yet.
    pub(crate) fn open(&self) -> usize {
        *self.0.open.borrow()
    }

    /// Cuts every window short and waits until all that was accepted is answered.
    pub(crate) async fn shutdown(&self) {
        self.0.closing.send_replace(true);
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch in its tenant's line, and starts a commit if none will take it.
    fn enqueue(
        self: &Arc<Self>,
        tenant: &TenantId,
        batch: Batch,
    ) -> Result<oneshot::Receiver<Result<(), CommitError>>, CommitError> {
        let (answer, answered) = oneshot::channel();
        let bytes = batch.memory_bytes();
        let mut queue = self.queue();
        // A batch that is larger than the bound by itself goes when nothing else waits.
        if queue.bytes > 0 && queue.bytes + bytes > self.settings.queue_bytes_max {
            return Err(CommitError::Busy(self.settings.queue_bytes_max));
        }
        queue.bytes += bytes;
        let line = queue.tenants.entry(tenant.clone()).or_default();
        line.waiting.push(Waiting { batch, bytes, since: Instant::now(), answer });
        line.bytes += bytes;
        let is_full = line.bytes >= self.settings.group_bytes_max;
        if is_full {
            line.full.notify_one();
        }
        if line.commits == 0 || (is_full && line.commits < COMMITS_PER_TENANT_MAX) {
            line.commits += 1;
            tokio::spawn(Arc::clone(self).drain(tenant.clone()));
        }
        self.open.send_modify(|open| *open += 1);
        Ok(answered)
    }

    /// Commits group after group until the tenant's line is empty.
    async fn drain(self: Arc<Self>, tenant: TenantId) {
        while let Some(window) = self.window(&tenant) {
            self.wait_for(window).await;
            let group = self.take_group(&tenant);
            if group.is_empty() {
                continue;
            }
            let bytes: usize = group.iter().map(|waiting| waiting.bytes).sum();
            let (batches, answers): (Vec<Batch>, Vec<_>) = group.into_iter().map(|w| (w.batch, w.answer)).unzip();
            // A task of its own: whatever happens to it, its pushes are answered and the line goes on.
            let stored = tokio::spawn(Arc::clone(&self).store_group(tenant.clone(), batches)).await;
            let outcome = stored.unwrap_or_else(|e| Err(CommitError::Packing(e.to_string())));
            if let Err(error) = &outcome {
                tracing::warn!(%tenant, %error, pushes = answers.len(), "commit failed, nothing acknowledged");
            }
            self.queue().bytes -= bytes;
            let answered = answers.len();
            for answer in answers {
                // A client that went away needs no answer.
                let _ = answer.send(outcome.clone());
            }
            self.open.send_modify(|open| *open -= answered);
        }
    }

    /// What the line's next group has to wait for. An empty line ends this commit, and is forgotten with its last one.
    fn window(&self, tenant: &TenantId) -> Option<Window> {
        let mut queue = self.queue();
        let line = queue.tenants.get_mut(tenant)?;
        if let Some(oldest) = line.waiting.first() {
            let is_full = line.bytes >= self.settings.group_bytes_max;
            let end = if is_full { oldest.since } else { oldest.since + self.settings.window };
            return Some(Window { end, full: Arc::clone(&line.full) });
        }
        line.commits -= 1;
        if line.commits == 0 {
            queue.tenants.remove(tenant);
        }
        None
    }

    async fn wait_for(&self, window: Window) {
        if window.end <= Instant::now() {
            return;
        }
        let mut closing = self.closing.subscribe();
        tokio::select! {
            () = tokio::time::sleep_until(window.end) => {}
            () = window.full.notified() => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    }

    /// Takes waiting batches up to the size of a group, at least one if there is any.
    fn take_group(&self, tenant: &TenantId) -> Vec<Waiting> {
        let mut queue = self.queue();
        let Some(line) = queue.tenants.get_mut(tenant) else { return Vec::new() };
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.bytes;
            bytes <= self.settings.group_bytes_max
        };
        let count = line.waiting.iter().take_while(fits).count().max(1).min(line.waiting.len());
        let group: Vec<Waiting> = line.waiting.drain(..count).collect();
        line.bytes -= group.iter().map(|waiting| waiting.bytes).sum::<usize>();
        group
    }

    /// Packs and stores one group: a segment for each day.
    async fn store_group(self: Arc<Self>, tenant: TenantId, batches: Vec<Batch>) -> Result<(), CommitError> {
        let batches = Arc::new(batches);
        let packing = Arc::clone(&batches);
        let packed = tokio::task::spawn_blocking(move || pack(&packing)).await;
        let segments = packed
            .map_err(|e| CommitError::Packing(e.to_string()))?
            .map_err(|e| CommitError::Packing(e.to_string()))?;
        stream::iter(segments)
            .map(|(key, bytes)| self.put(&tenant, key, bytes, &batches))
            .buffer_unordered(PUTS_PER_COMMIT_MAX)
            // All to their end, whatever becomes of one: what is stored is to be told of.
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect()
    }

    /// Stores one day's segment. A segment that was there before is nobody's news.
    async fn put(
        &self,
        tenant: &TenantId,
        key: FreshKey,
        bytes: Bytes,
        batches: &Arc<Vec<Batch>>,
    ) -> Result<(), CommitError> {
        let (day, rows, size) = (key.day, key.rows, bytes.len());
        let put = tokio::time::timeout(PUT_TIMEOUT, self.store.put_fresh(tenant, key, bytes)).await;
        let committed = put.map_err(|_| CommitError::Timeout)?.map_err(CommitError::Store)?;
        let again = committed == Committed::Existed;
        tracing::debug!(%tenant, %day, rows, size, again, "segment stored");
        if let Some(listener) = self.listener.get()
            && !again
        {
            listener.tell(tenant, StoredDay::new(day, batches));
        }
        Ok(())
    }
}
