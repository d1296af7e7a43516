//! Asks the function that merges, on Lambda, where nothing runs behind an answer.
//!
//! In: days that are due. Out: one asynchronous invocation for each. Whoever pushed or asked does not suffer if nobody can be asked: the
//! next reason comes.

use ::upkeep::Reminder;
use invoke::{Functions, InvokeError};
use loki_api::aws::own::MergeRequest;

/// The function that merges, and by which client it is asked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Merger {
    functions: Functions,
    name: String,
}

impl Merger {
    /// The function of this name; `environment` gives the `AWS_*` variables.
    ///
    /// # Errors
    /// If they do not say where functions are.
    pub fn open(environment: Vec<(String, String)>, name: String) -> Result<Self, InvokeError> {
        Ok(Merger { functions: Functions::open(environment)?, name })
    }

    /// Asks for a merge.
    ///
    /// # Errors
    /// If nobody could be asked.
    pub async fn ask(&self, request: &MergeRequest) -> Result<(), InvokeError> {
        self.functions.tell(&self.name, request.event().into()).await
    }

    /// Asks for what has become due.
    pub async fn ask_for_due(&self, reminder: &Reminder) {
        for (tenant, day) in reminder.take() {
            let request = MergeRequest::new(tenant, day);
            if let Err(error) = self.ask(&request).await {
                tracing::warn!(tenant = %request.tenant, %day, %error, "a day is due and nobody could be asked to merge it");
            }
        }
    }
}
