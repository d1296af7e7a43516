//! `logbarn serve`: one store, both routers over it, and a collector that ships ./logs to this very server.
//!
//! A stop (SIGTERM, Ctrl-C) ends the collector, answers every push that was accepted, and only then ends the process. What the
//! collector has not delivered by then lies in its files and is sent at the next start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use ingest_fn::config::{Config, Store, StoreUrl};
use ingest_fn::{CommitSettings, Ingest};
use query_fn::Query;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{InspectOptions, ServeOptions};
use crate::side_door::SideDoor;
use crate::tls::Tls;
use crate::{banner, listener, overrides, side_door};

/// One tenant, no authentication: what a server without a configuration file is for.
const CONFIG_WITHOUT_FILE: &str = "auth_enabled: false";
/// The store of a server that is not told one.
const STORE_FOLDER: &str = "data";
/// The folder that is tailed unless another is named.
const LOGS_FOLDER: &str = "logs";
/// `--logs` with this value tails nothing.
const LOGS_NONE: &str = "none";
/// Whose the tailed files are, where there are tenants.
const TENANT_OF_LOGS: &str = "fake";
/// How long a collector that ended by itself rests.
const COLLECTOR_PAUSE: Duration = Duration::from_secs(5);
/// Loki's port, on this machine alone.
const LISTEN_WITHOUT_FILE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3100);

/// Serves until told to stop.
pub(crate) async fn run(options: ServeOptions) -> Result<()> {
    let config = Arc::new(read_config(options.config.as_deref())?);
    banner::start_log(&config);
    let url = store_url(options.store.as_deref())?;
    let store = open(&url)?;
    banner::log_probe(store.probe().await, &url);
    ingest_fn::config::read_overrides(&config)?;
    // What is written and listed through this store may make a day due to be merged.
    let store = ingest_fn::upkeep(store, &config).watched_store();

    let tls = Tls::open(&config.server.http_tls_config)?;
    let listener = listen(&options, &config).await?;
    let address = listener.local_addr()?;
    let ingest = Ingest::new(store.clone(), config.clone(), CommitSettings::new(&config, url.is_bucket()));
    let query = Query::open(store.clone(), config.clone(), aws_environment())?;
    // Only this process writes to a folder; into a bucket others may push as well, so there tails ask the bucket.
    let ingest = if url.is_bucket() { ingest } else { tell_tails(ingest, &query) };
    let app = app(ingest.clone(), query.clone(), &store, &config);
    let tails = query.clone();
    let logs = logs_folder(options.logs.as_deref());
    banner::print(address, &url, logs.as_deref(), &config);

    let (stop, stopped) = watch::channel(false);
    tokio::spawn(overrides::watch(config.clone()));
    let side_door = match &logs {
        Some(_) if tls.is_some() || config.sign_in.is_on() => {
            Some(side_door::open(ingest.clone(), &config, flag(stopped.clone())).await?)
        }
        _ => None,
    };
    let push = Push::new(address, side_door, &config);
    let collector = tokio::spawn(collect(logs, push, url, stopped.clone()));
    let accepted = ingest.clone();
    tokio::spawn(async move {
        stop_signal().await;
        stop.send_replace(true);
        // Pushes that wait for others wait no longer, so that the server can come to its end. Tails hear of them, then they end.
        accepted.shutdown().await;
        query.shutdown().await;
    });
    let server = listener::serve(listener, app, &config, tls, flag(stopped.clone()));
    let grace = config.server.graceful_shutdown_timeout;
    tokio::select! {
        () = server => {}
        // A client that never ends its request is not waited for longer than this.
        () = async { flag(stopped).await; tokio::time::sleep(grace).await } => tracing::warn!("requests were still open after {grace:?}"),
    }
    ingest.shutdown().await;
    tails.shutdown().await;
    collector.await?;
    tracing::info!("stopped");
    Ok(())
}

/// Tails hear of every commit at once.
fn tell_tails(ingest: Ingest, query: &Query) -> Ingest {
    let feed = query.feed();
    ingest.with_listener(move |tenant, stored| feed.tell(tenant, stored))
}

/// Both functions' endpoints under one address, with one `/ready` and one `/metrics`.
fn app(ingest: Ingest, query: Query, store: &Store, config: &Arc<Config>) -> Router {
    let mut registry = query_fn::Registry::default();
    ingest.register_metrics(&mut registry);
    query.register_metrics(&mut registry);
    store.register_metrics(&mut registry);
    query_fn::complete(ingest_fn::api_router(ingest).merge(query_fn::api_router(query)), registry, config)
}

/// How the collector reaches this server.
struct Push {
    url: String,
    key: Option<String>,
    tenant: Option<String>,
}

impl Push {
    fn new(address: SocketAddr, side_door: Option<SideDoor>, config: &Config) -> Self {
        // With tenants, what this machine itself logs is the one that Loki names where there are none.
        let tenant = config.auth_enabled.then(|| TENANT_OF_LOGS.to_owned());
        match side_door {
            Some(door) => Push { url: door.push_url, key: Some(door.key), tenant },
            None => {
                let url = format!("http://{}/loki/api/v1/push", banner::reachable(address));
                Push { url, key: None, tenant }
            }
        }
    }

    fn collector(&self, folder: &Path, positions: &Path) -> Result<collector::Config> {
        let mut config = collector::Config::for_folder(folder, &self.url, positions)?;
        for client in &mut config.clients {
            client.tenant_id = self.tenant.clone();
            client.bearer_token = self.key.clone().map(collector::config::Secret);
        }
        Ok(config)
    }
}

/// Tails the folder and ships to this server. An end that nobody asked for (a disk that is full, say) loses nothing: it begins
/// again where it was.
async fn collect(logs: Option<PathBuf>, push: Push, url: StoreUrl, stopped: watch::Receiver<bool>) {
    let Some(folder) = logs else { return };
    let positions = match url.folder_path() {
        Some(data) => data.join("positions.yaml"),
        None => PathBuf::from("logbarn-positions.yaml"),
    };
    while !*stopped.borrow() {
        let config = push.collector(&folder, &positions);
        let ended = match config {
            Ok(config) => collector::run(config, flag(stopped.clone())).await,
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        tracing::error!("tailing {} ended: {error:#}; it begins again in {COLLECTOR_PAUSE:?}", folder.display());
        tokio::select! {
            () = tokio::time::sleep(COLLECTOR_PAUSE) => {}
            () = flag(stopped.clone()) => return,
        }
    }
}

fn read_config(path: Option<&Path>) -> Result<Config> {
    let text = match path {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => CONFIG_WITHOUT_FILE.to_owned(),
    };
    let mut config = Config::from_yaml(&text)?;
    config.check_selectors(query_fn::check_retention_selector)?;
    Ok(config)
}

/// The store that was asked for, or the folder ./data.
pub(crate) fn store_url(given: Option<&str>) -> Result<StoreUrl> {
    match given {
        Some(url) => Ok(url.parse()?),
        None => Ok(StoreUrl::folder(&std::path::absolute(STORE_FOLDER)?)?),
    }
}

/// Keys, region and endpoint come from the usual `AWS_*` variables.
pub(crate) fn open(url: &StoreUrl) -> Result<Store> {
    Store::open(url, aws_environment()).with_context(|| format!("cannot open the store {url}"))
}

/// The variables that say how AWS is reached, and as whom.
pub(crate) fn aws_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars().filter(|(name, _)| name.starts_with("AWS_"))
}

async fn listen(options: &ServeOptions, config: &Config) -> Result<TcpListener> {
    let server = &config.server;
    let configured = match server.http_listen_address.as_str() {
        "" => SocketAddr::from(([0, 0, 0, 0], server.http_listen_port)),
        address => SocketAddr::new(address.parse().context("server.http_listen_address")?, server.http_listen_port),
    };
    let without_listen = if options.config.is_some() { configured } else { LISTEN_WITHOUT_FILE };
    let address = options.listen.unwrap_or(without_listen);
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// The folder to tail. It may come into being later: it is looked for again and again, on this machine's disk only.
fn logs_folder(given: Option<&str>) -> Option<PathBuf> {
    match given {
        Some(LOGS_NONE) => None,
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(PathBuf::from(LOGS_FOLDER)),
    }
}

/// Done when the process is to end.
pub(crate) async fn stop_signal() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled in a runtime with drivers");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Done when the flag is up.
async fn flag(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as the process.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// `logbarn inspect`.
#[expect(clippy::print_stdout, reason = "what was asked for")]
pub(crate) async fn inspect(options: InspectOptions) -> Result<()> {
    let store = open(&store_url(options.store.as_deref())?)?;
    println!("{}", store.inspect(&options.key).await?);
    Ok(())
}
