//! All open files: finds new ones, follows rotation, and takes turns reading them into a batch.
//!
//! In: jobs with their patterns, and positions of an earlier run. Out: a batch that is filled file by file, a quantum at a time, so that
//! no backlog starves the others. A file that was renamed is read to its end before the one that took its name. It blocks on the
//! disk, so it runs on a thread where that is allowed; it never touches the network.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::config::{Config, JobConfig};
use crate::fingerprint::{FileId, Head};
use crate::metrics::Metrics;
use crate::positions::Position;
use crate::stages::Slot;
use crate::tail::{Found, LINE_BYTES_MAX, Tail};
use crate::targets::is_compressed;

/// Files open at one time; more wait until others are finished. (Most systems allow a process 1,024.)
const FILES_MAX: usize = 900;
/// How long a file without a name is watched, since its writer may not have noticed yet.
const RENAMED_GRACE: Duration = Duration::from_secs(5);
/// Files that were refused or failed and are remembered, so that each is told of once.
const TOLD_MAX: usize = 1_000;
/// Entries of a folder that are looked through for a renamed file.
const FOLDER_ENTRIES_MAX: usize = 10_000;
/// How much is read before the collector looks up again, if stages drop so much that no batch gets full.
const FILL_BYTES_MAX: u64 = 8 << 20;
/// Looking for files takes at most one part in so many of the time.
const DISCOVER_SHARE: u32 = 20;

/// The clock: nanoseconds since 1970.
pub(crate) type Now = fn() -> i64;

/// All files of all jobs.
#[derive(Debug)]
pub(crate) struct Reader {
    jobs: Vec<JobConfig>,
    files: Vec<OpenFile>,
    /// Whose turn it is.
    turn: usize,
    /// Positions of an earlier run that no file has claimed.
    resume: Vec<Position>,
    rules: Rules,
    buffer: Vec<u8>,
    discover_period: Duration,
    next_discovery: Instant,
    told: HashSet<PathBuf>,
}

/// What holds for every line.
#[derive(Debug)]
struct Rules {
    line_bytes_max: usize,
    cut_long_lines: bool,
    batch_bytes_max: usize,
    now: Now,
    /// The time of reading that the last line got; no two get the same.
    last_read_ns: i64,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct OpenFile {
    tail: Tail,
    job: usize,
    labels: Arc<Vec<(Slot, String)>>,
    last_known_ns: Option<i64>,
    /// When its name was found to lead elsewhere.
    renamed_at: Option<Instant>,
    /// Whether an older file of that name must be finished first.
    follows: bool,
}

impl Reader {
    /// Takes up where an earlier run left off.
    pub(crate) fn new(config: &Config, resume: Vec<Position>, now: Now, metrics: Arc<Metrics>) -> Self {
        let hard_max = LINE_BYTES_MAX;
        Reader {
            jobs: config.jobs.clone(),
            files: Vec::new(),
            turn: 0,
            resume,
            rules: Rules {
                line_bytes_max: config.line_bytes_max.unwrap_or(hard_max).min(hard_max),
                cut_long_lines: config.cut_long_lines || config.line_bytes_max.is_none(),
                batch_bytes_max: config.clients.iter().map(|client| client.batchsize).min().unwrap_or(hard_max),
                now,
                last_read_ns: 0,
                metrics,
            },
            buffer: Vec::new(),
            discover_period: config.discover_period,
            next_discovery: Instant::now(),
            told: HashSet::new(),
        }
    }

    /// Bytes of lines that make a batch full.
    pub(crate) fn batch_bytes_max(&self) -> usize {
        self.rules.batch_bytes_max
    }

    /// Looks for new and renamed files, if it is time.
    pub(crate) fn discover(&mut self, now: Instant) {
        if now < self.next_discovery {
            return;
        }
        let mut named = HashSet::new();
        for job in 0..self.jobs.len() {
            let targets = self.jobs.get(job).map_or(0, |job| job.targets.len());
            for target in 0..targets {
                for path in self.find(job, target) {
                    self.meet(job, target, path, &mut named);
                }
            }
        }
        for file in &mut self.files {
            if !named.contains(&(file.job, file.tail.id)) && file.renamed_at.is_none() {
                file.renamed_at = Some(now);
            }
        }
        self.next_discovery = now + self.discover_period.max(now.elapsed() * DISCOVER_SHARE);
    }

    fn find(&self, job: usize, target: usize) -> Vec<PathBuf> {
        self.jobs.get(job).and_then(|job| job.targets.get(target)).map_or(Vec::new(), |target| target.files.find())
    }

    /// A file that a pattern named: known under this or another name, or new.
    fn meet(&mut self, job: usize, target: usize, path: PathBuf, named: &mut HashSet<(usize, FileId)>) {
        let Ok(metadata) = fs::metadata(&path) else { return };
        if !metadata.is_file() {
            return;
        }
        let id = FileId::from(&metadata);
        if !named.insert((job, id)) {
            return;
        }
        if let Some(file) = self.files.iter_mut().find(|file| file.job == job && file.tail.id == id) {
            file.tail.path = path;
            file.renamed_at = None;
        } else if is_compressed(&path) {
            self.tell_once(path, "compressed files are not read");
        } else if self.files.len() >= FILES_MAX {
            self.tell_once(path, "too many open files: this one waits until others are finished");
        } else {
            self.open(job, target, path, named);
        }
    }

    fn open(&mut self, job: usize, target: usize, path: PathBuf, named: &mut HashSet<(usize, FileId)>) {
        let opened = File::open(&path).and_then(|file| Ok((FileId::from(&file.metadata()?), file)));
        let (id, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.tell_once(path, &format!("cannot open: {error}")),
        };
        named.insert((job, id));
        self.told.remove(&path);
        let name = self.job_name(job);
        if let Some(position) = self.claim(&name, &path, id, &file) {
            return self.add(job, target, Tail::new(path, id, file, position.offset, position.head));
        }
        // The file that had this name when the collector stopped may lie beside it under another.
        let left = self.resume.iter().position(|known| known.job == name && known.path == path && known.id.is_some());
        if let Some(left) = left.map(|left| self.resume.remove(left)) {
            match find_renamed(&left) {
                Some((path, file)) => {
                    let id = left.id.unwrap_or(id);
                    let mut tail = Tail::new(left.path.clone(), id, file, left.offset, left.head);
                    tail.path = path;
                    self.add(job, target, tail);
                }
                None => self.resume.push(left),
            }
        }
        self.add(job, target, Tail::new(path, id, file, 0, Head::default()));
    }

    /// The position of this very file, if an earlier run has read it.
    fn claim(&mut self, job: &str, path: &Path, id: FileId, file: &File) -> Option<Position> {
        let size = file.metadata().ok()?.len();
        let found = self.resume.iter().position(|known| {
            let same = match known.id {
                // A device's number may change with a restart of the machine.
                Some(known_id) => {
                    known_id == id || (known_id.inode == id.inode && known.path == path && known.head.bytes > 0)
                }
                None => known.path == path,
            };
            let job_matches =
                known.job == job || known.id.is_none() || self.jobs.iter().all(|job| job.name != known.job);
            same && job_matches && size >= known.offset && known.head.matches(file)
        })?;
        Some(self.resume.remove(found))
    }

    fn add(&mut self, job: usize, target: usize, tail: Tail) {
        let Some(settings) = self.jobs.get(job) else { return };
        let mut labels = settings.targets.get(target).map_or(Vec::new(), |target| target.labels.clone());
        labels.push(("filename".into(), tail.origin.to_string_lossy().into_owned()));
        let labels = Arc::new(settings.pipeline.file_labels(&labels));
        let mut follows = false;
        let now = Instant::now();
        for older in self.files.iter_mut().filter(|older| older.job == job && older.tail.origin == tail.origin) {
            follows = true;
            if older.tail.path == tail.path {
                older.renamed_at.get_or_insert(now);
                self.rules.metrics.rotations.increment();
            }
        }
        self.rules.metrics.files_opened.increment();
        tracing::debug!(path = %tail.path.display(), offset = tail.offset(), "reading");
        self.files.push(OpenFile { tail, job, labels, last_known_ns: None, renamed_at: None, follows });
    }

    /// Fills the batch until it is full, or each file has come to its end. Gives the bytes read.
    pub(crate) fn fill(&mut self, batch: &mut Batch) -> u64 {
        self.discover(Instant::now());
        let mut total = 0;
        let mut quiet = 0;
        while quiet < self.files.len() && total < FILL_BYTES_MAX && !batch.is_full(self.rules.batch_bytes_max) {
            self.turn %= self.files.len();
            let read = self.read_one(self.turn, batch);
            quiet = if read > 0 { 0 } else { quiet + 1 };
            total += read;
            self.turn += 1;
        }
        if quiet >= self.files.len() {
            self.follow_names(batch);
        }
        total
    }

    fn read_one(&mut self, i: usize, batch: &mut Batch) -> u64 {
        if self.must_wait(i) {
            return 0;
        }
        let (Some(file), buffer, rules) = (self.files.get_mut(i), &mut self.buffer, &mut self.rules) else { return 0 };
        let Some(job) = self.jobs.get(file.job) else { return 0 };
        match file.read(job, buffer, rules, batch) {
            Ok(bytes) => bytes,
            Err(error) => {
                let path = file.tail.path.clone();
                self.tell_once(path, &format!("cannot read: {error}"));
                0
            }
        }
    }

    fn must_wait(&mut self, i: usize) -> bool {
        let Some(file) = self.files.get(i).filter(|file| file.follows) else { return false };
        let older = self.files.iter().take(i);
        let waits =
            older.filter(|o| o.job == file.job && o.tail.origin == file.tail.origin).any(|o| !o.tail.is_at_end());
        if !waits && let Some(file) = self.files.get_mut(i) {
            file.follows = false;
        }
        waits
    }

    /// When all is read: which names lead elsewhere now, and which files are finished for good.
    fn follow_names(&mut self, batch: &mut Batch) {
        let now = Instant::now();
        for file in self.files.iter_mut().filter(|file| file.renamed_at.is_none()) {
            if !fs::metadata(&file.tail.path).is_ok_and(|metadata| FileId::from(&metadata) == file.tail.id) {
                file.renamed_at = Some(now);
                self.next_discovery = now;
            }
        }
        let mut i = 0;
        while let Some(file) = self.files.get_mut(i) {
            let gone =
                file.renamed_at.is_some_and(|at| now.duration_since(at) >= RENAMED_GRACE) && file.tail.is_at_end();
            let (true, Some(job)) = (gone, self.jobs.get(file.job)) else {
                i += 1;
                continue;
            };
            if let Err(error) = file.finish(job, &mut self.buffer, &mut self.rules, batch) {
                tracing::warn!(path = %file.tail.path.display(), %error, "cannot read the last line");
            }
            batch.forget(file.tail.position(&job.name));
            self.files.remove(i);
        }
    }

    fn job_name(&self, job: usize) -> String {
        self.jobs.get(job).map_or(String::new(), |job| job.name.clone())
    }

    fn tell_once(&mut self, path: PathBuf, why: &str) {
        if self.told.len() < TOLD_MAX && self.told.insert(path.clone()) {
            tracing::warn!(path = %path.display(), "{why}");
        }
    }
}

impl OpenFile {
    /// Reads one quantum into the batch. Gives the bytes that were taken.
    fn read(
        &mut self,
        job: &JobConfig,
        buffer: &mut Vec<u8>,
        rules: &mut Rules,
        batch: &mut Batch,
    ) -> std::io::Result<u64> {
        if self.tail.restart_if_truncated()? {
            tracing::info!(path = %self.tail.path.display(), "the file was truncated: reading it from its beginning");
            rules.metrics.truncations.increment();
        }
        let from = self.tail.offset();
        let taken = match self.tail.read(buffer)? {
            Found::Nothing | Found::Partial(_) => return Ok(0),
            Found::Lines(len) => self.take_lines(job, buffer.get(..len).unwrap_or_default(), rules, batch),
            Found::Cut { kept, skip } => {
                self.take_cut(job, buffer.get(..kept).unwrap_or_default(), rules, batch);
                skip
            }
        };
        self.tail.advance(taken)?;
        batch.advance(from, self.tail.position(&job.name));
        rules.metrics.bytes_read.add(taken);
        Ok(taken)
    }

    /// Takes whole lines until the batch is full. Gives the bytes taken.
    fn take_lines(&mut self, job: &JobConfig, bytes: &[u8], rules: &mut Rules, batch: &mut Batch) -> u64 {
        let text = to_text(bytes);
        let mut record = job.pipeline.record();
        record.last_known_ns = self.last_known_ns;
        let mut taken = 0;
        let mut lines = 0;
        // A line end is one byte that no broken character can swallow: both ways of splitting give the same lines.
        let mut rest = &*text;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let Some((line, behind)) = split_line(rest) else { break };
            rest = behind;
            rules.take_line(job, &self.labels, self.job, line, &mut record, batch);
            lines += 1;
            taken = end as u64 + 1;
            if batch.is_full(rules.batch_bytes_max) {
                break;
            }
        }
        self.last_known_ns = record.last_known_ns;
        rules.metrics.lines_read.add(lines);
        taken
    }

    fn take_cut(&mut self, job: &JobConfig, bytes: &[u8], rules: &mut Rules, batch: &mut Batch) {
        let text = to_text(bytes);
        let mut record = job.pipeline.record();
        record.last_known_ns = self.last_known_ns;
        rules.metrics.lines_read.increment();
        rules.metrics.lines_cut.increment();
        tracing::warn!(path = %self.tail.path.display(), offset = self.tail.offset(), "a line is longer than {LINE_BYTES_MAX} bytes");
        rules.take_line(job, &self.labels, self.job, &text, &mut record, batch);
        self.last_known_ns = record.last_known_ns;
    }

    /// Takes the unfinished last line of a file that will not be continued.
    fn finish(
        &mut self,
        job: &JobConfig,
        buffer: &mut Vec<u8>,
        rules: &mut Rules,
        batch: &mut Batch,
    ) -> std::io::Result<()> {
        let (from, rest) = (self.tail.offset(), self.tail.rest_bytes());
        if rest == 0 {
            return Ok(());
        }
        self.tail.read_rest(buffer)?;
        let text = to_text(buffer);
        let mut record = job.pipeline.record();
        record.last_known_ns = self.last_known_ns;
        rules.metrics.lines_read.increment();
        rules.take_line(job, &self.labels, self.job, &text, &mut record, batch);
        self.tail.advance(rest)?;
        batch.advance(from, self.tail.position(&job.name));
        rules.metrics.bytes_read.add(rest);
        Ok(())
    }
}

impl Rules {
    fn take_line<'a>(
        &mut self,
        job: &JobConfig,
        labels: &'a [(Slot, String)],
        job_index: usize,
        line: &'a str,
        record: &mut crate::stages::Record<'a>,
        batch: &mut Batch,
    ) {
        let mut line = line.strip_suffix('\r').unwrap_or(line);
        if line.len() > self.line_bytes_max {
            if !self.cut_long_lines {
                return self.metrics.lines_too_long.increment();
            }
            self.metrics.lines_cut.increment();
            line = line.get(..line.floor_char_boundary(self.line_bytes_max)).unwrap_or_default();
        }
        // Equal lines of one moment are two lines: without a time of their own, no two may get the same.
        self.last_read_ns = (self.last_read_ns + 1).max((self.now)());
        if job.pipeline.process(record, labels, line, self.last_read_ns, &self.metrics) {
            batch.push(job_index, &job.pipeline, record);
        } else {
            self.metrics.lines_dropped_by_stages.increment();
        }
    }
}

/// Replaces what is no UTF-8. Most logs are plain: checking first is several times faster than searching for what to replace.
fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn split_line(text: &str) -> Option<(&str, &str)> {
    let end = memchr::memchr(b'\n', text.as_bytes())?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// Looks beside a file's old name for the file itself; only if there is something left to read in it.
fn find_renamed(left: &Position) -> Option<(PathBuf, File)> {
    let folder = fs::read_dir(left.path.parent()?).ok()?;
    for entry in folder.take(FOLDER_ENTRIES_MAX).flatten() {
        let is_it = |metadata: &fs::Metadata| metadata.is_file() && Some(FileId::from(metadata)) == left.id;
        if !entry.metadata().is_ok_and(|metadata| is_it(&metadata)) {
            continue;
        }
        let file = File::open(entry.path()).ok()?;
        let size = file.metadata().ok().filter(is_it)?.len();
        return (size > left.offset && left.head.matches(&file)).then(|| (entry.path(), file));
    }
    None
}
