//! Judges a decoded push entry by entry, and enriches what it takes.
//!
//! In: streams as sent, the tenant's limits and the time now. Out: a batch of what is accepted, and a refusal for
//! everything else: valid entries are stored although others of the same push are not. The order of the checks is Loki's.
//! The batch's id is a function of what was sent, and of what was left out of it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use loki_api::config::Limits;
use loki_api::push::{PushEntry, PushRequest, PushStream};
use model::{Day, Labels, NANOS_PER_SECOND, TenantId};
use xxhash_rust::xxh3::Xxh3;

use crate::batch::{Batch, TEXT_BYTES_MAX};
use crate::level::{OfStream, detect};
use crate::names::Names;
use crate::rates::TenantRates;
use crate::refusal::{Reason, Refusal, Refusals};

/// The label that says which service a stream is of.
const SERVICE_NAME: &str = "service_name";
const UNKNOWN_SERVICE: &str = "unknown_service";
/// Streams that Loki writes itself and that belong to no service.
const INTERNAL_LABELS: [&str; 2] = ["__aggregated_metric__", "__pattern__"];
/// The labels of a backfilled stream; no client may send them.
pub(crate) const BACKFILL_LABELS: [&str; 2] = ["__backfill__", "__backfill_shard__"];
/// Days that one push may touch: each is a PUT of its own.
const DAYS_MAX: usize = 400;

/// What is judged, and by what.
pub(crate) struct Judge<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) limits: &'a Limits,
    pub(crate) now_ns: i64,
    /// The shard of a backfill, which may be as old as it is.
    pub(crate) backfill: Option<&'a str>,
}

/// A judged push.
#[derive(Default)]
pub(crate) struct Accepted {
    pub(crate) batch: Batch,
    pub(crate) refusals: Refusals,
    /// Bytes of all lines and metadata as sent, refused ones too.
    pub(crate) bytes_received: u64,
    /// All lines sent.
    pub(crate) lines_received: u64,
    /// Status and text if the tenant is blocked.
    pub(crate) blocked: Option<(StatusCode, String)>,
    /// What `_bulk` is answered.
    pub(crate) answer: Option<String>,
    /// Entries that were left out, or whole streams: the place of each and the number of its text.
    left: HashMap<(usize, usize), Option<usize>>,
    /// How many entries had no time so far.
    untimed: i64,
    /// Says which entries are not in the batch.
    left_out: Xxh3,
    any_left_out: bool,
    days: HashSet<Day>,
    /// The day of the last entry taken: mostly the next one's, too.
    last_day: Option<Day>,
}

impl Accepted {
    /// Leaves out an entry, or with `WHOLE` a stream.
    fn leave_out(&mut self, stream: usize, entry: usize, refusal: Refusal, lines: u64, bytes: u64) {
        let text = self.refusals.add(refusal, lines, bytes);
        self.left.insert((stream, entry), text);
        self.any_left_out = true;
        self.left_out.update(&(stream as u64).to_le_bytes());
        self.left_out.update(&(entry as u64).to_le_bytes());
    }
}

/// Stands for every entry of a stream.
pub(crate) const WHOLE: usize = usize::MAX;

impl Accepted {
    /// A push of a tenant that may not push: everything is counted, nothing stored.
    pub(crate) fn blocked(request: &PushRequest<'_>, blocked: (StatusCode, String)) -> Self {
        let mut accepted = Accepted { blocked: Some(blocked), ..Accepted::default() };
        for stream in &request.streams {
            accepted.lines_received += stream.entries.len() as u64;
            accepted.bytes_received += stream_bytes(stream);
        }
        let (lines, bytes) = (accepted.lines_received, accepted.bytes_received);
        accepted.refusals.discard(Reason::BlockedIngestion, lines, bytes);
        accepted
    }

    /// Counts a document that could not be read.
    pub(crate) fn refuse_document(&mut self, why: String, bytes: usize) {
        self.lines_received += 1;
        self.bytes_received += bytes as u64;
        self.refusals.add(Refusal::invalid_document(why), 1, bytes as u64);
    }

    /// Why an entry was left out, if it was.
    pub(crate) fn refusal(&self, (stream, entry): (usize, usize)) -> Option<(u16, &str)> {
        let text = self.left.get(&(stream, entry)).or_else(|| self.left.get(&(stream, WHOLE)))?;
        Some(self.refusals.told(*text))
    }
}

impl Judge<'_> {
    /// Judges a push. `id` is a hash of the body, or what the collector calls it; `body_bytes` is how much text to expect.
    pub(crate) fn judge(
        &self,
        request: &PushRequest<'_>,
        id: u128,
        body_bytes: usize,
        rates: &Mutex<TenantRates>,
    ) -> Accepted {
        let mut accepted = Accepted { batch: Batch::with_capacity(body_bytes), ..Accepted::default() };
        let (mut lines, mut bytes) = (0, 0);
        let mut stream_bytes = Vec::with_capacity(request.streams.len());
        let mut names = Names::default();
        for (index, stream) in request.streams.iter().enumerate() {
            let (stream_lines, size) = self.judge_stream(index, stream, &mut names, &mut accepted);
            (lines, bytes) = (lines + stream_lines, bytes + size);
            stream_bytes.push(size);
        }
        if accepted.batch.rows() == 0 {
            return accepted;
        }
        let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(refusal) = rates.take(self.tenant, self.limits, lines, bytes, self.now_ns) {
            // All or nothing: what waits together is retried together.
            accepted.batch = Batch::default();
            let text = accepted.refusals.add(refusal, lines, bytes);
            accepted.left.extend((0..request.streams.len()).map(|stream| ((stream, WHOLE), text)));
            return accepted;
        }
        self.check_streams(&stream_bytes, &mut rates, &mut accepted);
        let id = if accepted.any_left_out { mixed(id, accepted.left_out.digest128()) } else { id };
        // The same body sent at another time is other entries, if they have no time of their own.
        accepted.batch.id = if accepted.untimed > 0 { mixed(id, self.now_ns as u128) } else { id };
        accepted
    }

    /// Judges one stream; gives the lines and bytes that it adds to the batch.
    fn judge_stream<'r>(
        &self,
        index: usize,
        stream: &'r PushStream<'_>,
        names: &mut Names<'r>,
        accepted: &mut Accepted,
    ) -> (u64, u64) {
        accepted.lines_received += stream.entries.len() as u64;
        if stream.entries.is_empty() {
            accepted.batch.start_stream(stream.labels.clone(), 0);
            return (0, 0);
        }
        let labels = self.with_service(&stream.labels);
        accepted.batch.start_stream(labels.clone(), stream.entries.len());
        if let Err(refusal) = self.check_labels(stream, &labels) {
            let sent = stream_bytes(stream);
            accepted.bytes_received += sent;
            accepted.leave_out(index, WHOLE, refusal, stream.entries.len() as u64, sent);
            return (0, 0);
        }
        let (mut lines, mut bytes) = (0, 0);
        let mut before: Option<(i64, &str)> = None;
        let levels = self.limits.discover_log_levels && self.limits.allow_structured_metadata;
        let level_of_stream = if levels { OfStream::new(&labels, self.limits) } else { OfStream::Label };
        for (place, entry) in stream.entries.iter().enumerate() {
            let metadata_bytes = metadata_bytes(stream, entry);
            let size = (entry.line.len() + metadata_bytes) as u64;
            accepted.bytes_received += size;
            let mut timestamp_ns = entry.timestamp_ns.unwrap_or_else(|| self.next_now(accepted));
            let taken = self.check_entry(entry, metadata_bytes, timestamp_ns, &labels, accepted).and_then(|line| {
                if let Some((last_ns, last)) = before
                    && self.limits.increment_duplicate_timestamp
                    && last_ns == timestamp_ns
                    && last != &*entry.line
                {
                    timestamp_ns += 1;
                }
                let sent = stream.metadata_of(entry);
                names.know(sent, !matches!(level_of_stream, OfStream::Label), self.limits);
                let level = detect(level_of_stream, names.telling(), sent, &entry.line, self.limits);
                let full = |_| Refusal::push_too_large(TEXT_BYTES_MAX);
                accepted.batch.push(timestamp_ns, &line, names.number(), names.pairs(sent, level)).map_err(full)
            });
            match taken {
                Ok(()) => {
                    (lines, bytes) = (lines + 1, bytes + size);
                    before = Some((timestamp_ns, &entry.line));
                }
                Err(refusal) => {
                    accepted.leave_out(index, place, refusal, 1, size);
                }
            }
        }
        (lines, bytes)
    }

    /// The time of an entry that has none: equal entries must not become one, so each is a nanosecond later.
    fn next_now(&self, accepted: &mut Accepted) -> i64 {
        accepted.untimed += 1;
        self.now_ns.saturating_add(accepted.untimed - 1)
    }

    /// The stream's labels with the service that they name, and those of a backfill.
    fn with_service(&self, labels: &Labels) -> Labels {
        let names = &self.limits.discover_service_name;
        let known = INTERNAL_LABELS.iter().any(|name| labels.contains(name)) || labels.contains(SERVICE_NAME);
        let discovers = !names.is_empty() && !known;
        if !discovers && self.backfill.is_none() {
            return labels.clone();
        }
        let mut builder = labels.to_builder();
        if discovers {
            let service = names.iter().find_map(|name| labels.get(name).filter(|value| !value.is_empty()));
            builder.set(SERVICE_NAME, service.unwrap_or(UNKNOWN_SERVICE));
        }
        if let Some(shard) = self.backfill {
            builder.set(BACKFILL_LABELS[0], "true").set(BACKFILL_LABELS[1], shard);
        }
        builder.build()
    }

    fn check_labels(&self, stream: &PushStream<'_>, labels: &Labels) -> Result<(), Refusal> {
        let limits = self.limits;
        if labels.is_empty() {
            return Err(Refusal::missing_labels());
        }
        let missing: Vec<&str> =
            limits.enforced_labels.iter().map(String::as_str).filter(|name| !labels.contains(name)).collect();
        if !missing.is_empty() {
            return Err(Refusal::missing_enforced(self.tenant, labels, &missing));
        }
        let names = labels.len() - usize::from(labels.contains(SERVICE_NAME));
        if names > limits.max_label_names_per_series {
            return Err(Refusal::too_many_labels(labels, names, limits.max_label_names_per_series));
        }
        for (name, value) in labels.iter() {
            if name.len() > limits.max_label_name_length {
                return Err(Refusal::label_name_too_long(labels, name));
            }
            if value.len() > limits.max_label_value_length {
                return Err(Refusal::label_value_too_long(labels, value));
            }
        }
        match &stream.duplicate_label {
            Some(name) => Err(Refusal::duplicate_label(labels, name)),
            None => Ok(()),
        }
    }

    /// Checks one entry; gives its line, cut if it has to be.
    fn check_entry<'e>(
        &self,
        entry: &'e PushEntry<'_>,
        metadata_bytes: usize,
        timestamp_ns: i64,
        labels: &Labels,
        accepted: &mut Accepted,
    ) -> Result<Cow<'e, str>, Refusal> {
        let limits = self.limits;
        // Before 1970 there are no days to put an entry in.
        let oldest_ns = match limits.reject_old_samples && self.backfill.is_none() {
            true => self.now_ns.saturating_sub(nanos(limits.reject_old_samples_max_age)).max(0),
            false => 0,
        };
        if timestamp_ns < oldest_ns {
            return Err(Refusal::too_old(labels, timestamp_ns, oldest_ns));
        }
        if timestamp_ns > self.now_ns.saturating_add(nanos(limits.creation_grace_period)) {
            return Err(Refusal::too_new(labels, timestamp_ns));
        }
        let line = self.fit_line(&entry.line, labels)?;
        if !entry.metadata.is_empty() {
            self.check_metadata(entry.metadata.len(), metadata_bytes, labels)?;
        }
        let day = Day::of(timestamp_ns);
        if accepted.last_day != Some(day) && !accepted.days.contains(&day) {
            if accepted.days.len() >= DAYS_MAX {
                return Err(Refusal::too_many_days(DAYS_MAX));
            }
            accepted.days.insert(day);
        }
        accepted.last_day = Some(day);
        Ok(line)
    }

    /// The line, if it is short enough or may be cut.
    fn fit_line<'l>(&self, line: &'l str, labels: &Labels) -> Result<Cow<'l, str>, Refusal> {
        let format_max = segment::LINE_BYTES_MAX as u64;
        let max = Some(self.limits.max_line_size).filter(|max| *max > 0).map_or(format_max, |max| max.min(format_max));
        if line.len() as u64 <= max {
            return Ok(Cow::Borrowed(line));
        }
        if !self.limits.max_line_size_truncate {
            return Err(Refusal::line_too_long(labels, line.len(), max));
        }
        let mark = &self.limits.max_line_size_truncate_identifier;
        let keep = line.floor_char_boundary((max as usize).saturating_sub(mark.len()));
        Ok(Cow::Owned(format!("{}{mark}", &line[..keep])))
    }

    fn check_metadata(&self, pairs: usize, bytes: usize, labels: &Labels) -> Result<(), Refusal> {
        let limits = self.limits;
        if !limits.allow_structured_metadata {
            return Err(Refusal::metadata_disallowed(labels));
        }
        // A level may join the pairs, so that the format's own bounds leave room for it.
        let (room, room_bytes) = (segment::BLOCK_NAMES_MAX - 1, (segment::LINE_BYTES_MAX - 256) as u64);
        let bytes_max = Some(limits.max_structured_metadata_size)
            .filter(|max| *max > 0)
            .map_or(room_bytes, |max| max.min(room_bytes));
        if bytes as u64 > bytes_max {
            return Err(Refusal::metadata_too_large(labels, bytes, bytes_max));
        }
        let pairs_max =
            Some(limits.max_structured_metadata_entries_count).filter(|max| *max > 0).map_or(room, |max| max.min(room));
        if pairs > pairs_max {
            return Err(Refusal::metadata_too_many(labels, pairs, pairs_max));
        }
        Ok(())
    }

    /// Asks each stream's rate; a stream that may not is left out, the others stay.
    fn check_streams(&self, bytes: &[u64], rates: &mut TenantRates, accepted: &mut Accepted) {
        let mut index = 0;
        let Accepted { batch, refusals, left, left_out, any_left_out, .. } = accepted;
        batch.retain_streams(|labels, rows| {
            let (stream, size) = (index, bytes.get(index).copied().unwrap_or(0));
            index += 1;
            let allowed = rows == 0
                || match rates.take_stream(self.tenant, labels, self.limits, size, self.now_ns) {
                    Ok(()) => true,
                    Err(refusal) => {
                        *any_left_out = true;
                        left_out.update(&(index as u64).to_le_bytes());
                        left.insert((stream, WHOLE), refusals.add(refusal, rows as u64, size));
                        false
                    }
                };
            allowed && rows > 0
        });
    }
}

fn stream_bytes(stream: &PushStream<'_>) -> u64 {
    stream.entries.iter().map(|entry| (entry.line.len() + metadata_bytes(stream, entry)) as u64).sum()
}

fn metadata_bytes(stream: &PushStream<'_>, entry: &PushEntry<'_>) -> usize {
    stream.metadata_of(entry).iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// An id for a batch of which something was left out: a retry that leaves out something else is another batch, or its new
/// entries would meet the old key and be lost.
fn mixed(id: u128, left_out: u128) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(&left_out.to_le_bytes());
    hasher.digest128()
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX - NANOS_PER_SECOND)
}
