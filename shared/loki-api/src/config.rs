//! The configuration file, in Loki's own names, so that a Loki user's file works.
//!
//! In: YAML. Out: plain settings, and a list of notices about the parts of Loki's configuration that have no meaning
//! here, for the log. A key that neither Loki nor Logbarn knows is an error that names it. Never reads a file itself.

mod blocks;
mod reading;
mod without_effect;

use std::sync::Arc;

use serde_yaml_ng::{Mapping, Value};

pub use self::blocks::{Compactor, Distributor, Logbarn, PatternIngester, Querier, RuntimeConfig, Server, TlsServer};
use self::reading::typed;
pub(crate) use self::reading::{block, mapping, name, notice};
pub(crate) use self::without_effect::LIMITS_WITHOUT_EFFECT;
use self::without_effect::{
    BLOCKS_WITHOUT_EFFECT, COMPACTOR_WITHOUT_EFFECT, DISTRIBUTOR_WITHOUT_EFFECT, PATTERN_INGESTER_WITHOUT_EFFECT,
    QUERIER_WITHOUT_EFFECT, SERVER_WITHOUT_EFFECT,
};
use crate::auth::{SignIn, TokenSettings};
pub use crate::fan_out::{FanOut, LeafAddress, Token};
pub use crate::limits::{BlockedQuery, Limits, StreamRetention};
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
