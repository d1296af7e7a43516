//! Remembers which days are due, for a process that cannot merge in the background: one that is frozen between its requests.
//!
//! In: what the store says was written or listed. Out: the days that are due, each once in a while. Merges nothing, starts nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{Day, TenantId};
use store::Watch;
use tokio::time::Instant;

use crate::MergeSettings;
use crate::counts::{Counts, TenantDay};

/// Days that may wait to be taken.
const DAYS_DUE_MAX: usize = 16;
/// For so long a day that was taken is not due again: somebody is merging it.
const REST: Duration = Duration::from_secs(300);

/// The days that are due. Cloning copies a pointer.
#[derive(Clone)]
pub struct Reminder(Arc<Inner>);

struct Inner {
    settings: MergeSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written: Counts,
    due: Vec<TenantDay>,
    resting: HashMap<TenantDay, Instant>,
}

impl Reminder {
    /// Remembers by these settings.
    pub fn new(settings: MergeSettings) -> Self {
        Reminder(Arc::new(Inner { settings, state: Mutex::default() }))
    }

    /// What is due since the last call.
    pub fn take(&self) -> Vec<(TenantId, Day)> {
        std::mem::take(&mut self.state().due)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn due(&mut self, tenant_day: TenantDay) {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        if self.due.len() < DAYS_DUE_MAX && !self.resting.contains_key(&tenant_day) {
            self.resting.insert(tenant_day.clone(), now + REST);
            self.due.push(tenant_day);
        }
    }
}

impl Watch for Reminder {
    fn wrote(&self, tenant: &TenantId, day: Day, bytes: u64) {
        let (tenant_day, mut state) = ((tenant.clone(), day), self.state());
        if state.written.wrote(&tenant_day, bytes, &self.0.settings) {
            state.due(tenant_day);
        }
    }

    fn listed(&self, tenant: &TenantId, day: Day, fresh: usize, bytes: u64) {
        if self.0.settings.is_due(fresh, bytes) {
            self.state().due((tenant.clone(), day));
        }
    }

    fn owes(&self, tenant: &TenantId, day: Option<Day>) {
        if let Some(day) = day {
            self.state().due((tenant.clone(), day));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_day_is_due_once_in_a_while() {
        let (tenant, day) = (TenantId::single(), Day::of(0));
        let reminder = Reminder::new(MergeSettings { fresh_count_min: 3, ..MergeSettings::default() });
        let write = |times: usize| (0..times).for_each(|_| reminder.wrote(&tenant, day, 1));
        write(2);
        assert_eq!(reminder.take(), []);
        write(1);
        assert_eq!(reminder.take(), [(tenant.clone(), day)]);
        reminder.listed(&tenant, day, 3, 3);
        write(9);
        assert_eq!(reminder.take(), [], "somebody is at it");
        tokio::time::advance(REST).await;
        reminder.listed(&tenant, day, 2, 2);
        assert_eq!(reminder.take(), []);
        reminder.listed(&tenant, day, 3, 3);
        assert_eq!(reminder.take(), [(tenant.clone(), day)]);
    }
}
