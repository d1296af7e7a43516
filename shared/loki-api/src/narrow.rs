//! Limits that are narrowed: those of several tenants together, and those that a request brings for itself.
//!
//! In: two sets of limits. Out: of each limit of a query the smaller one that limits at all, since zero is no limit. Never
//! widens anything.

use std::time::Duration;

use serde::Deserialize;

use crate::limits::{Limits, duration, size};

/// The header by which a client narrows its own query, if the server heeds it.
pub const QUERY_LIMITS_HEADER: &str = "X-Loki-Query-Limits";

/// What [`QUERY_LIMITS_HEADER`] holds, as JSON, in Loki's names.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RequestLimits {
    #[serde(with = "duration")]
    max_query_length: Duration,
    #[serde(with = "duration", rename = "maxQueryInterval")]
    max_query_range: Duration,
    #[serde(with = "duration")]
    max_query_lookback: Duration,
    max_entries_limit_per_query: u64,
    #[serde(with = "duration", rename = "maxQueryTime")]
    query_timeout: Duration,
    required_labels: Vec<String>,
    minimum_labels_number: usize,
    #[serde(with = "size")]
    max_query_bytes_read: u64,
}

impl Limits {
    /// Takes of each limit of a query the narrower one.
    pub fn narrow(&mut self, other: &Limits) {
        self.max_entries_limit_per_query = least(self.max_entries_limit_per_query, other.max_entries_limit_per_query);
        self.max_query_series = least(self.max_query_series, other.max_query_series);
        self.max_query_length = least(self.max_query_length, other.max_query_length);
        self.max_query_range = least(self.max_query_range, other.max_query_range);
        self.max_query_lookback = least(self.max_query_lookback, other.max_query_lookback);
        self.query_timeout = least(self.query_timeout, other.query_timeout);
        self.max_streams_matchers_per_query =
            least(self.max_streams_matchers_per_query, other.max_streams_matchers_per_query);
        // Zero refuses here, so that it is the narrowest.
        self.max_query_parallelism = self.max_query_parallelism.min(other.max_query_parallelism);
        self.max_query_bytes_read = least(self.max_query_bytes_read, other.max_query_bytes_read);
        self.max_querier_bytes_read = least(self.max_querier_bytes_read, other.max_querier_bytes_read);
        self.max_concurrent_tail_requests =
            least(self.max_concurrent_tail_requests, other.max_concurrent_tail_requests);
        self.volume_enabled &= other.volume_enabled;
        self.volume_max_series = least(self.volume_max_series, other.volume_max_series);
        self.require(&other.required_labels, other.minimum_labels_number);
        self.blocked_queries.extend(
            other.blocked_queries.iter().filter(|b| !self.blocked_queries.contains(b)).cloned().collect::<Vec<_>>(),
        );
    }

    /// Takes the narrower ones of a request's own limits, given as the header's JSON.
    pub fn narrow_by_header(&mut self, json: &[u8]) -> Result<(), serde_json::Error> {
        let own: RequestLimits = serde_json::from_slice(json)?;
        self.max_query_length = least(self.max_query_length, own.max_query_length);
        self.max_query_range = least(self.max_query_range, own.max_query_range);
        self.max_query_lookback = least(self.max_query_lookback, own.max_query_lookback);
        self.max_entries_limit_per_query = least(self.max_entries_limit_per_query, own.max_entries_limit_per_query);
        self.query_timeout = least(self.query_timeout, own.query_timeout);
        self.max_query_bytes_read = least(self.max_query_bytes_read, own.max_query_bytes_read);
        self.require(&own.required_labels, own.minimum_labels_number);
        Ok(())
    }

    fn require(&mut self, labels: &[String], number: usize) {
        self.required_labels.extend(labels.iter().cloned());
        self.required_labels.sort();
        self.required_labels.dedup();
        self.minimum_labels_number = self.minimum_labels_number.max(number);
    }
}

/// The smaller one of two limits; zero is no limit.
fn least<T: Ord + Default>(a: T, b: T) -> T {
    match (a == T::default(), b == T::default()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.min(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_only_narrow_its_limits() {
        let mut limits = Limits { max_query_bytes_read: 1000, ..Limits::default() };
        let header = br#"{"maxQueryLength":"1h","maxEntriesLimitPerQuery":9000,"maxQueryTime":"5s","requiredLabels":["a"],"maxQueryBytesRead":"1GB"}"#;
        limits.narrow_by_header(header).expect("JSON");
        assert_eq!((limits.max_query_length.as_secs(), limits.query_timeout.as_secs()), (3600, 5));
        assert_eq!((limits.max_entries_limit_per_query, limits.max_query_bytes_read), (5000, 1000));
        assert_eq!(limits.required_labels, ["a"]);
        assert!(limits.narrow_by_header(b"{").is_err());
    }
}
