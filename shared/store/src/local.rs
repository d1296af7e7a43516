//! A folder that keeps the promises of S3.
//!
//! In: objects. Out: files, one an object, under the same names. A put writes a temporary file, fsyncs it, links it into place
//! (which fails if the object exists) and fsyncs the folder; only then it returns. So an object is whole or absent, two creators
//! never both win, and what was acknowledged survives a power cut, also when the acknowledgement was "exists already". Listings
//! come in byte order of the keys, folder by folder, and never show a temporary file.
//!
//! Temporary files live in `.incoming` and are removed at open, unless another living process has the folder open: each holds a
//! shared lock on `.incoming/lock` for life, and only who gets it exclusively cleans. (The lock of a killed process is released by
//! the system.) Where the folder cannot be written it can still be read. Reading is `LocalFileSystem`'s own, and so
//! is listing, but for days of which names alone tell enough (see `names`).

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// Where files are until they are whole.
const INCOMING: &str = ".incoming";
/// How often a put starts again because somebody removed folders under it.
const ATTEMPTS_MAX: usize = 3;
/// How many names of temporary files are tried.
const TEMPORARY_NAMES_MAX: usize = 10_000;

/// A folder as an object store.
#[derive(Debug)]
pub(crate) struct LocalFolder {
    reader: LocalFileSystem,
    writer: Arc<Writer>,
}

impl LocalFolder {
    /// Opens a folder, making it if need be, and removes what a killed process left half-written.
    pub(crate) fn open(root: &FilePath) -> io::Result<Self> {
        make_root(root)?;
        let root = root.canonicalize()?;
        let reader = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::from)?;
        let incoming = root.join(INCOMING);
        let alive = match clean(&incoming) {
            Ok(lock) => Some(lock),
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => None,
            Err(error) => return Err(error),
        };
        let writer = Writer { incoming, root, _alive: alive, counter: AtomicU64::default(), durable: Mutex::default() };
        Ok(LocalFolder { reader, writer: Arc::new(writer) })
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &FilePath {
        &self.writer.root
    }
}

/// Makes the folder of the store, and those above it, durable: a power cut must not take it away with all that is in it.
fn make_root(root: &FilePath) -> io::Result<()> {
    let missing: Vec<&FilePath> = root.ancestors().take_while(|folder| !folder.is_dir()).collect();
    fs::create_dir_all(root)?;
    missing.iter().filter_map(|folder| folder.parent()).try_for_each(sync_folder)
}

/// Removes leftovers if nobody else has the folder open, and gives the lock that says we do.
fn clean(incoming: &FilePath) -> io::Result<File> {
    fs::create_dir_all(incoming)?;
    let lock = OpenOptions::new().create(true).write(true).truncate(false).open(incoming.join("lock"))?;
    // Some network file systems have no locks: then nobody can know whether a temporary file is in use, and it stays.
    if lock.try_lock().is_ok() {
        for entry in fs::read_dir(incoming)? {
            let entry = entry?;
            if entry.file_name() != "lock" {
                fs::remove_file(entry.path())?;
            }
        }
    }
    let _ = lock.lock_shared();
    Ok(lock)
}

#[derive(Debug)]
struct Writer {
    root: PathBuf,
    incoming: PathBuf,
    /// Held for the life of the store, never used.
    _alive: Option<File>,
    counter: AtomicU64,
    /// Folders whose own entry was fsynced by this process.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Writer {
    fn put(&self, location: &Path, file: &FilePath, payload: &PutPayload, mode: &PutMode) -> Result<PutResult> {
        let create = match mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(unsupported("update by version")),
        };
        let mut result = self.publish(file, payload, create);
        for _ in 1..ATTEMPTS_MAX {
            if !result.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                break;
            }
            // Somebody removed the day's folder while we wrote: what is known of folders no longer holds.
            self.folders().clear();
            result = self.publish(file, payload, create);
        }
        match result {
            Ok(()) => Ok(PutResult { e_tag: None, version: None, extensions: Default::default() }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: location.to_string(), source: Box::new(error) })
            }
            Err(error) => Err(Error::Generic { store: "folder", source: Box::new(error) }),
        }
    }

    /// Writes, fsyncs, links, fsyncs. Leaves no temporary file behind, whatever happens.
    fn publish(&self, file: &FilePath, payload: &PutPayload, create: bool) -> io::Result<()> {
        let folder = file.parent().ok_or(ErrorKind::InvalidInput)?;
        self.ensure(folder)?;
        if create && file.try_exists()? {
            // Whoever linked it may not have fsynced yet, and our caller is about to acknowledge it.
            sync_folder(folder)?;
            return Err(ErrorKind::AlreadyExists.into());
        }
        let (mut target, temporary) = self.temporary()?;
        let written = payload.iter().try_for_each(|chunk| target.write_all(chunk)).and_then(|()| target.sync_data());
        let published = written.and_then(|()| match create {
            true => fs::hard_link(&temporary, file),
            false => fs::rename(&temporary, file),
        });
        if create || published.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        match published {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            // Here too "exists already" must be as durable as "created".
            result => sync_folder(folder).and(result),
        }
    }

    fn temporary(&self) -> io::Result<(File, PathBuf)> {
        for _ in 0..TEMPORARY_NAMES_MAX {
            let name = format!("{}-{}", std::process::id(), self.counter.fetch_add(1, Relaxed));
            let path = self.incoming.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                // A process of the same number in another container: take the next name.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(&self.incoming)?,
                result => return Ok((result?, path)),
            }
        }
        Err(io::Error::other("no free name for a temporary file"))
    }

    /// Makes a folder and those above it, each fsynced before it counts as made.
    fn ensure(&self, folder: &FilePath) -> io::Result<()> {
        let missing: Vec<&FilePath> = {
            let durable = self.folders();
            let below = folder.ancestors().take_while(|f| *f != self.root && f.starts_with(&self.root));
            below.take_while(|f| !durable.contains(*f)).collect()
        };
        for folder in missing.into_iter().rev() {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                // Made by another process, perhaps not yet fsynced by it.
                _ => sync_folder(folder.parent().unwrap_or(&self.root))?,
            }
            self.folders().insert(folder.to_path_buf());
        }
        Ok(())
    }

    fn folders(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the entries of a folder durable.
fn sync_folder(folder: &FilePath) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: "LocalFolder".into() }
}

impl fmt::Display for LocalFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalFolder({})", self.writer.root.display())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for LocalFolder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let file = self.reader.path_to_filesystem(location)?;
        let (writer, location) = (Arc::clone(&self.writer), location.clone());
        tokio::task::spawn_blocking(move || writer.put(&location, &file, &payload, &opts.mode)).await?
    }

    /// Not offered: objects are written whole.
    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unsupported("multipart upload"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reader.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reader.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.reader.delete_stream(locations)
    }

    /// In byte order, as S3 lists; a folder is read when the stream comes to it, so that who stops early reads little.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let start = Pending::Folder(prefix.cloned().unwrap_or_default());
        let reader = self.reader.clone();
        let entries = futures::stream::try_unfold((reader, vec![start]), |(reader, mut stack)| async move {
            loop {
                match stack.pop() {
                    None => return Ok(None),
                    Some(Pending::Object(meta)) => return Ok(Some((meta, (reader, stack)))),
                    Some(Pending::Folder(folder)) => stack.extend(entries(&reader, &folder).await?),
                }
            }
        });
        entries.boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        self.list(prefix).try_filter(move |meta| std::future::ready(meta.location > offset)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut result = self.reader.list_with_delimiter(prefix).await?;
        result.common_prefixes.retain(|folder| folder.as_ref() != INCOMING);
        result.objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(result)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unsupported("copy"))
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(unsupported("rename"))
    }
}

/// What a listing has still to show.
enum Pending {
    Folder(Path),
    Object(ObjectMeta),
}

/// The entries of a folder, last first: the listing takes them from the end.
async fn entries(reader: &LocalFileSystem, folder: &Path) -> Result<Vec<Pending>> {
    let result = reader.list_with_delimiter(Some(folder)).await?;
    let folders = result.common_prefixes.into_iter().filter(|f| f.as_ref() != INCOMING).map(Pending::Folder);
    let mut all: Vec<Pending> = folders.chain(result.objects.into_iter().map(Pending::Object)).collect();
    // A key below a folder goes on with a slash, and so it must sort.
    all.sort_by_cached_key(|pending| {
        std::cmp::Reverse(match pending {
            Pending::Folder(path) => format!("{path}/"),
            Pending::Object(meta) => meta.location.to_string(),
        })
    });
    Ok(all)
}
