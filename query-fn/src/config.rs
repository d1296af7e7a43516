//! The settings of the function, from its environment. Nothing else in this crate reads the environment.
//!
//! In: `LOGBARN_STORE` (a store's URL), `LOGBARN_CONFIG` (a file's path, or the YAML itself), `LOGBARN_BEARER_TOKENS` (who may
//! sign in, hashed), `AWS_*`. Out: the query side, or an error that says which variable is wrong.

use std::sync::Arc;

use anyhow::Context as _;
use loki_api::config::Config;
use store::{Store, StoreUrl};

use crate::Query;

/// Opens the store named by `LOGBARN_STORE` under the configuration that `LOGBARN_CONFIG` gives.
#[expect(clippy::disallowed_methods, reason = "the edge: the one place of this crate that reads the environment")]
pub fn from_environment() -> anyhow::Result<Query> {
    let url = std::env::var("LOGBARN_STORE").context("LOGBARN_STORE is not set: give a store, such as s3://bucket")?;
    let url: StoreUrl = url.parse().context("LOGBARN_STORE")?;
    let config = std::env::var("LOGBARN_CONFIG").unwrap_or_default();
    let mut config = Config::from_yaml(&yaml(&config)?).context("LOGBARN_CONFIG")?;
    if let Ok(tokens) = std::env::var("LOGBARN_BEARER_TOKENS") {
        config.add_bearer_tokens(&tokens).context("LOGBARN_BEARER_TOKENS")?;
    }
    let overrides = &config.runtime_config.file;
    if !overrides.is_empty() {
        let text = std::fs::read_to_string(overrides)
            .with_context(|| format!("runtime_config.file: cannot read {overrides}"))?;
        let notices = config.set_overrides(&text).with_context(|| overrides.clone())?;
        notices.iter().for_each(|notice| tracing::warn!("{overrides}: {notice}"));
    }
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    anyhow::ensure!(
        std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some(),
        "this is the function for AWS Lambda (AWS_LAMBDA_RUNTIME_API is not set); to run Logbarn here, use `logbarn serve`"
    );
    let aws = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    let store = Store::open(&url, aws).context("LOGBARN_STORE")?;
    Ok(Query::new(store, Arc::new(config)))
}

/// The YAML itself has a colon and perhaps line breaks; a path is read.
fn yaml(text: &str) -> anyhow::Result<String> {
    if text.is_empty() || text.contains('\n') || text.contains(": ") {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(text).with_context(|| format!("LOGBARN_CONFIG: cannot read {text}"))
}
