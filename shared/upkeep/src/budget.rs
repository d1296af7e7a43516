//! How much of segments is held in memory at a time by what reads them whole.
//!
//! In: the size of an object that is about to be read. Out: a permit, once there is room; one that is larger than all room is read alone.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Error;

/// The room, in units of [`UNIT_BYTES`].
const UNITS_MAX: u32 = 256;
const UNIT_BYTES: u64 = 1 << 20;

/// Room for whole objects.
pub(crate) struct Budget(Semaphore);

impl Budget {
    pub(crate) fn new() -> Self {
        Budget(Semaphore::new(UNITS_MAX as usize))
    }

    /// Waits for room.
    pub(crate) async fn take(&self, bytes: u64) -> Result<SemaphorePermit<'_>, Error> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, UNITS_MAX);
        self.0.acquire_many(units).await.map_err(|why| Error::Internal(why.to_string()))
    }
}
