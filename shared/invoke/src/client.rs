//! HTTP clients that are made by their first request.
//!
//! In: options of `object_store`. Out: a client. Making one reads the trusted roots of TLS, some 19 million instructions at
//! a function's start; most processes of a function ask no other function, and none asks for a bucket here.

use std::sync::OnceLock;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

/// Makes the clients.
#[derive(Debug)]
pub(crate) struct OnFirstUse;

impl HttpConnector for OnFirstUse {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client { options: options.clone(), made: OnceLock::new() }))
    }
}

#[derive(Debug)]
struct Client {
    options: ClientOptions,
    made: OnceLock<HttpClient>,
}

impl Client {
    fn made(&self) -> object_store::Result<&HttpClient> {
        if let Some(client) = self.made.get() {
            return Ok(client);
        }
        let client = ReqwestConnector::default().connect(&self.options)?;
        Ok(self.made.get_or_init(|| client))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let client = self.made().map_err(|why| HttpError::new(HttpErrorKind::Unknown, why))?;
        client.execute(request).await
    }
}
