//! Sends batches, and keeps account of what arrived.
//!
//! In: planned batches, one after the other. Out: each is journaled, pushed to every client, and settled; then its positions count.
//! A batch is repeated as long as the server cannot be reached, says 429 or 5xx, or does not answer in time, with growing waits;
//! other refusals drop it, with the server's words in the log. It never has two batches under way: order is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Once};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::join_all;
use rand::RngExt as _;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Identity, StatusCode};
use tokio::sync::mpsc;

use crate::batch::external_text;
use crate::config::{BackoffConfig, BasicAuth, ClientConfig};
use crate::journal::{Body, Journal, Planned, Recovered};
use crate::metrics::Metrics;
use crate::positions::Positions;

/// How much of a refusal is kept for the log.
const REFUSAL_BYTES_MAX: usize = 1_024;

/// Sends what it is given.
#[derive(Debug)]
pub(crate) struct Shipper {
    clients: Vec<Client>,
    positions: Positions,
    journal: Journal,
    positions_period: Duration,
}

#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
    basic_auth: Option<BasicAuth>,
    bearer_token: Option<String>,
    bearer_token_file: Option<std::path::PathBuf>,
    backoff: BackoffConfig,
    external_labels: String,
    metrics: Arc<Metrics>,
}

/// How an attempt ended.
enum Attempt {
    Taken,
    Refused(String),
    Again(String),
}

impl Shipper {
    /// Prepares the clients and takes over what an earlier run left.
    pub(crate) fn new(
        clients: &[ClientConfig],
        positions: Positions,
        journal: Journal,
        positions_period: Duration,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let clients = clients
            .iter()
            .map(|config| Client::new(config, Arc::clone(metrics)).with_context(|| format!("client {}", config.url)))
            .collect::<Result<_, _>>()?;
        Ok(Shipper { clients, positions, journal, positions_period })
    }

    /// Ships until no more batches come.
    pub(crate) async fn run(
        mut self,
        recovered: Recovered,
        mut batches: mpsc::Receiver<Planned>,
    ) -> anyhow::Result<()> {
        for done in &recovered.done {
            self.positions.apply(&done.advances, &done.forgotten);
        }
        if let Some(pending) = recovered.pending {
            tracing::info!(entries = pending.entries, "sending the batch that was under way when the collector ended");
            self.deliver(&pending).await;
            self.settle(&pending)?;
        }
        self.save()?;
        let mut period = tokio::time::interval(self.positions_period.max(Duration::from_millis(10)));
        loop {
            tokio::select! {
                batch = batches.recv() => match batch {
                    Some(batch) => self.ship(batch).await?,
                    None => return self.save(),
                },
                _ = period.tick() => self.save()?,
            }
        }
    }

    async fn ship(&mut self, batch: Planned) -> anyhow::Result<()> {
        if batch.bodies.is_empty() {
            // No entry came of these bytes: there is nothing to send, and nothing that reading them again could double.
            self.positions.apply(&batch.advances, &batch.forgotten);
            return Ok(());
        }
        // A disk that is full or broken must not lose lines: they stay in their files until it is well.
        let mut wait = BackoffConfig::default().min_period;
        while let Err(error) = self.journal.plan(&batch) {
            tracing::error!("{error:#}; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BackoffConfig::default().max_period);
        }
        self.deliver(&batch).await;
        self.settle(&batch)
    }

    /// Pushes to every client, at the same time, until each has taken or refused it.
    async fn deliver(&self, batch: &Planned) {
        let sends = self.clients.iter().filter_map(|client| {
            // After a change of configuration no body may have the client's labels: better others than none.
            let own = batch.bodies.iter().find(|body| body.external_labels == client.external_labels);
            Some(client.send(own.or(batch.bodies.first())?, batch.entries))
        });
        join_all(sends).await;
    }

    fn settle(&mut self, batch: &Planned) -> anyhow::Result<()> {
        self.positions.apply(&batch.advances, &batch.forgotten);
        self.journal.done()?;
        if self.journal.is_long() { self.save() } else { Ok(()) }
    }

    /// Writes the positions; what the journal says is then in them.
    fn save(&mut self) -> anyhow::Result<()> {
        if self.positions.is_unsaved() {
            self.positions.save()?;
            self.journal.clear()?;
        }
        Ok(())
    }
}

impl Client {
    fn new(config: &ClientConfig, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        static PROVIDER: Once = Once::new();
        // Somebody else in the process may have installed one; any will do.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));

        let mut builder = reqwest::Client::builder()
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .user_agent(concat!("logbarn-collector/", env!("CARGO_PKG_VERSION")));
        if let Some(tls) = &config.tls_config {
            if let Some(path) = &tls.ca_file {
                builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&read_file(path)?)?);
            }
            if let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) {
                let mut pem = read_file(cert)?;
                pem.push(b'\n');
                pem.extend(read_file(key)?);
                builder = builder.identity(Identity::from_pem(&pem)?);
            }
            builder = builder.tls_danger_accept_invalid_certs(tls.insecure_skip_verify);
        }
        Ok(Client {
            http: builder.build()?,
            url: config.url.clone(),
            headers: headers(&config.headers, config.tenant_id.as_deref())?,
            basic_auth: config.basic_auth.clone(),
            bearer_token: config.bearer_token.as_ref().map(|token| token.0.clone()),
            bearer_token_file: config.bearer_token_file.clone(),
            backoff: config.backoff_config,
            external_labels: external_text(&config.external_labels),
            metrics,
        })
    }

    /// Sends until the server has taken or refused the batch, or attempts run out where they are limited.
    async fn send(&self, body: &Body, entries: u64) {
        let mut retries = 0;
        let mut wait = self.backoff.min_period;
        loop {
            let why = match self.attempt(body).await {
                Attempt::Taken => {
                    self.metrics.batches_sent.increment();
                    self.metrics.entries_sent.add(entries);
                    self.metrics.bytes_sent.add(body.bytes.len() as u64);
                    return;
                }
                Attempt::Refused(why) => break self.drop_batch(entries, &why),
                Attempt::Again(why) => why,
            };
            if self.backoff.max_retries > 0 && retries >= self.backoff.max_retries {
                break self.drop_batch(entries, &format!("{why} (after {retries} retries)"));
            }
            retries += 1;
            self.metrics.retries.increment();
            // Between half and the whole of the wait, so that collectors that failed together do not return together.
            let jittered = wait.mul_f64(rand::rng().random_range(0.5..=1.0));
            tracing::warn!(url = %self.url, ?jittered, "push failed, trying again: {why}");
            tokio::time::sleep(jittered).await;
            wait = (wait * 2).min(self.backoff.max_period);
        }
    }

    async fn attempt(&self, body: &Body) -> Attempt {
        let request = match self.request(body) {
            Ok(request) => request,
            Err(error) => return Attempt::Again(format!("{error:#}")),
        };
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Attempt::Again(format!("{:#}", anyhow::Error::from(error))),
        };
        let status = response.status();
        if status.is_success() {
            return Attempt::Taken;
        }
        let mut text = Vec::new();
        while text.len() < REFUSAL_BYTES_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            text.extend_from_slice(&chunk);
        }
        text.truncate(REFUSAL_BYTES_MAX);
        let why = format!("{status}: {}", String::from_utf8_lossy(&text).trim());
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            Attempt::Again(why)
        } else {
            Attempt::Refused(why)
        }
    }

    fn request(&self, body: &Body) -> anyhow::Result<reqwest::RequestBuilder> {
        let mut request = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONTENT_ENCODING, "snappy")
            .header("X-Logbarn-Batch", format!("{:032x}", body.id))
            .headers(self.headers.clone())
            .body(Bytes::clone(&body.bytes));
        if let Some(auth) = &self.basic_auth {
            let password = match (&auth.password, &auth.password_file) {
                (Some(password), _) => Some(password.0.clone()),
                (None, Some(path)) => Some(read_secret(path)?),
                (None, None) => None,
            };
            request = request.basic_auth(&auth.username, password);
        } else if let Some(token) = &self.bearer_token {
            request = request.bearer_auth(token);
        } else if let Some(path) = &self.bearer_token_file {
            request = request.bearer_auth(read_secret(path)?);
        }
        Ok(request)
    }

    fn drop_batch(&self, entries: u64, why: &str) {
        self.metrics.batches_dropped.increment();
        self.metrics.entries_dropped.add(entries);
        tracing::error!(url = %self.url, entries, "batch dropped: {why}");
    }
}

fn headers(given: &BTreeMap<String, String>, tenant_id: Option<&str>) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let tenant = tenant_id.map(|tenant| ("X-Scope-OrgID", tenant));
    for (name, value) in given.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(tenant) {
        let name: HeaderName = name.parse().with_context(|| format!("header {name:?}"))?;
        headers.insert(name, HeaderValue::from_str(value).context("header value")?);
    }
    Ok(headers)
}

fn read_file(path: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_secret(path: &std::path::Path) -> anyhow::Result<String> {
    Ok(String::from_utf8(read_file(path)?)?.trim().to_owned())
}
