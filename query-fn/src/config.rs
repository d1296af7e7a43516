//! The settings of the function, from its environment. Nothing else in this crate reads the environment.
//!
//! In: `LOGBARN_STORE` (a store's URL), `LOGBARN_CONFIG` (a file's path, or the YAML itself), `LOGBARN_BEARER_TOKENS` (who may
//! sign in, hashed), `LOGBARN_LEAVES` (who helps with large questions, in place of `logbarn.fan_out.leaves`),
//! `LOGBARN_RESPONSE_STREAM` (whether the function's URL takes streams), `LOGBARN_MERGE_FUNCTION` (who merges), `AWS_*`. Out: the query
//! side, or an error that says which variable is wrong.

use std::sync::Arc;

use anyhow::Context as _;
use door::merger::Merger;
use store::{Store, StoreUrl};

use crate::{Merges, Query};

/// The folder of blocks where a function may write: in `/tmp`, to which a deployment gives more room than `block_cache_bytes_max`.
const EPHEMERAL_CACHE: &str = "logbarn-blocks";

/// What the function needs to know.
pub struct Settings {
    /// The query side.
    pub query: Query,
    /// Whether requests are answered by streams.
    pub streams: bool,
    /// Who is asked to merge, if anybody is.
    pub merges: Option<Merges>,
}

impl Settings {
    /// Opens the store named by `LOGBARN_STORE` under the configuration that `LOGBARN_CONFIG` gives.
    #[expect(clippy::disallowed_methods, reason = "the edge: the one place of this crate that reads the environment")]
    pub fn from_environment() -> anyhow::Result<Self> {
        let url =
            std::env::var("LOGBARN_STORE").context("LOGBARN_STORE is not set: give a store, such as s3://bucket")?;
        let url: StoreUrl = url.parse().context("LOGBARN_STORE")?;
        let mut config = door::config::from_environment()?;
        anyhow::ensure!(
            std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some(),
            "this is the function for AWS Lambda (AWS_LAMBDA_RUNTIME_API is not set); to run Logbarn here, use `logbarn serve`"
        );
        if let Some(leaves) = std::env::var("LOGBARN_LEAVES").ok().filter(|leaves| !leaves.is_empty()) {
            config.logbarn.fan_out.leaves =
                vec![leaves.parse().map_err(|why: String| anyhow::anyhow!(why)).context("LOGBARN_LEAVES")?];
        }
        // The function's own disk outlives an invocation, and often many.
        if config.logbarn.block_cache_directory.is_empty() {
            config.logbarn.block_cache_directory = std::env::temp_dir().join(EPHEMERAL_CACHE).display().to_string();
        }
        let streams = std::env::var("LOGBARN_RESPONSE_STREAM").is_ok_and(|text| text == "true");
        let aws: Vec<(String, String)> = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
        let store = Store::open(&url, aws.clone()).context("LOGBARN_STORE")?;
        let merger =
            std::env::var("LOGBARN_MERGE_FUNCTION").ok().filter(|name| config.logbarn.merge && !name.is_empty());
        let merger = merger.map(|name| Merger::open(aws.clone(), name)).transpose()?;
        let merges = merger.map(|merger| Merges::new(&config, merger));
        let store = merges.as_ref().map_or(store.clone(), |merges| merges.watch(&store));
        Ok(Settings { query: Query::open(store, Arc::new(config), aws)?, streams, merges })
    }
}
