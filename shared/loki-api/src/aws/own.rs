//! What Logbarn's functions ask of each other, as events.
//!
//! In: a tenant's day that is due. Out: the JSON of an event, and back. A request counts its rounds, so that a function that asks itself
//! again comes to an end.

use model::{Day, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{EventError, OWN, malformed};

/// How often a request may be followed by another of its kind. Below the 16 at which AWS would call it a loop and stop it.
pub const ROUNDS_MAX: u32 = 12;

/// Asks to merge a day and to collect its garbage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequest {
    /// Whose day.
    pub tenant: TenantId,
    /// The day.
    pub day: Day,
    /// Merges all there is, not only what is due: for a day that is over.
    pub all: bool,
    /// How many requests came before this one.
    pub round: u32,
}

/// The request as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    merge: WrittenMerge,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMerge {
    tenant: String,
    day: String,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    round: u32,
}

impl MergeRequest {
    /// The first request for a day that has become due.
    pub fn new(tenant: TenantId, day: Day) -> Self {
        MergeRequest { tenant, day, all: false, round: 0 }
    }

    /// The request that follows, if there may be one.
    pub fn next(&self) -> Option<Self> {
        let round = self.round.checked_add(1).filter(|round| *round < ROUNDS_MAX)?;
        Some(MergeRequest { round, ..self.clone() })
    }

    /// The event.
    pub fn event(&self) -> String {
        let (tenant, day) = (self.tenant.to_string(), self.day.to_string());
        let merge = WrittenMerge { tenant, day, all: self.all, round: self.round };
        json!({ OWN: Written { merge } }).to_string()
    }

    /// Reads what stands under [`OWN`].
    pub(super) fn read(own: Value) -> Result<Self, EventError> {
        let kind = "Logbarn itself";
        let Written { merge } = serde_json::from_value(own).map_err(|why| malformed(kind, why))?;
        let tenant = TenantId::new(&merge.tenant).map_err(|why| malformed(kind, why))?;
        let day = merge.day.parse().map_err(|why| malformed(kind, format!("day {:?}: {why}", merge.day)))?;
        Ok(MergeRequest { tenant, day, all: merge.all, round: merge.round })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::*;

    fn told(text: &str) -> Result<Event, EventError> {
        Event::tell(serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn a_request_reads_back_and_ends() {
        let first = MergeRequest::new(TenantId::single(), Day::of(0));
        assert_eq!(
            first.event(),
            r#"{"logbarn":{"merge":{"all":false,"day":"1970-01-01","round":0,"tenant":"fake"}}}"#
        );
        assert_eq!(told(&first.event()), Ok(Event::Merge(first.clone())));
        let rounds = std::iter::successors(Some(first.clone()), MergeRequest::next).count();
        assert_eq!(rounds, ROUNDS_MAX as usize);
        assert_eq!(told(r#"{"logbarn":{"merge":{"tenant":"fake","day":"1970-01-01"}}}"#), Ok(Event::Merge(first)));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bad in [
            r#"{"logbarn":{}}"#,
            r#"{"logbarn":{"delete":{}}}"#,
            r#"{"logbarn":{"merge":{"tenant":"a/b","day":"1970-01-01"}}}"#,
            r#"{"logbarn":{"merge":{"tenant":"a","day":"today"}}}"#,
            r#"{"logbarn":{"merge":{"tenant":"a","day":"1970-01-01","round":-1}}}"#,
        ] {
            assert!(matches!(told(bad), Err(EventError::Malformed { .. })), "{bad}");
        }
    }
}
