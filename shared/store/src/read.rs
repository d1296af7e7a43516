//! Reads bytes of objects.
//!
//! In: a segment that a listing showed, and ranges. Out: exactly those bytes, or an error: never fewer. Ranges that lie near each
//! other are fetched by one request.

use std::ops::Range;

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore as _, coalesce_ranges};

use crate::paths::Key;
use crate::{Error, SegmentRef, Store};

/// Bytes between two ranges that are read along rather than asked for apart. At 80 MB/s a connection, this costs 3 ms, a
/// request to S3 about 20.
const COALESCE_GAP_BYTES: u64 = 256 * 1024;
/// The largest object that is read as a whole.
const OBJECT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

impl Store {
    /// The last `bytes` of a segment, or all of it if it is shorter.
    pub async fn read_tail(&self, segment: &SegmentRef, bytes: u64) -> Result<Bytes, Error> {
        self.read_range(segment, segment.size.saturating_sub(bytes)..segment.size).await
    }

    /// One range of a segment.
    pub async fn read_range(&self, segment: &SegmentRef, range: Range<u64>) -> Result<Bytes, Error> {
        if range.start > range.end || range.end > segment.size {
            return Err(Error::corrupt(&segment.key, format!("bytes {range:?} asked of {}", segment.size)));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let (bytes, size) = self.get(&segment.key, options, segment.size).await?;
        match size == segment.size {
            true => Ok(bytes),
            false => Err(Error::corrupt(&segment.key, format!("{size} bytes long, {} expected", segment.size))),
        }
    }

    /// Several ranges of a segment, in the order asked for. They may overlap; near ones share a request.
    pub async fn read_ranges(&self, segment: &SegmentRef, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        coalesce_ranges(ranges, |range| self.read_range(segment, range), COALESCE_GAP_BYTES).await
    }

    /// A range of a catalog, at most of the whole of it.
    pub async fn read_catalog(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        Ok(self.get(key, options, OBJECT_BYTES_MAX).await?.0)
    }

    /// A whole object.
    pub async fn read(&self, key: &Key) -> Result<Bytes, Error> {
        Ok(self.get(key, GetOptions::default(), OBJECT_BYTES_MAX).await?.0)
    }

    /// The bytes asked for, and the size of the whole object. Refuses an object larger than `size_max` before reading its body.
    pub(crate) async fn get(&self, key: &Key, options: GetOptions, size_max: u64) -> Result<(Bytes, u64), Error> {
        let result = self.objects.get_opts(key.path(), options).await.map_err(|e| Error::from_store(key, e))?;
        let (size, expected) = (result.meta.size, result.range.end - result.range.start);
        if size > size_max {
            return Err(Error::corrupt(key, format!("{size} bytes long, at most {size_max} expected")));
        }
        let bytes = result.bytes().await.map_err(|e| Error::from_store(key, e))?;
        // A body that ends early is the fault of the way, not of the object: the length that the store told is longer.
        let got = bytes.len() as u64;
        match got == expected {
            true => Ok((bytes, size)),
            false => Err(Error::Unavailable {
                key: key.to_string(),
                why: format!("body ended after {got} of {expected} bytes"),
            }),
        }
    }
}
