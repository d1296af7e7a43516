//! The configuration of a function, from its environment.
//!
//! In: `LOGBARN_CONFIG` (a file's path, or the YAML itself), `LOGBARN_BEARER_TOKENS` (who may sign in, hashed). Out: a configuration
//! with the limits of single tenants, its notices in the log, or an error that says which variable is wrong.

use anyhow::Context as _;
use loki_api::config::Config;

/// Reads the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge that both functions share; nothing else here reads the environment"
)]
pub fn from_environment() -> anyhow::Result<Config> {
    let config = std::env::var("LOGBARN_CONFIG").unwrap_or_default();
    let mut config = Config::from_yaml(&yaml(&config)?).context("LOGBARN_CONFIG")?;
    if let Ok(tokens) = std::env::var("LOGBARN_BEARER_TOKENS") {
        config.add_bearer_tokens(&tokens).context("LOGBARN_BEARER_TOKENS")?;
    }
    config.check_selectors(upkeep::check_retention_selector).context("LOGBARN_CONFIG")?;
    read_overrides(&config)?;
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    Ok(config)
}

/// Reads the limits of single tenants, if the configuration names a file of them.
pub fn read_overrides(config: &Config) -> anyhow::Result<()> {
    let path = &config.runtime_config.file;
    if !path.is_empty() {
        let text = std::fs::read_to_string(path).with_context(|| format!("runtime_config.file: cannot read {path}"))?;
        for notice in config.set_overrides(&text).with_context(|| path.clone())? {
            tracing::warn!("{path}: {notice}");
        }
    }
    Ok(())
}

/// The YAML itself has a colon and perhaps line breaks; a path is read.
fn yaml(text: &str) -> anyhow::Result<String> {
    if text.is_empty() || text.contains('\n') || text.contains(": ") {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(text).with_context(|| format!("LOGBARN_CONFIG: cannot read {text}"))
}
