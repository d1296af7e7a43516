//! Merges in the background, when there is a reason, one day at a time.
//!
//! In: what the store says was written or listed. Out: due days are merged and their garbage is collected, by a task that ends when
//! nothing is due. There is no timer: without a write or a read the store gets no request. Days that nobody writes or asks for any more
//! are looked for once in a while, by the occasion of a write or a read of their tenant: what is past its retention has to go.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::Policy;
use model::{Day, TenantId};
use store::{Store, Watch};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::counts::{Counts, TenantDay};
use crate::{Error, Grace, MergeSettings, Permission, collect_day, keep_of, merge_day, owed_days};

/// Days that may wait for their merge.
const TASKS_DUE_MAX: usize = 1_000;
/// How often a tenant's days are looked through, at most, and for how many tenants that is remembered.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
const TENANTS_LOOKED_MAX: usize = 10_000;
/// How long a day is not looked after again because of what it may owe, and for how many days that is remembered.
const OWED_REST: Duration = Duration::from_secs(86_400);
const DAYS_OWED_MAX: usize = 100_000;
/// Days that are remembered for garbage that is not due yet.
const DAYS_OWING_MAX: usize = 10_000;
/// How long a day rests whose merge has failed.
const REST: Duration = Duration::from_secs(600);

/// Merges days in the background. Cloning copies a pointer.
#[derive(Clone)]
pub struct Upkeep(Arc<Inner>);

struct Inner {
    store: Store,
    settings: MergeSettings,
    grace: Grace,
    permission: Permission,
    policy: Policy,
    state: Mutex<State>,
    /// Whether a task is at work.
    busy: watch::Sender<bool>,
}

/// Something to do.
#[derive(Clone, PartialEq, Eq)]
enum Task {
    /// Merge a day, and collect its garbage.
    Tend(TenantDay),
    /// Look for days of a tenant that hold what nobody may see any more.
    Look(TenantId),
}

#[derive(Default)]
struct State {
    written: Counts,
    due: VecDeque<Task>,
    /// When the days of a tenant were last looked through.
    looked: HashMap<TenantId, Instant>,
    /// When a day was last looked after because of what it may owe.
    owed: HashMap<TenantDay, Instant>,
    /// When garbage may have come of age.
    owing: BTreeMap<TenantDay, Instant>,
    /// Days whose merge has failed, and until when they rest.
    resting: HashMap<TenantDay, Instant>,
    /// What the probe said, once it is known.
    permitted: Option<bool>,
    running: bool,
}

impl Upkeep {
    /// Starts nothing. `store` is one that is not watched by this.
    pub fn new(store: Store, settings: MergeSettings, grace: Grace, permission: Permission, policy: Policy) -> Self {
        let busy = watch::Sender::new(false);
        let state = Mutex::default();
        Upkeep(Arc::new(Inner { store, settings, grace, permission, policy, state, busy }))
    }

    /// The store with this as its listener: what is written and listed through it is merged when due.
    pub fn watched_store(&self) -> Store {
        match self.0.permission {
            Permission::Never => self.0.store.clone(),
            _ => self.0.store.watched(Arc::new(self.clone())),
        }
    }

    /// Done when no merge is under way or due.
    pub async fn settled(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.busy.subscribe().wait_for(|busy| !busy).await;
    }

    /// Puts a day in the line.
    fn due(&self, tenant_day: TenantDay) {
        let rests = self.0.state().resting.get(&tenant_day).is_some_and(|until| *until > Instant::now());
        if !rests {
            self.start(Task::Tend(tenant_day));
        }
    }

    /// Puts a look through a tenant's days in the line, if there may be something to find and the last one is long ago.
    fn look(&self, tenant: &TenantId) {
        let now = Instant::now();
        if self.0.state().looked.get(tenant).is_some_and(|at| *at + LOOK_EVERY > now) {
            return;
        }
        let wants = self.0.policy.rules(tenant).is_ok_and(|rules| !rules.is_nothing());
        let mut state = self.0.state();
        if state.looked.len() >= TENANTS_LOOKED_MAX {
            state.looked.clear();
        }
        state.looked.insert(tenant.clone(), now);
        drop(state);
        if wants {
            self.start(Task::Look(tenant.clone()));
        }
    }

    /// Puts something in the line, and starts to work if nobody does.
    fn start(&self, task: Task) {
        let mut state = self.0.state();
        if state.due.contains(&task) || state.due.len() >= TASKS_DUE_MAX {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        state.due.push_back(task);
        if !state.running {
            state.running = true;
            self.0.busy.send_replace(true);
            runtime.spawn(Arc::clone(&self.0).work());
        }
    }
}

impl Watch for Upkeep {
    fn wrote(&self, tenant: &TenantId, day: Day, bytes: u64) {
        let tenant_day = (tenant.clone(), day);
        let is_due = self.0.state().written.wrote(&tenant_day, bytes, &self.0.settings);
        if is_due {
            self.due(tenant_day);
        }
        self.look(tenant);
    }

    fn listed(&self, tenant: &TenantId, day: Day, fresh: usize, bytes: u64) {
        if self.0.settings.is_due(fresh, bytes) {
            self.due((tenant.clone(), day));
        }
    }

    fn owes(&self, tenant: &TenantId, day: Option<Day>) {
        match day {
            Some(day) => self.due((tenant.clone(), day)),
            None => self.look(tenant),
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until nothing is due.
    async fn work(self: Arc<Self>) {
        // Whatever happens to this task, the next reason starts another.
        let _ended = Ended(&self);
        loop {
            let next = self.state().due.pop_front();
            let Some(task) = next else {
                let mut state = self.state();
                if state.due.is_empty() {
                    state.running = false;
                    return;
                }
                continue;
            };
            if !self.is_permitted().await {
                self.state().due.clear();
                continue;
            }
            match task {
                Task::Look(tenant) => {
                    if let Err(error) = self.look_through(&tenant).await {
                        tracing::warn!(%tenant, %error, "days were not looked through for what is to be forgotten; it is done later");
                    }
                }
                Task::Tend(tenant_day) => {
                    let (tenant, day) = &tenant_day;
                    if let Err(error) = self.tend(tenant, *day).await {
                        tracing::warn!(%tenant, %day, %error, "a day was not merged; it is tried again later");
                        let mut state = self.state();
                        state.resting.retain(|_, until| *until > Instant::now());
                        state.resting.insert(tenant_day, Instant::now() + REST);
                    }
                }
            }
        }
    }

    /// Puts the days in the line that may hold what is to be forgotten, but for those that were looked after not long ago.
    async fn look_through(&self, tenant: &TenantId) -> Result<(), Error> {
        let days = owed_days(&self.store, tenant, &self.policy).await?;
        let (now, mut state) = (Instant::now(), self.state());
        if state.owed.len() >= DAYS_OWED_MAX {
            state.owed.clear();
        }
        for day in days {
            let tenant_day = (tenant.clone(), day);
            let rests = state.owed.get(&tenant_day).is_some_and(|at| *at + OWED_REST > now);
            if !rests && state.due.len() < TASKS_DUE_MAX {
                state.owed.insert(tenant_day.clone(), now);
                state.due.push_back(Task::Tend(tenant_day));
            }
        }
        Ok(())
    }

    /// Merges a day, and collects its garbage and that of days whose time has come.
    async fn tend(&self, tenant: &TenantId, day: Day) -> Result<(), Error> {
        let keep = keep_of(&self.store, tenant, &self.policy).await?;
        let merged = merge_day(&self.store, tenant, day, &self.settings, keep).await?;
        if merged.commits() > 0 {
            tracing::info!(%tenant, %day, ?merged, "merged");
        }
        // What a process before this one left is looked at once.
        let before = Day::of(day.start_ns().saturating_sub(1));
        let now = Instant::now();
        let first = !self.state().owing.keys().any(|(owing, _)| owing == tenant);
        self.state().owing.insert((tenant.clone(), day), now);
        if first {
            self.state().owing.insert((tenant.clone(), before), now);
        }
        let come: Vec<TenantDay> =
            self.state().owing.iter().filter(|(_, at)| **at <= now).map(|(tenant_day, _)| tenant_day.clone()).collect();
        for (tenant, day) in come {
            let collected = collect_day(&self.store, &tenant, day, &self.grace).await?;
            if collected.deleted > 0 {
                tracing::info!(%tenant, %day, ?collected, "garbage collected");
            }
            let mut state = self.state();
            if collected.waiting == 0 || state.owing.len() > DAYS_OWING_MAX {
                state.owing.remove(&(tenant, day));
            } else {
                state.owing.insert((tenant, day), now + self.grace.fresh);
            }
        }
        Ok(())
    }

    /// Whether the store may be merged; asked until it is known.
    async fn is_permitted(&self) -> bool {
        if let Some(known) = self.state().permitted {
            return known;
        }
        let safe = match self.permission.is_given(&self.store).await {
            Ok(safe) => safe,
            Err(error) => {
                tracing::warn!(%error, "the store could not be probed; nothing is merged now");
                return false;
            }
        };
        self.state().permitted = Some(safe);
        safe
    }
}

/// Says that a task is not at work any more, also if it panics.
struct Ended<'a>(&'a Inner);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state().running = false;
        self.0.busy.send_replace(false);
    }
}
