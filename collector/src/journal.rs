//! The batch under way, kept on disk from before it is sent until it is acknowledged.
//!
//! Why: a line without a time of its own gets the time at which it was read, which would differ after a restart, and so would
//! the cut between batches. A batch is therefore written here, as it will be sent, and synced, *before* the first byte goes to
//! the network. A collector that is killed finds it, sends the very same bytes under the very same id (which a store takes as
//! done if it has them), and goes on behind it. So nothing is lost and nothing is doubled.
//!
//! The file lies beside the positions file, and grows by records; a saved positions file empties it. A `done` record need not be
//! synced: if it is lost, the same batch is sent once more, to no effect. A record that was cut off by a crash is
//! recognised by its checksum and dropped: its batch was never sent.
//!
//! ```text
//! record: | magic 4 | kind 1 | payload length u32 | payload | xxh3-64 of all before, in this record |
//! planned payload: | header length u32 | header, JSON | body | body | …     done payload: empty
//! ```

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::positions::Position;

const MAGIC: &[u8; 4] = b"LBJ1";
const KIND_PLANNED: u8 = 1;
const KIND_DONE: u8 = 2;
const HEADER_BYTES: usize = 9;
const CHECKSUM_BYTES: usize = 8;

/// A journal this long asks for a save of the positions, which empties it.
const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// What a client is to be sent: clients with equal external labels share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    /// The batch's id, the same at every attempt.
    pub(crate) id: u128,
    /// The external labels that were put into it.
    pub(crate) external_labels: String,
    /// A snappy-compressed push request; empty if no line was left to send.
    pub(crate) bytes: Bytes,
}

/// A batch as it will be sent, and how far the files are read when it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Planned {
    /// One body a set of external labels.
    pub(crate) bodies: Vec<Body>,
    /// Entries in each body.
    pub(crate) entries: u64,
    /// How far each file is read.
    pub(crate) advances: Vec<Position>,
    /// Files that are gone for good.
    pub(crate) forgotten: Vec<Position>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    bodies: Vec<BodyHeader>,
    entries: u64,
    advances: Vec<Position>,
    forgotten: Vec<Position>,
}

#[derive(Serialize, Deserialize)]
struct BodyHeader {
    id: String,
    external_labels: String,
    bytes: usize,
}

/// The open journal; it is locked, so that two collectors cannot use one positions file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    len: u64,
}

/// What an earlier collector left.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Batches that were acknowledged after the positions file was saved, oldest first; without bodies.
    pub(crate) done: Vec<Planned>,
    /// The batch that may or may not have arrived.
    pub(crate) pending: Option<Planned>,
}

impl Journal {
    /// Opens or creates the journal beside a positions file, and reads what is left in it.
    pub(crate) fn open(positions_path: &Path) -> anyhow::Result<(Self, Recovered)> {
        let mut path = positions_path.as_os_str().to_owned();
        path.push(".journal");
        let path = PathBuf::from(path);
        let context = || format!("cannot open {} (choose another place with -positions.file)", path.display());
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).with_context(context)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                anyhow::bail!("another collector uses the positions file {}", positions_path.display())
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(context)?;
        let (recovered, good) = recover(&bytes);
        if good < bytes.len() {
            tracing::info!(path = %path.display(), bytes = bytes.len() - good, "dropped the unfinished end of the journal");
            file.set_len(good as u64).with_context(context)?;
        }
        file.seek(io::SeekFrom::Start(good as u64)).with_context(context)?;
        Ok((Journal { file, path, len: good as u64 }, recovered))
    }

    /// Keeps a batch. When this returns, the batch survives a crash, and may be sent.
    pub(crate) fn plan(&mut self, planned: &Planned) -> anyhow::Result<()> {
        let header = Header {
            bodies: planned
                .bodies
                .iter()
                .map(|body| BodyHeader {
                    id: format!("{:032x}", body.id),
                    external_labels: body.external_labels.clone(),
                    bytes: body.bytes.len(),
                })
                .collect(),
            entries: planned.entries,
            advances: planned.advances.clone(),
            forgotten: planned.forgotten.clone(),
        };
        let header = serde_json::to_vec(&header)?;
        let mut payload = u32::try_from(header.len())?.to_le_bytes().to_vec();
        payload.extend_from_slice(&header);
        for body in &planned.bodies {
            payload.extend_from_slice(&body.bytes);
        }
        self.append(KIND_PLANNED, &payload).and_then(|()| self.file.sync_data()).with_context(|| self.context())
    }

    /// Notes that the last batch is settled.
    pub(crate) fn done(&mut self) -> anyhow::Result<()> {
        self.append(KIND_DONE, &[]).with_context(|| self.context())
    }

    /// Whether the positions should be saved, so that the journal can be emptied.
    pub(crate) fn is_long(&self) -> bool {
        self.len > JOURNAL_BYTES_MAX
    }

    /// Empties the journal: all it says stands in the saved positions.
    pub(crate) fn clear(&mut self) -> anyhow::Result<()> {
        self.len = 0;
        self.file.set_len(0).and_then(|()| self.file.rewind()).with_context(|| self.context())
    }

    /// Writes a record at the end of what is known to be good, so that a failed attempt leaves nothing behind.
    fn append(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(HEADER_BYTES + payload.len() + CHECKSUM_BYTES);
        record.extend_from_slice(MAGIC);
        record.push(kind);
        let len = u32::try_from(payload.len()).map_err(|_| io::Error::other("batch over 4 GiB"))?;
        record.extend_from_slice(&len.to_le_bytes());
        record.extend_from_slice(payload);
        record.extend_from_slice(&xxh3_64(&record).to_le_bytes());
        self.file.seek(io::SeekFrom::Start(self.len))?;
        self.file.write_all(&record)?;
        self.len += record.len() as u64;
        Ok(())
    }

    fn context(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}

/// Reads records up to the first that is not whole; gives also where that is.
fn recover(bytes: &[u8]) -> (Recovered, usize) {
    let mut recovered = Recovered::default();
    let mut good = 0;
    while let Some((kind, payload, len)) = bytes.get(good..).and_then(split_record) {
        match kind {
            KIND_PLANNED => match decode_planned(payload) {
                Some(planned) => recovered.pending = Some(planned),
                None => break,
            },
            KIND_DONE => {
                recovered.done.extend(recovered.pending.take().map(|done| Planned { bodies: Vec::new(), ..done }))
            }
            _ => break,
        }
        good += len;
    }
    (recovered, good)
}

fn split_record(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    let [b'L', b'B', b'J', b'1', kind, l0, l1, l2, l3] = *header else { return None };
    let end = HEADER_BYTES.checked_add(u32::from_le_bytes([l0, l1, l2, l3]) as usize)?;
    let checksum = bytes.get(end..)?.first_chunk::<CHECKSUM_BYTES>()?;
    let checked = bytes.get(..end)?;
    (xxh3_64(checked) == u64::from_le_bytes(*checksum)).then_some((
        kind,
        checked.get(HEADER_BYTES..)?,
        end + CHECKSUM_BYTES,
    ))
}

fn decode_planned(payload: &[u8]) -> Option<Planned> {
    let (header_len, rest) = payload.split_first_chunk::<4>()?;
    let (header, mut rest) = rest.split_at_checked(u32::from_le_bytes(*header_len) as usize)?;
    let header: Header = serde_json::from_slice(header).ok()?;
    let mut bodies = Vec::new();
    for body in header.bodies {
        let (bytes, behind) = rest.split_at_checked(body.bytes)?;
        let id = u128::from_str_radix(&body.id, 16).ok()?;
        bodies.push(Body { id, external_labels: body.external_labels, bytes: Bytes::copy_from_slice(bytes) });
        rest = behind;
    }
    Some(Planned { bodies, entries: header.entries, advances: header.advances, forgotten: header.forgotten })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::{FileId, Head};

    fn planned(offset: u64) -> Planned {
        let id = Some(FileId { device: u64::MAX, inode: 7 });
        let advance =
            Position { job: "j".into(), path: "/a".into(), id, head: Head { bytes: 4, hash: u64::MAX }, offset };
        let body = |external_labels: &str, bytes: &'static [u8]| Body {
            id: u128::MAX - u128::from(offset),
            external_labels: external_labels.into(),
            bytes: Bytes::from_static(bytes),
        };
        Planned {
            bodies: vec![body("{}", b"one"), body("{a=\"b\"}", b"")],
            entries: 3,
            advances: vec![advance],
            forgotten: vec![],
        }
    }

    #[test]
    fn the_pending_batch_is_found_again_and_settled_ones_keep_their_advances() {
        let folder = tempfile::tempdir().unwrap();
        let positions = folder.path().join("positions.yaml");
        let (mut journal, _) = Journal::open(&positions).unwrap();
        journal.plan(&planned(1)).unwrap();
        journal.done().unwrap();
        journal.plan(&planned(2)).unwrap();
        assert!(Journal::open(&positions).expect_err("locked").to_string().contains("another collector"));
        drop(journal);
        let (mut journal, recovered) = Journal::open(&positions).unwrap();
        assert_eq!(recovered.pending, Some(planned(2)));
        assert_eq!(recovered.done, [Planned { bodies: vec![], ..planned(1) }]);
        journal.clear().unwrap();
        drop(journal);
        assert!(Journal::open(&positions).unwrap().1.pending.is_none());
    }

    #[test]
    fn a_journal_cut_or_damaged_anywhere_gives_what_was_whole_before() {
        let folder = tempfile::tempdir().unwrap();
        let positions = folder.path().join("positions.yaml");
        let (mut journal, _) = Journal::open(&positions).unwrap();
        journal.plan(&planned(1)).unwrap();
        let first = journal.len as usize;
        journal.done().unwrap();
        journal.plan(&planned(2)).unwrap();
        let whole = std::fs::read(folder.path().join("positions.yaml.journal")).unwrap();
        for cut in 0..whole.len() {
            let (recovered, good) = recover(&whole[..cut]);
            assert!(good <= cut);
            assert_eq!(recovered.pending.is_some(), cut >= first && recovered.done.is_empty(), "cut at {cut}");
            let mut damaged = whole.clone();
            damaged[cut] ^= 0x40;
            let (recovered, good) = recover(&damaged);
            assert!(good <= cut && recovered.pending != Some(planned(2)), "damaged at {cut}");
        }
    }
}
