//! Merging on Lambda: an invocation that finds a day due asks for it, another one does it.
//!
//! In: what the store says was written, requests, schedules. Out: merged days. Nothing runs behind an answer, where the process is
//! frozen: what is due is asked for before it. A merge ends within its invocation, and asks for another only if it has done something
//! and there is more, a bounded number of times in a row.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::upkeep::{Grace, MergeSettings, Permission, Policy, Reminder, Tended, keep_of, owed_days, tend_day};
use door::merger::Merger;
use door::upkeep::{grace, merge_settings, permission, policy};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use invoke::InvokeError;
use loki_api::aws::own::MergeRequest;
use loki_api::config::Config;
use model::{Day, TenantId};
use serde_json::{Value, json};
use store::Store;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Bytes of segments that one merge takes: it has to end well within an invocation on a third of a processor.
const INPUT_BYTES_MAX: u64 = 64 << 20;
/// Fresh segments of a day that is over for which it is merged.
const FRESH_OF_PAST_DAYS_MIN: usize = 2;
/// Days of each tenant, the newest first, that a schedule looks after.
const DAYS_LOOKED_AFTER_MAX: usize = 8;
/// Days of each tenant that may hold what is past or deleted, the newest first, that it looks after besides.
const DAYS_OWED_MAX: usize = 100;
/// Requests that a schedule has under way.
const REQUESTS_AT_ONCE_MAX: usize = 8;
/// Of the time that is left, so much is kept for the answer and the next request.
const TIME_KEPT: Duration = Duration::from_secs(5);

/// Why there is no merge.
#[derive(Debug, thiserror::Error)]
pub enum MergeFailure {
    /// The store could not be read or written.
    #[error("merging: {0}")]
    Upkeep(#[from] ::upkeep::Error),
    /// The store could not be listed.
    #[error("looking for days to merge: {0}")]
    Store(#[from] store::Error),
    /// A schedule has nobody to ask.
    #[error("no function is known that merges: LOGBARN_MERGE_FUNCTION is empty")]
    Nobody,
    /// A schedule could not ask.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
}

/// The merges of a function. Cloning copies a pointer.
#[derive(Clone)]
pub struct Merges(Arc<Inner>);

struct Inner {
    /// Not watched: what a merge itself lists is no news.
    store: Store,
    settings: MergeSettings,
    grace: Grace,
    permission: Permission,
    /// What is to be forgotten.
    policy: Policy,
    /// Whether the store may be merged, once it is known.
    permitted: OnceCell<bool>,
    reminder: Reminder,
    /// Who merges.
    merger: Option<Merger>,
}

impl Merges {
    /// Merges of this store as the configuration wants it, asked of this function. Starts nothing.
    pub fn new(store: Store, config: &Arc<Config>, merger: Option<Merger>) -> Self {
        let settings = MergeSettings { input_bytes_max: INPUT_BYTES_MAX, ..merge_settings(config) };
        let reminder = Reminder::new(settings.clone());
        let (permission, permitted, grace) = (permission(config), OnceCell::new(), grace(config));
        let policy = policy(config, crate::config::now_ns);
        Merges(Arc::new(Inner { store, settings, grace, permission, policy, permitted, reminder, merger }))
    }

    /// The store that pushes are to use: what is written through it is merged when due.
    pub fn watched_store(&self) -> Store {
        match (self.0.permission, &self.0.merger) {
            (Permission::Never, _) | (_, None) => self.0.store.clone(),
            _ => self.0.store.watched(Arc::new(self.0.reminder.clone())),
        }
    }

    /// Asks for what has become due.
    pub(crate) async fn ask(&self) {
        if let Some(merger) = &self.0.merger {
            merger.ask_for_due(&self.0.reminder).await;
        }
    }

    /// Merges a day until `until`, and asks for the rest.
    pub(crate) async fn merge(&self, request: &MergeRequest, until: Instant) -> Result<Value, MergeFailure> {
        let inner = &*self.0;
        let permitted = inner.permitted.get_or_try_init(|| inner.permission.is_given(&inner.store)).await?;
        if !permitted {
            return Ok(json!({"merges": 0, "allowed": false}));
        }
        let MergeRequest { tenant, day, .. } = request;
        let settings = inner.settings_for(request);
        let until = until.checked_sub(TIME_KEPT).unwrap_or(until);
        let limits = (&settings, &inner.grace);
        let keep = keep_of(&inner.store, tenant, &inner.policy).await?;
        let tended = tend_day(&inner.store, tenant, *day, limits, keep, until).await?;
        tracing::info!(%tenant, %day, round = request.round, ?tended, "looked after a day");
        let asked_again = tended.more && inner.ask_again(request, &tended).await;
        let Tended { merged, collected, more } = tended;
        Ok(json!({"merges": merged.merges, "segments_in": merged.segments_in, "segments_out": merged.segments_out,
            "deleted": collected.deleted, "more": more, "asked_again": asked_again}))
    }

    /// Asks for a look at the newest days of every tenant: merges what is owed, collects garbage.
    pub(crate) async fn look_after(&self, today: Day) -> Result<Value, MergeFailure> {
        let inner = &*self.0;
        let Some(merger) = &inner.merger else { return Err(MergeFailure::Nobody) };
        if inner.permission == Permission::Never {
            return Ok(json!({"days": 0, "allowed": false}));
        }
        let mut requests = Vec::new();
        for tenant in inner.store.tenants().await? {
            requests.extend(inner.days_of(&tenant, today).await?);
        }
        let days = requests.len();
        let asked: Vec<_> = requests.iter().map(|request| merger.ask(request)).collect();
        stream::iter(asked).buffer_unordered(REQUESTS_AT_ONCE_MAX).try_collect::<()>().await?;
        Ok(json!({"days": days}))
    }
}

impl Inner {
    fn settings_for(&self, request: &MergeRequest) -> MergeSettings {
        match request.all {
            true => MergeSettings {
                input_bytes_max: INPUT_BYTES_MAX,
                fresh_count_min: FRESH_OF_PAST_DAYS_MIN,
                ..MergeSettings::all()
            },
            false => self.settings.clone(),
        }
    }

    async fn days_of(&self, tenant: &TenantId, today: Day) -> Result<Vec<MergeRequest>, MergeFailure> {
        let newest = self.store.days(tenant).await?.into_iter().rev().take(DAYS_LOOKED_AFTER_MAX);
        let owed = owed_days(&self.store, tenant, &self.policy).await?.into_iter().take(DAYS_OWED_MAX);
        let days: BTreeSet<Day> = newest.chain(owed).collect();
        let request = |day| MergeRequest { all: day < today, ..MergeRequest::new(tenant.clone(), day) };
        Ok(days.into_iter().map(request).collect())
    }

    /// Only who has got somewhere asks again, so that what cannot be done is not tried for ever.
    async fn ask_again(&self, request: &MergeRequest, tended: &Tended) -> bool {
        let next = request.next().filter(|_| tended.merged.commits() > 0);
        let (Some(next), Some(merger)) = (next, &self.merger) else { return false };
        let asked = merger.ask(&next).await;
        if let Err(error) = &asked {
            tracing::warn!(%error, "the rest of a day could not be asked for; it is merged when it is due again");
        }
        asked.is_ok()
    }
}
