//! Tells whether a file is the one that was read before.
//!
//! A name says little (rotation moves it), device and inode say more (but are reused after a deletion), and the first bytes
//! settle it: they are hashed up to where the file was read, since what was read of a log does not change again.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// How many of a file's first bytes are hashed at most: a log line's worth, so that its time is most likely among them.
pub(crate) const HEAD_BYTES_MAX: u64 = 256;

/// Which file on which disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct FileId {
    /// The device's number; it may change when the machine starts again.
    pub(crate) device: u64,
    /// The inode's number; it may be used again when the file is deleted.
    pub(crate) inode: u64,
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A hash of a file's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Head {
    /// How many bytes were hashed; none matches every file.
    pub(crate) bytes: u64,
    /// Their hash.
    pub(crate) hash: u64,
}

impl Head {
    /// Hashes as many first bytes as were read of the file and the limit allows.
    pub(crate) fn of(file: &File, offset: u64) -> io::Result<Self> {
        let bytes = offset.min(HEAD_BYTES_MAX);
        let mut buffer = [0; HEAD_BYTES_MAX as usize];
        let head = buffer.get_mut(..bytes as usize).expect("bytes is at most the buffer's size");
        file.read_exact_at(head, 0)?;
        Ok(Head { bytes, hash: if bytes == 0 { 0 } else { xxh3_64(head) } })
    }

    /// Whether the hash may still grow as more of the file is read.
    pub(crate) fn is_short(&self) -> bool {
        self.bytes < HEAD_BYTES_MAX
    }

    /// Whether the file starts with the bytes that were hashed. A shorter file does not.
    pub(crate) fn matches(&self, file: &File) -> bool {
        Head::of(file, self.bytes).is_ok_and(|head| head == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_matches_while_its_first_bytes_stay() {
        let mut file = tempfile::tempfile().unwrap();
        let empty = Head::of(&file, 0).unwrap();
        file.write_all(b"first line\n").unwrap();
        let head = Head::of(&file, 11).unwrap();
        file.write_all(&[b'x'; 1000]).unwrap();
        assert!(head.matches(&file) && empty.matches(&file));
        assert!(Head::of(&file, 1011).unwrap().matches(&file));
        file.write_all_at(b"F", 0).unwrap();
        assert!(!head.matches(&file) && empty.matches(&file));
        file.set_len(3).unwrap();
        assert!(!head.matches(&file), "shorter than what was hashed");
    }
}
