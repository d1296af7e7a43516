//! What a person sees at the start: where the server answers, the datasource URL, a query to try.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use ingest_fn::config::{Config, Probe, StoreError, StoreUrl};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Log lines go to standard error; standard output has the banner alone.
pub(crate) fn start_log(config: &Config) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&config.server.log_level));
    let lines = tracing_subscriber::registry().with(filter);
    match config.server.log_format.as_str() {
        "json" => lines.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).init(),
        // Loki's own form, and its default.
        _ => lines.with(tracing_logfmt::builder().layer().with_writer(std::io::stderr)).init(),
    }
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
}

/// Says what the store's start-up probe found, if it is worth a line. A store that is away now may be back for the first push.
pub(crate) fn log_probe(probe: Result<Probe, StoreError>, url: &StoreUrl) {
    match probe {
        Ok(probe) if probe.refuses_second_create => {}
        Ok(_) => tracing::warn!(
            "the store {url} overwrites objects that it was asked only to create; its segments will not be merged"
        ),
        Err(error) => tracing::error!("the store {url} does not answer: {error}"),
    }
}

/// The address under which this machine itself reaches the server.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}

/// Prints the banner.
#[expect(clippy::print_stdout, reason = "the promise of README's first command")]
pub(crate) fn print(address: SocketAddr, url: &StoreUrl, logs: Option<&Path>, config: &Config) {
    let base = format!("http://{}", reachable(address));
    let tenant = if config.auth_enabled { " (with the header X-Scope-OrgID)" } else { "" };
    println!("logbarn {} listens on {address}, logs in {url}", env!("CARGO_PKG_VERSION"));
    println!("Grafana datasource (type Loki): {base}{tenant}");
    println!("push to:                        {base}/loki/api/v1/push");
    let job = match logs {
        Some(folder) => {
            println!("tailing:                        {}/*.log", folder.display());
            "logs"
        }
        None => "example",
    };
    println!("try:  curl -G {base}/loki/api/v1/query_range --data-urlencode 'query={{job=\"{job}\"}}'");
}
