//! For tests: a store that fails on command.
//!
//! In: any object store, and rules that say which requests fail and how. Out: the same store; requests that no rule meets pass
//! through. Rules count requests and look at keys, never at a clock or at chance, so a test that fails once fails always.
//! ```
//! # use std::sync::Arc;
//! # use store::{Store, faulty::{Fault, Faulty, Operation, Rule}};
//! let faulty = Faulty::new(Arc::new(object_store::memory::InMemory::new()));
//! let store = Store::new(Arc::new(faulty.clone()));
//! faulty.add(Rule::once(Operation::Put, Fault::LostResponse));                              // the next PUT takes place, but says no
//! faulty.add(Rule::always(Operation::Get, Fault::Timeout).on_keys("/manifest/").after(2));  // from the third on
//! ```

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result, coalesce_ranges,
};

/// Kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Writing an object.
    Put,
    /// Reading an object or a range.
    Get,
    /// Listing, with or without a delimiter; rules look at the prefix.
    List,
    /// Deleting an object.
    Delete,
    /// Asking for an object's size.
    Head,
}

/// What happens instead of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500, after all repeats.
    InternalError,
    /// 503, after all repeats.
    Unavailable,
    /// No answer in time; nothing happened.
    Timeout,
    /// No answer ever: the request stays pending, so that cancelling and deadlines can be tested.
    Hang,
    /// No answer until the rules are forgotten; then the request takes place. Who has given up by then asks for nothing more.
    Hold,
    /// The request takes place, its answer is lost.
    LostResponse,
    /// 409: another writer is at work on the key.
    Conflict,
    /// 412: the object is there, says the store.
    Exists,
    /// 403.
    Denied,
    /// 404.
    Missing,
    /// No room on the disk.
    Full,
    /// The condition of a create is ignored: it overwrites, and the answer is "created". So some servers do.
    Overwrites,
    /// A listing comes backwards: some servers list in an order of their own.
    Unordered,
    /// A body ends after so many bytes without an error; a listing ends with an error after so many keys.
    Truncated(usize),
}

/// Which requests fail, and how.
#[derive(Debug, Clone)]
pub struct Rule {
    operation: Operation,
    key_part: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

impl Rule {
    /// The next request of a kind fails.
    pub fn once(operation: Operation, fault: Fault) -> Self {
        Rule { operation, key_part: String::new(), skip: 0, times: 1, fault }
    }

    /// All requests of a kind fail.
    pub fn always(operation: Operation, fault: Fault) -> Self {
        Rule { times: usize::MAX, ..Rule::once(operation, fault) }
    }

    /// Only requests whose key holds this text are meant.
    pub fn on_keys(self, part: &str) -> Self {
        Rule { key_part: part.into(), ..self }
    }

    /// So many requests that are meant pass first.
    pub fn after(self, requests: usize) -> Self {
        Rule { skip: requests, ..self }
    }

    /// So many requests fail, then no more.
    pub fn times(self, requests: usize) -> Self {
        Rule { times: requests, ..self }
    }
}

/// Where a process dies that works on a store: at one of its requests, and what of that request still takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Before the request with this number, counted from 0, has any effect.
    Before(usize),
    /// After its effect, before its answer.
    After(usize),
}

/// A store that fails on command. Clones share rules and objects.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    fired: usize,
    /// Requests since the last [`Faulty::crash`].
    requests: usize,
    crash: Option<Crash>,
    /// By how much the store's clock is ahead, now and when each object was written.
    ahead: Duration,
    written_ahead: HashMap<Path, Duration>,
    /// Requests that wait for [`Faulty::heal`]; it drops their senders.
    held: Vec<oneshot::Sender<()>>,
}

impl Faulty {
    /// A store that does not fail yet.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Faulty { inner, state: Arc::default() }
    }

    /// The same over the objects of a store that was opened.
    pub fn over(store: &crate::Store) -> Self {
        Faulty::new(Arc::clone(&store.objects))
    }

    /// Dies at a request: it and all that follow fail, until [`Faulty::heal`].
    pub fn crash(&self, crash: Crash) {
        let mut state = self.lock();
        (state.requests, state.crash) = (0, Some(crash));
    }

    /// How many requests there were since the last [`Faulty::crash`] or [`Faulty::heal`].
    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    /// Sets the clock by which the store says when an object was written: so far ahead of the true one, from now on.
    pub fn set_clock(&self, ahead: Duration) {
        self.lock().ahead = ahead;
    }

    /// Adds a rule. Of several that meet a request the earliest added counts; the others do not see it.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// Forgets all rules: the store works again.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.rules.clear();
        (state.requests, state.crash) = (0, None);
        state.held.clear();
    }

    /// How many requests are held whose askers still wait.
    pub fn held(&self) -> usize {
        self.lock().held.iter().filter(|held| !held.is_canceled()).count()
    }

    /// How many requests have failed.
    pub fn fired(&self) -> usize {
        self.lock().fired
    }

    fn fault(&self, operation: Operation, location: Option<&Path>) -> Option<Fault> {
        if let Some(fault) = self.died() {
            return Some(fault);
        }
        self.fire(location, |rule| rule.operation == operation && rule.fault != Fault::Overwrites)
    }

    /// Counts a request, and says what becomes of it at or after the end of the process.
    fn died(&self) -> Option<Fault> {
        let mut state = self.lock();
        let request = state.requests;
        state.requests += 1;
        match state.crash? {
            Crash::Before(at) if request >= at => Some(Fault::Timeout),
            Crash::After(at) if request == at => Some(Fault::LostResponse),
            Crash::After(at) if request > at => Some(Fault::Timeout),
            Crash::Before(_) | Crash::After(_) => None,
        }
    }

    /// Remembers what the clock said when an object was written.
    fn stamp(&self, location: &Path) {
        let mut state = self.lock();
        let ahead = state.ahead;
        state.written_ahead.insert(location.clone(), ahead);
    }

    /// Tells the time of the store's own clock.
    fn stamped(&self, mut meta: ObjectMeta) -> ObjectMeta {
        if let Some(ahead) = self.lock().written_ahead.get(&meta.location) {
            meta.last_modified += *ahead;
        }
        meta
    }

    /// Whether a PUT overwrites; it may fail besides.
    fn overwrites(&self, location: &Path) -> bool {
        self.fire(Some(location), |rule| rule.operation == Operation::Put && rule.fault == Fault::Overwrites).is_some()
    }

    fn fire(&self, location: Option<&Path>, is_meant: impl Fn(&Rule) -> bool) -> Option<Fault> {
        let key = location.map_or("", AsRef::as_ref);
        let mut state = self.lock();
        let meets = |rule: &&mut Rule| rule.times > 0 && key.contains(&rule.key_part) && is_meant(rule);
        let rule = state.rules.iter_mut().find(meets)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        let fault = rule.fault;
        state.fired += 1;
        Some(fault)
    }

    /// Waits until the rules are forgotten.
    async fn hold(&self) {
        let (sender, healed) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.rules.is_empty() {
                return;
            }
            state.held.push(sender);
        }
        // That the sender is gone is the message.
        let _ = healed.await;
    }

    /// Runs a request, unless a rule meets it.
    async fn run<T>(
        &self,
        operation: Operation,
        location: Option<&Path>,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.fault(operation, location) {
            None | Some(Fault::Truncated(_) | Fault::Overwrites | Fault::Unordered) => request.await,
            Some(Fault::Hang) => pending().await,
            Some(Fault::Hold) => {
                self.hold().await;
                request.await
            }
            Some(fault @ Fault::LostResponse) => {
                request.await?;
                Err(fault.error(location))
            }
            Some(fault) => Err(fault.error(location)),
        }
    }

    fn listing(
        &self,
        prefix: Option<&Path>,
        list: impl FnOnce() -> BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let failed = |fault: Fault| futures::stream::once(std::future::ready(Err(fault.error(prefix))));
        let this = self.clone();
        let list = || list().map_ok(move |meta| this.stamped(meta)).boxed();
        match self.fault(Operation::List, prefix) {
            None => list(),
            Some(Fault::Hang) => pending().into_stream().boxed(),
            Some(Fault::Hold) => {
                let (this, listed) = (self.clone(), list());
                async move { this.hold().await }.map(|()| listed).flatten_stream().boxed()
            }
            Some(Fault::Unordered) => {
                let backwards = list().collect::<Vec<_>>().map(|all| futures::stream::iter(all.into_iter().rev()));
                backwards.flatten_stream().boxed()
            }
            Some(fault @ Fault::Truncated(keys)) => list().take(keys).chain(failed(fault)).boxed(),
            Some(fault) => failed(fault).boxed(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// The error as `object_store` would tell it.
    fn error(self, location: Option<&Path>) -> Error {
        let path = location.map(ToString::to_string).unwrap_or_default();
        let generic = |text: &str| Error::Generic { store: "Faulty", source: text.into() };
        match self {
            Fault::InternalError => generic("status code: 500 Internal Server Error: injected"),
            Fault::Unavailable => generic("status code: 503 Service Unavailable: injected"),
            Fault::Conflict => generic("status code: 409 Conflict: injected"),
            Fault::Timeout | Fault::LostResponse | Fault::Hang | Fault::Hold => {
                generic("injected: operation timed out")
            }
            Fault::Truncated(_) | Fault::Overwrites | Fault::Unordered => generic("injected: connection closed"),
            Fault::Exists => Error::AlreadyExists { path, source: "injected".into() },
            Fault::Denied => Error::PermissionDenied { path, source: "injected".into() },
            Fault::Missing => Error::NotFound { path, source: "injected".into() },
            Fault::Full => {
                Error::Generic { store: "Faulty", source: Box::new(std::io::Error::from(ErrorKind::StorageFull)) }
            }
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut opts: PutOptions) -> Result<PutResult> {
        if self.overwrites(location) {
            opts.mode = PutMode::Overwrite;
        }
        let put = async {
            let result = self.inner.put_opts(location, payload, opts).await?;
            self.stamp(location);
            Ok(result)
        };
        self.run(Operation::Put, Some(location), put).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.run(Operation::Put, Some(location), self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        match self.fault(operation, Some(location)) {
            held @ (None | Some(Fault::Hold)) => {
                if held.is_some() {
                    self.hold().await;
                }
                let mut result = self.inner.get_opts(location, options).await?;
                result.meta = self.stamped(result.meta);
                Ok(result)
            }
            Some(Fault::Hang) => pending().await,
            Some(Fault::Truncated(bytes)) => {
                let GetResult { payload, meta, range, attributes, extensions } =
                    self.inner.get_opts(location, options).await?;
                let whole = GetResult {
                    payload,
                    meta: meta.clone(),
                    range: range.clone(),
                    attributes: attributes.clone(),
                    extensions: extensions.clone(),
                };
                let body = whole.bytes().await?;
                let cut = body.slice(..bytes.min(body.len()));
                let payload = GetResultPayload::Stream(futures::stream::once(std::future::ready(Ok(cut))).boxed());
                Ok(GetResult { payload, meta, range, attributes, extensions })
            }
            Some(fault) => Err(fault.error(Some(location))),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        coalesce_ranges(ranges, |range| self.get_range(location, range), OBJECT_STORE_COALESCE_DEFAULT).await
    }

    /// Each key is a request of its own here. A key that fails is not deleted, unless it is the answer that is lost.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let checked = locations.and_then(move |location| {
            let fault = this.fault(Operation::Delete, Some(&location));
            let this = this.clone();
            async move {
                match fault {
                    None => Ok(location),
                    Some(Fault::Hang) => pending().await,
                    Some(fault @ Fault::LostResponse) => {
                        this.inner.delete(&location).await?;
                        Err(fault.error(Some(&location)))
                    }
                    Some(Fault::Hold) => {
                        this.hold().await;
                        Ok(location)
                    }
                    Some(fault) => Err(fault.error(Some(&location))),
                }
            }
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, || self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, || self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.run(Operation::List, prefix, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run(Operation::Put, Some(to), self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.run(Operation::Put, Some(to), self.inner.rename_opts(from, to, options)).await
    }
}
