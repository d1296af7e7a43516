//! Keys, commit, manifests and ranged reads on an object store.
//!
//! In: bytes of segments and what decides their keys. Out: acknowledged objects, the segments that a time range needs, and
//! ranges of their bytes. The bucket is the whole truth: nothing is kept in this process but counters and immutable manifests.
//! Nothing here runs by itself: a store that nobody asks gets no request.
//!
//! The boundary is the trait of the crate `object_store`; what is added stands around it as decorators:
//! ```text
//! Store → Counting → [Faulty, in tests] → prefix → S3 (over Wire) | LocalFolder | InMemory
//! ```

mod error;
mod url;

mod paths;

mod local;
mod open;
mod wire;

mod probe;

mod commit;
mod deletes;
mod list;
mod manifest;
mod marks;
mod names;
mod read;

mod backup;
mod foreign;
mod garbage;
mod inventory;
mod watch;

mod inspect;

mod counting;
pub mod faulty;
mod metrics;
pub mod price;

pub use backup::Backup;
pub use commit::Committed;
pub use counting::{Counters, Counts};
pub use deletes::DeleteRequest;
pub use error::Error;
pub use foreign::ForeignBucket;
pub use garbage::{DayObjects, Listed};
pub use inventory::{Found, Inventory};
pub use list::{IndexCopy, SegmentRef};
pub use manifest::{Current, InCatalog, Manifest, MergedSegment};
pub use marks::Marks;
pub use open::Store;
pub use paths::{DeleteKey, FreshKey, Key, MergedKey};
pub use probe::Probe;
pub use url::StoreUrl;
pub use watch::Watch;
