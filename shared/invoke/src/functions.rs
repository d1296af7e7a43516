//! The client: one POST, signed.
//!
//! In: a name and a payload. Out: the bytes of the answer. <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{Method, StatusCode};
use object_store::ClientOptions;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, HttpResponse};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::InvokeError;
use crate::client::OnFirstUse;
use crate::place::Place;

/// What Lambda takes with a question, and gives as an answer.
pub const ASK_BYTES_MAX: usize = 6 << 20;
/// What Lambda takes to do it later.
pub const TELL_BYTES_MAX: usize = 256 << 10;

/// No function runs longer. Callers with less time wait no longer than they have.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(900);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests for one invocation: a connection that died while the process was frozen shows at its next use.
const TRIES_MAX: usize = 2;

const TYPE_HEADER: HeaderName = HeaderName::from_static("x-amz-invocation-type");
/// Only answers of functions that failed have it.
const ERROR_HEADER: HeaderName = HeaderName::from_static("x-amz-function-error");
/// The credentials are those of a builder for buckets; it makes no request for a bucket, but wants a name.
const NO_BUCKET: &str = "unused";

/// The functions of an account. Cloning copies pointers.
#[derive(Clone)]
pub struct Functions {
    place: Place,
    credentials: AwsCredentialProvider,
    client: HttpClient,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Functions({})", self.place.endpoint)
    }
}

impl Functions {
    /// Takes the `AWS_*` variables; others are ignored. Asks for nothing yet.
    pub fn open(environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvokeError> {
        let unusable = |why: object_store::Error| InvokeError::Settings(why.to_string());
        // One provider of cryptography for the process; if somebody has chosen one already, theirs stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let environment: HashMap<String, String> =
            environment.into_iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()).collect();
        let place = Place::of(&environment)?;
        let options = ClientOptions::new()
            .with_timeout(ANSWER_TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_allow_http(place.endpoint.starts_with("http://"));
        let client = OnFirstUse.connect(&options).map_err(unusable)?;
        let mut builder = AmazonS3Builder::new().with_http_connector(OnFirstUse);
        for (name, value) in environment {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        let bucket = builder.with_bucket_name(NO_BUCKET).with_allow_http(true).build().map_err(unusable)?;
        Ok(Functions { place, credentials: bucket.credentials().clone(), client })
    }

    /// Runs a function and gives its answer.
    pub async fn ask(&self, function: &str, payload: Bytes) -> Result<Bytes, InvokeError> {
        let answer = self.invoke(function, "RequestResponse", payload, ASK_BYTES_MAX).await?;
        let failed = answer.headers().contains_key(&ERROR_HEADER);
        let body = answer.into_body().bytes().await.map_err(|why| InvokeError::unavailable(function, why))?;
        if failed { Err(InvokeError::failed(function, &body)) } else { Ok(body) }
    }

    /// Hands over what a function is to do later. AWS tries it three times, then gives it to the failure destination.
    pub async fn tell(&self, function: &str, payload: Bytes) -> Result<(), InvokeError> {
        self.invoke(function, "Event", payload, TELL_BYTES_MAX).await.map(drop)
    }

    async fn invoke(
        &self,
        function: &str,
        how: &'static str,
        payload: Bytes,
        bytes_max: usize,
    ) -> Result<HttpResponse, InvokeError> {
        if payload.len() > bytes_max {
            let (function, bytes) = (function.to_owned(), payload.len());
            return Err(InvokeError::TooLarge { function, bytes, bytes_max });
        }
        let mut tries = 1;
        loop {
            match self.invoke_once(function, how, payload.clone()).await {
                Err(InvokeError::Unavailable { why, .. }) if tries < TRIES_MAX => {
                    tracing::debug!(function, why, "invoked again");
                    tries += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn invoke_once(
        &self,
        function: &str,
        how: &'static str,
        payload: Bytes,
    ) -> Result<HttpResponse, InvokeError> {
        let request = self.signed(function, how, payload).await?;
        let answer = self.client.execute(request).await.map_err(|why| InvokeError::unavailable(function, why))?;
        match answer.status() {
            StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(answer),
            status => {
                let body = answer.into_body().bytes().await.unwrap_or_default();
                Err(InvokeError::of_answer(function, status, &body))
            }
        }
    }

    async fn signed(&self, function: &str, how: &'static str, payload: Bytes) -> Result<HttpRequest, InvokeError> {
        let name = utf8_percent_encode(function, NON_ALPHANUMERIC);
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.place.endpoint);
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, "application/json")
            .header(TYPE_HEADER, how)
            .body(payload.into())
            .map_err(|why| InvokeError::Settings(why.to_string()))?;
        let credential = self.credentials.get_credential().await;
        let credential = credential.map_err(|why| InvokeError::unavailable(function, why))?;
        AwsAuthorizer::new(&credential, "lambda", &self.place.region)
            .try_authorize(&mut request, None)
            .map_err(|why| InvokeError::Settings(why.to_string()))?;
        Ok(request)
    }
}
