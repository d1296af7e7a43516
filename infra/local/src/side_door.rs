//! The way of the collector inside `serve` to its own server, where the front door asks for TLS or for signing in.
//!
//! In: the ingest side. Out: an address on this machine alone that takes pushes, and nothing else, from whoever has the key
//! of this process. The key is new at each start and is told to nobody else.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use anyhow::Result;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use ingest_fn::Ingest;
use ingest_fn::config::Config;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use crate::listener;

/// Where the collector pushes, and what it says of itself.
pub(crate) struct SideDoor {
    pub(crate) push_url: String,
    pub(crate) key: String,
}

/// Opens the door until `stop`.
pub(crate) async fn open(
    ingest: Ingest,
    config: &Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<SideDoor> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let push_url = format!("http://{}/loki/api/v1/push", listener.local_addr()?);
    let key = random_key();
    let app = ingest_fn::push_router(ingest).layer(middleware::from_fn_with_state(key.clone(), with_key));
    let config = config.clone();
    tokio::spawn(async move { listener::serve(listener, app, &config, None, stop).await });
    Ok(SideDoor { push_url, key })
}

async fn with_key(State(key): State<String>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let right = bool::from(given.ct_eq(format!("Bearer {key}").as_bytes()));
    if right {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, "this door is not for you\n").into_response()
    }
}

/// 128 bits, each half under keys of its own that the standard library takes from the system's randomness.
fn random_key() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}{:016x}{:016x}", half(), half(), half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_new_each_time() {
        let keys: std::collections::HashSet<String> = (0..100).map(|_| random_key()).collect();
        assert_eq!((keys.len(), keys.iter().all(|key| key.len() == 64)), (100, true));
    }
}
