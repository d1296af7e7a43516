//! A segment's footer, by the end of the object.
//!
//! In: a segment. Out: its footer and the bytes that came with it, all of them if it is small: one request as a rule, two if the footer
//! is large.

use bytes::Bytes;
use segment::{Footer, Opened};
use store::{SegmentRef, Store};

use crate::Error;

/// A segment up to this size is read in one request.
const WHOLE_BYTES_MAX: u64 = 256 << 10;
/// How much of the end of a larger one is read first.
const TAIL_BYTES: u64 = 64 << 10;

/// Reads a segment's end. The bytes reach to the end of the object.
pub(crate) async fn open(store: &Store, segment: &SegmentRef) -> Result<(Footer, Bytes), Error> {
    let mut wanted = if segment.size <= WHOLE_BYTES_MAX { segment.size } else { TAIL_BYTES };
    loop {
        let tail = store.read_tail(segment, wanted).await?;
        match segment::open_tail(&tail, segment.size).map_err(|why| bad(segment, why))? {
            Opened::Footer(footer) => return Ok((footer, tail)),
            Opened::NeedMore { from } if segment.size - from > wanted => wanted = segment.size - from,
            Opened::NeedMore { .. } => return Err(bad(segment, "its footer cannot be found")),
        }
    }
}

/// A segment that does not hold what it must.
pub(crate) fn bad(segment: &SegmentRef, why: impl ToString) -> Error {
    Error::Input { key: segment.key.to_string(), why: why.to_string() }
}
