//! One function for everything it may be invoked with: HTTP requests go to the router, everything else is an event.
//!
//! In: the JSON of an invocation. Out: the JSON of an answer; that to a request takes the form that its sender wants. Once an answer is
//! given the process may be frozen, so everything is done before.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use door::invocation::{PAYLOAD_BYTES_MAX, is_request, without_stage};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Service};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::config;
use crate::events::Events;

/// What an invocation ends with when it cannot be answered.
type Failure = lambda_http::Error;

/// The function. Cheap to clone.
#[derive(Clone)]
pub struct Function {
    router: Router,
    events: Events,
}

impl Function {
    /// Serves requests by the router and events by `events`.
    pub fn new(router: Router, events: Events) -> Self {
        Function { router, events }
    }

    async fn answer(self, event: LambdaEvent<Value>) -> Result<Value, Failure> {
        let events = self.events.clone();
        let answer = match is_request(&event.payload) {
            true => self.request(event).await,
            false => {
                let until = until(event.context.deadline);
                events.handle(event.payload, until).await.map_err(Failure::from)
            }
        };
        events.ask_for_merges().await;
        answer
    }

    async fn request(self, event: LambdaEvent<Value>) -> Result<Value, Failure> {
        let LambdaEvent { payload, context } = event;
        if let Some(bytes) = payload["body"].as_str().map(str::len).filter(|bytes| *bytes > PAYLOAD_BYTES_MAX) {
            return Ok(too_large(bytes));
        }
        let request: LambdaRequest = serde_json::from_value(without_stage(payload))?;
        // The adapter itself cannot be held while waiting.
        let answer = Adapter::from(self.router).call(LambdaEvent::new(request, context));
        Ok(serde_json::to_value(answer.await?)?)
    }
}

/// When the time of an invocation is up, from the deadline that it came with: milliseconds since 1970.
fn until(deadline_ms: u64) -> Instant {
    let now_ms = u64::try_from(config::now_ns() / 1_000_000).unwrap_or_default();
    Instant::now() + Duration::from_millis(deadline_ms.saturating_sub(now_ms))
}

/// The answer to a body that Lambda would not have passed on.
fn too_large(bytes: usize) -> Value {
    let text = format!(
        "the body takes {bytes} bytes of an event, and AWS Lambda passes on {PAYLOAD_BYTES_MAX} (a compressed body counts a third \
         more than it has): send smaller batches\n"
    );
    let headers = json!({"content-type": "text/plain; charset=utf-8"});
    json!({"statusCode": 413, "headers": headers, "body": text, "isBase64Encoded": false})
}

impl Service<LambdaEvent<Value>> for Function {
    type Response = Value;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: LambdaEvent<Value>) -> Self::Future {
        Box::pin(self.clone().answer(event))
    }
}
