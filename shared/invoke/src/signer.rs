//! Signatures of AWS (version 4) for requests that somebody else sends.
//!
//! In: a method, an address, a body. Out: the headers that make AWS believe who asks. The signing and the credentials (variables,
//! containers, instance profiles) are the object store's. Signs the host, the time and the body, so that other headers may be added.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method};
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider};

use crate::InvokeError;
use crate::client::OnFirstUse;

/// The credentials are those of a builder for buckets; it makes no request for a bucket, but wants a name.
const NO_BUCKET: &str = "unused";

/// Signs for one service in one region. Cloning copies pointers.
#[derive(Clone)]
pub struct Signer {
    credentials: AwsCredentialProvider,
    service: &'static str,
    region: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} in {})", self.service, self.region)
    }
}

impl Signer {
    /// Takes the `AWS_*` variables; others are ignored. Asks for nothing yet.
    pub fn open(
        service: &'static str,
        region: &str,
        environment: &HashMap<String, String>,
    ) -> Result<Self, InvokeError> {
        let mut builder = AmazonS3Builder::new().with_http_connector(OnFirstUse);
        for (name, value) in environment.iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()) {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        let bucket = builder.with_bucket_name(NO_BUCKET).with_allow_http(true).build();
        let bucket = bucket.map_err(|why| InvokeError::Settings(why.to_string()))?;
        Ok(Signer { credentials: bucket.credentials().clone(), service, region: region.to_owned() })
    }

    /// The headers to add to a request.
    pub async fn sign(&self, method: Method, url: &str, body: Bytes) -> Result<HeaderMap, InvokeError> {
        let wrong = |why: String| InvokeError::Settings(why);
        let mut request =
            http::Request::builder().method(method).uri(url).body(body.into()).map_err(|why| wrong(why.to_string()))?;
        let credential = self.credentials.get_credential().await;
        let credential = credential.map_err(|why| InvokeError::unavailable(self.service, why))?;
        AwsAuthorizer::new(&credential, self.service, &self.region)
            .try_authorize(&mut request, None)
            .map_err(|why| wrong(why.to_string()))?;
        Ok(std::mem::take(request.headers_mut()))
    }
}
