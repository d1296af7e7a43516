//! The form of the configuration file, section by section, and what becomes of each.
//!
//! Keys that Promtail has and this collector does not honour are told from keys that nobody knows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::units::{bytes, duration};
use super::{ClientConfig, Error, JobConfig, TargetConfig, invalid};
use crate::stages::{Pipeline, is_label_name};
use crate::targets::FilePattern;

/// Promtail's place for positions.
const DEFAULT_POSITIONS: &str = "/var/log/positions.yaml";
/// How often patterns are looked up for new files. Promtail: 10 s.
const DISCOVER_PERIOD: Duration = Duration::from_secs(2);

/// The file's own form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) server: Option<Yaml>,
    #[serde(default)]
    pub(super) client: Option<ClientConfig>,
    #[serde(default)]
    pub(super) clients: Vec<ClientConfig>,
    #[serde(default)]
    pub(super) positions: PositionsSection,
    #[serde(default)]
    pub(super) scrape_configs: Vec<ScrapeSection>,
    #[serde(default)]
    pub(super) target_config: TargetSection,
    #[serde(default)]
    pub(super) limits_config: LimitsSection,
    #[serde(default)]
    pub(super) global: Option<Yaml>,
    #[serde(default)]
    pub(super) tracing: Option<Yaml>,
    #[serde(default)]
    pub(super) options: Option<Yaml>,
    #[serde(default)]
    pub(super) wal: Option<Yaml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PositionsSection {
    pub(super) filename: PathBuf,
    #[serde(deserialize_with = "duration")]
    pub(super) sync_period: Duration,
    #[serde(rename = "ignore_invalid_yaml")]
    _ignore_invalid_yaml: bool,
}

impl Default for PositionsSection {
    fn default() -> Self {
        PositionsSection {
            filename: DEFAULT_POSITIONS.into(),
            sync_period: Duration::from_secs(10),
            _ignore_invalid_yaml: false,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ScrapeSection {
    job_name: String,
    #[serde(default)]
    pipeline_stages: Vec<Yaml>,
    #[serde(default)]
    static_configs: Vec<StaticSection>,
    /// Everything else, to tell what Promtail knows from what nobody knows.
    #[serde(flatten)]
    others: BTreeMap<String, Yaml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticSection {
    #[serde(default, rename = "targets")]
    _targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TargetSection {
    #[serde(deserialize_with = "duration")]
    pub(super) sync_period: Duration,
    pub(super) stdin: bool,
}

impl Default for TargetSection {
    fn default() -> Self {
        TargetSection { sync_period: DISCOVER_PERIOD, stdin: false }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    #[serde(deserialize_with = "bytes")]
    pub(super) max_line_size: usize,
    pub(super) max_line_size_truncate: bool,
    pub(super) readline_rate_enabled: bool,
    pub(super) readline_rate: Option<f64>,
    pub(super) readline_burst: Option<f64>,
    pub(super) readline_rate_drop: Option<bool>,
    pub(super) max_streams: Option<u64>,
}

/// What a scrape configuration may hold in Promtail.
const UNSUPPORTED_SCRAPES: [&str; 18] = [
    "azure_event_hubs",
    "cloudflare",
    "consul_sd_configs",
    "consulagent_sd_configs",
    "decompression",
    "docker_sd_configs",
    "encoding",
    "file_sd_configs",
    "gcplog",
    "gelf",
    "heroku_drain",
    "journal",
    "kafka",
    "kubernetes_sd_configs",
    "loki_push_api",
    "relabel_configs",
    "syslog",
    "windows_events",
];

impl LimitsSection {
    pub(super) fn check(&self) -> Result<(), Error> {
        let given = [
            ("readline_rate_enabled", self.readline_rate_enabled),
            ("readline_rate", self.readline_rate.is_some() && self.readline_rate_enabled),
            ("readline_burst", self.readline_burst.is_some() && self.readline_rate_enabled),
            ("readline_rate_drop", self.readline_rate_drop.is_some() && self.readline_rate_enabled),
            ("max_streams", self.max_streams.is_some_and(|max| max > 0)),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((key, _)) => {
                Err(invalid(&format!("limits_config.{key}"), "Promtail's limit of that name is not supported here"))
            }
            None => Ok(()),
        }
    }
}

impl ScrapeSection {
    pub(super) fn build(self) -> Result<JobConfig, Error> {
        let place = format!("scrape_configs {:?}", self.job_name);
        if let Some(key) = self.others.keys().next() {
            let known = UNSUPPORTED_SCRAPES.contains(&key.as_str());
            let why = if known { "Promtail's setting of that name is not supported here yet" } else { "unknown key" };
            return Err(invalid(&format!("{place}: {key}"), why));
        }
        let mut targets = Vec::new();
        for (i, section) in self.static_configs.into_iter().enumerate() {
            let place = format!("{place}: static_configs[{i}]");
            targets.push(section.build().map_err(|why| invalid(&place, why))?);
        }
        let names = targets.iter().flat_map(|target| target.labels.iter().map(|(name, _)| &**name)).chain(["filename"]);
        let pipeline = Pipeline::new(&self.pipeline_stages, names).map_err(|why| invalid(&place, why))?;
        Ok(JobConfig { name: self.job_name, pipeline: Arc::new(pipeline), targets })
    }
}

impl StaticSection {
    fn build(self) -> Result<TargetConfig, String> {
        let path = self.labels.get("__path__").ok_or("labels have no __path__")?;
        let files = FilePattern::new(path, self.labels.get("__path_exclude__").map(String::as_str))?;
        if let Some(name) = self.labels.keys().find(|name| !is_label_name(name)) {
            return Err(format!("invalid label name {name:?}"));
        }
        // Names with two underscores are for the collector, never for the store.
        let labels = self.labels.into_iter().filter(|(name, _)| !name.starts_with("__")).collect();
        Ok(TargetConfig { files, labels })
    }
}
