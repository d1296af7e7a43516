//! Limits of single tenants: Loki's runtime configuration file.
//!
//! In: the file's text, whenever whoever watches it finds it changed. Out: each tenant's limits, which are those of
//! `limits_config` but for what the file says of the tenant. A text that is wrong anywhere changes nothing. Reads no file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::TenantId;
use serde_yaml_ng::Value;

use crate::config::{Config, ConfigError, LIMITS_WITHOUT_EFFECT, block, mapping, name, notice};
use crate::limits::Limits;

/// Keys of the file that do nothing here.
const WITHOUT_EFFECT: &[&str] = &["configs", "multi_kv_config", "default_limits"];

/// The limits of tenants that have their own. Clones share them, so that a change reaches all.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Arc<ArcSwap<HashMap<TenantId, Arc<Limits>>>>);

impl PartialEq for Overrides {
    fn eq(&self, other: &Self) -> bool {
        self.0.load().as_ref() == other.0.load().as_ref()
    }
}

impl Overrides {
    /// Each tenant's, as they are now.
    pub(crate) fn all(&self) -> Arc<HashMap<TenantId, Arc<Limits>>> {
        self.0.load_full()
    }
}

impl Config {
    /// The limits of a tenant.
    pub fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        self.overrides.0.load().get(tenant).unwrap_or(&self.limits_config).clone()
    }

    /// The longest time that any tenant's query may take, as far as it has a bound.
    pub fn query_timeout_longest(&self) -> Option<Duration> {
        let overrides = self.overrides.0.load();
        let all = overrides.values().chain([&self.limits_config]).map(|limits| limits.query_timeout);
        all.filter(|timeout| !timeout.is_zero()).max()
    }

    /// The limits of a question about several tenants: the narrowest of each.
    pub fn limits_of(&self, tenants: &[TenantId]) -> Arc<Limits> {
        match tenants {
            [] => self.limits_config.clone(),
            [tenant] => self.limits(tenant),
            [first, rest @ ..] => {
                let mut limits = (*self.limits(first)).clone();
                rest.iter().for_each(|tenant| limits.narrow(&self.limits(tenant)));
                Arc::new(limits)
            }
        }
    }

    /// Takes the text of the runtime configuration file in place of the one before; gives notices for the log. After an
    /// error everything is as it was.
    pub fn set_overrides(&self, text: &str) -> Result<Vec<String>, ConfigError> {
        let mut notices = Vec::new();
        let mut tenants = HashMap::new();
        let document = serde_yaml_ng::from_str(text).map_err(|e| ConfigError::Yaml(e.to_string()))?;
        for (key, value) in mapping("", document)? {
            match name(&key).as_str() {
                "overrides" => {
                    for (id, own) in mapping("overrides", value)? {
                        let place = format!("overrides.{}", name(&id));
                        let wrong = |why: String| ConfigError::Value { place: place.clone(), why };
                        let tenant = TenantId::new(&name(&id)).map_err(|e| wrong(e.to_string()))?;
                        tenants.insert(tenant, Arc::new(self.with_own(&place, own, &mut notices)?));
                    }
                }
                known if WITHOUT_EFFECT.contains(&known) => notices.push(notice(known)),
                unknown => return Err(ConfigError::UnknownKey(unknown.to_owned())),
            }
        }
        self.overrides.0.store(Arc::new(tenants));
        Ok(notices)
    }

    /// The limits of every tenant, with what one tenant's part of the file says.
    fn with_own(&self, place: &str, own: Value, notices: &mut Vec<String>) -> Result<Limits, ConfigError> {
        let wrong = |why: String| ConfigError::Value { place: place.to_owned(), why };
        let known: Vec<Value> = mapping(place, own.clone())?.into_keys().collect();
        // Checked key by key first, as in the main file; then printed again, so that all of it is in one spelling.
        let own: Limits = block(place, own, LIMITS_WITHOUT_EFFECT, notices)?;
        let as_mapping = |limits: &Limits| {
            let value = serde_yaml_ng::to_value(limits).map_err(|e| wrong(e.to_string()))?;
            mapping(place, value)
        };
        let (mut all, own) = (as_mapping(&self.limits_config)?, as_mapping(&own)?);
        all.extend(own.into_iter().filter(|(key, _)| known.contains(key)));
        let limits = serde_yaml_ng::from_value(Value::Mapping(all)).map_err(|e| wrong(e.to_string()))?;
        self.check_retention(place, &limits)?;
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).expect("an id")
    }

    fn config() -> Config {
        Config::from_yaml("limits_config: {max_query_series: 7, max_line_size: 1KB}").expect("loads")
    }

    #[test]
    fn a_tenant_has_its_own_limits_on_top_of_all_tenants() {
        let config = config();
        let told = config.set_overrides(
            "overrides: {a: {max_line_size: 2KB, query_timeout: 5s, ruler_max_rules_per_rule_group: 1}}",
        );
        assert_eq!(told.expect("loads").len(), 1, "a limit without effect is told");
        let own = config.limits(&tenant("a"));
        assert_eq!((own.max_line_size, own.query_timeout), (2048, Duration::from_secs(5)));
        assert_eq!(own.max_query_series, 7, "what the file does not say is as for everybody");
        assert_eq!(config.limits(&tenant("b")), config.limits_config);
        config.clone().set_overrides("").expect("an empty file");
        assert_eq!(config.limits(&tenant("a")), config.limits_config, "clones share the limits");
    }

    #[test]
    fn a_wrong_file_changes_nothing() {
        let config = config();
        config.set_overrides("overrides: {a: {max_line_size: 2KB}}").expect("loads");
        let check = |text: &str, want: &str| {
            assert_eq!(config.set_overrides(text).expect_err(text).to_string(), want);
            assert_eq!(config.limits(&tenant("a")).max_line_size, 2048, "{text}");
        };
        check("overrides: {a: {max_line_sise: 1}}", "configuration: unknown key `overrides.a.max_line_sise`");
        check("overides: {}", "configuration: unknown key `overides`");
        check(
            "overrides: {a/b: {}}",
            "configuration: `overrides.a/b`: tenant ID 'a/b' contains unsupported character '/'",
        );
        check("overrides: [a]", "configuration: `overrides`: expected keys and values");
    }

    #[test]
    fn several_tenants_have_the_smallest_positive_limits() {
        let config = config();
        let text = "overrides: {a: {max_entries_limit_per_query: 0, query_timeout: 2m, max_query_length: 0s},
            b: {max_entries_limit_per_query: 10, query_timeout: 1m, max_query_length: 3h, required_labels: [x]}}";
        config.set_overrides(text).expect("loads");
        let both = config.limits_of(&[tenant("a"), tenant("b")]);
        assert_eq!((both.max_entries_limit_per_query, both.query_timeout.as_secs()), (10, 60));
        assert_eq!((both.max_query_length.as_secs(), both.required_labels.as_slice()), (10_800, &["x".to_owned()][..]));
    }
}
