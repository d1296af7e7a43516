//! Copies what is needed to open segments side by side into a catalog, so that one request opens many.
//!
//! In: segments that are never merged again. Out: a catalog, and each segment's place in it. A catalog is there for speed alone:
//! nothing is lost with it, and who finds it gone opens the segments themselves. Each segment is in one at most, so that what is
//! written for catalogs is a fixed part of what is stored.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use model::{Day, TenantId};
use store::{InCatalog, SegmentRef, Store};

use crate::{Error, footer};

/// Segments that are opened at the same time.
const OPEN_CONCURRENT_MAX: usize = 8;
/// Bytes at which a catalog is complete.
const CATALOG_BYTES: usize = 16 << 20;

/// Writes a catalog for a version of the manifest. Gives the places of the first segments, at least of one.
pub(crate) async fn write(
    store: &Store,
    tenant: &TenantId,
    day: Day,
    born: u64,
    segments: &[&SegmentRef],
) -> Result<Vec<InCatalog>, Error> {
    let copies: Vec<_> = segments.iter().map(|segment| copy(store, segment)).collect();
    let mut copies = stream::iter(copies).buffered(OPEN_CONCURRENT_MAX);
    let (mut bytes, mut places) = (BytesMut::new(), Vec::new());
    while bytes.len() < CATALOG_BYTES
        && let Some((parts, copied)) = copies.try_next().await?
    {
        places.push((bytes.len() as u64, parts));
        copied.iter().for_each(|part| bytes.extend_from_slice(part));
    }
    let catalog = store.put_catalog(tenant, day, born, bytes.freeze()).await?;
    Ok(places.into_iter().map(|(at, parts)| InCatalog { catalog, at, parts }).collect())
}

/// The parts of a segment that open it.
async fn copy(store: &Store, segment: &SegmentRef) -> Result<(Vec<Range<u64>>, Vec<Bytes>), Error> {
    let (footer, _) = footer::open(store, segment).await?;
    let parts = footer.index_ranges(segment.size).to_vec();
    let copied = store.read_ranges(segment, &parts).await?;
    Ok((parts, copied))
}
