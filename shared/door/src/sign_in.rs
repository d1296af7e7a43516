//! Lets in who signed in, if the configuration lists anybody; a thin layer over `loki_api::auth`.
//!
//! In: a request. Out: the same with the identity's tenant in `X-Scope-OrgID` and without its credentials, or 401, or 403
//! for another's tenant. Checks passwords on blocking threads, a few at a time; never logs what was given. Firehose has a header of its
//! own for its access key, which is a bearer token by another name.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use loki_api::auth::{CHALLENGE, Verdict};
use loki_api::config::{Config, Token};
use loki_api::tenancy::TENANT_HEADER;
use tokio::sync::Semaphore;

/// Passwords that are checked at a time: a flood of wrong ones must leave threads for others.
const PASSWORDS_AT_ONCE_MAX: usize = 2;
/// Where Firehose says who it is; it can send no other.
const ACCESS_KEY: HeaderName = HeaderName::from_static("x-amz-firehose-access-key");
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// What the layer knows.
#[derive(Clone)]
struct Door {
    config: Arc<Config>,
    turns: Arc<Semaphore>,
}

/// The same router for those alone who signed in; the same for everybody if nobody is listed.
pub fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>, config: &Arc<Config>) -> Router<S> {
    if !config.sign_in.is_on() {
        return router;
    }
    let door = Door { config: config.clone(), turns: Arc::new(Semaphore::new(PASSWORDS_AT_ONCE_MAX)) };
    router.layer(middleware::from_fn_with_state(door, enter))
}

/// The same router for other processes of the deployment: for whoever has the token that they share. For others there is nothing.
pub fn for_token(router: Router, token: Token) -> Router {
    router.layer(middleware::from_fn_with_state(token, enter_with_token))
}

async fn enter_with_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    let known = values(request.headers(), AUTHORIZATION).any(|given| token.is_in(given));
    if known { next.run(request).await } else { crate::not_found().await.into_response() }
}

async fn enter(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    if let Some(key) = request.headers_mut().remove(ACCESS_KEY)
        && !request.headers().contains_key(AUTHORIZATION)
        && let Ok(bearer) = HeaderValue::from_bytes(&[b"Bearer ", key.as_bytes()].concat())
    {
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let identity = match door.config.sign_in.judge(values(request.headers(), AUTHORIZATION)) {
        Verdict::Granted(identity) => Some(identity),
        Verdict::Refused => None,
        Verdict::Password(check) => match door.turns.acquire().await {
            Ok(_turn) => tokio::task::spawn_blocking(move || check.run()).await.ok().flatten(),
            Err(_) => None,
        },
    };
    let Some(identity) = identity else {
        let headers = [(WWW_AUTHENTICATE, CHALLENGE), (CONTENT_TYPE, PLAIN_TEXT)];
        return (StatusCode::UNAUTHORIZED, headers, "sign in first").into_response();
    };
    let tenant_header = HeaderName::from_static(TENANT_HEADER);
    match identity.org_id(values(request.headers(), tenant_header.clone())).map(|id| id.map(HeaderValue::try_from)) {
        Ok(Some(Ok(id))) => drop(request.headers_mut().insert(tenant_header, id)),
        Ok(_) => {}
        Err(denied) => {
            let status = StatusCode::from_u16(denied.status()).unwrap_or(StatusCode::FORBIDDEN);
            return (status, [(CONTENT_TYPE, PLAIN_TEXT)], denied.to_string()).into_response();
        }
    }
    request.headers_mut().remove(AUTHORIZATION);
    next.run(request).await
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}
