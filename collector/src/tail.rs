//! One open file: which whole lines come next.
//!
//! In: a file that others append to, rename, truncate or delete. Out: whole lines as bytes, each once. A last line without
//! its line end waits until the end comes, or until the file is finished. Nothing of a file is kept in memory between two reads:
//! the unfinished part of a line is simply read again, so that a thousand open files cost no more than one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use crate::fingerprint::{FileId, Head};
use crate::positions::Position;

/// How much of one file is read before it is another file's turn.
pub(crate) const QUANTUM_BYTES: usize = 64 << 10;
/// Longest line in any case; of a longer one, the rest is left out.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;
/// How much of an overlong line is skipped at one time.
const SKIP_BYTES_MAX: u64 = 16 << 20;

/// What a read found at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// So many bytes of whole lines.
    Lines(usize),
    /// The first so many bytes of a line that is longer than any line may be; the whole of it takes `skip` bytes of the file.
    Cut {
        /// Bytes in the buffer.
        kept: usize,
        /// Bytes in the file, line end included.
        skip: u64,
    },
    /// So many bytes of a line that has no end yet.
    Partial(usize),
    /// Nothing new.
    Nothing,
}

/// One open file.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Its name when it was opened: the `filename` label.
    pub(crate) origin: PathBuf,
    /// Its name now, as far as known.
    pub(crate) path: PathBuf,
    /// Which file it is.
    pub(crate) id: FileId,
    file: File,
    /// The first byte that was not handed on.
    offset: u64,
    head: Head,
    /// Size at the last read that reached the end.
    size_at_end: Option<u64>,
    /// Bytes of whole lines that the last read found.
    found: u64,
    /// How far an overlong line was searched for its end.
    skipped_to: u64,
}

impl Tail {
    /// Starts at an offset with a known head.
    pub(crate) fn new(path: PathBuf, id: FileId, file: File, offset: u64, head: Head) -> Self {
        Tail { origin: path.clone(), path, id, file, offset, head, size_at_end: None, found: 0, skipped_to: 0 }
    }

    /// Whether all that the file holds now has been read, but for an unfinished line.
    pub(crate) fn is_at_end(&self) -> bool {
        self.size_at_end.is_some()
            && self.file.metadata().is_ok_and(|metadata| Some(metadata.len()) == self.size_at_end)
    }

    /// How far the file was read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// How far the file was read, to be remembered for a job.
    pub(crate) fn position(&self, job: &str) -> Position {
        Position {
            job: job.to_owned(),
            path: self.origin.clone(),
            id: Some(self.id),
            head: self.head,
            offset: self.offset,
        }
    }

    /// Notices that the file was cut or written anew, and starts from its beginning then.
    pub(crate) fn restart_if_truncated(&mut self) -> io::Result<bool> {
        let size = self.file.metadata()?.len();
        let rewritten = || self.size_at_end != Some(size) && !self.head.matches(&self.file);
        if size >= self.offset && !rewritten() {
            return Ok(false);
        }
        self.offset = 0;
        self.head = Head::default();
        self.size_at_end = None;
        self.skipped_to = 0;
        Ok(true)
    }

    /// Reads what comes next into the buffer, without going on: that is `advance`'s part.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Found> {
        let size = self.file.metadata()?.len();
        if self.size_at_end == Some(size) || size <= self.offset {
            self.size_at_end = Some(size);
            return Ok(Found::Nothing);
        }
        let mut want = QUANTUM_BYTES;
        loop {
            buffer.resize(want, 0);
            let read = read_full_at(&self.file, buffer, self.offset)?;
            buffer.truncate(read);
            self.size_at_end = (read < want).then_some(self.offset + read as u64);
            if let Some(end) = memchr::memrchr(b'\n', buffer) {
                self.found = end as u64 + 1;
                return Ok(Found::Lines(end + 1));
            }
            if read < want {
                return Ok(if read == 0 { Found::Nothing } else { Found::Partial(read) });
            }
            if want >= LINE_BYTES_MAX {
                return self.find_end_of_overlong(want);
            }
            want = (want * 4).min(LINE_BYTES_MAX);
        }
    }

    /// Goes on behind bytes that were handed on.
    pub(crate) fn advance(&mut self, bytes: u64) -> io::Result<()> {
        self.offset += bytes;
        self.skipped_to = 0;
        if bytes < self.found {
            // The batch was full before the lines were out: the end of the file was seen, but not reached.
            self.size_at_end = None;
        }
        if self.head.is_short() {
            self.head = Head::of(&self.file, self.offset)?;
        }
        Ok(())
    }

    fn find_end_of_overlong(&mut self, kept: usize) -> io::Result<Found> {
        let mut at = self.skipped_to.max(self.offset + kept as u64);
        let stop = at + SKIP_BYTES_MAX;
        let mut window = vec![0; QUANTUM_BYTES];
        while at < stop {
            let read = read_full_at(&self.file, &mut window, at)?;
            if let Some(end) = window.get(..read).and_then(|read| memchr::memchr(b'\n', read)) {
                return Ok(Found::Cut { kept, skip: at + end as u64 + 1 - self.offset });
            }
            at += read as u64;
            if read < window.len() {
                self.size_at_end = Some(at);
                break;
            }
        }
        self.skipped_to = at;
        Ok(if self.size_at_end.is_some() { Found::Partial(kept) } else { Found::Nothing })
    }

    /// Bytes behind what was handed on: an unfinished line, if the end was reached.
    pub(crate) fn rest_bytes(&self) -> u64 {
        self.size_at_end.map_or(0, |end| end.saturating_sub(self.offset))
    }

    /// Reads the unfinished last line, for a file that will not be continued.
    pub(crate) fn read_rest(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(self.rest_bytes().min(LINE_BYTES_MAX as u64) as usize, 0);
        let read = read_full_at(&self.file, buffer, self.offset)?;
        buffer.truncate(read);
        Ok(())
    }
}

fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn open(folder: &tempfile::TempDir) -> (File, Tail) {
        let path = folder.path().join("a.log");
        let writer = File::options().create(true).append(true).open(&path).unwrap();
        let file = File::open(&path).unwrap();
        let id = FileId::from(&file.metadata().unwrap());
        (writer, Tail::new(path, id, file, 0, Head::default()))
    }

    fn read(tail: &mut Tail) -> (Found, Vec<u8>) {
        let mut buffer = Vec::new();
        let found = tail.read(&mut buffer).unwrap();
        (found, buffer)
    }

    #[test]
    fn a_partial_line_waits_for_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut tail) = open(&folder);
        assert_eq!(read(&mut tail).0, Found::Nothing);
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(read(&mut tail).0, Found::Lines(4));
        tail.advance(4).unwrap();
        assert_eq!(tail.rest_bytes(), 2);
        assert_eq!(read(&mut tail).0, Found::Nothing, "nothing came");
        writer.write_all(b"o").unwrap();
        assert_eq!(read(&mut tail), (Found::Partial(3), b"two".to_vec()));
        writer.write_all(b"\n").unwrap();
        assert_eq!(read(&mut tail), (Found::Lines(4), b"two\n".to_vec()));
    }

    #[test]
    fn lines_that_were_found_but_not_taken_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut tail) = open(&folder);
        writer.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(read(&mut tail).0, Found::Lines(8));
        tail.advance(4).unwrap();
        assert!(!tail.is_at_end());
        assert_eq!(read(&mut tail), (Found::Lines(4), b"two\n".to_vec()));
    }

    #[test]
    fn truncation_is_noticed_even_if_the_file_has_grown_past_the_old_end() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut tail) = open(&folder);
        writer.write_all(b"old line\n").unwrap();
        assert_eq!(read(&mut tail).0, Found::Lines(9));
        tail.advance(9).unwrap();
        read(&mut tail);
        assert!(!tail.restart_if_truncated().unwrap());
        writer.set_len(0).unwrap();
        writer.write_all(b"new line, longer than the old\n").unwrap();
        assert!(tail.restart_if_truncated().unwrap());
        assert_eq!(read(&mut tail).0, Found::Lines(30));
        tail.advance(30).unwrap();
        writer.set_len(0).unwrap();
        assert!(tail.restart_if_truncated().unwrap());
        assert_eq!(tail.offset(), 0);
    }

    #[test]
    fn an_overlong_line_is_cut_and_the_next_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut tail) = open(&folder);
        writer.write_all(&vec![b'x'; LINE_BYTES_MAX + 100_000]).unwrap();
        assert_eq!(read(&mut tail).0, Found::Partial(LINE_BYTES_MAX));
        writer.write_all(b"\nnext\n").unwrap();
        let skip = LINE_BYTES_MAX as u64 + 100_001;
        assert_eq!(read(&mut tail).0, Found::Cut { kept: LINE_BYTES_MAX, skip });
        tail.advance(skip).unwrap();
        assert_eq!(read(&mut tail), (Found::Lines(5), b"next\n".to_vec()));
    }
}
