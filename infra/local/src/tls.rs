//! TLS: the server's certificate and key, and if asked the authorities that a client's certificate must come from.
//!
//! In: the files of `server.http_tls_config`, in PEM. Out: an acceptor for connections. When a file changes, connections
//! that come later get the new certificate; files that cannot be read then leave everything as it is, with a line in the
//! log. At the start they are an error.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use ingest_fn::config::TlsServer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at, and only when somebody connects.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// The certificate in use.
pub(crate) struct Tls {
    files: TlsServer,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl Tls {
    /// None if no certificate is given.
    pub(crate) fn open(files: &TlsServer) -> Result<Option<Arc<Self>>> {
        if files.cert_file.is_empty() && files.key_file.is_empty() {
            anyhow::ensure!(
                files.client_ca_file.is_empty(),
                "server.http_tls_config: cert_file and key_file are missing"
            );
            return Ok(None);
        }
        let current = Current { acceptor: read(files)?, changed: changed(files), looked: Instant::now() };
        Ok(Some(Arc::new(Tls { files: files.clone(), current: Mutex::new(current) })))
    }

    /// What takes the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_PERIOD {
            current.looked = Instant::now();
            let changed = changed(&self.files);
            if changed != current.changed {
                current.changed = changed;
                match read(&self.files) {
                    Ok(acceptor) => {
                        tracing::info!("the TLS certificate was read again");
                        current.acceptor = acceptor;
                    }
                    Err(error) => tracing::error!("the TLS certificate stays as it was: {error:#}"),
                }
            }
        }
        current.acceptor.clone()
    }
}

fn changed(files: &TlsServer) -> Vec<Option<SystemTime>> {
    let paths = [&files.cert_file, &files.key_file, &files.client_ca_file];
    paths.iter().map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok()).collect()
}

fn read(files: &TlsServer) -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match files.client_ca_file.as_str() {
        "" => builder.with_no_client_auth(),
        path => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path).context("client_ca_file")? {
                roots.add(authority).context("client_ca_file")?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().context("client_ca_file")?)
        }
    };
    let chain = certificates(&files.cert_file).context("cert_file")?;
    let key = PrivateKeyDer::from_pem_file(Path::new(&files.key_file))
        .with_context(|| format!("key_file: cannot read {}", files.key_file))?;
    let mut config = builder.with_single_cert(chain, key).context("server.http_tls_config")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(Path::new(path))?.collect::<Result<Vec<_>, _>>();
    let chain = read().with_context(|| format!("cannot read {path}"))?;
    anyhow::ensure!(!chain.is_empty(), "{path} holds no certificate");
    Ok(chain)
}
