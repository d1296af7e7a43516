//! One function for what it may be invoked with: HTTP requests go to the router, shards of another invocation to the engine.
//!
//! In: the JSON of an invocation. Out: for a request an answer in the form that its sender wants, or a stream of it, where the function's
//! URL takes one; for a shard the answer in JSON. A body is handed on part by part, never gathered. If it breaks off, the rest of the
//! stream says so and is no JSON and no gzip, so that no client takes half an answer for a whole one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, BodyDataStream};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use door::invocation::{PAYLOAD_BYTES_MAX, is_request, without_stage};
use futures::stream::Stream;
use lambda_http::lambda_runtime::{FunctionResponse, MetadataPrelude, StreamResponse};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Request, RequestExt as _, Service};
use loki_api::aws::EventError;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::error::PLAIN_TEXT;
use crate::fan::lambda::{ShardAnswer, ShardEvent};
use crate::{Merges, Query};

/// Parts of a streamed body; what waits on its way is so large at most, whatever the whole is.
const PART_BYTES_MAX: usize = 64 << 10;

/// What an invocation ends with when it cannot be answered.
type Failure = lambda_http::Error;
/// What it is answered.
type Answer = FunctionResponse<Value, Parts>;

/// The function. Cheap to clone.
#[derive(Clone)]
pub struct Function {
    router: Router,
    query: Query,
    streams: bool,
    merges: Option<Merges>,
}

impl Function {
    /// Serves requests, and shards of `query`. With `streams` every request is answered by a stream: only where the function has a URL
    /// in that mode, and nothing else in front.
    pub fn new(query: Query, streams: bool) -> Self {
        Function { router: crate::router(query.clone()), query, streams, merges: None }
    }

    /// The same with somebody who is asked to merge what listings show to be due.
    pub fn with_merges(self, merges: Option<Merges>) -> Self {
        Function { merges, ..self }
    }

    async fn answer(self, event: LambdaEvent<Value>) -> Result<Answer, Failure> {
        let merges = self.merges.clone();
        let answer = self.reply(event).await;
        if let Some(merges) = merges {
            merges.ask().await;
        }
        answer
    }

    async fn reply(self, event: LambdaEvent<Value>) -> Result<Answer, Failure> {
        let LambdaEvent { payload, context } = event;
        if payload.get("logbarn_shard").is_some() {
            return Ok(FunctionResponse::BufferedResponse(self.shard(serde_json::from_value(payload)?).await?));
        }
        if !is_request(&payload) {
            return Err(EventError::unknown(&payload).into());
        }
        let request: LambdaRequest = serde_json::from_value(without_stage(payload))?;
        if self.streams {
            let request: Request = request.into();
            let request = request.with_lambda_context(context).map(Body::new);
            return Ok(FunctionResponse::StreamingResponse(streamed(self.router.oneshot(request).await?)));
        }
        // The adapter itself cannot be held while waiting.
        let answer = Adapter::from(self.router).call(LambdaEvent::new(request, context));
        let answer = serde_json::to_value(answer.await?)?;
        let bytes = serde_json::to_vec(&answer)?.len();
        Ok(FunctionResponse::BufferedResponse(if bytes > PAYLOAD_BYTES_MAX { too_large(bytes) } else { answer }))
    }

    async fn shard(&self, event: ShardEvent) -> Result<Value, Failure> {
        let shard = BASE64_STANDARD.decode(event.logbarn_shard)?;
        let answer = self.query.0.engine.answer_shard(&shard).await?;
        self.query.0.metrics.count_shard();
        Ok(serde_json::to_value(ShardAnswer { logbarn_answer: BASE64_STANDARD.encode(answer) })?)
    }
}

/// The answer in place of one that Lambda would not pass on.
fn too_large(bytes: usize) -> Value {
    let text = format!(
        "the answer takes {bytes} bytes, and AWS Lambda passes on {PAYLOAD_BYTES_MAX} where answers are not streamed: ask for a shorter \
         time, fewer entries or a longer step, or give the function a URL in the mode RESPONSE_STREAM"
    );
    let headers = json!({"content-type": PLAIN_TEXT});
    json!({"statusCode": 413, "headers": headers, "body": text, "isBase64Encoded": false})
}

fn streamed(response: axum::response::Response) -> StreamResponse<Parts> {
    let (parts, body) = response.into_parts();
    let metadata_prelude = MetadataPrelude { status_code: parts.status, headers: parts.headers, cookies: Vec::new() };
    StreamResponse { metadata_prelude, stream: Parts { body: body.into_data_stream(), rest: bytes::Bytes::new() } }
}

/// A body in parts of a bounded size.
pub struct Parts {
    body: BodyDataStream,
    /// Of the part before, what was too much.
    rest: bytes::Bytes,
}

impl Stream for Parts {
    type Item = Result<bytes::Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(part))) => self.rest = part,
                other => return other,
            }
        }
        let bytes = self.rest.len().min(PART_BYTES_MAX);
        Poll::Ready(Some(Ok(self.rest.split_to(bytes))))
    }
}

impl Service<LambdaEvent<Value>> for Function {
    type Response = Answer;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: LambdaEvent<Value>) -> Self::Future {
        Box::pin(self.clone().answer(event))
    }
}
