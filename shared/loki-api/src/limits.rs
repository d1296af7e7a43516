//! The limits of a tenant, under Loki's names, units and defaults.
//!
//! In: the `limits_config` block. Out: plain data that ingest and query ask. A zero switches a limit off, as in Loki,
//! wherever Loki says so. Keys of Loki that cannot apply to a store without servers are in `config`, not here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::otlp::OtlpConfig;
use crate::retention::DeletionMode;
use crate::units;

/// Limits of one tenant. The fields have Loki's names; <https://grafana.com/docs/loki/latest/configure/#limits_config>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    // Ingest.
    /// Megabytes a second that a tenant may push.
    pub ingestion_rate_mb: f64,
    /// Megabytes that a tenant may push at once.
    pub ingestion_burst_size_mb: f64,
    /// Bytes a second that one stream may take.
    #[serde(with = "size")]
    pub per_stream_rate_limit: u64,
    /// Bytes that one stream may take at once.
    #[serde(with = "size")]
    pub per_stream_rate_limit_burst: u64,
    /// Bytes of the longest line; 0 is no limit.
    #[serde(with = "size")]
    pub max_line_size: u64,
    /// Cut longer lines instead of refusing them.
    pub max_line_size_truncate: bool,
    /// What a cut line ends with.
    pub max_line_size_truncate_identifier: String,
    /// Bytes of the longest label name.
    pub max_label_name_length: usize,
    /// Bytes of the longest label value.
    pub max_label_value_length: usize,
    /// Labels of a stream, a discovered `service_name` not counted.
    pub max_label_names_per_series: usize,
    /// Streams that a tenant may write to at a time, one process; 0 is no limit.
    pub max_streams_per_user: usize,
    /// The same over all processes; here each process counts its own. 0 is no limit.
    pub max_global_streams_per_user: usize,
    /// Refuse entries older than `reject_old_samples_max_age`.
    pub reject_old_samples: bool,
    /// Age of the oldest entry accepted.
    #[serde(with = "duration")]
    pub reject_old_samples_max_age: Duration,
    /// How far in the future an entry may lie.
    #[serde(with = "duration")]
    pub creation_grace_period: Duration,
    /// Move an entry a nanosecond on if the one before it in the push has its time but another line.
    pub increment_duplicate_timestamp: bool,
    /// Labels that may name a service, first one present wins; none switches the discovery off.
    pub discover_service_name: Vec<String>,
    /// Find each entry's level and keep it as `detected_level`.
    pub discover_log_levels: bool,
    /// Names under which a level is looked for, best first.
    pub log_level_fields: Vec<String>,
    /// How deep the level is looked for in a JSON line.
    pub log_level_from_json_max_depth: usize,
    /// Accept structured metadata.
    pub allow_structured_metadata: bool,
    /// Bytes of an entry's structured metadata; 0 is no limit.
    #[serde(with = "size")]
    pub max_structured_metadata_size: u64,
    /// Names of an entry's structured metadata; 0 is no limit.
    pub max_structured_metadata_entries_count: usize,
    /// Labels that every stream must have.
    pub enforced_labels: Vec<String>,
    /// RFC 3339 time until which pushes are refused; empty is never.
    pub block_ingestion_until: String,
    /// Status of refused pushes; 200 drops them silently.
    pub block_ingestion_status_code: u16,
    /// What becomes of OpenTelemetry's attributes.
    pub otlp_config: OtlpConfig,

    // Query.
    /// The largest `limit` of a log query; 0 is no limit.
    pub max_entries_limit_per_query: u64,
    /// Series that a metric query may return.
    pub max_query_series: usize,
    /// The longest time range of a query; 0 is no limit.
    #[serde(with = "duration")]
    pub max_query_length: Duration,
    /// The longest `[range]` of an aggregation; 0 is no limit.
    #[serde(with = "duration")]
    pub max_query_range: Duration,
    /// How far back a query may look; older parts of its range are cut off. 0 is no limit.
    #[serde(with = "duration")]
    pub max_query_lookback: Duration,
    /// When a query is given up.
    #[serde(with = "duration")]
    pub query_timeout: Duration,
    /// Matchers of a selector.
    pub max_streams_matchers_per_query: usize,
    /// Parts of a query that run at once; 0 refuses every query.
    pub max_query_parallelism: usize,
    /// Bytes that a query may have to read, over all its parts; 0 is no limit.
    #[serde(with = "size")]
    pub max_query_bytes_read: u64,
    /// Bytes that one part of a query may have to read; 0 is no limit.
    #[serde(with = "size")]
    pub max_querier_bytes_read: u64,
    /// Splits align the steps of a range query to multiples of the step; 0 switches that off.
    #[serde(with = "duration")]
    pub split_queries_by_interval: Duration,
    /// Tails that a tenant may hold open.
    pub max_concurrent_tail_requests: usize,
    /// Answer the volume questions.
    pub volume_enabled: bool,
    /// Series that a volume answer may have.
    pub volume_max_series: usize,
    /// Labels that a selector must name.
    pub required_labels: Vec<String>,
    /// Matchers that a selector must have.
    pub minimum_labels_number: usize,
    /// Queries that are refused.
    pub blocked_queries: Vec<BlockedQuery>,

    // Retention.
    /// Age at which entries go; 0 keeps them for ever.
    #[serde(with = "duration")]
    pub retention_period: Duration,
    /// Other periods for some streams.
    pub retention_stream: Vec<StreamRetention>,
    /// What a delete request does.
    pub deletion_mode: DeletionMode,
}

/// A retention period for the streams of a selector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRetention {
    /// A stream selector.
    pub selector: String,
    /// The highest priority wins.
    #[serde(default)]
    pub priority: i64,
    /// Age at which entries go.
    #[serde(with = "duration")]
    pub period: Duration,
}

/// Queries that a tenant may not ask: all of what is said must fit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockedQuery {
    /// The query's text, or a regular expression for it; empty is every query.
    pub pattern: String,
    /// Whether the pattern is a regular expression.
    pub regex: bool,
    /// `metric`, `filter` or `limited`, joined by commas; empty is every kind.
    pub types: String,
    /// FNV-1, 32 bits, of the query's text; 0 is every query.
    pub hash: u32,
}

/// Where a service's name may stand, best first.
const SERVICE_LABELS: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// Where an entry's level may stand, best first.
const LEVEL_FIELDS: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

impl Default for Limits {
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        Limits {
            ingestion_rate_mb: 4.0,
            ingestion_burst_size_mb: 6.0,
            per_stream_rate_limit: 3 << 20,
            per_stream_rate_limit_burst: 15 << 20,
            max_line_size: 256 << 10,
            max_line_size_truncate: false,
            max_line_size_truncate_identifier: String::new(),
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            max_label_names_per_series: 15,
            max_streams_per_user: 0,
            max_global_streams_per_user: 5000,
            reject_old_samples: true,
            reject_old_samples_max_age: 7 * DAY,
            creation_grace_period: HOUR / 6,
            increment_duplicate_timestamp: false,
            discover_service_name: names(&SERVICE_LABELS),
            discover_log_levels: true,
            log_level_fields: names(&LEVEL_FIELDS),
            log_level_from_json_max_depth: 2,
            allow_structured_metadata: true,
            max_structured_metadata_size: 64 << 10,
            max_structured_metadata_entries_count: 128,
            enforced_labels: Vec::new(),
            block_ingestion_until: String::new(),
            block_ingestion_status_code: 260,
            otlp_config: OtlpConfig::default(),
            max_entries_limit_per_query: 5000,
            max_query_series: 500,
            max_query_length: 721 * HOUR,
            max_query_range: Duration::ZERO,
            max_query_lookback: Duration::ZERO,
            query_timeout: HOUR / 60,
            max_streams_matchers_per_query: 1000,
            max_query_parallelism: 32,
            max_query_bytes_read: 0,
            max_querier_bytes_read: 150 << 30,
            split_queries_by_interval: HOUR,
            max_concurrent_tail_requests: 10,
            volume_enabled: true,
            volume_max_series: 1000,
            required_labels: Vec::new(),
            minimum_labels_number: 0,
            blocked_queries: Vec::new(),
            retention_period: Duration::ZERO,
            retention_stream: Vec::new(),
            deletion_mode: DeletionMode::default(),
        }
    }
}

/// What YAML may hold where a size or a duration is asked: text, or a bare number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(u64),
    Text(String),
}

/// Sizes in YAML: `256KB` or bytes.
pub(crate) mod size {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use super::{Scalar, units};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match Scalar::deserialize(deserializer).map_err(|_| D::Error::custom("expected a size such as 256KB"))? {
            Scalar::Number(bytes) => Ok(bytes),
            Scalar::Text(text) => units::parse_size(&text).map_err(D::Error::custom),
        }
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        let text = units::print_size(*bytes);
        // 1.5KB could not be read back.
        let exact = units::parse_size(&text) == Ok(*bytes);
        serializer.serialize_str(&if exact { text } else { bytes.to_string() })
    }
}

/// Durations in YAML: `30d1h`, or 0. A bare number of another value has no unit and is refused.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use super::{Scalar, units};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = match Scalar::deserialize(deserializer)
            .map_err(|_| D::Error::custom("expected a duration such as 1h30m"))?
        {
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text,
        };
        units::parse_duration(&text).map_err(D::Error::custom)
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&units::print_duration(*duration))
    }
}
