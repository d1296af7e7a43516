//! Invocations of AWS Lambda, as both functions see them: which are requests, and how large they may be.
//!
//! In: the JSON of an invocation. Out: whether it is a request of a Function URL, of API Gateway (both versions) or of a load balancer,
//! told by what only those have; and the request as a router wants it.

use serde_json::Value;

/// Bytes of an invocation or of its answer, as it stands in JSON: what Lambda passes on. An emulator may pass on more.
pub const PAYLOAD_BYTES_MAX: usize = 6 << 20;

/// The stage that has no path of its own.
const STAGE_WITHOUT_PATH: &str = "$default";

/// Whether an invocation is a request: only those have a request context with a method, or one of a load balancer.
pub fn is_request(payload: &Value) -> bool {
    let context = &payload["requestContext"];
    context["http"].is_object() || context["elb"].is_object() || payload["httpMethod"].is_string()
}

/// A request without its stage, which is part of API Gateway's URL and not of Loki's paths.
pub fn without_stage(mut request: Value) -> Value {
    request["requestContext"]["stage"] = STAGE_WITHOUT_PATH.into();
    request
}
