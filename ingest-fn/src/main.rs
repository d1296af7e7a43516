//! The ingest function on AWS Lambda: settings once a cold start, then the router for every request and `Events` for the rest.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ingest_fn::config::Settings;
use ingest_fn::{CommitSettings, Events, Function, Ingest, Merges, router};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let settings = Settings::from_environment()?;
    anyhow::ensure!(
        settings.on_lambda,
        "this is the function for AWS Lambda (AWS_LAMBDA_RUNTIME_API is not set); to run Logbarn here, use `logbarn serve`"
    );
    // A function serves one request at a time: there is nobody to wait for.
    let config = Arc::new(settings.config);
    let commit = CommitSettings { window: Duration::ZERO, ..CommitSettings::new(&config, true) };
    let merges = Merges::new(settings.store, &config, settings.merger);
    let ingest = Ingest::new(merges.watched_store(), config, commit);
    let ingest = ingest.with_event_settings(settings.events.clone());
    let events = Events::new(ingest.clone(), settings.events).with_merges(merges);
    let function = Function::new(router(ingest), events);
    lambda_http::lambda_runtime::run(function)
        .await
        .map_err(anyhow::Error::from_boxed)
        .context("the Lambda runtime ended")
}
