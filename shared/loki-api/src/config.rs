//! The configuration file, in Loki's own names, so that a Loki user's file works.
//!
//! In: YAML. Out: plain settings, and a list of notices about the parts of Loki's configuration that have no meaning
//! here, for the log. A key that neither Loki nor Logbarn knows is an error that names it. Never reads a file itself.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_yaml_ng::{Mapping, Value};

use crate::auth::{SignIn, SignInSettings, TokenSettings};
pub use crate::fan_out::{FanOut, LeafAddress, Token};
pub use crate::limits::{BlockedQuery, Limits, StreamRetention};
use crate::limits::{duration, size};
use crate::otlp::OtlpDefaults;
use crate::overrides::Overrides;
pub use crate::retention::{DeletionMode, SelectorCheck};

/// All settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether `X-Scope-OrgID` names the tenant; without it everything belongs to `fake`.
    pub auth_enabled: bool,
    /// Where to listen.
    pub server: Server,
    /// Sizes of push bodies.
    pub distributor: Distributor,
    /// The limits of a tenant without limits of its own: ask [`Config::limits`].
    pub limits_config: Arc<Limits>,
    /// Whether patterns are found.
    pub pattern_ingester: PatternIngester,
    /// The limits of tenants that have their own: ask [`Config::limits`].
    pub overrides: Overrides,
    /// Where the limits of single tenants stand.
    pub runtime_config: RuntimeConfig,
    /// What questions may be about.
    pub querier: Querier,
    /// What Loki has no word for.
    pub logbarn: Logbarn,
    /// Whether old entries go and delete requests are taken.
    pub compactor: Compactor,
    /// Who must sign in; made of `logbarn.sign_in`.
    pub sign_in: SignIn,
    /// How selectors among the limits are checked; see [`Config::check_selectors`].
    pub selector_check: SelectorCheck,
    /// Keys that were accepted but do nothing here, each with its reason: to be logged at start.
    pub notices: Vec<String>,
}

/// The `server` block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to listen on; empty is every address.
    pub http_listen_address: String,
    /// Port to listen on.
    pub http_listen_port: u16,
    /// Prefix of every path.
    pub http_path_prefix: String,
    /// How long reading a request may take.
    #[serde(with = "duration")]
    pub http_server_read_timeout: Duration,
    /// How long writing an answer may take.
    #[serde(with = "duration")]
    pub http_server_write_timeout: Duration,
    /// How long the head of a request may take; 0 is as long as the whole request.
    #[serde(with = "duration")]
    pub http_server_read_header_timeout: Duration,
    /// Connections at a time; 0 is no limit.
    pub http_listen_conn_limit: usize,
    /// TLS, if a certificate is given.
    pub http_tls_config: TlsServer,
    /// How long an idle connection is kept.
    #[serde(with = "duration")]
    pub http_server_idle_timeout: Duration,
    /// How long a stopping server waits for requests under way.
    #[serde(with = "duration")]
    pub graceful_shutdown_timeout: Duration,
    /// `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// `logfmt` or `json`.
    pub log_format: String,
}

/// How a server speaks TLS. Files in PEM; read again when they change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServer {
    /// Its certificate, with those of the authorities between.
    pub cert_file: String,
    /// Its key.
    pub key_file: String,
    /// Authorities of client certificates; given, a client must have one.
    pub client_ca_file: String,
}

/// The `runtime_config` block: a second file, read again when it changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Its path; empty is none.
    pub file: String,
    /// How often it is looked at.
    #[serde(with = "duration")]
    pub period: Duration,
}

/// The `querier` block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Querier {
    /// Whether `X-Scope-OrgID: a|b` asks of two tenants.
    pub multi_tenant_queries_enabled: bool,
    /// Whether `X-Loki-Query-Limits` narrows a query's limits.
    pub per_request_limits_enabled: bool,
    /// How long a tail may last.
    #[serde(with = "duration")]
    pub tail_max_duration: Duration,
}

/// The `distributor` block: how large a push may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distributor {
    /// Bytes of a push body as sent.
    #[serde(with = "size")]
    pub max_recv_msg_size: u64,
    /// Bytes of a push body once decompressed.
    #[serde(with = "size")]
    pub max_decompressed_size: u64,
    /// Which resource attributes of OpenTelemetry are labels unless a tenant wants it otherwise.
    pub otlp_config: OtlpDefaults,
}

/// The `pattern_ingester` block. Loki mines patterns while it ingests, Logbarn when they are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatternIngester {
    /// Answer the question for patterns.
    pub enabled: bool,
}

/// The `compactor` block. Loki's compactor deletes; here queries hide at once and merges delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compactor {
    /// Whether retention and delete requests have any effect.
    pub retention_enabled: bool,
    /// How long a delete request can be cancelled; entries that it hides are deleted only after that.
    #[serde(with = "duration")]
    pub delete_request_cancel_period: Duration,
    /// The largest `max_interval` that a delete request may name; 0 is any.
    #[serde(with = "duration")]
    pub delete_max_interval: Duration,
}

/// The `logbarn` block: what a store without servers needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logbarn {
    /// How long a push waits for others to share its PUT. Not set: nothing on a folder, 200 ms on a bucket.
    #[serde(with = "optional_duration")]
    pub commit_window: Option<Duration>,
    /// Bytes at which a waiting group is committed at once.
    #[serde(with = "size")]
    pub commit_bytes_max: u64,
    /// Bytes of pushes that may wait for their commit; beyond them a push is answered 503.
    #[serde(with = "size")]
    pub commit_queue_bytes_max: u64,
    /// Memory that one query may use.
    #[serde(with = "size")]
    pub query_memory_max: u64,
    /// Memory for footers, filters and blocks already read: half for footers and what is decoded of them, half for blocks.
    #[serde(with = "size")]
    pub cache_memory_max: u64,
    /// A folder in which blocks already read are kept too, and outlive the process; empty: none.
    pub block_cache_directory: String,
    /// Bytes that they may take there.
    #[serde(with = "size")]
    pub block_cache_bytes_max: u64,
    /// Whether segments are merged by this process, when a day has become due by its writes or its reads.
    pub merge: bool,
    /// Fresh segments of a day at which it is merged.
    pub merge_objects_min: usize,
    /// Bytes of fresh segments of a day at which it is merged.
    #[serde(with = "size")]
    pub merge_bytes_min: u64,
    /// Whether questions go on without segments that are damaged, and warn; else they end with an error that names the object.
    pub skip_corrupt_segments: bool,
    /// Declares that no other process merges this store, so that a store without create-if-absent may be merged.
    pub only_merger: bool,
    /// Who may use the server; nobody listed, everybody may.
    pub sign_in: SignInSettings,
    /// Which processes help with large questions.
    pub fan_out: FanOut,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            auth_enabled: true,
            server: Server::default(),
            distributor: Distributor::default(),
            limits_config: Arc::default(),
            pattern_ingester: PatternIngester::default(),
            overrides: Overrides::default(),
            runtime_config: RuntimeConfig::default(),
            querier: Querier::default(),
            logbarn: Logbarn::default(),
            compactor: Compactor::default(),
            sign_in: SignIn::default(),
            selector_check: SelectorCheck::default(),
            notices: Vec::new(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Server {
            http_listen_address: String::new(),
            http_listen_port: 3100,
            http_path_prefix: String::new(),
            http_server_read_timeout: Duration::from_secs(30),
            http_server_write_timeout: Duration::from_secs(30),
            http_server_read_header_timeout: Duration::ZERO,
            http_listen_conn_limit: 0,
            http_tls_config: TlsServer::default(),
            http_server_idle_timeout: Duration::from_secs(120),
            graceful_shutdown_timeout: Duration::from_secs(30),
            log_level: "info".to_owned(),
            log_format: "logfmt".to_owned(),
        }
    }
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        RuntimeConfig { file: String::new(), period: Duration::from_secs(10) }
    }
}

impl Default for Querier {
    fn default() -> Self {
        Querier {
            multi_tenant_queries_enabled: false,
            per_request_limits_enabled: false,
            tail_max_duration: Duration::from_secs(3600),
        }
    }
}

impl Default for Distributor {
    fn default() -> Self {
        // Loki allows 5000 MB once decompressed. One push must not cost a process that much memory.
        Distributor {
            max_recv_msg_size: 100 << 20,
            max_decompressed_size: 256 << 20,
            otlp_config: OtlpDefaults::default(),
        }
    }
}

impl Default for PatternIngester {
    fn default() -> Self {
        PatternIngester { enabled: true }
    }
}

impl Default for Compactor {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Compactor { retention_enabled: false, delete_request_cancel_period: day, delete_max_interval: day }
    }
}

impl Default for Logbarn {
    fn default() -> Self {
        Logbarn {
            commit_window: None,
            commit_bytes_max: 8 << 20,
            commit_queue_bytes_max: 128 << 20,
            query_memory_max: 512 << 20,
            cache_memory_max: 64 << 20,
            block_cache_directory: String::new(),
            block_cache_bytes_max: 1 << 30,
            merge: true,
            merge_objects_min: 64,
            merge_bytes_min: 64 << 20,
            skip_corrupt_segments: false,
            only_merger: false,
            sign_in: SignInSettings::default(),
            fan_out: FanOut::default(),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is not YAML, or not a mapping.
    #[error("configuration: {0}")]
    Yaml(String),
    /// A key that neither Loki nor Logbarn knows.
    #[error("configuration: unknown key `{0}`")]
    UnknownKey(String),
    /// A value that does not fit its key.
    #[error("configuration: `{place}`: {why}")]
    Value {
        /// Its key, with the block it stands in.
        place: String,
        /// What is wrong.
        why: String,
    },
}

impl Config {
    /// Reads a configuration; an empty text is the default one.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let mut config = Config::default();
        for (key, value) in mapping("", serde_yaml_ng::from_str(text).map_err(|e| ConfigError::Yaml(e.to_string()))?)? {
            let key = name(&key);
            match key.as_str() {
                "auth_enabled" => config.auth_enabled = typed(&key, value)?,
                "server" => config.server = block(&key, value, SERVER_WITHOUT_EFFECT, &mut config.notices)?,
                "distributor" => {
                    config.distributor = block(&key, value, DISTRIBUTOR_WITHOUT_EFFECT, &mut config.notices)?
                }
                "limits_config" => config.read_limits(value)?,
                "runtime_config" => config.runtime_config = block(&key, value, &[], &mut config.notices)?,
                "querier" => config.querier = block(&key, value, QUERIER_WITHOUT_EFFECT, &mut config.notices)?,
                "pattern_ingester" => {
                    config.pattern_ingester = block(&key, value, PATTERN_INGESTER_WITHOUT_EFFECT, &mut config.notices)?;
                }
                "compactor" => config.compactor = block(&key, value, COMPACTOR_WITHOUT_EFFECT, &mut config.notices)?,
                "logbarn" => config.logbarn = block(&key, value, &[], &mut config.notices)?,
                known if BLOCKS_WITHOUT_EFFECT.contains(&known) => config.notices.push(notice(&key)),
                _ => return Err(ConfigError::UnknownKey(key)),
            }
        }
        config.read_sign_in()?;
        Ok(config)
    }

    /// Adds bearer tokens, given as the list that `logbarn.sign_in.bearer_tokens` would be; an empty text adds none.
    pub fn add_bearer_tokens(&mut self, yaml: &str) -> Result<(), ConfigError> {
        if yaml.trim().is_empty() {
            return Ok(());
        }
        // The error of YAML may quote what it read.
        let wrong = |_| ConfigError::Yaml("expected a list of {name, sha256, tenant, tenants}".to_owned());
        let tokens: Vec<TokenSettings> = serde_yaml_ng::from_str(yaml).map_err(wrong)?;
        self.logbarn.sign_in.bearer_tokens.extend(tokens);
        self.read_sign_in()
    }

    fn read_sign_in(&mut self) -> Result<(), ConfigError> {
        let wrong = |why| ConfigError::Value { place: "logbarn.sign_in".to_owned(), why };
        self.sign_in = SignIn::new(&self.logbarn.sign_in, self.auth_enabled).map_err(wrong)?;
        Ok(())
    }

    /// The limits, among which Loki also takes the older names of the runtime configuration file.
    fn read_limits(&mut self, value: Value) -> Result<(), ConfigError> {
        let mut limits = mapping("limits_config", value)?;
        if let Some(file) = limits.remove("per_tenant_override_config") {
            self.runtime_config.file = typed("limits_config.per_tenant_override_config", file)?;
        }
        if let Some(period) = limits.remove("per_tenant_override_period") {
            let block = Mapping::from_iter([("period".into(), period)]);
            let read: RuntimeConfig = typed("limits_config.per_tenant_override_period", Value::Mapping(block))?;
            self.runtime_config.period = read.period;
        }
        let limits = Value::Mapping(limits);
        let limits: Limits = block("limits_config", limits, LIMITS_WITHOUT_EFFECT, &mut self.notices)?;
        self.check_retention("limits_config", &limits)?;
        self.limits_config = Arc::new(limits);
        Ok(())
    }
}

/// Reads one block, setting aside those of Loki's keys that do nothing here.
pub(crate) fn block<T: DeserializeOwned>(
    block: &str,
    value: Value,
    without_effect: &[&str],
    notices: &mut Vec<String>,
) -> Result<T, ConfigError> {
    let mut kept = Mapping::new();
    for (key, value) in mapping(block, value)? {
        let place = format!("{block}.{}", name(&key));
        let matches = |known: &&str| match known.strip_suffix('*') {
            Some(start) => name(&key).starts_with(start),
            None => name(&key) == **known,
        };
        if without_effect.iter().any(matches) {
            notices.push(notice(&place));
            continue;
        }
        // Alone first: every other key has its default, so that an error can name its place.
        let alone = Mapping::from_iter([(key.clone(), value.clone())]);
        typed::<T>(&place, Value::Mapping(alone))?;
        kept.insert(key, value);
    }
    typed(block, Value::Mapping(kept))
}

/// A value of the type asked, or an error with its place.
fn typed<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, ConfigError> {
    serde_yaml_ng::from_value(value).map_err(|e| {
        let why = e.to_string();
        // serde lists every key that it would have taken; only the one it did not take is of help.
        match why.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`')) {
            Some((key, _)) if place.ends_with(&format!(".{key}")) => ConfigError::UnknownKey(place.to_owned()),
            Some((key, _)) => ConfigError::UnknownKey(format!("{place}.{key}")),
            None => ConfigError::Value { place: place.to_owned(), why },
        }
    })
}

/// The keys and values of a block; an empty block has none.
pub(crate) fn mapping(block: &str, value: Value) -> Result<Mapping, ConfigError> {
    match value {
        Value::Mapping(mapping) => Ok(mapping),
        Value::Null => Ok(Mapping::new()),
        _ if block.is_empty() => Err(ConfigError::Yaml("expected keys and values".to_owned())),
        _ => Err(ConfigError::Value { place: block.to_owned(), why: "expected keys and values".to_owned() }),
    }
}

/// A key as text; keys that are no strings cannot be known ones.
pub(crate) fn name(key: &Value) -> String {
    key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned)
}

pub(crate) fn notice(key: &str) -> String {
    format!("`{key}` is a setting of Loki that has no meaning without Loki's servers; it is ignored")
}

/// Loki's blocks about rings, disks, caches and schemas, which do not exist here.
const BLOCKS_WITHOUT_EFFECT: &[&str] = &[
    "analytics",
    "ballast_bytes",
    "block_builder",
    "block_scheduler",
    "bloom_build",
    "bloom_gateway",
    "chunk_store_config",
    "common",
    "compactor_client",
    "compactor_grpc_client",
    "config",
    "dataobj",
    "frontend",
    "frontend_worker",
    "http_prefix",
    "index_gateway",
    "ingest_limits",
    "ingest_limits_frontend",
    "ingest_limits_frontend_client",
    "ingester",
    "ingester_client",
    "ingester_rf1",
    "ingester_rf1_client",
    "internal_server",
    "kafka_config",
    "memberlist",
    "metastore",
    "metastore_client",
    "metrics_namespace",
    "migrate",
    "operational_config",
    "profiling",
    "query_engine",
    "query_range",
    "query_scheduler",
    "ruler",
    "ruler_storage",
    "schema_config",
    "shutdown_delay",
    "storage_config",
    "table_manager",
    "target",
    "tracing",
];

/// Keys of `server` that do nothing here; a star stands for any ending.
const SERVER_WITHOUT_EFFECT: &[&str] = &[
    "grpc_*",
    "http_listen_network",
    "http_log_closed_connections_without_response_enabled",
    "log_request_*",
    "log_source_ips_*",
    "register_instrumentation",
];

/// Keys of `distributor` that do nothing here.
const DISTRIBUTOR_WITHOUT_EFFECT: &[&str] = &[
    "ring",
    "rate_store",
    "write_failures_logging",
    "kafka_*",
    "ingester_writes_enabled",
    "tenant_topic",
    "push_worker_count",
];

/// Keys of `querier` that do nothing here.
const QUERIER_WITHOUT_EFFECT: &[&str] = &[
    "dataobj",
    "engine",
    "engine_v2*",
    "extra_query_delay",
    "ingester_query_store_max_look_back_period",
    "max_concurrent",
    "query_ingester_only",
    "query_ingesters_within",
    "query_partition_ingesters",
    "query_store_only",
    "query_timeout",
];

/// Keys of `compactor` that do nothing here.
const COMPACTOR_WITHOUT_EFFECT: &[&str] = &[
    "_",
    "apply_retention_interval",
    "compaction_interval",
    "compactor_ring",
    "delete_batch_size",
    "delete_request_store*",
    "deletion_*",
    "horizontal_scaling_mode",
    "jobs_config",
    "max_compaction_parallelism",
    "retention_backoff_config",
    "retention_delete_*",
    "retention_table_timeout",
    "run_once",
    "shared_store*",
    "skip_latest_n_tables",
    "tables_to_compact",
    "upload_parallelism",
    "worker_config",
    "working_directory",
];

/// Keys of `pattern_ingester` that do nothing here.
const PATTERN_INGESTER_WITHOUT_EFFECT: &[&str] = &[
    "client_config",
    "concurrent_flushes",
    "connection_timeout",
    "flush_check_period",
    "lifecycler",
    "max_allowed_line_length",
    "max_clusters",
    "max_eviction_ratio",
    "metric_aggregation",
    "pattern_persistence",
    "retain_for",
    "tee_config",
    "volume_threshold",
];

/// Keys of `limits_config` that do nothing here.
pub(crate) const LIMITS_WITHOUT_EFFECT: &[&str] = &[
    "allow_deletes",
    "block_ingestion_policy_until",
    "bloom_*",
    "cardinality_limit",
    "default_policy_stream_mapping",
    "discover_generic_fields",
    "enforced_policy_*",
    "index_gateway_*",
    "ingest_limits_*",
    "ingestion_partitions_tenant_shard_size",
    "ingestion_rate_strategy",
    "instant_metric_query_split_align",
    "limits_push_*",
    "log_push_*",
    "max_cache_freshness_per_query",
    "max_chunks_per_query",
    "max_metadata_cache_freshness",
    "max_queriers_per_tenant",
    "max_query_capacity",
    "max_stats_cache_freshness",
    "metric_aggregation_*",
    "pattern_*",
    "per_user_override_*",
    "policy_*",
    "query_ready_index_num_days",
    "query_ingesters_within",
    "recent_metadata_query_window",
    "ruler_*",
    "shard_aggregations",
    "shard_streams",
    "simulated_push_latency",
    "split_ingester_queries_by_interval",
    "split_instant_metric_queries_by_interval",
    "split_metadata_queries_by_interval",
    "split_recent_metadata_queries_by_interval",
    "tsdb_*",
    "unordered_writes",
    "use_owned_stream_count",
    "s3_sse_*",
    "increment_stream_*",
];

/// A duration that may be left open.
mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Given(#[serde(with = "super::duration")] Duration);

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Given>::deserialize(deserializer)?.map(|given| given.0))
    }

    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::duration::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_file_loads() {
        let config = Config::from_yaml(include_str!("../../testkit/conformance/server.yaml")).expect("loads");
        assert!(!config.auth_enabled && config.notices.is_empty());
        let limits = config.limits_config;
        assert_eq!((limits.per_stream_rate_limit, limits.ingestion_rate_mb), (1 << 30, 1000.0));
        assert_eq!((limits.max_query_length, limits.query_timeout), (Duration::ZERO, Duration::from_secs(600)));
    }

    #[test]
    fn what_loki_alone_needs_is_told_and_ignored() {
        let text = "
auth_enabled: true
common: {path_prefix: /loki, ring: {kvstore: {store: inmemory}}}
schema_config: {configs: []}
server: {http_listen_port: 3200, grpc_listen_port: 9095}
limits_config: {split_queries_by_interval: 15m, tsdb_max_query_parallelism: 3, max_line_size: 1MB, retention_stream: [{selector: '{a=\"b\"}', period: 30d}]}
logbarn: {commit_window: 50ms}
ingester:
";
        let config = Config::from_yaml(text).expect("loads");
        let told: Vec<&str> = config.notices.iter().filter_map(|n| n.split('`').nth(1)).collect();
        assert_eq!(
            told,
            [
                "common",
                "schema_config",
                "server.grpc_listen_port",
                "limits_config.tsdb_max_query_parallelism",
                "ingester"
            ]
        );
        assert_eq!(config.server.http_listen_port, 3200);
        assert_eq!(config.limits_config.split_queries_by_interval, Duration::from_secs(900));
        assert_eq!(config.logbarn.commit_window, Some(Duration::from_millis(50)));
    }

    #[test]
    fn what_nobody_knows_is_refused_by_name() {
        let check = |text: &str, want: &str| assert_eq!(Config::from_yaml(text).expect_err(text).to_string(), want);
        check("nonsense: 1", "configuration: unknown key `nonsense`");
        check("limits_config: {max_line_sise: 1}", "configuration: unknown key `limits_config.max_line_sise`");
        check(
            "limits_config: {max_line_size: 1XB}",
            "configuration: `limits_config.max_line_size`: not a valid size: \"1XB\"",
        );
        check(
            "limits_config: {query_timeout: 5}",
            "configuration: `limits_config.query_timeout`: not a valid duration string: \"5\"",
        );
        check(
            "limits_config: {retention_stream: [{selector: x, period: 1d, perid: 2d}]}",
            "configuration: unknown key `limits_config.retention_stream.perid`",
        );
        check("server: 5", "configuration: `server`: expected keys and values");
        check("- a", "configuration: expected keys and values");
    }

    #[test]
    fn limits_print_as_they_are_read() {
        let text = serde_yaml_ng::to_string(&Limits::default()).expect("prints");
        assert!(text.contains("max_line_size: 256KB") && text.contains("max_query_length: 30d1h"), "{text}");
        assert_eq!(serde_yaml_ng::from_str::<Limits>(&text).expect("reads"), Limits::default());
    }
}
