//! How far each file was read, acknowledged by every client: the positions file.
//!
//! In: advances of acknowledged batches. Out: a YAML file, replaced atomically (temporary name, fsync, rename, fsync of the
//! folder). It never holds an offset whose bytes were not acknowledged. A positions file that Promtail wrote is read too: it
//! has names without fingerprints, so its offsets are taken for files that are at least that long.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::fingerprint::{FileId, Head};

/// How many files are remembered; beyond that, those that were read longest ago are forgotten.
const POSITIONS_MAX: usize = 10_000;

/// How far one file was read by one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The scrape configuration that reads it.
    pub(crate) job: String,
    /// Its name when it was opened.
    pub(crate) path: PathBuf,
    /// Which file it is; absent in a file that Promtail wrote.
    #[serde(flatten)]
    pub(crate) id: Option<FileId>,
    /// Its first bytes.
    #[serde(default)]
    pub(crate) head: Head,
    /// The first byte that was not read.
    pub(crate) offset: u64,
}

impl Position {
    /// Whether both speak of the same file, read by the same job.
    pub(crate) fn is_same_file(&self, other: &Position) -> bool {
        self.id == other.id && self.job == other.job && (self.id.is_some() || self.path == other.path)
    }
}

/// All positions, and the file that keeps them.
#[derive(Debug)]
pub(crate) struct Positions {
    path: PathBuf,
    agent: String,
    /// Least recently advanced first.
    files: Vec<Position>,
    unsaved: bool,
}

/// The file's form.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    /// The collector's own name, drawn once.
    #[serde(default)]
    agent: String,
    #[serde(default)]
    files: Vec<Position>,
    /// Promtail's form.
    #[serde(default, skip_serializing)]
    positions: BTreeMap<PathBuf, String>,
}

impl Positions {
    /// Reads the file, or starts anew if there is none.
    pub(crate) fn load(path: &Path, new_agent: impl FnOnce() -> String) -> anyhow::Result<Self> {
        let saved = match fs::read_to_string(path) {
            Ok(text) if text.trim().is_empty() => Saved::default(),
            Ok(text) => serde_yaml_ng::from_str(&text)
                .with_context(|| format!("cannot read positions file {}", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Saved::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read positions file {}", path.display())),
        };
        let mut files = saved.files;
        for (path, offset) in saved.positions {
            // Promtail also keeps cursors of journals here; only files have plain numbers.
            if let Ok(offset) = offset.parse() {
                files.push(Position { job: String::new(), path, id: None, head: Head::default(), offset });
            }
        }
        let unsaved = saved.agent.is_empty();
        let agent = if unsaved { new_agent() } else { saved.agent };
        Ok(Positions { path: path.to_owned(), agent, files, unsaved })
    }

    /// The collector's own name: part of every batch's id.
    pub(crate) fn agent(&self) -> &str {
        &self.agent
    }

    /// All positions.
    pub(crate) fn files(&self) -> &[Position] {
        &self.files
    }

    /// Whether something changed since the last save.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// Takes over what an acknowledged batch read, and forgets files that are gone.
    pub(crate) fn apply(&mut self, advances: &[Position], forgotten: &[Position]) {
        apply(&mut self.files, advances, forgotten);
        self.unsaved = true;
    }

    /// Writes the file; after this a crash of the machine does not take the positions back.
    pub(crate) fn save(&mut self) -> anyhow::Result<()> {
        let saved = Saved { agent: self.agent.clone(), files: self.files.clone(), positions: BTreeMap::new() };
        let text = serde_yaml_ng::to_string(&saved)?;
        replace_file(&self.path, text.as_bytes())
            .with_context(|| format!("cannot write positions file {}", self.path.display()))?;
        self.unsaved = false;
        Ok(())
    }
}

/// Moves positions forward, the latest to the end of the list, and forgets files that are gone.
pub(crate) fn apply(files: &mut Vec<Position>, advances: &[Position], forgotten: &[Position]) {
    for position in advances {
        let is_old =
            |known: &Position| known.is_same_file(position) || (known.id.is_none() && known.path == position.path);
        files.retain(|known| !is_old(known));
        files.push(position.clone());
    }
    files.retain(|known| !forgotten.iter().any(|gone| gone.is_same_file(known)));
    let excess = files.len().saturating_sub(POSITIONS_MAX);
    files.drain(..excess);
}

fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_back_and_promtails_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.yaml");
        fs::write(&path, "positions:\n  /var/log/a.log: \"12\"\n  cursor-journal: s=ab\n").unwrap();
        let mut positions = Positions::load(&path, || "me".into()).unwrap();
        assert_eq!(positions.files().len(), 1);
        assert_eq!(positions.files()[0].offset, 12);

        let id = Some(FileId { device: 1, inode: 2 });
        let known = Position {
            job: "j".into(),
            path: "/var/log/a.log".into(),
            id,
            head: Head { bytes: 3, hash: u64::MAX },
            offset: 40,
        };
        positions.apply(std::slice::from_ref(&known), &[]);
        assert!(positions.is_unsaved());
        positions.save().unwrap();
        let mut again = Positions::load(&path, || "someone else".into()).unwrap();
        assert_eq!((again.agent(), again.files()), ("me", &[known.clone()][..]));
        again.apply(&[], &[known]);
        assert_eq!(again.files(), []);
    }

    #[test]
    fn a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.yaml");
        fs::write(&path, "files: {").unwrap();
        let error = Positions::load(&path, String::new).expect_err("not YAML");
        assert!(error.to_string().contains("positions.yaml"), "{error}");
    }
}
