//! What tenants want forgotten, and what time it is: settings from outside, compiled once and kept while they stay the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::TenantId;

use super::retention::Retention;
use crate::Error;

/// Tenants whose compiled settings are kept.
const TENANTS_KEPT_MAX: usize = 10_000;

/// What a tenant wants forgotten, as it is written in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgetSettings {
    /// Age at which entries go; 0 keeps them for ever.
    pub retention_period: Duration,
    /// Other periods for some streams.
    pub retention_streams: Vec<StreamPeriod>,
    /// What delete requests do.
    pub deletes: Deletes,
}

/// A period for the streams of a selector; if it names the level, for their entries of that level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPeriod {
    /// A stream selector.
    pub selector: String,
    /// The highest one wins, of equal ones the shorter period.
    pub priority: i64,
    /// Age at which entries go.
    pub period: Duration,
}

/// What delete requests do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deletes {
    /// Nothing.
    #[default]
    Ignored,
    /// They hide entries.
    Hide,
    /// They hide entries, which are deleted for good once a request is so old that it cannot be cancelled any more.
    Delete {
        /// That age.
        after: Duration,
    },
}

/// Answers what is to be forgotten of a tenant now. Cloning copies a pointer. The default forgets nothing.
#[derive(Clone, Default)]
pub struct Policy(Option<Arc<Inner>>);

struct Inner {
    settings: Box<dyn Fn(&TenantId) -> ForgetSettings + Send + Sync>,
    now_ns: Box<dyn Fn() -> i64 + Send + Sync>,
    compiled: Mutex<HashMap<TenantId, (ForgetSettings, Arc<Retention>)>>,
}

/// What a tenant wants forgotten at one moment.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub(super) retention: Arc<Retention>,
    pub(super) deletes: Deletes,
    pub(super) now_ns: i64,
}

impl Policy {
    /// Asks for the settings of a tenant and for the time (nanoseconds since 1970) whenever either matters.
    pub fn new(
        settings: impl Fn(&TenantId) -> ForgetSettings + Send + Sync + 'static,
        now_ns: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        let (settings, now_ns, compiled) = (Box::new(settings), Box::new(now_ns), Mutex::default());
        Policy(Some(Arc::new(Inner { settings, now_ns, compiled })))
    }

    /// What is to be forgotten of a tenant now.
    pub fn rules(&self, tenant: &TenantId) -> Result<Rules, Error> {
        let Some(inner) = &self.0 else { return Ok(Rules::default()) };
        let settings = (inner.settings)(tenant);
        Ok(Rules { deletes: settings.deletes, retention: inner.retention(tenant, settings)?, now_ns: (inner.now_ns)() })
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({})", self.0.is_some())
    }
}

impl Inner {
    fn retention(&self, tenant: &TenantId, settings: ForgetSettings) -> Result<Arc<Retention>, Error> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, retention)) = compiled.get(tenant)
            && *known == settings
        {
            return Ok(Arc::clone(retention));
        }
        let retention = Arc::new(Retention::new(settings.retention_period, &settings.retention_streams)?);
        if compiled.len() >= TENANTS_KEPT_MAX {
            compiled.clear();
        }
        compiled.insert(tenant.clone(), (settings, Arc::clone(&retention)));
        Ok(retention)
    }
}

impl Rules {
    /// Of settings, at a time.
    pub fn new(settings: &ForgetSettings, now_ns: i64) -> Result<Self, Error> {
        let retention = Arc::new(Retention::new(settings.retention_period, &settings.retention_streams)?);
        Ok(Rules { retention, deletes: settings.deletes, now_ns })
    }

    /// The same, at a time that is not behind another one.
    pub fn no_later_than(self, time_ns: i64) -> Self {
        Rules { now_ns: self.now_ns.min(time_ns), ..self }
    }

    /// Whether there is anything to be asked or done.
    pub fn is_nothing(&self) -> bool {
        self.retention.is_none() && !self.heeds_deletes()
    }

    /// Whether delete requests have an effect.
    pub fn heeds_deletes(&self) -> bool {
        self.deletes != Deletes::Ignored
    }

    /// Whether a request that was taken then is for good.
    pub(super) fn is_final(&self, created_ns: i64) -> bool {
        match self.deletes {
            Deletes::Delete { after } => {
                let after_ns = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
                created_ns.saturating_add(after_ns) <= self.now_ns
            }
            Deletes::Ignored | Deletes::Hide => false,
        }
    }

    /// Nothing older than this is shown.
    pub(super) fn oldest_ns(&self) -> i64 {
        self.retention.oldest_ns(self.now_ns)
    }
}
