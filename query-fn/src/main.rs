//! The query function: serves the router under AWS Lambda.

use anyhow::Context as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_ansi(false).init();
    let query = query_fn::config::from_environment()?;
    lambda_http::run(query_fn::router(query)).await.map_err(anyhow::Error::from_boxed).context("the runtime ended")
}
