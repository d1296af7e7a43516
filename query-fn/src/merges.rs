//! Asks for the merge of a day whose listing was long, on Lambda, where a process that answers questions writes nothing.
//!
//! In: what listings showed. Out: one request for each such day once in a while, before the answer and never behind it.

use std::sync::Arc;

use door::merger::Merger;
use loki_api::config::Config;
use store::Store;
use upkeep::Reminder;

/// Who merges, and what is due.
#[derive(Clone)]
pub struct Merges {
    reminder: Reminder,
    merger: Merger,
}

impl Merges {
    pub(crate) fn new(config: &Config, merger: Merger) -> Self {
        Merges { reminder: Reminder::new(door::upkeep::merge_settings(config)), merger }
    }

    /// The same store, whose listings are seen here.
    pub(crate) fn watch(&self, store: &Store) -> Store {
        store.watched(Arc::new(self.reminder.clone()))
    }

    /// Asks for what is due.
    pub(crate) async fn ask(&self) {
        self.merger.ask_for_due(&self.reminder).await;
    }
}
