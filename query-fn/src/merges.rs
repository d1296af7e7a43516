//! Asks for the merge of a day whose listing was long, on Lambda, where a process that answers questions writes nothing.
//!
//! In: what listings showed. Out: one asynchronous invocation of the function that merges, for each such day once in a while, before
//! the answer and never behind it. A question does not suffer if nobody can be asked.

use std::sync::Arc;

use invoke::{Functions, InvokeError};
use loki_api::aws::own::MergeRequest;
use loki_api::config::Config;
use store::Store;
use upkeep::Reminder;

/// Who merges, and what is due.
#[derive(Clone)]
pub struct Merges {
    reminder: Reminder,
    functions: Functions,
    function: String,
}

impl Merges {
    /// Asks this function; `environment` gives the `AWS_*` variables.
    pub(crate) fn new(
        config: &Config,
        environment: Vec<(String, String)>,
        function: String,
    ) -> Result<Self, InvokeError> {
        Ok(Merges {
            reminder: Reminder::new(door::upkeep::merge_settings(config)),
            functions: Functions::open(environment)?,
            function,
        })
    }

    /// The same store, whose listings are seen here.
    pub(crate) fn watch(&self, store: &Store) -> Store {
        store.watched(Arc::new(self.reminder.clone()))
    }

    /// Asks for what is due.
    pub(crate) async fn ask(&self) {
        for (tenant, day) in self.reminder.take() {
            let request = MergeRequest::new(tenant, day);
            if let Err(error) = self.functions.tell(&self.function, request.event().into()).await {
                tracing::warn!(tenant = %request.tenant, %day, %error, "a day is due and nobody could be asked to merge it");
            }
        }
    }
}
