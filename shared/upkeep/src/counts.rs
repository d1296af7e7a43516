//! When a day has become due, as far as one process can tell.
//!
//! In: what was written and what listings showed. Out: whether that is a reason to merge. Counts of writes begin anew at each reason.

use std::collections::HashMap;

use model::{Day, TenantId};

use crate::MergeSettings;

/// Days whose fresh segments are counted. Beyond them counting starts anew, and listings still find what is due.
const DAYS_COUNTED_MAX: usize = 10_000;

/// A day of a tenant.
pub(crate) type TenantDay = (TenantId, Day);

/// Fresh segments and their bytes since the last reason, as far as this process wrote them.
#[derive(Debug, Default)]
pub(crate) struct Counts(HashMap<TenantDay, (usize, u64)>);

impl Counts {
    /// Counts a write; whether the day is due by it.
    pub(crate) fn wrote(&mut self, tenant_day: &TenantDay, bytes: u64, settings: &MergeSettings) -> bool {
        if self.0.len() >= DAYS_COUNTED_MAX {
            self.0.clear();
        }
        let written = self.0.entry(tenant_day.clone()).or_default();
        *written = (written.0 + 1, written.1 + bytes);
        let is_due = settings.is_due(written.0, written.1);
        if is_due {
            self.0.remove(tenant_day);
        }
        is_due
    }
}
