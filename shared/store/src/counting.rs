//! Counts the requests made to a store, and the bytes of their bodies.
//!
//! In: any object store. Out: the same store, and counters that can be read while it works. A request is what S3 bills as one:
//! a page of a listing holds 1000 keys, a bulk delete 1000 keys. Repeats after an error are counted where they happen, on the
//! wire (see `wire`). Changes no result.

use std::fmt;
use std::ops::{Add, Range, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, coalesce_ranges,
};

/// Keys in a page of a listing and in a bulk delete, as S3 has it.
const PAGE_KEYS: usize = 1000;

/// Requests by kind, and bytes of objects. Plain numbers: subtract two to see what happened between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects written, or tried to.
    pub puts: u64,
    /// Objects or ranges read.
    pub gets: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Deletes, single or up to 1000 keys at once.
    pub deletes: u64,
    /// Questions whether an object exists.
    pub heads: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// HTTP requests that left this process for S3: repeats after errors and requests for credentials included.
    pub wire_requests: u64,
}

impl Counts {
    /// All requests, without repeats.
    pub fn requests(&self) -> u64 {
        self.puts + self.gets + self.lists + self.deletes + self.heads
    }

    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Counts {
            puts: f(self.puts, other.puts),
            gets: f(self.gets, other.gets),
            lists: f(self.lists, other.lists),
            deletes: f(self.deletes, other.deletes),
            heads: f(self.heads, other.heads),
            bytes_out: f(self.bytes_out, other.bytes_out),
            bytes_in: f(self.bytes_in, other.bytes_in),
            wire_requests: f(self.wire_requests, other.wire_requests),
        }
    }
}

impl Add for Counts {
    type Output = Counts;

    fn add(self, other: Self) -> Counts {
        self.zip(other, u64::wrapping_add)
    }
}

/// What happened after an earlier snapshot.
impl Sub for Counts {
    type Output = Counts;

    fn sub(self, earlier: Self) -> Counts {
        self.zip(earlier, u64::wrapping_sub)
    }
}

/// Counters that a store increments; shared, never reset.
#[derive(Debug, Default)]
pub struct Counters {
    puts: AtomicU64,
    gets: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    heads: AtomicU64,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    pub(crate) wire_requests: AtomicU64,
}

impl Counters {
    /// Counts a whole listing of so many keys.
    pub(crate) fn list(&self, keys: usize) {
        self.lists.fetch_add(keys.div_ceil(PAGE_KEYS).max(1) as u64, Relaxed);
    }

    /// The figures now.
    pub fn snapshot(&self) -> Counts {
        Counts {
            puts: self.puts.load(Relaxed),
            gets: self.gets.load(Relaxed),
            lists: self.lists.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
            heads: self.heads.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            wire_requests: self.wire_requests.load(Relaxed),
        }
    }
}

/// A store that counts what is asked of the one inside it.
#[derive(Debug)]
pub(crate) struct Counting {
    inner: Arc<dyn ObjectStore>,
    counters: Arc<Counters>,
}

impl Counting {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, counters: Arc<Counters>) -> Self {
        Counting { inner, counters }
    }

    /// Counts a page for every [`PAGE_KEYS`] items that come along; the first page is asked for even if it turns out empty.
    fn paged<T: Send + 'static>(
        &self,
        stream: BoxStream<'static, Result<T>>,
        pages: fn(&Counters) -> &AtomicU64,
    ) -> BoxStream<'static, Result<T>> {
        let counters = Arc::clone(&self.counters);
        let mut stream = stream;
        let mut items = 0;
        futures::stream::poll_fn(move |cx| {
            if items == 0 {
                pages(&counters).fetch_add(1, Relaxed);
                items = 1;
            }
            let next = stream.poll_next_unpin(cx);
            if let std::task::Poll::Ready(Some(Ok(_))) = &next {
                if items > PAGE_KEYS && items % PAGE_KEYS == 1 {
                    pages(&counters).fetch_add(1, Relaxed);
                }
                items += 1;
            }
            next
        })
        .boxed()
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counting({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.counters.puts.fetch_add(1, Relaxed);
        self.counters.bytes_out.fetch_add(payload.content_length() as u64, Relaxed);
        self.inner.put_opts(location, payload, opts).await
    }

    /// Starting an upload is counted; its parts are not, since Logbarn writes whole objects only.
    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.counters.puts.fetch_add(1, Relaxed);
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { &self.counters.heads } else { &self.counters.gets };
        kind.fetch_add(1, Relaxed);
        let head = options.head;
        let mut result = self.inner.get_opts(location, options).await?;
        if head {
            return Ok(result);
        }
        result.payload = match result.payload {
            GetResultPayload::Stream(stream) => {
                let counters = Arc::clone(&self.counters);
                let counted = stream.inspect_ok(move |chunk| {
                    counters.bytes_in.fetch_add(chunk.len() as u64, Relaxed);
                });
                GetResultPayload::Stream(counted.boxed())
            }
            file @ GetResultPayload::File(..) => {
                self.counters.bytes_in.fetch_add(result.range.end - result.range.start, Relaxed);
                file
            }
        };
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        coalesce_ranges(ranges, |range| self.get_range(location, range), OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.paged(self.inner.delete_stream(locations), |counters| &counters.deletes)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.paged(self.inner.list(prefix), |counters| &counters.lists)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.paged(self.inner.list_with_offset(prefix, offset), |counters| &counters.lists)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let result = self.inner.list_with_delimiter(prefix).await;
        let keys = result.as_ref().map_or(0, |found| found.objects.len() + found.common_prefixes.len());
        self.counters.list(keys);
        result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.counters.puts.fetch_add(1, Relaxed);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.counters.puts.fetch_add(1, Relaxed);
        self.counters.deletes.fetch_add(1, Relaxed);
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    /// S3 answers 1000 keys a page: 1000 objects cost one LIST, 1001 cost two; so it is with and without a delimiter.
    #[tokio::test]
    async fn a_page_of_a_listing_is_a_request() {
        let check = async |objects: usize, want: u64| {
            let counters = Arc::new(Counters::default());
            let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            for i in 0..objects {
                inner.put(&Path::from(format!("d/{i:05}")), PutPayload::default()).await.unwrap();
            }
            let store = Counting::new(inner, Arc::clone(&counters));
            assert_eq!(store.list(Some(&Path::from("d"))).count().await, objects);
            assert_eq!(counters.snapshot().lists, want, "list of {objects}");
            store.list_with_delimiter(Some(&Path::from("d"))).await.unwrap();
            assert_eq!(counters.snapshot().lists, 2 * want, "delimited list of {objects}");
        };
        check(0, 1).await;
        check(1, 1).await;
        check(1000, 1).await;
        check(1001, 2).await;
        check(2001, 3).await;
    }
}
