//! The nouns that every room shares: labels, entries, times, tenants, query values, query statistics.
//!
//! Nothing here does work: no input or output, no clock, no parsing of queries. Any type can be built by anyone, and
//! those with rules (labels are sorted, a range does not end before it starts, a tenant id is a safe path) check them once.

mod entry;
mod labels;
mod stats;
mod tenant;
mod time;
mod value;
mod wire;

pub use entry::{Entry, EntryRef, EntryVisitor, StoredEntries, Stream};
pub use labels::{Labels, LabelsBuilder, quote};
pub use stats::QueryStats;
pub use tenant::{TenantId, TenantIdError};
pub use time::{Day, NANOS_PER_SECOND, TimeRange, TimeRangeError};
pub use value::{LogEntry, Point, Sample, Series, Value};
pub use wire::{WireError, WireReader, WireWriter};
