//! The HTTP client under S3: counts every request, and makes a create-if-absent safe to repeat.
//!
//! In: requests of `object_store`'s S3 client. Out: the answers, two of them recast so that its own bounded retries take them up:
//! - 409 to a conditional PUT means that another writer of the key is at work, not that the object is there. Taken for "exists" it
//!   would be acknowledged although the other may still fail. It becomes 503, the request is repeated, and 412 then tells for sure.
//! - A PUT whose answer is lost may be repeated, since the same key always carries the same bytes; without this, the client repeats
//!   only PUTs that overwrite.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use reqwest::{Method, StatusCode};

use crate::counting::Counters;

/// Makes the clients.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) counters: Arc<Counters>,
}

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client { client, counters: Arc::clone(&self.counters) }))
    }
}

#[derive(Debug)]
struct Client {
    client: HttpClient,
    counters: Arc<Counters>,
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.counters.wire_requests.fetch_add(1, Relaxed);
        let put = request.method() == Method::PUT;
        match self.client.execute(request).await {
            Ok(mut response) if put && response.status() == StatusCode::CONFLICT => {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Ok(response)
            }
            Err(error)
                if put
                    && matches!(
                        error.kind(),
                        HttpErrorKind::Timeout | HttpErrorKind::Interrupted | HttpErrorKind::Unknown
                    ) =>
            {
                Err(HttpError::new(HttpErrorKind::Request, error))
            }
            result => result,
        }
    }
}
