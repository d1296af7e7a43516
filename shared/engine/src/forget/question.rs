//! What is forgotten of the tenants of one question: asked of the store beside the listings of days, once.
//!
//! In: a policy and the tenants. Out: their segments without those that are wholly past, and for each opened one what is forgotten of
//! its streams. Where nothing can be forgotten, nothing is asked. What was found is remembered in the engine for entries that come
//! live, and so that a delete request is compiled once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use model::{Day, Labels, TenantId, TimeRange};
use store::{DeleteRequest, SegmentRef, Store};
use tokio::sync::OnceCell;

use super::delete::Delete;
use super::{Forget, Policy, Rules, StreamForget};
use crate::Error;
use crate::footers::OpenSegment;
use crate::tenants::Tenants;

/// Tenants of one question whose segments are listed at the same time.
const TENANTS_LISTED_AT_ONCE_MAX: usize = 4;
/// Tenants whose delete requests are remembered.
const TENANTS_KNOWN_MAX: usize = 10_000;

/// The delete requests that each tenant had when it was last asked about.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<TenantId, Arc<[Arc<Delete>]>>>);

impl Known {
    /// Those of a tenant.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<[Arc<Delete>]> {
        self.lock().get(tenant).cloned().unwrap_or_default()
    }

    /// Takes those that the store has now; what was known before is not compiled again.
    pub(crate) fn learn(
        &self,
        tenant: &TenantId,
        requests: &[Arc<DeleteRequest>],
    ) -> Result<Arc<[Arc<Delete>]>, Error> {
        let before = self.of(tenant);
        let compiled = |request: &Arc<DeleteRequest>| {
            let mark = format!("delete-{}", request.name());
            match before.iter().find(|delete| *delete.mark == *mark) {
                Some(delete) => Ok(Arc::clone(delete)),
                None => Ok(Arc::new(Delete::new(request)?)),
            }
        };
        let deletes: Arc<[Arc<Delete>]> = requests.iter().map(compiled).collect::<Result<_, Error>>()?;
        let mut known = self.lock();
        if known.len() >= TENANTS_KNOWN_MAX {
            known.clear();
        }
        known.insert(tenant.clone(), Arc::clone(&deletes));
        Ok(deletes)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<[Arc<Delete>]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question on its way to finding out what is forgotten.
#[derive(Debug)]
pub(crate) struct Question {
    policy: Policy,
    known: Arc<Known>,
    tenants: Tenants,
    /// The moment of the question, if it is a part of one that was asked elsewhere.
    asked_ns: Option<i64>,
    /// What each chosen tenant wants, at the moment of the question.
    rules: OnceLock<Vec<Rules>>,
    forgets: OnceCell<Forgets>,
}

impl Question {
    pub(crate) fn new(policy: Policy, known: Arc<Known>, tenants: Tenants) -> Self {
        Question { policy, known, tenants, asked_ns: None, rules: OnceLock::new(), forgets: OnceCell::new() }
    }

    /// The same as a part of a question that was asked at another moment.
    pub(crate) fn asked_at(self, asked_ns: i64) -> Self {
        Question { asked_ns: Some(asked_ns), ..self }
    }

    /// The moment of the question, nanoseconds since 1970; 0 if nothing can be forgotten.
    pub(crate) fn asked_ns(&self) -> Result<i64, Error> {
        Ok(self.rules()?.first().map_or(0, |rules| rules.now_ns))
    }

    /// What is forgotten; nothing before segments were asked for.
    pub(crate) fn forgets(&self) -> Forgets {
        self.forgets.get().cloned().unwrap_or_default()
    }

    /// The segments that may show entries of a time range.
    pub(crate) async fn segments(&self, store: &Store, range: TimeRange) -> Result<Vec<SegmentRef>, Error> {
        let rules = self.rules()?;
        let listings = self.tenants.chosen().iter().zip(rules).map(|(tenant, rules)| list(store, tenant, rules, range));
        let listings = stream::iter(listings.collect::<Vec<_>>()).buffered(TENANTS_LISTED_AT_ONCE_MAX).try_concat();
        let (mut segments, forgets) = tokio::try_join!(listings, self.learn(store))?;
        if !forgets.is_nothing() {
            segments.retain(|segment| forgets.keep(segment, store));
        }
        Ok(segments)
    }

    fn rules(&self) -> Result<&Vec<Rules>, Error> {
        if let Some(rules) = self.rules.get() {
            return Ok(rules);
        }
        let rules = self.tenants.chosen().iter().map(|tenant| self.policy.rules(tenant));
        let mut rules = rules.collect::<Result<Vec<_>, _>>()?;
        // One moment for all tenants, and for all processes that answer a part.
        if let Some(asked_ns) = self.asked_ns.or(rules.first().map(|rules| rules.now_ns)) {
            rules.iter_mut().for_each(|rules| rules.now_ns = asked_ns);
        }
        Ok(self.rules.get_or_init(|| rules))
    }

    /// Finds out what is forgotten, the first time it is called.
    pub(crate) async fn learn(&self, store: &Store) -> Result<&Forgets, Error> {
        let rules = self.rules()?;
        self.forgets.get_or_try_init(|| self.ask(store, rules)).await
    }

    async fn ask(&self, store: &Store, rules: &[Rules]) -> Result<Forgets, Error> {
        let each = self.tenants.chosen().iter().zip(rules).map(|(tenant, rules)| async {
            let deletes = match rules.heeds_deletes() {
                true => self.known.learn(tenant, &store.deletes(tenant).await?)?,
                false => Arc::default(),
            };
            Ok::<_, Error>((tenant.clone(), Forget::of(rules.clone(), deletes)))
        });
        let each = stream::iter(each.collect::<Vec<_>>()).buffered(TENANTS_LISTED_AT_ONCE_MAX);
        let mut all: Vec<(TenantId, Forget)> = each.try_collect().await?;
        all.retain(|(_, forget)| !forget.is_nothing());
        Ok(Forgets { of: all.into(), tenants: Some(self.tenants.clone()) })
    }
}

/// One tenant's segments of a range, but for days that are wholly past.
async fn list(store: &Store, tenant: &TenantId, rules: &Rules, range: TimeRange) -> Result<Vec<SegmentRef>, Error> {
    let oldest_ns = rules.oldest_ns();
    if oldest_ns <= range.start_ns() {
        return Ok(store.segments(tenant, range).await?);
    }
    store.tell_owing(tenant, None);
    match TimeRange::new(range.start_ns().max(Day::of(oldest_ns).start_ns()), range.end_ns()) {
        Ok(range) => Ok(store.segments(tenant, range).await?),
        Err(_) => Ok(Vec::new()),
    }
}

/// What is forgotten of the tenants of a question.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forgets {
    /// Those of whom anything is.
    of: Arc<[(TenantId, Forget)]>,
    tenants: Option<Tenants>,
}

impl Forgets {
    fn is_nothing(&self) -> bool {
        self.of.is_empty()
    }

    fn of(&self, segment: &SegmentRef) -> Option<(&TenantId, &Forget)> {
        let tenant = segment.key.tenant()?;
        self.of.iter().find(|(of, _)| of.as_str() == tenant).map(|(of, forget)| (of, forget))
    }

    /// Whether anything of a segment may be shown. Tells the store's listener what should not be there any more.
    fn keep(&self, segment: &SegmentRef, store: &Store) -> bool {
        let Some((tenant, forget)) = self.of(segment) else { return true };
        if forget.is_owed_by(segment) {
            store.tell_owing(tenant, Some(Day::of(segment.min_ts)));
        }
        !forget.is_past(segment.max_ts)
    }

    /// What is forgotten of the streams of a segment; nothing if all of it is shown.
    pub(crate) fn of_segment<'f>(&'f self, opened: &'f OpenSegment) -> Option<SegmentForget<'f>> {
        let (_, forget) = self.of(&opened.segment)?;
        let SegmentRef { min_ts, max_ts, forgot, .. } = &opened.segment;
        if forget.spares(*min_ts, *max_ts, forgot) {
            return None;
        }
        Some(SegmentForget { forget, opened, tenants: self.tenants.as_ref()? })
    }
}

/// What is forgotten of a segment.
pub(crate) struct SegmentForget<'f> {
    forget: &'f Forget,
    opened: &'f OpenSegment,
    tenants: &'f Tenants,
}

impl SegmentForget<'_> {
    /// What is forgotten of a stream, given as the question sees it.
    pub(crate) fn of_stream(&self, stream: &Labels) -> StreamForget {
        self.forget.of_stream(&self.tenants.own(stream), &self.opened.segment.forgot)
    }
}
