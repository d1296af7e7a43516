//! Settings as pages that a user may look at: `/config`, `/config/tenant/v1/limits`, `drilldown-limits`.
//!
//! In: settings. Out: YAML, or JSON, in Loki's own names. Never shows a secret: the value of a key that sounds like one is
//! `<secret>`.

use serde::Serialize;
use serde_json::json;
use serde_yaml_ng::{Mapping, Value};

use crate::config::{Config, Limits};

/// What stands in the place of a secret.
const SECRET: &str = "<secret>";
/// A key with one of these in it holds a secret.
const SECRET_WORDS: [&str; 5] = ["password", "passphrase", "secret", "token", "credential"];

/// What Logs Drilldown may see of the limits.
const DRILLDOWN_KEYS: [&str; 18] = [
    "discover_log_levels",
    "discover_service_name",
    "log_level_fields",
    "max_entries_limit_per_query",
    "max_line_size_truncate",
    "max_query_bytes_read",
    "max_query_length",
    "max_query_lookback",
    "max_query_range",
    "max_query_series",
    "metric_aggregation_enabled",
    "otlp_config",
    "pattern_persistence_enabled",
    "query_timeout",
    "retention_period",
    "retention_stream",
    "volume_enabled",
    "volume_max_series",
];

/// Which part of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All of it.
    All,
    /// What differs from the defaults.
    Differences,
    /// The defaults.
    Defaults,
}

/// The configuration as YAML.
pub fn config(config: &Config, mode: Mode) -> String {
    let mut value = match mode {
        Mode::All => tree(config),
        Mode::Defaults => tree(&Config::default()),
        Mode::Differences => differences(&tree(config), &tree(&Config::default())).unwrap_or_default(),
    };
    hide_secrets(&mut value);
    yaml(&value)
}

/// The limits of a tenant as YAML.
pub fn limits(limits: &Limits) -> String {
    let mut value = plain(limits);
    hide_secrets(&mut value);
    yaml(&value)
}

/// The answer to `drilldown-limits`.
pub fn drilldown_limits(limits: &Limits, patterns_enabled: bool, version: &str) -> String {
    let all = serde_json::to_value(limits).expect("limits are always JSON");
    let known = |key: &&str| Some(((*key).to_owned(), all.get(key)?.clone()));
    let mut limits: serde_json::Map<_, _> = DRILLDOWN_KEYS.iter().filter_map(known).collect();
    // Loki keeps metrics and patterns of its own; here both are computed when they are asked for.
    for absent in ["metric_aggregation_enabled", "pattern_persistence_enabled"] {
        limits.insert(absent.to_owned(), json!(false));
    }
    json!({"limits": limits, "pattern_ingester_enabled": patterns_enabled, "version": version}).to_string()
}

/// The blocks of a configuration under their names.
fn tree(config: &Config) -> Value {
    let blocks = [
        ("auth_enabled", plain(&config.auth_enabled)),
        ("server", plain(&config.server)),
        ("distributor", plain(&config.distributor)),
        ("querier", plain(&config.querier)),
        ("limits_config", plain(&*config.limits_config)),
        ("runtime_config", plain(&config.runtime_config)),
        ("pattern_ingester", plain(&config.pattern_ingester)),
        ("compactor", plain(&config.compactor)),
        ("logbarn", plain(&config.logbarn)),
    ];
    Value::Mapping(blocks.into_iter().map(|(name, block)| (name.into(), block)).collect())
}

fn plain(settings: &impl Serialize) -> Value {
    serde_yaml_ng::to_value(settings).expect("settings are always YAML")
}

fn yaml(value: &Value) -> String {
    serde_yaml_ng::to_string(value).expect("settings are always YAML")
}

/// What of a value is not as in another; nothing if all is.
fn differences(value: &Value, other: &Value) -> Option<Value> {
    let (Value::Mapping(ours), Value::Mapping(theirs)) = (value, other) else {
        return (value != other).then(|| value.clone());
    };
    let differing = ours.iter().filter_map(|(key, value)| {
        let different = theirs.get(key).map_or_else(|| Some(value.clone()), |other| differences(value, other));
        Some((key.clone(), different?))
    });
    let differing: Mapping = differing.collect();
    (!differing.is_empty()).then_some(Value::Mapping(differing))
}

/// Hides what stands under keys that sound like a secret, wherever they are.
fn hide_secrets(value: &mut Value) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping.iter_mut() {
                let name = key.as_str().unwrap_or_default().to_ascii_lowercase();
                let is_empty = match &*value {
                    Value::Null | Value::Bool(_) => true,
                    Value::Sequence(values) => values.is_empty(),
                    value => value.as_str() == Some(""),
                };
                if SECRET_WORDS.iter().any(|word| name.contains(word)) && !is_empty {
                    *value = SECRET.into();
                } else {
                    hide_secrets(value);
                }
            }
        }
        Value::Sequence(values) => values.iter_mut().for_each(hide_secrets),
        Value::Tagged(tagged) => hide_secrets(&mut tagged.value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_back_as_the_configuration() {
        let text = "auth_enabled: false\nlimits_config:\n  max_query_series: 7\n  retention_period: 30d\nserver:\n  http_listen_port: 3200\n";
        let given = Config::from_yaml(text).expect("a configuration");
        for mode in [Mode::All, Mode::Differences] {
            assert_eq!(Config::from_yaml(&config(&given, mode)), Ok(given.clone()), "{mode:?}");
        }
        assert_eq!(
            config(&given, Mode::Differences),
            "auth_enabled: false\nserver:\n  http_listen_port: 3200\nlimits_config:\n  max_query_series: 7\n  retention_period: 30d\n"
        );
        assert_eq!(Config::from_yaml(&config(&given, Mode::Defaults)), Ok(Config::default()));
        assert!(limits(&given.limits_config).contains("\nmax_query_series: 7\n"));
    }

    #[test]
    fn secrets_stay_secret() {
        let text = "users: [{name: ann, password: p}]\nbearer_token: t\nclient_secret_file: ''\nplain: x\n";
        let mut value: Value = serde_yaml_ng::from_str(text).expect("YAML");
        hide_secrets(&mut value);
        let want =
            "users:\n- name: ann\n  password: <secret>\nbearer_token: <secret>\nclient_secret_file: ''\nplain: x\n";
        assert_eq!(yaml(&value), want);
    }

    #[test]
    fn drilldown_sees_some_limits() {
        let body: serde_json::Value =
            serde_json::from_str(&drilldown_limits(&Limits::default(), true, "3.6.0")).expect("JSON");
        let limits = &body["limits"];
        let check = |key: &str, want: serde_json::Value| assert_eq!(limits[key], want, "{key}");
        check("max_query_bytes_read", json!("0B"));
        check("max_query_length", json!("30d1h"));
        check("query_timeout", json!("1m"));
        check("retention_period", json!("0s"));
        check("volume_max_series", json!(1000));
        check("metric_aggregation_enabled", json!(false));
        check("ingestion_rate_mb", json!(null));
        assert_eq!((&body["pattern_ingester_enabled"], &body["version"]), (&json!(true), &json!("3.6.0")));
    }
}
