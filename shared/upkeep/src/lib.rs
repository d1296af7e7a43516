//! Keeps a bucket in order: merges a day's segments, and collects what no manifest needs any more.
//!
//! In: a store, a tenant, a day. Out: fewer, larger, smaller-compressed segments with the same entries, and a manifest that says so.
//! Nobody leads: any process may merge at any time, and whoever creates the next version of the manifest has won. Nothing here runs
//! by itself: [`Upkeep`] acts when something was written or a listing was long, and an idle store gets no request. A process that is
//! frozen between requests has a [`Reminder`] in its place, and merges by [`tend_day`] when it is asked to. People look after a bucket
//! with [`verify()`], [`stats()`], [`copy()`] and [`rebuild()`].
//!
//! What rests on what is checked as a model in `tests/protocol.rs`:
//! - A version of a manifest is created at most once (create-if-absent), and follows from the one before.
//! - A merged object's name carries the version that is to introduce it. No other version may, so an object that its version has not
//!   taken up is garbage for good, and deleting it late, twice or by a process that slept needs no agreement.
//! - What was current once goes only after a grace longer than any query, by the store's own clock.

mod error;
mod keep;
mod settings;

mod current;
mod plan;

mod footer;
mod input;
mod merge;

mod catalog;
mod day;

mod garbage;

mod counts;
mod permission;

mod owed;

mod background;

mod reminder;
mod tend;

mod report;

mod budget;
mod copy;
mod rebuild;
mod stats;
mod verify;

pub use background::Upkeep;
pub use copy::{Copied, CopySettings, Direction, copy};
pub use day::{Merged, merge_day};
pub use engine::{Deletes, ForgetSettings, Policy, StreamPeriod, check_retention_selector};
pub use error::Error;
pub use garbage::{Collected, collect_day};
pub use keep::{Forgetting, Keep, KeepAll, keep_of};
pub use owed::owed_days;
pub use permission::Permission;
pub use rebuild::{Rebuilt, rebuild};
pub use reminder::Reminder;
pub use report::{Finding, FindingKind, Progress, Scope};
pub use settings::{Grace, MergeSettings};
pub use stats::{Holding, Pile, TenantStats, stats};
pub use tend::{Tended, tend_day};
pub use verify::{Verified, VerifySettings, verify};
