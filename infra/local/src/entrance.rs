//! The way of one connection's requests into the router: a body must arrive in time, and an upgrade is noted.
//!
//! In: a request as it comes from the wire. Out: the router's answer, or 408 if the body was not there in time.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;
use tower::Service;

/// One connection's way in.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) app: Router,
    /// How long a body may take to arrive; zero is for ever.
    pub(crate) body_timeout: Duration,
    /// Whether the connection speaks something else than HTTP by now.
    pub(crate) upgraded: Arc<AtomicBool>,
}

impl<B> Service<Request<B>> for Entrance
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let late = Arc::new(AtomicBool::new(false));
        let deadline = Instant::now() + self.body_timeout;
        let bounded = !self.body_timeout.is_zero() && !request.body().is_end_stream();
        let request = request.map(|body| match bounded {
            true => in_time(Body::new(body), deadline, late.clone()),
            false => Body::new(body),
        });
        let (answer, upgraded) = (self.app.call(request), self.upgraded.clone());
        Box::pin(async move {
            let answer = answer.await?;
            if late.load(Ordering::Relaxed) {
                let text = "the body of the request did not arrive in time\n";
                return Ok((StatusCode::REQUEST_TIMEOUT, [(header::CONNECTION, "close")], text).into_response());
            }
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                upgraded.store(true, Ordering::Relaxed);
            }
            Ok(answer)
        })
    }
}

/// The same body, which ends with an error if it is not all there at the deadline.
fn in_time(body: Body, deadline: Instant, late: Arc<AtomicBool>) -> Body {
    let chunks = stream::unfold(Some(body.into_data_stream()), move |chunks| {
        let late = late.clone();
        async move {
            let mut chunks = chunks?;
            match tokio::time::timeout_at(deadline, chunks.next()).await {
                Ok(chunk) => chunk.map(|chunk| (chunk, Some(chunks))),
                Err(elapsed) => {
                    late.store(true, Ordering::Relaxed);
                    Some((Err(axum::Error::new(elapsed)), None))
                }
            }
        }
    });
    Body::from_stream(chunks)
}

#[cfg(test)]
mod tests {
    use axum::routing::post;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_answered_408() {
        let app = Router::new().route("/", post(|body: Bytes| async move { body }));
        let mut entrance = Entrance { app, body_timeout: Duration::from_secs(30), upgraded: Arc::default() };
        let ask = |body| Request::post("/").body(body).expect("a request");
        let stuck = stream::once(async { Ok::<_, Infallible>("a".to_owned()) }).chain(stream::pending());
        let answer = entrance.call(ask(Body::from_stream(stuck))).await.expect("infallible");
        assert_eq!((answer.status(), answer.headers().contains_key("connection")), (StatusCode::REQUEST_TIMEOUT, true));
        let answer = entrance.call(ask(Body::from("whole"))).await.expect("infallible");
        assert_eq!(axum::body::to_bytes(answer.into_body(), 10).await.expect("a body"), "whole");
    }
}
