//! One function for everything it may be invoked with: HTTP requests go to the router, everything else is an event.
//!
//! In: the JSON of an invocation. Out: the JSON of an answer. Requests of Function URLs, API Gateway (both versions) and load
//! balancers are told by what only they have; their answers take the form that the sender wants.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Service};
use serde_json::Value;

use crate::events::Events;

/// The stage that has no path of its own.
const STAGE_WITHOUT_PATH: &str = "$default";

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
        let LambdaEvent { mut payload, context } = event;
        if !is_http(&payload) {
            return Ok(self.events.handle(payload).await?);
        }
        // The stage is part of API Gateway's URL and not of Loki's paths.
        payload["requestContext"]["stage"] = STAGE_WITHOUT_PATH.into();
        let request: LambdaRequest = serde_json::from_value(payload)?;
        // The adapter itself cannot be held while waiting.
        let answer = Adapter::from(self.router).call(LambdaEvent::new(request, context));
        Ok(serde_json::to_value(answer.await?)?)
    }
}

/// Whether an invocation is a request: only those have a request context with a method, or one of a load balancer.
fn is_http(payload: &Value) -> bool {
    let context = &payload["requestContext"];
    context["http"].is_object() || context["elb"].is_object() || payload["httpMethod"].is_string()
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
