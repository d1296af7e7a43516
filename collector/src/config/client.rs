//! One server to push to: its address, who the collector is there, how batches and attempts go.
//!
//! Promtail's keys. Those that would lose or change logs if they were ignored are refused by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::units::duration;
use super::{Error, invalid};
use crate::stages::is_label_name;

/// Largest batch that may be configured: three of them may be in memory.
const BATCH_BYTES_MAX: usize = 64 << 20;

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

    pub(super) fn check(&self, place: &str, notices: &mut Vec<String>) -> Result<(), Error> {
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

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn one_mebibyte() -> usize {
    1 << 20
}
