//! The way of shards to other processes, and of their shards to us.
//!
//! In: what the configuration says of leaves. Out: the engine's `FanOut`. `http` asks any server of the same version, `lambda` asks a
//! function; `serve` is the other side of `http`. Both bound what is under way over all questions of this process, wait for no leaf
//! longer than the engine does, and ask none twice.

mod http;
pub(crate) mod lambda;
pub(crate) mod serve;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use engine::{FanOutSettings, Leaves, Undone};
use futures::future::{BoxFuture, FutureExt as _};
use loki_api::config::{FanOut, LeafAddress};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

use http::HttpLeaf;
use lambda::LambdaLeaf;

/// Largest shard, and largest answer of a leaf, over HTTP.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The settings of leaves are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("logbarn.fan_out: {0}")]
pub struct FanOutError(String);

/// One place where shards are answered.
enum Leaf {
    Http(HttpLeaf),
    Lambda(LambdaLeaf),
}

/// All of them, asked in turn.
struct Fleet {
    leaves: Vec<Leaf>,
    next: AtomicUsize,
    /// Over all questions of this process.
    turns: Semaphore,
}

/// The way to the leaves that are configured, if there are any. `AWS_*` variables say how functions are reached.
pub(crate) fn fan_out(
    settings: &FanOut,
    environment: &HashMap<String, String>,
) -> Result<Option<engine::FanOut>, FanOutError> {
    let leaf = |address: &LeafAddress| match address {
        LeafAddress::Http(address) => HttpLeaf::new(address, &settings.token).map(Leaf::Http),
        LeafAddress::Lambda(name) => LambdaLeaf::new(name, environment).map(Leaf::Lambda),
    };
    let leaves: Vec<Leaf> = settings.leaves.iter().map(leaf).collect::<Result<_, _>>()?;
    if leaves.is_empty() {
        return Ok(None);
    }
    let answer_bytes_max = leaves.iter().map(Leaf::answer_bytes_max).min().unwrap_or(MESSAGE_BYTES_MAX);
    let concurrency_max = settings.concurrency_max.max(1);
    let fleet = Fleet { leaves, next: AtomicUsize::new(0), turns: Semaphore::new(concurrency_max) };
    let settings = FanOutSettings {
        shards_max: settings.shards_max,
        bytes_per_shard: settings.bytes_per_shard,
        concurrency_max,
        bytes_max: settings.bytes_max,
        timeout: settings.timeout,
        answer_bytes_max,
    };
    Ok(Some(engine::FanOut { leaves: Arc::new(fleet), settings }))
}

impl Leaf {
    fn answer_bytes_max(&self) -> usize {
        match self {
            Leaf::Http(_) => MESSAGE_BYTES_MAX,
            Leaf::Lambda(_) => lambda::ANSWER_BYTES_MAX,
        }
    }
}

impl Leaves for Fleet {
    fn ask(&self, shard: Bytes) -> BoxFuture<'_, Result<Bytes, Undone>> {
        async move {
            let _turn = self.turns.acquire().await.map_err(|closed| Undone(closed.to_string()))?;
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.leaves.len().max(1);
            match self.leaves.get(turn) {
                Some(Leaf::Http(leaf)) => leaf.ask(shard).await,
                Some(Leaf::Lambda(leaf)) => leaf.ask(shard).await,
                None => Err(Undone("there is no leaf".to_owned())),
            }
        }
        .boxed()
    }
}
