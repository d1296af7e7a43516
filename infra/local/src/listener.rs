//! Takes connections and serves the router on each, in plain or by TLS, until told to stop.
//!
//! In: a bound socket, the router, the `server` block. Out: answered requests; at the stop each connection ends its request
//! and closes. A client may be slow only so long: with the head of a request, its body, or reading the answer. The number of
//! connections, the bytes and the number of headers are bounded. HTTP/1.1 alone, with upgrades for tails.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use ingest_fn::config::Config;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::entrance::Entrance;
use crate::patience::Patience;
use crate::tls::Tls;

/// Connections at a time, unless the configuration says another number.
const CONNECTIONS_MAX: usize = 8_192;
/// Headers of one request.
const HEADERS_MAX: usize = 128;
/// Bytes of a request's head, and of what is read ahead. An address of 64 KB, the longest that is understood, fits.
const HEAD_BYTES_MAX: usize = 160 << 10;
/// How long to wait after the system refused a connection (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What each connection is given.
#[derive(Clone)]
struct Terms {
    app: Router,
    tls: Option<Arc<Tls>>,
    head_timeout: Duration,
    read_timeout: Duration,
    write_timeout: Duration,
}

/// Serves until `stop`, then until every connection has ended its request.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    config: &Config,
    tls: Option<Arc<Tls>>,
    stop: impl Future<Output = ()>,
) {
    let server = &config.server;
    let read_timeout = server.http_server_read_timeout;
    let head_timeout = match server.http_server_read_header_timeout {
        Duration::ZERO => read_timeout,
        given => given,
    };
    let terms = Terms { app, tls, head_timeout, read_timeout, write_timeout: server.http_server_write_timeout };
    let connections_max = match server.http_listen_conn_limit {
        0 => CONNECTIONS_MAX,
        given => given.min(Semaphore::MAX_PERMITS),
    };
    let slots = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let slot = tokio::select! {
            () = &mut stop => break,
            slot = slots.clone().acquire_owned() => slot,
        };
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (terms, watcher) = (terms.clone(), graceful.watcher());
        tokio::spawn(async move {
            terms.connection(stream, watcher).await;
            drop(slot);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

impl Terms {
    async fn connection(self, stream: TcpStream, watcher: Watcher) {
        // Answers are written in few pieces; waiting to join them only makes a client wait.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else { return self.requests(stream, watcher).await };
        match tokio::time::timeout(self.head_timeout, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn requests(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, watcher: Watcher) {
        let upgraded = Arc::new(AtomicBool::new(false));
        let stream = Patience::new(stream, self.write_timeout, upgraded.clone());
        let entrance = Entrance { app: self.app, body_timeout: self.read_timeout, upgraded };
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        let mut http1 = builder.http1();
        http1.timer(TokioTimer::new()).max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX);
        // Zero, as in Loki, is for ever.
        http1.header_read_timeout(Some(self.head_timeout).filter(|timeout| !timeout.is_zero()));
        let service = TowerToHyperService::new(entrance);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error, "a connection ended early");
        }
    }
}
