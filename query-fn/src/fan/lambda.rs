//! Leaves that are functions of AWS Lambda, mostly the very function that asks: one `Invoke` a shard.
//!
//! In: a shard. Out: the function's answer, or why there is none: throttled, failed, too large. Lambda carries JSON, so both ways are
//! base64 in it: `{"logbarn_shard": "…"}` and `{"logbarn_answer": "…"}`. Who may invoke a function is IAM's to say. An invocation
//! cannot be called back: it ends with the time-out that the shard carries.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use engine::Undone;
use invoke::{ASK_BYTES_MAX, Functions};
use serde::{Deserialize, Serialize};

use super::FanOutError;

/// The JSON around a message.
const AROUND_BYTES: usize = 1 << 10;
/// Largest answer that fits into what Lambda takes, once it is base64.
pub(crate) const ANSWER_BYTES_MAX: usize = (ASK_BYTES_MAX - AROUND_BYTES) / 4 * 3;

/// What a function is invoked with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShardEvent {
    /// The shard, in base64.
    pub(crate) logbarn_shard: String,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShardAnswer {
    /// The answer, in base64.
    pub(crate) logbarn_answer: String,
}

/// One function.
pub(super) struct LambdaLeaf {
    functions: Functions,
    name: String,
}

impl LambdaLeaf {
    pub(super) fn new(name: &str, environment: &HashMap<String, String>) -> Result<Self, FanOutError> {
        let functions = Functions::open(environment.clone()).map_err(|why| FanOutError(why.to_string()))?;
        Ok(LambdaLeaf { functions, name: name.to_owned() })
    }

    pub(super) async fn ask(&self, shard: Bytes) -> Result<Bytes, Undone> {
        let undone = |why: &dyn std::fmt::Display| Undone(why.to_string());
        let event = ShardEvent { logbarn_shard: BASE64_STANDARD.encode(&shard) };
        let event = serde_json::to_vec(&event).map_err(|why| undone(&why))?;
        let answer = self.functions.ask(&self.name, event.into()).await.map_err(|why| undone(&why))?;
        let answer: ShardAnswer = serde_json::from_slice(&answer).map_err(|why| undone(&why))?;
        let answer = BASE64_STANDARD.decode(answer.logbarn_answer).map_err(|why| undone(&why))?;
        Ok(answer.into())
    }
}
