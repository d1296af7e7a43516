//! Says what a query would read, what it would skip, and why.
//!
//! In: a query. Out: figures for each of its parts. It goes the query's own way through listings, footers, filters and
//! counts, and counts the requests that it makes there; of the blocks behind them it adds up what reading them would cost.
//! Never guesses low: where a log query may have its entries before all is read, the figures are a bound, and say so.

mod part;
mod sure;

use std::ops::{Add, AddAssign};

use logql::ast::Expr;
use logql::eval;
use model::TimeRange;
use store::Counts;

use crate::reader::Reader;
use crate::scan::Scan;
use crate::{Error, QueryRequest};

/// What a query would read, if it were asked now: what caches hold is not read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The query in its usual form.
    pub query: String,
    /// One part for a log query, one for each range aggregation of a metric query.
    pub parts: Vec<PartExplained>,
    /// What it costs to find out what to read. Explaining costs the same.
    pub planning: Reads,
    /// What reading the blocks costs on top.
    pub blocks: Reads,
    /// Whether the query reads just this; otherwise it reads at most this.
    pub exact: bool,
}

impl Explained {
    /// All that the query reads.
    pub fn reads(&self) -> Reads {
        self.planning + self.blocks
    }
}

/// A log query, or the log query inside a range aggregation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartExplained {
    /// The part in its usual form.
    pub query: String,
    /// When its entries lie.
    pub range: TimeRange,
    /// What the filters are asked for; none if every block may match.
    pub need: Option<String>,
    /// The columns that are read.
    pub columns: Vec<String>,
    /// What becomes of segments.
    pub segments: SegmentsExplained,
    /// Streams that the selector chooses in the opened segments.
    pub streams: u64,
    /// Streams of the opened segments.
    pub streams_seen: u64,
    /// What becomes of the blocks of opened segments.
    pub blocks: BlocksExplained,
    /// Entries of the chosen streams in the blocks that are read.
    pub rows: u64,
    /// Bytes of the columns that are read, uncompressed.
    pub column_bytes: u64,
    /// Listings of days, and their manifests.
    pub listing: Reads,
    /// Footers, and what comes with them.
    pub footers: Reads,
    /// Filters of segments and blocks.
    pub filters: Reads,
    /// Times of entries that may lie in two segments, and lines where times are equal.
    pub doubles: Reads,
    /// Counts by the minute.
    pub counts: Reads,
    /// Columns of blocks.
    pub columns_read: Reads,
    /// Whether all of this is read; otherwise at most this.
    pub exact: bool,
}

/// Segments by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SegmentsExplained {
    /// Those of the days that the range touches.
    pub listed: u64,
    /// Not opened: none of their entries lies in the range.
    pub outside_range: u64,
    /// Not opened: the limit is reached before them.
    pub beyond_limit: u64,
    /// Opened, from the store or a cache.
    pub opened: u64,
    /// Those whose footer was in a cache.
    pub cached: u64,
    /// Opened, and no chosen stream has entries in the range.
    pub without_streams: u64,
}

/// Blocks of opened segments by what becomes of them: each is in just one of the other figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlocksExplained {
    /// All of them.
    pub all: u64,
    /// None of their entries lies in the range.
    pub outside_range: u64,
    /// All entries in the range are other streams'.
    pub other_streams: u64,
    /// The segment's filter knows no match.
    pub by_segment_filter: u64,
    /// The block's filter knows no match.
    pub by_block_filter: u64,
    /// No line of the segment holds the three-byte grams of a match.
    pub by_gram_filter: u64,
    /// The footer's counts tell enough.
    pub counted: u64,
    /// The limit is reached before them.
    pub beyond_limit: u64,
    /// To be read.
    pub read: u64,
}

/// Requests to the store, by what they are billed as, and the bytes of their answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// Pages of listings.
    pub lists: u64,
    /// Objects and ranges.
    pub gets: u64,
    /// Bytes of objects.
    pub bytes: u64,
}

impl Reads {
    /// Requests of any kind.
    pub fn requests(&self) -> u64 {
        self.lists + self.gets
    }
}

impl From<Counts> for Reads {
    fn from(counts: Counts) -> Self {
        Reads { lists: counts.lists, gets: counts.gets + counts.heads, bytes: counts.bytes_in }
    }
}

impl Add for Reads {
    type Output = Reads;

    fn add(self, other: Self) -> Reads {
        Reads { lists: self.lists + other.lists, gets: self.gets + other.gets, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Reads {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// A query of a time that nobody may ask about: it is answered without the store.
pub(crate) fn nothing(expr: &Expr) -> Explained {
    let (planning, blocks) = (Reads::default(), Reads::default());
    Explained { query: expr.to_string(), parts: Vec::new(), planning, blocks, exact: true }
}

/// Goes a query's way up to its blocks.
pub(crate) async fn explain(expr: &Expr, request: &QueryRequest, reader: Reader) -> Result<Explained, Error> {
    let (scan, _cancel) = Scan::new(reader);
    let (mut parts, mut met) = (Vec::new(), part::Met::default());
    match expr {
        Expr::Log(log) => parts.push(part::of_log_query(log, request, &scan, &mut met).await?),
        Expr::Metric(metric) => {
            let steps = crate::steps(request);
            for leaf in eval::leaves(metric) {
                let mut part = part::of_leaf(&leaf, steps, &scan, &mut met).await?;
                // What an earlier part reads, a later one may find in the cache when it compares entries.
                let is_read: bool = parts.iter().any(|before: &PartExplained| before.columns_read.requests() > 0);
                part.exact &= !is_read || part.doubles.requests() == 0;
                parts.push(part);
            }
        }
    }
    let mut blocks = Reads::default();
    parts.iter().for_each(|part| blocks += part.columns_read);
    let exact = parts.iter().all(|part| part.exact);
    let planning = Reads::from(scan.reader().counts());
    Ok(Explained { query: expr.to_string(), parts, planning, blocks, exact })
}
