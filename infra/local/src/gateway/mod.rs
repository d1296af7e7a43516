//! `logbarn gateway`: runs beside Grafana and speaks for it to the function's URL.
//!
//! In: requests of the Loki API. Out: the function's answers, part by part as they come. It signs for AWS, which Grafana's datasource
//! cannot (`upstream`), hands requests on (`proxy`), and serves the live tail, for which a function has no connection, by asking again
//! and again (`tail`). Keeps nothing; knows no log and no secret but its own.

mod proxy;
mod tail;
mod upstream;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use clap::{Args, ValueEnum};
use ingest_fn::config::Config;
use tokio::net::TcpListener;

use crate::{listener, serve};
use upstream::Upstream;

/// Between two questions for a tail, at the least.
const TAIL_INTERVAL_MIN: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct GatewayOptions {
    /// Where Grafana asks
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3100")]
    pub(crate) listen: SocketAddr,
    /// The function's URL
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// Sign for AWS with the AWS_* variables; `auto` signs for addresses of AWS
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) sign: Sign,
    /// Time between two questions for an open tail; each is one invocation
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = query_fn::parse_duration)]
    pub(crate) tail_every: Duration,
}

/// Whether requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sign {
    Auto,
    Always,
    Never,
}

/// What all requests share.
struct Gateway {
    upstream: Upstream,
    tail_every: Duration,
}

/// Serves until told to stop.
pub(crate) async fn run(options: GatewayOptions) -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let environment: HashMap<String, String> = serve::aws_environment().collect();
    let upstream = Upstream::new(&options.to, options.sign, &environment)?;
    let gateway = Gateway { upstream, tail_every: options.tail_every.max(TAIL_INTERVAL_MIN) };
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", options.listen))?;
    tracing::info!("Grafana datasource (type Loki): http://{}, answered by {}", listener.local_addr()?, options.to);
    let app = Router::new()
        .route("/loki/api/v1/tail", get(tail::tail))
        .route("/ready", get(|| async { "ready\n" }))
        .fallback(proxy::pass)
        .with_state(Arc::new(gateway));
    listener::serve(listener, app, &Config::default(), None, serve::stop_signal()).await;
    Ok(())
}
