//! Reads the function's environment: where the store is, and which configuration to use. Nothing else reads it.

use std::sync::Arc;

use anyhow::Context as _;
use loki_api::config::Config;
use store::{Store, StoreUrl};

use crate::Query;

/// Opens the store named by `LOGBARN_STORE` under the configuration file named by `LOGBARN_CONFIG`, if there is one.
#[expect(clippy::disallowed_methods, reason = "the edge: the one place of this crate that reads the environment")]
pub fn from_environment() -> anyhow::Result<Query> {
    let url: StoreUrl = std::env::var("LOGBARN_STORE").context("LOGBARN_STORE names no store")?.parse()?;
    let config = match std::env::var("LOGBARN_CONFIG") {
        Ok(path) => {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            Config::from_yaml(&text).with_context(|| path.clone())?
        }
        Err(_) => Config::default(),
    };
    let store = Store::open(&url, std::env::vars())?;
    Ok(Query::new(store, Arc::new(config)))
}
