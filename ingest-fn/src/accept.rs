//! Judges a decoded push entry by entry, and enriches what it takes.
//!
//! In: streams as sent, the tenant's limits and the time now. Out: a batch of what is accepted, and a refusal for
//! everything else: valid entries are stored although others of the same push are not. The order of the checks is Loki's.
//! The batch's id is a function of what was sent, and of what was left out of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use loki_api::config::Limits;
use loki_api::push::{FlatPush, FlatStream, Span};
use model::{Day, Labels, NANOS_PER_SECOND, TenantId};
use xxhash_rust::xxh3::Xxh3;

use crate::batch::{Batch, Sent, TEXT_BYTES_MAX};
use crate::buffers::{Buffers, Text};
use crate::level::{OfStream, detect};
use crate::names::Names;
use crate::rates::TenantRates;
use crate::refusal::{Reason, Refusal, Refusals};
use crate::streams::{KnownStream, KnownStreams};

/// Days that one push may touch: each is a PUT of its own.
const DAYS_MAX: usize = 400;

/// What is judged, and by what.
pub(crate) struct Judge<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) limits: &'a Arc<Limits>,
    pub(crate) streams: &'a KnownStreams,
    /// Where the text goes when nobody needs it any more.
    pub(crate) buffers: &'a Buffers,
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
    pub(crate) fn blocked(push: &FlatPush, blocked: (StatusCode, String)) -> Self {
        let mut accepted = Accepted {
            blocked: Some(blocked),
            lines_received: push.entries.len() as u64,
            bytes_received: push.entries.iter().map(|entry| push.bytes_of(entry) as u64).sum(),
            ..Accepted::default()
        };
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
    /// Judges a push, whose text becomes the batch's. `id` is a hash of the body, or what the collector calls it.
    pub(crate) fn judge(&self, mut push: FlatPush, id: u128, rates: &Mutex<TenantRates>) -> Accepted {
        let text = Text::new(std::mem::take(&mut push.text), self.buffers);
        let batch = Batch::new(text, push.entries.len(), push.values.len());
        let mut accepted = Accepted { batch, ..Accepted::default() };
        let (mut lines, mut bytes) = (0, 0);
        let mut stream_bytes = Vec::with_capacity(push.streams.len());
        let mut names = Names::new(&push.names);
        for (index, stream) in push.streams.iter().enumerate() {
            let (stream_lines, size) = self.judge_stream(&push, index, stream, &mut names, &mut accepted);
            (lines, bytes) = (lines + stream_lines, bytes + size);
            stream_bytes.push(size);
        }
        if accepted.batch.rows() == 0 {
            accepted.batch = Batch::default();
            return accepted;
        }
        let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(refusal) = rates.take(self.tenant, self.limits, lines, bytes, self.now_ns) {
            // All or nothing: what waits together is retried together.
            accepted.batch = Batch::default();
            let text = accepted.refusals.add(refusal, lines, bytes);
            accepted.left.extend((0..push.streams.len()).map(|stream| ((stream, WHOLE), text)));
            return accepted;
        }
        self.check_streams(&stream_bytes, &mut rates, &mut accepted);
        let id = if accepted.any_left_out { mixed(id, accepted.left_out.digest128()) } else { id };
        // The same body sent at another time is other entries, if they have no time of their own.
        accepted.batch.id = if accepted.untimed > 0 { mixed(id, self.now_ns as u128) } else { id };
        accepted
    }

    /// Judges one stream; gives the lines and bytes that it adds to the batch.
    fn judge_stream(
        &self,
        push: &FlatPush,
        index: usize,
        stream: &FlatStream,
        names: &mut Names<'_>,
        accepted: &mut Accepted,
    ) -> (u64, u64) {
        let entries = push.entries.get(stream.entries.clone()).unwrap_or_default();
        accepted.lines_received += entries.len() as u64;
        if entries.is_empty() {
            accepted.batch.start_stream(stream.labels.clone());
            return (0, 0);
        }
        let known = match self.know(stream) {
            Ok(known) => known,
            Err((labels, refusal)) => {
                accepted.batch.start_stream(labels);
                let bytes = entries.iter().map(|entry| push.bytes_of(entry) as u64).sum();
                accepted.bytes_received += bytes;
                accepted.leave_out(index, WHOLE, refusal, entries.len() as u64, bytes);
                return (0, 0);
            }
        };
        accepted.batch.start_stream(known.labels.clone());
        let (mut lines, mut bytes) = (0, 0);
        let mut before: Option<(i64, Span)> = None;
        for (place, entry) in entries.iter().enumerate() {
            let sent = Sent::new(push, entry);
            accepted.bytes_received += sent.bytes();
            match self.judge_entry(&sent, before, &known, names, accepted) {
                Ok(timestamp_ns) => {
                    (lines, bytes) = (lines + 1, bytes + sent.bytes());
                    before = Some((timestamp_ns, entry.line));
                }
                Err(refusal) => {
                    accepted.leave_out(index, place, refusal, 1, sent.bytes());
                }
            }
        }
        (lines, bytes)
    }

    /// What becomes of a stream's labels, if it may be stored.
    fn know(&self, stream: &FlatStream) -> Result<Arc<KnownStream>, (Labels, Refusal)> {
        let known = self.streams.know(&stream.labels, self.tenant, self.limits, self.backfill)?;
        match &stream.duplicate_label {
            Some(name) => Err((known.labels.clone(), Refusal::duplicate_label(&known.labels, name))),
            None => Ok(known),
        }
    }

    /// Judges one entry and adds it to the batch; gives the time under which it is stored. `before` are time and line of the one
    /// taken before it.
    fn judge_entry(
        &self,
        sent: &Sent<'_>,
        before: Option<(i64, Span)>,
        stream: &KnownStream,
        names: &mut Names<'_>,
        accepted: &mut Accepted,
    ) -> Result<i64, Refusal> {
        let mut timestamp_ns = sent.entry.timestamp_ns.unwrap_or_else(|| self.next_now(accepted));
        let cut = self.check_entry(sent, timestamp_ns, &stream.labels, accepted)?;
        let batch = &mut accepted.batch;
        if let Some((last_ns, last)) = before
            && self.limits.increment_duplicate_timestamp
            && last_ns == timestamp_ns
            && batch.text_of(last) != batch.text_of(sent.entry.line)
        {
            timestamp_ns += 1;
        }
        let full = |_| Refusal::push_too_large(TEXT_BYTES_MAX);
        let has_level = !matches!(stream.level, OfStream::Label);
        let known = names.know(sent.entry.names, has_level, self.limits, batch).map_err(full)?;
        let line = batch.text_of(sent.entry.line);
        let value = |place| batch.text_of(sent.value(place));
        let level = detect(&stream.level, known.telling, value, line, self.limits);
        batch.push(timestamp_ns, sent, cut.as_deref(), known.columns, level).map_err(full)?;
        Ok(timestamp_ns)
    }

    /// The time of an entry that has none: equal entries must not become one, so each is a nanosecond later.
    fn next_now(&self, accepted: &mut Accepted) -> i64 {
        accepted.untimed += 1;
        self.now_ns.saturating_add(accepted.untimed - 1)
    }

    /// Checks one entry; gives its line if it had to be cut.
    fn check_entry(
        &self,
        sent: &Sent<'_>,
        timestamp_ns: i64,
        labels: &Labels,
        accepted: &mut Accepted,
    ) -> Result<Option<String>, Refusal> {
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
        let cut = self.fit_line(accepted.batch.text_of(sent.entry.line), labels)?;
        if sent.pairs() > 0 {
            self.check_metadata(sent.pairs(), sent.metadata_bytes(), labels)?;
        }
        let day = Day::of(timestamp_ns);
        if accepted.last_day != Some(day) && !accepted.days.contains(&day) {
            if accepted.days.len() >= DAYS_MAX {
                return Err(Refusal::too_many_days(DAYS_MAX));
            }
            accepted.days.insert(day);
        }
        accepted.last_day = Some(day);
        Ok(cut)
    }

    /// What is left of a line that is too long, if it may be cut.
    fn fit_line(&self, line: &str, labels: &Labels) -> Result<Option<String>, Refusal> {
        let format_max = segment::LINE_BYTES_MAX as u64;
        let max = Some(self.limits.max_line_size).filter(|max| *max > 0).map_or(format_max, |max| max.min(format_max));
        if line.len() as u64 <= max {
            return Ok(None);
        }
        if !self.limits.max_line_size_truncate {
            return Err(Refusal::line_too_long(labels, line.len(), max));
        }
        let mark = &self.limits.max_line_size_truncate_identifier;
        let keep = line.floor_char_boundary((max as usize).saturating_sub(mark.len()));
        Ok(Some(format!("{}{mark}", &line[..keep])))
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
