//! Tells somebody what is written and what listings show, so that a day can be merged when it is due.
//!
//! In: a store and a listener. Out: the same store, which calls the listener. The calls must be quick; they decide nothing here.

use std::fmt;
use std::sync::Arc;

use model::{Day, TenantId};

use crate::Store;

/// Who wants to know.
pub trait Watch: Send + Sync {
    /// A fresh segment of so many bytes was stored.
    fn wrote(&self, tenant: &TenantId, day: Day, bytes: u64);
    /// A listing has shown so many fresh segments that no merge has consumed yet, and their bytes.
    fn listed(&self, tenant: &TenantId, day: Day, fresh: usize, bytes: u64);
    /// Entries of a day that nobody may see any more are still stored; without a day, of some days.
    fn owes(&self, tenant: &TenantId, day: Option<Day>) {
        let _ = (tenant, day);
    }
}

/// Nobody, or somebody.
#[derive(Clone, Default)]
pub(crate) struct Watcher(pub(crate) Option<Arc<dyn Watch>>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({})", self.0.is_some())
    }
}

impl Store {
    /// Tells the listener that entries are still stored that nobody may see any more.
    pub fn tell_owing(&self, tenant: &TenantId, day: Option<Day>) {
        if let Some(watch) = &self.watch.0 {
            watch.owes(tenant, day);
        }
    }

    /// The same store, with somebody who is told.
    pub fn watched(&self, watch: Arc<dyn Watch>) -> Self {
        Store { watch: Watcher(Some(watch)), ..self.clone() }
    }
}
