//! The commits of this process, on their way to its tails.
//!
//! In: what a commit stored, from the commit's own task. Out: the same, brought to the tails by a blocking thread that lives while
//! there is something to bring. Handing over never waits and copies a pointer; what waits is bounded, and beyond the bound the tails
//! are told what they miss.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{StoredEntries, TenantId};

use super::hub::{Hub, Pending};

/// Memory of commits that wait to be brought to tails. A larger commit goes alone.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What a commit stored, shared.
type Stored = Arc<dyn StoredEntries + Send + Sync>;

/// Takes what was stored. Cloning copies pointers.
#[derive(Clone)]
pub struct Feed {
    hub: Hub,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    stored: VecDeque<(TenantId, Stored, Pending)>,
    bytes: usize,
    /// Whether a thread is at work.
    running: bool,
}

impl Feed {
    pub(crate) fn new(hub: Hub) -> Self {
        Feed { hub, waiting: Arc::default() }
    }

    /// To be called with what was stored, once it is stored. Must be called within a tokio runtime; returns at once.
    pub fn tell(&self, tenant: &TenantId, stored: Stored) {
        if self.hub.is_idle() || self.hub.followers(tenant).is_empty() {
            return;
        }
        let bytes = stored.memory_bytes();
        let mut waiting = self.lock();
        if waiting.bytes + bytes > WAITING_BYTES_MAX && !waiting.stored.is_empty() {
            drop(waiting);
            self.hub.miss(tenant, &*stored);
            return;
        }
        waiting.bytes += bytes;
        waiting.stored.push_back((tenant.clone(), stored, self.hub.pending()));
        if !waiting.running {
            waiting.running = true;
            let running = Running(self.clone());
            tokio::task::spawn_blocking(move || running.bring_all());
        }
    }

    fn next(&self) -> Option<(TenantId, Stored, Pending)> {
        let mut waiting = self.lock();
        let next = waiting.stored.pop_front();
        match &next {
            Some((_, stored, _)) => waiting.bytes = waiting.bytes.saturating_sub(stored.memory_bytes()),
            None => waiting.running = false,
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread at work. If it dies, the next commit starts another.
struct Running(Feed);

impl Running {
    fn bring_all(self) {
        while let Some((tenant, stored, _pending)) = self.0.next() {
            self.0.hub.bring(&tenant, &*stored);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().running = false;
        }
    }
}
