//! The settings of the function, from its environment. Nothing else in this crate reads the environment or the clock.
//!
//! In: `LOGBARN_STORE` (a store's URL), `LOGBARN_CONFIG` (a file's path, or the YAML itself), `LOGBARN_BEARER_TOKENS` (who may
//! sign in, hashed), `LOGBARN_MERGE_FUNCTION` (who merges; this function itself, if it is not set), `AWS_*`. Out: a store and a
//! configuration, or an error that says which variable is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use door::merger::Merger;
// What a process needs that runs this function beside others over one store.
pub use door::config::read_overrides;
pub use loki_api::config::{Config, TlsServer};
pub use model::{Day, TenantId};
pub use store::{Counts, Error as StoreError, Probe, Store, StoreUrl, price};

use crate::EventSettings;

/// What the function runs with.
#[derive(Debug)]
pub struct Settings {
    /// Where segments go.
    pub store: Store,
    /// Limits and the like.
    pub config: Config,
    /// How events become streams.
    pub events: EventSettings,
    /// Who is asked to merge.
    pub merger: Option<Merger>,
    /// Whether this process is a Lambda function.
    pub on_lambda: bool,
}

impl Settings {
    /// Reads the environment.
    #[expect(clippy::disallowed_methods, reason = "this is the edge that reads the environment")]
    pub fn from_environment() -> anyhow::Result<Self> {
        let url =
            std::env::var("LOGBARN_STORE").context("LOGBARN_STORE is not set: give a store, such as s3://bucket")?;
        let url: StoreUrl = url.parse().context("LOGBARN_STORE")?;
        let config = door::config::from_environment()?;
        let aws: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
        let store = Store::open(&url, aws.clone()).context("LOGBARN_STORE")?;
        let events = EventSettings::from_variables(|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?;
        let name = std::env::var("LOGBARN_MERGE_FUNCTION").or_else(|_| std::env::var("AWS_LAMBDA_FUNCTION_NAME"));
        let name = name.ok().filter(|name| !name.is_empty());
        let merger = name.map(|name| Merger::open(aws.clone(), name)).transpose()?;
        let events = EventSettings { aws, own_bucket: url.bucket().map(str::to_owned), ..events };
        let on_lambda = std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some();
        Ok(Settings { store, config, events, merger, on_lambda })
    }
}

/// A side of a copy: each may have an endpoint and keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is read.
    From,
    /// What is written.
    To,
}

/// Opens a store with the variables of one side (`LOGBARN_FROM_AWS_…`, `LOGBARN_TO_AWS_…`) if any is set, else with `AWS_…`. Those of a
/// side stand alone: a key never goes to an endpoint that it was not set for.
pub fn open_side(url: &StoreUrl, side: Side) -> anyhow::Result<Store> {
    let prefix = match side {
        Side::From => "LOGBARN_FROM_",
        Side::To => "LOGBARN_TO_",
    };
    let own: Vec<(String, String)> = std::env::vars()
        .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value)))
        .filter(|(name, _)| name.starts_with("AWS_"))
        .collect();
    let variables =
        if own.is_empty() { std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect() } else { own };
    Store::open(url, variables).with_context(|| format!("cannot open the store {url}"))
}

/// The time now, nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the edge that asks the clock")]
pub fn now_ns() -> i64 {
    // A clock before 1970 is no clock.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
