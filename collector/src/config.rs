//! The configuration: Promtail's YAML, checked.
//!
//! In: text in the form of <https://grafana.com/docs/loki/latest/send-data/promtail/configuration/>. Out: plain data that the other
//! rooms take as it is, with the pipelines built. Keys that Promtail does not have are refused by name; keys that Promtail has and
//! this collector does not honour are refused too if ignoring them would lose or change logs, and told as notices if not.

mod client;
mod document;
mod units;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_yaml_ng::Value as Yaml;

pub use self::client::{BackoffConfig, BasicAuth, ClientConfig, Secret, TlsConfig};
use self::document::{Document, ScrapeSection};
use crate::stages::Pipeline;
use crate::targets::FilePattern;

/// Where to push if the configuration names no client.
const DEFAULT_URL: &str = "http://localhost:3100/loki/api/v1/push";
/// How often the one folder of a local server is looked through for new files, where somebody watches the first line arrive.
const FOLDER_DISCOVER_PERIOD: Duration = Duration::from_millis(500);

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not of the form.
    #[error("cannot read configuration: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A value cannot be honoured.
    #[error("{place}: {why}")]
    Invalid {
        /// Which key.
        place: String,
        /// What is wrong, and what would be right.
        why: String,
    },
}

/// Everything that a collector needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where every batch goes, to each of them.
    pub clients: Vec<ClientConfig>,
    /// The positions file.
    pub positions_path: PathBuf,
    /// How often positions are written; the journal beside them keeps what happens in between.
    pub positions_period: Duration,
    /// What to read.
    pub jobs: Vec<JobConfig>,
    /// How often to look for new files.
    pub discover_period: Duration,
    /// Longest line that is shipped, in bytes; none: as long as the collector reads at all.
    pub line_bytes_max: Option<usize>,
    /// Whether longer lines are cut; otherwise they are dropped.
    pub cut_long_lines: bool,
    /// What the configuration says that has no effect here.
    pub notices: Vec<String>,
}

/// Files that are read the same way.
#[derive(Debug, Clone)]
pub struct JobConfig {
    /// The job's name.
    pub name: String,
    /// What is done with each line.
    pub(crate) pipeline: Arc<Pipeline>,
    /// Which files.
    pub targets: Vec<TargetConfig>,
}

/// Files with the same labels.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    /// Which files.
    pub(crate) files: FilePattern,
    /// Their labels, without `filename`.
    pub labels: Vec<(String, String)>,
}

impl Config {
    /// Reads and checks a configuration file's text.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        let document: Document = serde_yaml_ng::from_str(yaml)?;
        let mut notices = Vec::new();
        let mut clients = document.clients;
        clients.extend(document.client);
        if clients.is_empty() {
            notices.push(format!("no client is configured: pushing to {DEFAULT_URL}"));
            clients.push(ClientConfig::new(DEFAULT_URL));
        }
        for (i, client) in clients.iter().enumerate() {
            client.check(&format!("clients[{i}]"), &mut notices)?;
        }
        for (key, given) in [
            ("server", &document.server),
            ("global", &document.global),
            ("tracing", &document.tracing),
            ("options", &document.options),
            ("wal", &document.wal),
        ] {
            if given.is_some() {
                notices.push(format!("{key} has no effect"));
            }
        }
        let limits = document.limits_config;
        limits.check()?;
        if document.target_config.stdin {
            return Err(invalid("target_config.stdin", "reading standard input is not supported"));
        }
        let jobs = document.scrape_configs.into_iter().map(ScrapeSection::build).collect::<Result<Vec<_>, _>>()?;
        for (i, job) in jobs.iter().enumerate() {
            if jobs.iter().skip(i + 1).any(|other| other.name == job.name) {
                return Err(invalid("scrape_configs", format!("job_name {:?} is used twice", job.name)));
            }
        }
        Ok(Config {
            clients,
            positions_path: document.positions.filename,
            positions_period: document.positions.sync_period,
            jobs,
            discover_period: document.target_config.sync_period,
            line_bytes_max: Some(limits.max_line_size).filter(|bytes| *bytes > 0),
            cut_long_lines: limits.max_line_size_truncate,
            notices,
        })
    }

    /// Pushes to this address only, with the settings of the first client.
    pub fn set_client_url(&mut self, url: &str) -> Result<(), Error> {
        let mut client = self.clients.first().cloned().unwrap_or_else(|| ClientConfig::new(url));
        client.url = url.to_owned();
        client.check("-client.url", &mut self.notices)?;
        self.notices.retain(|notice| !notice.starts_with("no client is configured"));
        self.clients = vec![client];
        Ok(())
    }

    /// What `logbarn serve` reads: all `*.log` of a folder, with `job="logs"`, and `level` where a line is JSON and has one.
    pub fn for_folder(folder: &Path, push_url: &str, positions_path: &Path) -> Result<Self, Error> {
        let labels = vec![("job".to_owned(), "logs".to_owned())];
        let stages: Vec<Yaml> = serde_yaml_ng::from_str("[json: {expressions: {level: level}}, labels: {level: }]")?;
        let names = ["job", "filename"];
        let pipeline = Pipeline::new(&stages, names.into_iter()).map_err(|why| invalid("pipeline_stages", why))?;
        // The folder's own name is taken as it is: only what stands behind it is a pattern.
        let pattern = Path::new(&glob::Pattern::escape(&folder.to_string_lossy())).join("*.log");
        let files = FilePattern::new(&pattern.to_string_lossy(), None).map_err(|why| invalid("folder", why))?;
        let job = JobConfig {
            name: "logs".into(),
            pipeline: Arc::new(pipeline),
            targets: vec![TargetConfig { files, labels }],
        };
        let mut client = ClientConfig::new(push_url);
        client.batchwait = Duration::from_millis(250);
        client.backoff_config.max_period = Duration::from_secs(5);
        client.check("clients[0]", &mut Vec::new())?;
        Ok(Config {
            clients: vec![client],
            positions_path: positions_path.to_owned(),
            positions_period: Duration::from_secs(10),
            jobs: vec![job],
            discover_period: FOLDER_DISCOVER_PERIOD,
            line_bytes_max: None,
            cut_long_lines: false,
            notices: Vec::new(),
        })
    }
}

fn invalid(place: &str, why: impl Into<String>) -> Error {
    Error::Invalid { place: place.into(), why: why.into() }
}

#[cfg(test)]
mod tests;
