//! The blocks of the configuration file, each with its defaults.
//!
//! Loki's names and, where nothing is said, Loki's defaults; `logbarn` holds what Loki has no word for. Plain data, never checked here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::SignInSettings;
use crate::fan_out::FanOut;
use crate::limits::{duration, size};
use crate::otlp::OtlpDefaults;

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

/// A duration that may be left open.
mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Given(#[serde(with = "crate::limits::duration")] Duration);

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Given>::deserialize(deserializer)?.map(|given| given.0))
    }

    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => crate::limits::duration::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}
