//! Requests to a server: its address, who asks, and what an answer that is no success says.
//!
//! In: a path and parameters. Out: a body, or an error of one line. A body has a bound.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{RequestBuilder, Response, StatusCode, Upgraded, Url};
use serde::de::DeserializeOwned;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::options::ServerOptions;

/// How long a server may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// As much as is repeated of what a server says about an error.
const ERROR_CHARACTERS_MAX: usize = 1000;

/// Names and values, not encoded.
pub(super) type Parameters = Vec<(&'static str, String)>;

/// A server, asked as somebody.
pub(super) struct Client {
    http: reqwest::Client,
    address: Url,
    name_and_password: Option<(String, Option<String>)>,
    bearer_token: Option<String>,
    tenant: Option<String>,
}

impl Client {
    pub(super) fn new(server: &ServerOptions) -> Result<Self> {
        // Somebody else in the process may have installed one; any will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .user_agent(concat!("logbarn/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let address = server.address();
        let address: Url = address.parse().with_context(|| format!("{address:?} is not a server's URL"))?;
        if !matches!(address.scheme(), "http" | "https") {
            bail!("a server's URL begins with http:// or https://, not {address}");
        }
        let (name_and_password, bearer_token) = (server.name_and_password(), server.bearer_token());
        Ok(Client { http, address, name_and_password, bearer_token, tenant: server.tenant() })
    }

    fn request(&self, path: &[&str], parameters: &Parameters) -> RequestBuilder {
        let mut url = self.address.clone();
        // Only URLs that carry data cannot have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.http.get(url).query(parameters);
        request = match (&self.name_and_password, &self.bearer_token) {
            (Some((name, password)), _) => request.basic_auth(name, password.as_ref()),
            (None, Some(token)) => request.bearer_auth(token),
            (None, None) => request,
        };
        match &self.tenant {
            Some(tenant) => request.header("X-Scope-OrgID", tenant),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder, want: StatusCode) -> Result<Response> {
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let answer = sent.with_context(|| format!("cannot ask {}", self.address))?;
        let status = answer.status();
        if status == want {
            return Ok(answer);
        }
        let text = String::from_utf8_lossy(&body(answer).await?).into_owned();
        let text: String = text.trim().chars().take(ERROR_CHARACTERS_MAX).collect();
        bail!("{}: {text}", status.as_u16())
    }

    /// The text of an answer.
    pub(super) async fn text(&self, path: &[&str], parameters: &Parameters) -> Result<String> {
        let answer = self.send(self.request(path, parameters), StatusCode::OK).await?;
        Ok(String::from_utf8_lossy(&body(answer).await?).into_owned())
    }

    /// An answer in JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, path: &[&str], parameters: &Parameters) -> Result<T> {
        let answer = self.send(self.request(path, parameters), StatusCode::OK).await?;
        serde_json::from_slice(&body(answer).await?).context("the answer is not what Loki answers")
    }

    /// A WebSocket. It goes the same way as any request, through the same TLS.
    pub(super) async fn socket(&self, path: &[&str], parameters: &Parameters) -> Result<WebSocketStream<Upgraded>> {
        let key = generate_key();
        let request = self.request(path, parameters);
        let request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, &key);
        let answer = self.send(request, StatusCode::SWITCHING_PROTOCOLS).await?;
        let accepted = answer.headers().get(SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes());
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            bail!("{} does not speak WebSocket", self.address);
        }
        let upgraded = answer.upgrade().await.map_err(reqwest::Error::without_url)?;
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            bail!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A text without line breaks and without what a terminal would obey.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
