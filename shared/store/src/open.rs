//! Opens a store: from a URL and the environment to something that can be written and asked.
//!
//! In: a checked URL, and the variables of the environment as pairs (only the edges read it). Out: a [`Store`]. Makes no request:
//! whether the bucket exists and the keys are right shows at the first one, or when the probe asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use crate::counting::{Counters, Counting};
use crate::deletes::DeleteCache;
use crate::local::LocalFolder;
use crate::manifest::ManifestCache;
use crate::names::NamedFolder;
use crate::url::Location;
use crate::watch::Watcher;
use crate::wire::Wire;
use crate::{Error, StoreUrl};

/// How often a request to S3 is repeated.
const RETRIES_MAX: usize = 6;
/// When no repeat is begun any more. With [`REQUEST_TIMEOUT`] it bounds the time until an error is told.
const RETRY_DEADLINE: Duration = Duration::from_secs(20);
/// How long one request may take, body included. `AWS_TIMEOUT` overrides it.
const REQUEST_TIMEOUT: &str = "30s";
/// How long a connection may take to be made. `AWS_CONNECT_TIMEOUT` overrides it.
const CONNECT_TIMEOUT: &str = "5s";
/// The first wait before a repeat; it doubles with jitter.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest wait before a repeat.
const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// A store. Cloning copies a pointer.
#[derive(Clone)]
pub struct Store {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) manifests: Arc<ManifestCache>,
    pub(crate) delete_requests: Arc<DeleteCache>,
    pub(crate) watch: Watcher,
    /// Where names can be listed without the objects that they name.
    pub(crate) folder: Option<NamedFolder>,
}

impl Store {
    /// Opens a store. `environment` gives the `AWS_*` variables; others are ignored.
    pub fn open(url: &StoreUrl, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let counters = Arc::new(Counters::default());
        let objects: Arc<dyn ObjectStore> = match &url.0 {
            Location::Memory => Arc::new(InMemory::new()),
            Location::Folder(root) => {
                let folder = LocalFolder::open(root)
                    .map_err(|why| Error::invalid(format!("cannot open the store folder {}: {why}", root.display())))?;
                let named = NamedFolder::new(folder.root()).counted(&counters);
                return Ok(Store { folder: Some(named), ..Store::counted(Arc::new(folder), counters) });
            }
            Location::S3 { bucket, prefix } => {
                let s3 = s3(bucket, environment, Arc::clone(&counters))?;
                match prefix.is_empty() {
                    true => s3,
                    false => Arc::new(PrefixStore::new(
                        s3,
                        Path::parse(prefix).map_err(|e| Error::from_store(prefix, e.into()))?,
                    )),
                }
            }
        };
        Ok(Store::counted(objects, counters))
    }

    /// A store on objects that the caller made, for tests with decorators such as [`crate::faulty::Faulty`].
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Store::counted(objects, Arc::default())
    }

    /// The same store, with counters of its own that begin at zero: what one query costs. The counters of `self` go on counting;
    /// repeats on the wire are counted there alone.
    pub fn metered(&self) -> Self {
        let counters: Arc<Counters> = Arc::default();
        let objects = Arc::new(Counting::new(Arc::clone(&self.objects), Arc::clone(&counters)));
        let folder = self.folder.as_ref().map(|folder| folder.counted(&counters));
        Store { objects, counters, folder, ..self.clone() }
    }

    /// The counters of requests and bytes.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    fn counted(objects: Arc<dyn ObjectStore>, counters: Arc<Counters>) -> Self {
        let objects = Arc::new(Counting::new(objects, Arc::clone(&counters)));
        let (manifests, delete_requests) = Default::default();
        Store { objects, counters, manifests, delete_requests, watch: Watcher::default(), folder: None }
    }
}

/// Tells where the objects are, never how they are reached.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.objects)
    }
}

/// A bucket, reached as the environment says.
pub(crate) fn s3(
    bucket: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    counters: Arc<Counters>,
) -> Result<Arc<dyn ObjectStore>, Error> {
    // One provider of cryptography for the process; if somebody has chosen one already, theirs stays.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut builder = AmazonS3Builder::new()
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), REQUEST_TIMEOUT)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT);
    for (name, value) in environment {
        let key = name.starts_with("AWS_").then(|| name.to_ascii_lowercase().parse().ok()).flatten();
        // An empty variable is one that a shell script or a template left unset.
        if let (Some(key), false) = (key, value.is_empty()) {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    if let Some(endpoint) = endpoint {
        builder = builder.with_allow_http(is_plain_http(&endpoint)?);
    }
    let backoff = BackoffConfig { init_backoff: BACKOFF_FIRST, max_backoff: BACKOFF_MAX, base: 2.0 };
    let s3 = builder
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_DEADLINE })
        .with_http_connector(Wire { counters })
        .build();
    Ok(Arc::new(s3.map_err(|why| Error::invalid(format!("S3 settings: {}", Error::from_store(bucket, why))))?))
}

/// Checks an endpoint. Who names a plain one means it: AWS_ALLOW_HTTP is not asked for on top.
fn is_plain_http(endpoint: &str) -> Result<bool, Error> {
    let url = url::Url::parse(endpoint).map_err(|why| Error::invalid(format!("AWS_ENDPOINT_URL: {why}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("AWS_ENDPOINT_URL must not carry credentials"));
    }
    match url.scheme() {
        "http" => Ok(true),
        "https" => Ok(false),
        _ => Err(Error::invalid("AWS_ENDPOINT_URL must begin with http:// or https://")),
    }
}
