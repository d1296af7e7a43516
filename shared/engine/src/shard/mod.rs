//! A large question, cut into slices of time that other processes answer: the leaves.
//!
//! In: a question whose segments hold more bytes than one process should read. Out: the same answer as if it were alone. The root
//! lists the segments and cuts their time by bytes (`cut`), sends each slice with its segments (`wire`), and puts together what comes
//! back (`root`); a leaf reads nothing but what it was sent and keeps nothing (`leaf`). Equal entries have equal times, so they meet in
//! one leaf. Whatever a leaf does not do, the root does itself: leaves make an answer quicker, never different.

mod cut;
mod leaf;
mod root;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

pub(crate) use cut::cut;
pub(crate) use root::Fan;

/// The way to other processes.
pub trait Leaves: Send + Sync {
    /// Brings a shard to a leaf and its answer back, both as the engine wrote them. Dropping the future ends the work as far as the
    /// way allows.
    fn ask(&self, shard: Bytes) -> BoxFuture<'_, Result<Bytes, Undone>>;
}

/// Why no leaf answered: busy, gone, broken. For the log; the root then does the work itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Undone(pub String);

/// How an engine uses leaves.
#[derive(Clone)]
pub struct FanOut {
    /// The way to them.
    pub leaves: Arc<dyn Leaves>,
    /// What it may cost.
    pub settings: FanOutSettings,
}

/// What fanning out may cost. Plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FanOutSettings {
    /// Most shards of one part of a question (a log query, or one range aggregation).
    pub shards_max: usize,
    /// Stored bytes that are worth a shard of their own.
    pub bytes_per_shard: u64,
    /// Most shards of one question that are under way.
    pub concurrency_max: usize,
    /// Most stored bytes that the leaves are given for one part of a question; the rest is the root's own.
    pub bytes_max: u64,
    /// How long a leaf may take before the root does its work.
    pub timeout: Duration,
    /// Largest answer that the way to a leaf takes.
    pub answer_bytes_max: usize,
}

impl Default for FanOutSettings {
    fn default() -> Self {
        FanOutSettings {
            shards_max: 64,
            bytes_per_shard: 32 << 20,
            concurrency_max: 16,
            bytes_max: 64 << 30,
            timeout: Duration::from_secs(30),
            answer_bytes_max: 64 << 20,
        }
    }
}
