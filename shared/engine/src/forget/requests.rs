//! Delete requests from outside: taken, listed, cancelled.
//!
//! In: a query and a range. Out: a stored request that the very next question heeds, in any process. Whether it may be taken is for
//! the caller to decide, and so is the time.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use model::{Day, TenantId, TimeRange};
use store::{Current, DeleteRequest, SegmentRef};

use super::{Forget, delete};
use crate::{Engine, Error};

/// Requests of one tenant that are not cancelled. Those whose work is done stay, since a batch that is sent again would bring its
/// entries back; and each costs every question a look.
const REQUESTS_MAX: usize = 10_000;
/// Days that are listed at the same time.
const DAYS_AT_ONCE_MAX: usize = 8;

/// A request and how far its work is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteStatus {
    /// The request.
    pub request: Arc<DeleteRequest>,
    /// Segments with entries of its time.
    pub segments: usize,
    /// Those of them in which its entries are deleted for good.
    pub segments_done: usize,
    /// Whether merges may delete by now.
    pub is_final: bool,
}

/// Whether a query can say what is to be deleted: whether it has filters.
pub fn check_delete(query: &str) -> Result<bool, Error> {
    Ok(!delete::parse(query)?.pipeline.is_empty())
}

impl Engine {
    /// Takes a request; gives its id. One that asks the same as another is that other.
    pub async fn request_delete(
        &self,
        tenant: &TenantId,
        query: &str,
        (start_ns, end_ns): (i64, i64),
        now_ns: i64,
    ) -> Result<String, Error> {
        let request = DeleteRequest::new(query, start_ns, end_ns, now_ns);
        delete::Delete::new(&request)?;
        let known = self.store.deletes(tenant).await?;
        if known.len() >= REQUESTS_MAX && !known.iter().any(|known| known.key.id == request.key.id) {
            return Err(Error::Limit(format!(
                "too many delete requests, limit: {REQUESTS_MAX}; cancel processed ones"
            )));
        }
        let stored = self.store.put_delete(tenant, request).await?;
        self.learn_deletes(tenant).await?;
        self.store.tell_owing(tenant, None);
        Ok(stored.id())
    }

    /// A request that is not cancelled, by its id.
    pub async fn delete_request(&self, tenant: &TenantId, id: &str) -> Result<Option<Arc<DeleteRequest>>, Error> {
        Ok(self.store.deletes(tenant).await?.into_iter().find(|request| request.id() == id))
    }

    /// Cancels a request. What is not deleted for good is shown again.
    pub async fn cancel_delete(&self, tenant: &TenantId, request: &DeleteRequest) -> Result<(), Error> {
        self.store.cancel_delete(tenant, request).await?;
        self.learn_deletes(tenant).await
    }

    /// All requests of a tenant that are not cancelled, and how far each is.
    pub async fn delete_requests(&self, tenant: &TenantId) -> Result<Vec<DeleteStatus>, Error> {
        let rules = self.policy.rules(tenant)?;
        let requests = self.store.deletes(tenant).await?;
        let forget = Forget::new(rules.clone(), &requests)?;
        let mut days = if requests.is_empty() { Vec::new() } else { self.store.days(tenant).await? };
        days.retain(|day| requests.iter().any(|request| concerns(request, *day)));
        let each = stream::iter(days).map(|day| async move {
            let Current { manifest, fresh, .. } = self.store.current(tenant, day).await?;
            let merged = manifest.segments.iter().map(|merged| merged.segment(tenant, day));
            Ok::<_, Error>(fresh.into_iter().map(|(_, segment)| segment).chain(merged).collect::<Vec<SegmentRef>>())
        });
        let segments: Vec<SegmentRef> = each.buffered(DAYS_AT_ONCE_MAX).try_concat().await?;
        let status = |(request, delete): (&Arc<DeleteRequest>, &Arc<delete::Delete>)| {
            let concerned = |segment: &&SegmentRef| {
                delete.overlaps(segment.min_ts, segment.max_ts) && !forget.is_past(segment.max_ts)
            };
            let concerned: Vec<&SegmentRef> = segments.iter().filter(concerned).collect();
            DeleteStatus {
                request: Arc::clone(request),
                segments: concerned.len(),
                segments_done: concerned.iter().filter(|segment| segment.forgot.contains(&delete.mark)).count(),
                is_final: rules.is_final(delete.created_ns),
            }
        };
        Ok(requests.iter().zip(forget.deletes.iter()).map(status).collect())
    }

    /// What is forgotten of a tenant, as far as this process has heard: for entries that come live.
    pub fn known_forget(&self, tenant: &TenantId) -> Result<Forget, Error> {
        Ok(Forget::of(self.policy.rules(tenant)?, self.known_deletes.of(tenant)))
    }

    async fn learn_deletes(&self, tenant: &TenantId) -> Result<(), Error> {
        self.known_deletes.learn(tenant, &self.store.deletes(tenant).await?)?;
        Ok(())
    }
}

fn concerns(request: &DeleteRequest, day: Day) -> bool {
    let (start_ns, end_ns) = (request.start_ns, request.end_ns.saturating_add(1));
    TimeRange::new(start_ns, end_ns).is_ok_and(|range| (Day::of(range.start_ns())..=Day::of(end_ns - 1)).contains(&day))
}
