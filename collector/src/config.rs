//! The configuration: Promtail's YAML, checked.
//!
//! In: text in the form of <https://grafana.com/docs/loki/latest/send-data/promtail/configuration/>. Out: plain data that the other
//! rooms take as it is, with the pipelines built. Keys that Promtail does not have are refused by name; keys that Promtail has and
//! this collector does not honour are refused too if ignoring them would lose or change logs, and told as notices if not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_yaml_ng::Value as Yaml;

use crate::stages::{Pipeline, is_label_name};
use crate::targets::FilePattern;

/// Where to push if the configuration names no client.
const DEFAULT_URL: &str = "http://localhost:3100/loki/api/v1/push";
/// Promtail's place for positions.
const DEFAULT_POSITIONS: &str = "/var/log/positions.yaml";
/// Largest batch that may be configured: three of them may be in memory.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// How often patterns are looked up for new files. Promtail: 10 s.
const DISCOVER_PERIOD: Duration = Duration::from_secs(2);
/// The same for the one folder of a local server, where somebody watches the first line arrive.
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

/// One server to push to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// The push address.
    pub url: String,
    /// A name for messages.
    #[serde(default)]
    pub name: Option<String>,
    /// Sent as `X-Scope-OrgID`.
    #[serde(default)]
    pub tenant_id: Option<String>,
    /// How long a batch waits for more lines.
    #[serde(default = "one_second", deserialize_with = "duration")]
    pub batchwait: Duration,
    /// Bytes of lines that make a batch full.
    #[serde(default = "one_mebibyte")]
    pub batchsize: usize,
    /// User name and password.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token.
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// A file that holds a bearer token; read for every request, so that it may change.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Certificates.
    #[serde(default)]
    pub tls_config: Option<TlsConfig>,
    /// How attempts are repeated.
    #[serde(default)]
    pub backoff_config: BackoffConfig,
    /// Labels that every stream gets unless it has them.
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
    /// How long one attempt may take.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(default)]
    proxy_url: Option<String>,
    #[serde(default)]
    oauth2: Option<Yaml>,
    #[serde(default)]
    authorization: Option<Yaml>,
    #[serde(default)]
    follow_redirects: Option<bool>,
    #[serde(default)]
    enable_http2: Option<bool>,
    #[serde(default)]
    drop_rate_limited_batches: Option<bool>,
}

/// User name and password.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds it; read for every request.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// Text that is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// Certificates for TLS.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Authorities to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Whether to trust anyone.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    #[serde(default)]
    server_name: Option<String>,
}

/// How attempts are repeated.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackoffConfig {
    /// The first wait.
    #[serde(deserialize_with = "duration")]
    pub min_period: Duration,
    /// The longest wait.
    #[serde(deserialize_with = "duration")]
    pub max_period: Duration,
    /// After so many repetitions the batch is dropped; 0: never. Promtail's default is 10, and loses logs when the server is away for
    /// longer than about eight minutes; here the files wait instead.
    pub max_retries: u32,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        BackoffConfig { min_period: Duration::from_millis(500), max_period: Duration::from_secs(300), max_retries: 0 }
    }
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

/// The file's own form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    server: Option<Yaml>,
    #[serde(default)]
    client: Option<ClientConfig>,
    #[serde(default)]
    clients: Vec<ClientConfig>,
    #[serde(default)]
    positions: PositionsSection,
    #[serde(default)]
    scrape_configs: Vec<ScrapeSection>,
    #[serde(default)]
    target_config: TargetSection,
    #[serde(default)]
    limits_config: LimitsSection,
    #[serde(default)]
    global: Option<Yaml>,
    #[serde(default)]
    tracing: Option<Yaml>,
    #[serde(default)]
    options: Option<Yaml>,
    #[serde(default)]
    wal: Option<Yaml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PositionsSection {
    filename: PathBuf,
    #[serde(deserialize_with = "duration")]
    sync_period: Duration,
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
struct ScrapeSection {
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
struct StaticSection {
    #[serde(default, rename = "targets")]
    _targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TargetSection {
    #[serde(deserialize_with = "duration")]
    sync_period: Duration,
    stdin: bool,
}

impl Default for TargetSection {
    fn default() -> Self {
        TargetSection { sync_period: DISCOVER_PERIOD, stdin: false }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsSection {
    #[serde(deserialize_with = "bytes")]
    max_line_size: usize,
    max_line_size_truncate: bool,
    readline_rate_enabled: bool,
    readline_rate: Option<f64>,
    readline_burst: Option<f64>,
    readline_rate_drop: Option<bool>,
    max_streams: Option<u64>,
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

impl ClientConfig {
    /// A client with Promtail's defaults, but for unlimited attempts.
    pub fn new(url: &str) -> Self {
        ClientConfig {
            url: url.to_owned(),
            name: None,
            tenant_id: None,
            batchwait: one_second(),
            batchsize: one_mebibyte(),
            basic_auth: None,
            bearer_token: None,
            bearer_token_file: None,
            headers: BTreeMap::new(),
            tls_config: None,
            backoff_config: BackoffConfig::default(),
            external_labels: BTreeMap::new(),
            timeout: ten_seconds(),
            proxy_url: None,
            oauth2: None,
            authorization: None,
            follow_redirects: None,
            enable_http2: None,
            drop_rate_limited_batches: None,
        }
    }

    fn check(&self, place: &str, notices: &mut Vec<String>) -> Result<(), Error> {
        let url =
            reqwest::Url::parse(&self.url).map_err(|error| invalid(&format!("{place}.url"), error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(&format!("{place}.url"), format!("{:?} is neither http nor https", self.url)));
        }
        let unsupported = [
            ("proxy_url", self.proxy_url.is_some()),
            ("oauth2", self.oauth2.is_some()),
            ("authorization", self.authorization.is_some()),
            ("drop_rate_limited_batches", self.drop_rate_limited_batches == Some(true)),
            ("tls_config.server_name", self.tls_config.as_ref().is_some_and(|tls| tls.server_name.is_some())),
        ];
        if let Some((key, _)) = unsupported.iter().find(|(_, given)| *given) {
            return Err(invalid(&format!("{place}.{key}"), "Promtail's setting of that name is not supported here"));
        }
        if self.follow_redirects.is_some() || self.enable_http2.is_some() {
            notices.push(format!("{place}: follow_redirects and enable_http2 have no effect"));
        }
        if self.batchsize > BATCH_BYTES_MAX {
            return Err(invalid(&format!("{place}.batchsize"), format!("at most {BATCH_BYTES_MAX} bytes are allowed")));
        }
        if self.batchsize == 0 || self.timeout.is_zero() || self.backoff_config.min_period.is_zero() {
            return Err(invalid(place, "batchsize, timeout and backoff_config.min_period must be more than 0"));
        }
        if self.basic_auth.is_some() && (self.bearer_token.is_some() || self.bearer_token_file.is_some()) {
            return Err(invalid(place, "at most one of basic_auth and bearer_token may be given"));
        }
        match self.external_labels.keys().find(|name| !is_label_name(name)) {
            Some(name) => Err(invalid(&format!("{place}.external_labels"), format!("invalid label name {name:?}"))),
            None => Ok(()),
        }
    }
}

impl LimitsSection {
    fn check(&self) -> Result<(), Error> {
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
    fn build(self) -> Result<JobConfig, Error> {
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

fn invalid(place: &str, why: impl Into<String>) -> Error {
    Error::Invalid { place: place.into(), why: why.into() }
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn one_mebibyte() -> usize {
    1 << 20
}

/// Go's durations: `1s`, `1h30m`, `500ms`; and days, as Prometheus has them.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest == "0" {
        return Some(total);
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at_checked(end)?;
        let unit_end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(unit_end)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| serde::de::Error::custom(format!("not a duration: {text:?} (write 500ms, 10s or 1h30m)")))
}

/// A count of bytes: `262144`, `256kb`, `1MiB`.
fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Number(usize),
        Text(String),
    }
    match Given::deserialize(deserializer)? {
        Given::Number(bytes) => Ok(bytes),
        Given::Text(text) => parse_bytes(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("not a number of bytes: {text:?} (write 262144 or 256KB)"))
        }),
    }
}

fn parse_bytes(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests;
