//! What the query side counts: what queries cost the store, and tails. Requests are counted at the door.

use std::fmt;
use std::sync::atomic::AtomicU64;

use engine::Engine;
use model::QueryStats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What queries cost.
#[derive(Default)]
pub(crate) struct Metrics {
    store_requests: Counter<u64, AtomicU64>,
    store_bytes: Counter<u64, AtomicU64>,
    cache_hits: Counter<u64, AtomicU64>,
    cache_misses: Counter<u64, AtomicU64>,
    blocks_read: Counter<u64, AtomicU64>,
    blocks_skipped: Counter<u64, AtomicU64>,
    line_bytes: Counter<u64, AtomicU64>,
    shards: Counter<u64, AtomicU64>,
    shards_undone: Counter<u64, AtomicU64>,
    shards_answered: Counter<u64, AtomicU64>,
}

/// What the engine itself counts.
pub(crate) struct EngineMetrics(pub(crate) Engine);

impl fmt::Debug for EngineMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineMetrics")
    }
}

impl Collector for EngineMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counter = ConstCounter::new(self.0.corrupt_segments());
        let help = "Damaged segments that queries came across";
        counter.encode(encoder.encode_descriptor("logbarn_corrupt_segments", help, None, counter.metric_type())?)
    }
}

/// What tails count.
#[derive(Clone, Default)]
pub(crate) struct TailMetrics {
    /// Tails that are open.
    pub(crate) active: Gauge,
    /// Bytes of messages.
    pub(crate) bytes: Counter,
    /// Entries that were left out, because a client was slow or too many came at once.
    pub(crate) dropped: Counter,
}

impl TailMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("loki_querier_tail_active", "Tails that are open", self.active.clone());
        registry.register("loki_querier_tail_bytes", "Bytes sent to tails", self.bytes.clone());
        let help = "Entries that tails left out and reported as dropped";
        registry.register("logbarn_query_tail_dropped_entries", help, self.dropped.clone());
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("logbarn_query");
        let counters = [
            ("store_requests", "Requests that queries made to the store", &self.store_requests),
            ("store_bytes", "Bytes that queries read from the store", &self.store_bytes),
            ("cache_hits", "Reads that a cache answered", &self.cache_hits),
            ("cache_misses", "Reads of blocks and filters that no cache could answer", &self.cache_misses),
            ("blocks_read", "Blocks of which columns were read", &self.blocks_read),
            ("blocks_skipped", "Blocks that the filters proved empty of matches", &self.blocks_skipped),
            ("line_bytes", "Bytes of lines that were looked at, uncompressed", &self.line_bytes),
            ("shards", "Parts of queries that leaves were asked for", &self.shards),
            ("shards_undone", "Those that no leaf answered, done by this process", &self.shards_undone),
            ("shards_answered", "Parts of other processes' queries that were answered here", &self.shards_answered),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }

    /// Adds what one query cost.
    pub(crate) fn count(&self, stats: &QueryStats) {
        self.store_requests.inc_by(stats.store_requests);
        self.store_bytes.inc_by(stats.store_bytes);
        self.cache_hits.inc_by(stats.cache_hits);
        self.cache_misses.inc_by(stats.cache_misses);
        self.blocks_read.inc_by(stats.blocks_read);
        self.blocks_skipped.inc_by(stats.blocks_skipped);
        self.line_bytes.inc_by(stats.line_bytes);
        self.shards.inc_by(stats.shards);
        self.shards_undone.inc_by(stats.shards_undone);
    }

    /// Counts a part of another process's query.
    pub(crate) fn count_shard(&self) {
        self.shards_answered.inc();
    }
}
