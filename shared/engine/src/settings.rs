//! How the engine may use the machine. Plain data with defaults; what a tenant may ask stands in `Limits`.

use std::path::PathBuf;

/// Settings of one engine, shared by all its queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// Most memory that one query's blocks and results may take.
    pub query_memory_bytes_max: usize,
    /// Most memory that the footers of opened segments may take between queries.
    pub footer_cache_bytes_max: usize,
    /// Most memory that ranges read from the store may take between queries; 0 keeps none.
    pub block_cache_memory_bytes_max: usize,
    /// Where ranges read from the store are kept on disk too; none keeps them in memory alone.
    pub block_cache_directory: Option<PathBuf>,
    /// Most bytes that they may take there.
    pub block_cache_disk_bytes_max: u64,
    /// Segments of one query that are opened at the same time take about so much memory.
    pub open_bytes_max: u64,
    /// Most requests to the store that one query has under way.
    pub store_concurrency_max: usize,
    /// Most blocks of one query that are decoded at the same time.
    pub decode_concurrency_max: usize,
    /// Blocks that are fetched while as many as may be are decoded.
    pub blocks_ahead_max: usize,
    /// A segment up to this size is read in one request when it is opened.
    pub whole_object_bytes_max: u64,
    /// How much of the end of a larger segment is read when it is opened.
    pub tail_bytes: u64,
    /// Columns that lie at most so far apart are read in one request.
    pub coalesce_gap_bytes_max: u64,
    /// Whether questions go on without segments that are damaged, and say so.
    pub skip_corrupt_segments: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        EngineSettings {
            query_memory_bytes_max: 512 << 20,
            footer_cache_bytes_max: 32 << 20,
            block_cache_memory_bytes_max: 32 << 20,
            block_cache_directory: None,
            block_cache_disk_bytes_max: 1 << 30,
            open_bytes_max: 32 << 20,
            store_concurrency_max: 16,
            decode_concurrency_max: threads,
            blocks_ahead_max: threads,
            whole_object_bytes_max: 256 << 10,
            tail_bytes: 64 << 10,
            coalesce_gap_bytes_max: 128 << 10,
            skip_corrupt_segments: false,
        }
    }
}
