//! What becomes of an attribute: an index label, structured metadata, or nothing. Loki's `otlp_config`.
//!
//! In: the blocks `limits_config.otlp_config` and `distributor.otlp_config`. Out: one action for a name. A regex that does not
//! compile, or a rule without names, refuses the configuration; asking never fails.

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Resource attributes that become stream labels unless a configuration names others.
pub const INDEX_ATTRIBUTES: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// `distributor.otlp_config`: what holds for every tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpDefaults {
    /// Resource attributes that become stream labels.
    pub default_resource_attributes_as_index_labels: Vec<String>,
}

impl Default for OtlpDefaults {
    fn default() -> Self {
        OtlpDefaults { default_resource_attributes_as_index_labels: INDEX_ATTRIBUTES.map(str::to_owned).to_vec() }
    }
}

/// `limits_config.otlp_config`: what a tenant wants otherwise. The first rule that names an attribute decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Rules for the attributes of resources.
    pub resource_attributes: ResourceAttributes,
    /// Rules for the attributes of scopes; they cannot become labels.
    #[serde(deserialize_with = "without_labels", skip_serializing_if = "Vec::is_empty")]
    pub scope_attributes: Vec<AttributeRule>,
    /// Rules for the attributes of records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_attributes: Vec<AttributeRule>,
    /// Keep each record's `severity_text` as a label, too.
    pub severity_text_as_label: bool,
}

/// Rules for the attributes of resources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceAttributes {
    /// Leave out the distributor's list, which otherwise comes before the rules.
    pub ignore_defaults: bool,
    /// The rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes_config: Vec<AttributeRule>,
}

/// What becomes of some attributes, named one by one or by a regex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GivenRule")]
pub struct AttributeRule {
    /// What becomes of them.
    pub action: Action,
    /// Their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// What their names match from beginning to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<NameRegex>,
}

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A label of the stream.
    IndexLabel,
    /// Structured metadata of the entry.
    StructuredMetadata,
    /// Nothing.
    Drop,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct GivenRule {
    action: String,
    attributes: Vec<String>,
    regex: Option<NameRegex>,
}

impl TryFrom<GivenRule> for AttributeRule {
    type Error = &'static str;

    fn try_from(given: GivenRule) -> Result<Self, &'static str> {
        let action = match given.action.as_str() {
            "index_label" => Action::IndexLabel,
            "structured_metadata" | "" => Action::StructuredMetadata,
            "drop" => Action::Drop,
            _ => return Err("unsupported action, it must be one of: drop, index_label, structured_metadata"),
        };
        match (given.attributes.is_empty(), &given.regex) {
            (true, None) => Err("attributes or regex must be set"),
            (false, Some(_)) => Err("only one of attributes or regex must be set"),
            _ => Ok(AttributeRule { action, attributes: given.attributes, regex: given.regex }),
        }
    }
}

fn without_labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AttributeRule>, D::Error> {
    let rules = Vec::<AttributeRule>::deserialize(deserializer)?;
    match rules.iter().any(|rule| rule.action == Action::IndexLabel) {
        true => Err(D::Error::custom("index_label action is only supported for resource_attributes")),
        false => Ok(rules),
    }
}

/// A regex that matches a whole name; equal to another if the texts are.
#[derive(Debug, Clone)]
pub struct NameRegex {
    text: String,
    whole: Regex,
}

impl PartialEq for NameRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NameRegex {}

impl Serialize for NameRegex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for NameRegex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let whole = Regex::new(&format!("^(?s:{text})$")).map_err(|e| D::Error::custom(e.to_string()))?;
        Ok(NameRegex { text, whole })
    }
}

/// Both blocks together, and where a service may be named.
#[derive(Debug, Clone, Copy)]
pub struct Mapping<'c> {
    /// What the tenant says.
    pub config: &'c OtlpConfig,
    /// What holds for all.
    pub defaults: &'c OtlpDefaults,
    /// Labels that may name a service.
    pub discover_service_name: &'c [String],
}

impl Mapping<'_> {
    /// What becomes of a resource's attribute. The distributor's list comes first, as in Loki.
    pub(super) fn resource(&self, name: &str) -> Action {
        let own = &self.config.resource_attributes;
        let listed = || self.defaults.default_resource_attributes_as_index_labels.iter().any(|listed| listed == name);
        if !own.ignore_defaults && listed() { Action::IndexLabel } else { first(&own.attributes_config, name) }
    }

    /// What becomes of a scope's attribute.
    pub(super) fn scope(&self, name: &str) -> Action {
        first(&self.config.scope_attributes, name)
    }

    /// What becomes of a record's attribute.
    pub(super) fn record(&self, name: &str) -> Action {
        first(&self.config.log_attributes, name)
    }
}

fn first(rules: &[AttributeRule], name: &str) -> Action {
    let named = |rule: &&AttributeRule| {
        rule.regex.as_ref().is_some_and(|regex| regex.whole.is_match(name))
            || rule.attributes.iter().any(|attribute| attribute == name)
    };
    rules.iter().find(named).map_or(Action::StructuredMetadata, |rule| rule.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Result<OtlpConfig, String> {
        serde_yaml_ng::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn the_first_rule_decides() {
        let yaml = "
resource_attributes: {attributes_config: [{action: index_label, regex: 'service\\.gr.*'}, {action: drop, attributes: [service.name, host.name]}]}
scope_attributes: [{action: drop, attributes: [method.name]}]
log_attributes: [{action: structured_metadata, attributes: [user.id]}, {action: drop, regex: .*}]";
        let own = config(yaml).expect("loads");
        let defaults = OtlpDefaults::default();
        let mapping = Mapping { config: &own, defaults: &defaults, discover_service_name: &[] };
        let check = |action, want| assert_eq!(action, want);
        check(mapping.resource("service.group"), Action::IndexLabel);
        check(mapping.resource("my.service.group"), Action::StructuredMetadata);
        check(mapping.resource("host.name"), Action::Drop);
        // The distributor's list stands before the rules.
        check(mapping.resource("service.name"), Action::IndexLabel);
        check(mapping.scope("method.name"), Action::Drop);
        check(mapping.scope("other"), Action::StructuredMetadata);
        check(mapping.record("user.id"), Action::StructuredMetadata);
        check(mapping.record("user.name"), Action::Drop);
        let again: OtlpConfig =
            serde_yaml_ng::from_str(&serde_yaml_ng::to_string(&own).expect("prints")).expect("reads");
        assert_eq!(again, own);

        let own = config("resource_attributes: {ignore_defaults: true}").expect("loads");
        let mapping = Mapping { config: &own, defaults: &defaults, discover_service_name: &[] };
        check(mapping.resource("service.name"), Action::StructuredMetadata);
    }

    #[test]
    fn refused() {
        let check = |yaml: &str, want: &str| {
            let error = config(yaml).expect_err(yaml);
            assert!(error.contains(want), "{yaml}: {error}");
        };
        check("log_attributes: [{action: keep, attributes: [a]}]", "unsupported action, it must be one of");
        check("log_attributes: [{action: drop}]", "attributes or regex must be set");
        check(
            "log_attributes: [{action: drop, attributes: [a], regex: b}]",
            "only one of attributes or regex must be set",
        );
        check("scope_attributes: [{action: index_label, attributes: [a]}]", "only supported for resource_attributes");
        check("log_attributes: [{action: drop, regex: '('}]", "unclosed group");
        check("log_attribute: []", "unknown field");
    }
}
