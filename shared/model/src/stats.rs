//! What a query cost. Counted while it runs, told in every answer.

use std::ops::AddAssign;

/// Counters of one query. All figures are true counts, none is estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Bytes of lines that were looked at, uncompressed.
    pub line_bytes: u64,
    /// Lines that were looked at.
    pub lines: u64,
    /// Lines left after the pipeline.
    pub post_filter_lines: u64,
    /// Bytes of structured metadata that were looked at, uncompressed.
    pub metadata_bytes: u64,
    /// Entries in the answer.
    pub entries_returned: u64,
    /// Entries that lay in two segments and were counted once.
    pub duplicates: u64,
    /// Streams that the selector chose.
    pub streams: u64,
    /// Segments that lie in the time range.
    pub segments: u64,
    /// Segments opened after pruning by time.
    pub segments_opened: u64,
    /// Blocks of the opened segments that hold chosen streams in the time range.
    pub blocks: u64,
    /// Blocks that the filters proved empty of matches.
    pub blocks_skipped: u64,
    /// Blocks of which columns were read.
    pub blocks_read: u64,
    /// Requests made to the store.
    pub store_requests: u64,
    /// Bytes read from the store.
    pub store_bytes: u64,
    /// Reads answered by a cache.
    pub cache_hits: u64,
    /// Reads of blocks and filters that no cache could answer.
    pub cache_misses: u64,
    /// Parts of the query that other processes were asked for.
    pub shards: u64,
    /// Those of them that came to nothing, and were done here after all.
    pub shards_undone: u64,
    /// Nanoseconds from start to answer.
    pub exec_ns: u64,
    /// Nanoseconds spent waiting for a turn.
    pub queue_ns: u64,
}

impl AddAssign for QueryStats {
    fn add_assign(&mut self, other: Self) {
        self.line_bytes += other.line_bytes;
        self.lines += other.lines;
        self.post_filter_lines += other.post_filter_lines;
        self.metadata_bytes += other.metadata_bytes;
        self.entries_returned += other.entries_returned;
        self.duplicates += other.duplicates;
        self.streams += other.streams;
        self.segments += other.segments;
        self.segments_opened += other.segments_opened;
        self.blocks += other.blocks;
        self.blocks_skipped += other.blocks_skipped;
        self.blocks_read += other.blocks_read;
        self.store_requests += other.store_requests;
        self.store_bytes += other.store_bytes;
        self.cache_hits += other.cache_hits;
        self.cache_misses += other.cache_misses;
        self.shards += other.shards;
        self.shards_undone += other.shards_undone;
        self.exec_ns += other.exec_ns;
        self.queue_ns += other.queue_ns;
    }
}
