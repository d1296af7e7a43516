//! Leaves behind an HTTP address: `POST /logbarn/v1/shard` with the token that all processes of a deployment share.
//!
//! In: a shard. Out: the answer of whichever server stands there, or why there is none: busy, gone, too much. Dropping a request
//! closes its connection, and the server drops its work.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use engine::Undone;
use loki_api::config::Token;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};

use super::{FanOutError, MESSAGE_BYTES_MAX};

/// Where a server takes shards.
pub(super) const PATH: &str = "/logbarn/v1/shard";
pub(super) const MESSAGE_TYPE: &str = "application/octet-stream";
/// A server that does not even answer the phone is not waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Of what a server says when it refuses, so much is told.
const TOLD_BYTES_MAX: usize = 200;

/// One address.
pub(super) struct HttpLeaf {
    client: reqwest::Client,
    url: String,
    authorization: String,
}

impl HttpLeaf {
    pub(super) fn new(address: &str, token: &Token) -> Result<Self, FanOutError> {
        let authorization = token.authorization();
        let authorization = authorization.ok_or_else(|| FanOutError("leaves over HTTP need a `token`".to_owned()))?;
        // One provider of cryptography for the process; if somebody has chosen one already, theirs stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // Whoever answers for another place does not get the token there.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|why| FanOutError(why.to_string()))?;
        Ok(HttpLeaf { client, url: format!("{address}{PATH}"), authorization })
    }

    pub(super) async fn ask(&self, shard: Bytes) -> Result<Bytes, Undone> {
        let undone = |why: &dyn Display| Undone(format!("{}: {why}", self.url));
        let request = self.client.post(&self.url).header(CONTENT_TYPE, MESSAGE_TYPE).body(shard);
        let request = request.header(AUTHORIZATION, &self.authorization);
        let mut response = request.send().await.map_err(|why| undone(&why.without_url()))?;
        let status = response.status();
        let bytes_max = if status.is_success() { MESSAGE_BYTES_MAX } else { TOLD_BYTES_MAX };
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|why| undone(&why.without_url()))? {
            body.extend_from_slice(&part);
            if body.len() > bytes_max {
                break;
            }
        }
        match status.is_success() {
            true if body.len() > bytes_max => Err(undone(&"an answer without end")),
            true => Ok(body.into()),
            false => {
                let told = body.get(..bytes_max).unwrap_or(&body);
                Err(undone(&format!("{status}: {}", String::from_utf8_lossy(told).trim())))
            }
        }
    }
}
