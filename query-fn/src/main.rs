//! The query function on AWS Lambda: settings once a cold start, then the router for every request and the engine for shards.

use anyhow::Context as _;
use query_fn::Function;
use query_fn::config::Settings;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Settings { query, streams, merges } = Settings::from_environment()?;
    lambda_http::lambda_runtime::run(Function::new(query, streams).with_merges(merges))
        .await
        .map_err(anyhow::Error::from_boxed)
        .context("the Lambda runtime ended")
}
