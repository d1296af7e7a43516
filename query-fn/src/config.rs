//! The settings of the function, from its environment. Nothing else in this crate reads the environment.
//!
//! In: `LOGBARN_STORE` (a store's URL), `LOGBARN_CONFIG` (a file's path, or the YAML itself), `LOGBARN_BEARER_TOKENS` (who may
//! sign in, hashed), `AWS_*`. Out: the query side, or an error that says which variable is wrong.

use std::sync::Arc;

use anyhow::Context as _;
use store::{Store, StoreUrl};

use crate::Query;

/// Opens the store named by `LOGBARN_STORE` under the configuration that `LOGBARN_CONFIG` gives.
#[expect(clippy::disallowed_methods, reason = "the edge: the one place of this crate that reads the environment")]
pub fn from_environment() -> anyhow::Result<Query> {
    let url = std::env::var("LOGBARN_STORE").context("LOGBARN_STORE is not set: give a store, such as s3://bucket")?;
    let url: StoreUrl = url.parse().context("LOGBARN_STORE")?;
    let config = door::config::from_environment()?;
    anyhow::ensure!(
        std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some(),
        "this is the function for AWS Lambda (AWS_LAMBDA_RUNTIME_API is not set); to run Logbarn here, use `logbarn serve`"
    );
    let aws = std::env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    let store = Store::open(&url, aws).context("LOGBARN_STORE")?;
    Ok(Query::new(store, Arc::new(config)))
}
