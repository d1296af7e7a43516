//! The query function on AWS Lambda: settings once a cold start, then the router for every request.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let query = query_fn::config::from_environment()?;
    lambda_http::run(query_fn::router(query))
        .await
        .map_err(anyhow::Error::from_boxed)
        .context("the Lambda runtime ended")
}
