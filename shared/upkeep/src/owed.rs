//! Which days may still hold what nobody may see any more.
//!
//! In: a tenant, and what it wants forgotten. Out: days, the newest first. Costs a LIST of the days, and one of the delete requests.
//! Whether there is something left in a day is found by who looks after it.

use engine::Policy;
use model::{Day, TenantId};
use store::Store;

use crate::Error;
use crate::keep::forget_of;

const DAY_NS: i64 = 86_400_000_000_000;

/// The days of a tenant that are past, or of which something was deleted for good.
pub async fn owed_days(store: &Store, tenant: &TenantId, policy: &Policy) -> Result<Vec<Day>, Error> {
    let rules = policy.rules(tenant).map_err(|why| Error::Internal(why.to_string()))?;
    if rules.is_nothing() {
        return Ok(Vec::new());
    }
    let times = forget_of(store, tenant, rules).await?.owing_times();
    let mut days = if times.is_empty() { Vec::new() } else { store.days(tenant).await? };
    days.retain(|day| times.iter().any(|range| range.overlaps(day.start_ns(), day.start_ns() + (DAY_NS - 1))));
    days.reverse();
    Ok(days)
}
