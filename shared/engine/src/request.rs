//! What is asked of the engine, and what it answers. Plain data.

use std::time::Duration;

use model::{QueryStats, TenantId, TimeRange, Value};

use crate::guard::Blocked;

/// A LogQL query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRequest {
    /// Whose logs. With more than one, each stream is told by a label `__tenant_id__`.
    pub tenants: Vec<TenantId>,
    /// LogQL.
    pub query: String,
    /// At which time or times.
    pub when: When,
    /// Which end comes first, for logs.
    pub direction: Direction,
    /// Most entries of a log query's answer.
    pub limit: usize,
    /// What this tenant may ask.
    pub limits: Limits,
    /// Whether too many series give a part of the answer and a warning instead of an error.
    pub partial_series: bool,
}

/// The times of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// One evaluation.
    Instant {
        /// When, in nanoseconds since 1970.
        time_ns: i64,
    },
    /// Logs of `[start, end)`, or evaluations from start to end.
    Range {
        /// The start, in nanoseconds since 1970.
        start_ns: i64,
        /// The end, not before the start.
        end_ns: i64,
        /// Time between evaluations, positive.
        step_ns: i64,
        /// Least time between two entries of a log query's answer; 0: none.
        interval_ns: i64,
    },
}

/// Which entries come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    #[default]
    Backward,
}

/// What a tenant's query may ask; the names are those of Loki's `limits_config`. Zero switches a limit off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most series in an answer.
    pub max_query_series: usize,
    /// Largest `limit` of a log query.
    pub max_entries_limit_per_query: usize,
    /// Longest time to answer.
    pub query_timeout: Duration,
    /// If not zero, metric queries are evaluated at multiples of their step, as Loki does when it splits.
    pub split_queries_by_interval: Duration,
    /// Longest `[range]` of an aggregation.
    pub max_query_range: Duration,
    /// Most matchers of a selector.
    pub max_streams_matchers_per_query: usize,
    /// Most bytes that a query may have to read.
    pub max_query_bytes_read: u64,
    /// Labels that a selector must name.
    pub required_labels: Vec<String>,
    /// Matchers that a selector must have.
    pub minimum_labels_number: usize,
    /// Queries that are refused.
    pub blocked_queries: Vec<Blocked>,
    /// The oldest time that may be asked about: now less `max_query_lookback`.
    pub oldest_ns: Option<i64>,
    /// Whether this question goes on without segments that are damaged, and says so.
    pub skip_corrupt_segments: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_query_series: 500,
            max_entries_limit_per_query: 5000,
            query_timeout: Duration::from_secs(60),
            split_queries_by_interval: Duration::from_secs(3600),
            max_query_range: Duration::ZERO,
            max_streams_matchers_per_query: 1000,
            max_query_bytes_read: 0,
            required_labels: Vec::new(),
            minimum_labels_number: 0,
            blocked_queries: Vec::new(),
            oldest_ns: None,
            skip_corrupt_segments: false,
        }
    }
}

/// An answer and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// The cost.
    pub stats: QueryStats,
    /// What the asker should know about the result.
    pub warnings: Vec<String>,
}

/// A question about label names, label values or series.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelsRequest {
    /// Whose logs. With more than one, each stream is told by a label `__tenant_id__`.
    pub tenants: Vec<TenantId>,
    /// When.
    pub range: TimeRange,
    /// Streams that match one of these selectors; all streams if there is none.
    pub selectors: Vec<String>,
}
