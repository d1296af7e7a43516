//! The part of the block cache that lies on disk: one file a range, in a folder that several processes may share.
//!
//! ```text
//! | checksum of all that follows: 8 bytes | length of the name: 4 | name of object and range | the range's bytes |
//! ```
//! A file is written beside its place and then renamed, so that a process that is killed leaves none that is half written; what
//! was damaged otherwise does not have its checksum, and counts as not there. What was written longest ago goes first. Each
//! process looks through the folder when it has written a part of the bound, so that several stay within the bound together,
//! but for what they write between two looks.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::Place;

/// The folder within the one that was given; another form of file would get another one.
const FOLDER: &str = "logbarn-blocks-1";
/// Ends the names of files that are being written.
const UNFINISHED: &str = ".new";
/// After having written this part of the bound, a process looks what is there.
const LOOK_PART: u64 = 16;
/// Then what is older goes until this many parts of `LOOK_PART` are left.
const LEFT_PARTS: u64 = 12;
const HEAD_BYTES: usize = 12;

/// A folder of ranges.
pub(crate) struct Disk {
    folder: PathBuf,
    bytes_max: u64,
    /// Bytes written since the last look; none: there was no look yet.
    written: Mutex<Option<u64>>,
    /// Whether it was said that the folder cannot be written.
    complained: AtomicBool,
}

impl Disk {
    pub(crate) fn new(directory: PathBuf, bytes_max: u64) -> Self {
        let (written, complained) = Default::default();
        Disk { folder: directory.join(FOLDER), bytes_max, written, complained }
    }

    pub(crate) fn has(&self, place: &Place) -> bool {
        self.path(&name(place)).exists()
    }

    /// The bytes of a range, if they are there and whole.
    pub(crate) fn get(&self, place: &Place) -> Option<Bytes> {
        let name = name(place);
        let path = self.path(&name);
        let mut found = Vec::new();
        File::open(&path).and_then(|mut file| file.read_to_end(&mut found)).ok()?;
        let found = Bytes::from(found);
        match opened(&found, &name).filter(|bytes| bytes.len() as u64 == place.range.end - place.range.start) {
            Some(bytes) => Some(bytes),
            None => {
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a range, if there is room for it.
    pub(crate) fn put(&self, place: &Place, bytes: &[u8]) {
        let name = name(place);
        let length = (HEAD_BYTES + name.len() + bytes.len()) as u64;
        if length > self.bytes_max / LOOK_PART {
            return;
        }
        let outcome = self.make_room(length).and_then(|()| self.write(&self.path(&name), &name, bytes));
        if let Err(why) = outcome
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(folder = %self.folder.display(), %why, "the block cache cannot be written");
        }
    }

    fn write(&self, path: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        let name_len = u32::try_from(name.len()).map_err(io::Error::other)?;
        let mut body = Vec::with_capacity(HEAD_BYTES + name.len() + bytes.len());
        body.extend_from_slice(&[0; size_of::<u64>()]);
        body.extend_from_slice(&name_len.to_le_bytes());
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(bytes);
        let checksum = xxh3_64(body.get(size_of::<u64>()..).unwrap_or_default());
        body.splice(..size_of::<u64>(), checksum.to_le_bytes());
        // Two who write the same range write the same bytes, each under a name of its own.
        let unfinished =
            path.with_extension(format!("{}-{:?}{UNFINISHED}", std::process::id(), std::thread::current().id()));
        let written = File::create(&unfinished).and_then(|mut file| file.write_all(&body));
        written.and_then(|()| fs::rename(&unfinished, path)).inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    /// Looks through the folder now and then, and takes away what is too much.
    fn make_room(&self, length: u64) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let since = written.map(|written| written + length);
        *written = match since {
            Some(since) if since <= self.bytes_max / LOOK_PART => Some(since),
            _ => {
                fs::create_dir_all(&self.folder)?;
                self.take_oldest(self.bytes_max / LOOK_PART * LEFT_PARTS)?;
                Some(length)
            }
        };
        Ok(())
    }

    fn take_oldest(&self, bytes_left: u64) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            // Another process may have taken it away meanwhile.
            let Ok(meta) = file.metadata() else { continue };
            files.push((meta.modified()?, file.path(), meta.len()));
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(.., length)| length).sum();
        for (_, path, length) in files {
            if bytes <= bytes_left {
                break;
            }
            let _ = fs::remove_file(path);
            bytes -= length;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{:032x}", xxh3_128(name.as_bytes())))
    }
}

/// What a range is called: names of objects hold no such sign.
fn name(place: &Place) -> String {
    format!("{}?{}-{}", place.object, place.range.start, place.range.end)
}

/// The bytes of a file that is whole and of that name.
fn opened(file: &Bytes, name: &str) -> Option<Bytes> {
    let (checksum, checked) = file.split_first_chunk::<8>()?;
    let (name_len, rest) = checked.split_first_chunk::<4>()?;
    let is_whole = xxh3_64(checked) == u64::from_le_bytes(*checksum);
    let is_named = rest.get(..u32::from_le_bytes(*name_len) as usize)? == name.as_bytes();
    (is_whole && is_named).then(|| file.slice(HEAD_BYTES + name.len()..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(start: u64, length: u64) -> Place {
        Place { object: "t/a/x".into(), range: start..start + length }
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        let all = fs::read_dir(directory.join(FOLDER)).expect("a folder");
        all.map(|file| file.expect("a file").path()).collect()
    }

    #[test]
    fn what_is_damaged_is_not_there() {
        let directory = tempfile::tempdir().expect("a folder");
        let disk = Disk::new(directory.path().to_owned(), 1 << 20);
        let check = |damage: &dyn Fn(&mut Vec<u8>), want: bool| {
            disk.put(&place(7, 3), b"abc");
            let path = files(directory.path()).pop().expect("a file");
            let mut bytes = fs::read(&path).expect("a file");
            damage(&mut bytes);
            fs::write(&path, bytes).expect("written");
            assert_eq!(disk.get(&place(7, 3)).is_some(), want);
            assert_eq!(disk.has(&place(7, 3)), want, "what is damaged goes");
        };
        check(&|_| {}, true);
        check(&|bytes| bytes.truncate(5), false);
        check(&|bytes| bytes.clear(), false);
        check(&|bytes| *bytes.last_mut().expect("a byte") ^= 1, false);
        check(&|bytes| bytes.push(0), false);
        check(&|bytes| bytes[12] ^= 1, false);
    }

    #[test]
    fn two_processes_stay_within_the_bound() {
        let directory = tempfile::tempdir().expect("a folder");
        let bytes_max = 64 << 10;
        let disks = [(); 2].map(|()| Disk::new(directory.path().to_owned(), bytes_max));
        for at in 0..400 {
            disks[at as usize % 2].put(&place(at, 1000), &[1; 1000]);
            let bytes: u64 = files(directory.path()).iter().map(|file| fs::metadata(file).expect("a file").len()).sum();
            assert!(bytes <= bytes_max, "{bytes}");
        }
        assert!(files(directory.path()).len() > 30);
        assert!(disks[0].get(&place(399, 1000)).is_some());
    }

    #[test]
    fn leftovers_of_the_dead_are_taken_away() {
        let directory = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(directory.path().join(FOLDER)).expect("a folder");
        let leftover = directory.path().join(FOLDER).join("x.1-1.new");
        fs::write(&leftover, vec![0; 60_000]).expect("written");
        Disk::new(directory.path().to_owned(), 64 << 10).put(&place(0, 10), &[0; 10]);
        assert!(!leftover.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let disk = Disk::new(file.path().to_owned(), 1 << 20);
        disk.put(&place(0, 1), b"a");
        assert_eq!(disk.get(&place(0, 1)), None);
    }
}
