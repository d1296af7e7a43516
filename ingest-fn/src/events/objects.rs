//! Objects that AWS services wrote, read line by line and stored in batches.
//!
//! In: a reference to an object. Out: all its lines stored, or why not. The object streams through: memory holds a few pieces of
//! it and one batch, however large it is (a CloudTrail document, which is one JSON value, is the exception and has a limit). A
//! batch's id is a function of the object and of its place in it, so that a second notification adds nothing.

use std::io::{BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use loki_api::aws::object::{Kind, Lines, Told, cloud_trail_records};
use loki_api::aws::{EventError, ObjectRef};
use loki_api::push::{PushEntry, PushRequest, PushStream};
use store::ForeignBucket;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};
use xxhash_rust::xxh3::Xxh3;

use super::Events;
use crate::accept::Accepted;

/// Bytes of lines that are judged and stored together.
const BATCH_BYTES: usize = 4 << 20;
/// A longer line is cut here; the limit on lines then judges the pieces.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Batches that are judged before the first one is stored.
const BATCHES_AHEAD_MAX: usize = 1;

impl Events {
    /// Stores all lines of an object.
    pub(super) async fn store_object(&self, object: &ObjectRef) -> Result<(), String> {
        if self.settings.own_bucket.as_ref() == Some(&object.bucket) {
            return Err("this is the bucket of the store itself: its notifications must not come here".to_owned());
        }
        let bucket = ForeignBucket::open(&object.bucket, self.settings.aws.clone()).map_err(|e| e.to_string())?;
        let bytes = bucket.get(&object.key).await.map_err(|e| e.to_string())?;
        let reader = SyncIoBridge::new(StreamReader::new(bytes.map(|piece| piece.map_err(std::io::Error::other))));
        let (send, mut batches) = mpsc::channel(BATCHES_AHEAD_MAX);
        let (this, object) = (self.clone(), object.clone());
        let reading = tokio::task::spawn_blocking(move || this.read_object(&object, reader, &send));
        while let Some(accepted) = batches.recv().await {
            self.commit(accepted).await.map_err(|e| e.to_string())?;
        }
        reading.await.map_err(|e| e.to_string())?
    }

    fn read_object(
        &self,
        object: &ObjectRef,
        reader: impl Read,
        batches: &mpsc::Sender<Accepted>,
    ) -> Result<(), String> {
        let Told { kind, labels } = object.tell();
        let labels = self.settings.labels(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut buffered = BufReader::new(reader);
        let is_gzip = object.is_gzip() || buffered.fill_buf().map_err(|e| e.to_string())?.starts_with(&super::GZIP);
        let mut text: Box<dyn BufRead> =
            if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(buffered))) } else { Box::new(buffered) };
        let mut chunk = Chunk { events: self, object, labels, lines: Lines::new(kind, object.created_ns), number: 0 };
        if kind == Kind::CloudTrail {
            return chunk.send_document(&mut text, batches);
        }
        loop {
            let (lines, at_end) = read_lines(&mut text).map_err(|e| e.to_string())?;
            if !chunk.send(lines.iter().map(String::as_str), batches)? || at_end {
                return Ok(());
            }
        }
    }
}

/// The batches of one object, in order.
struct Chunk<'a> {
    events: &'a Events,
    object: &'a ObjectRef,
    labels: model::Labels,
    lines: Lines,
    number: u64,
}

impl Chunk<'_> {
    /// A document of CloudTrail: each of its records is an entry.
    fn send_document(&mut self, text: &mut dyn BufRead, batches: &mpsc::Sender<Accepted>) -> Result<(), String> {
        let bytes_max = self.events.ingest.config.distributor.max_decompressed_size;
        let mut document = String::new();
        text.take(bytes_max + 1).read_to_string(&mut document).map_err(|e| e.to_string())?;
        if document.len() as u64 > bytes_max {
            return Err(format!("the document is larger than {bytes_max} bytes"));
        }
        let records = cloud_trail_records(&document).map_err(|e: EventError| e.to_string())?;
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let end = rest.iter().position(|record| {
                bytes += record.len();
                bytes > BATCH_BYTES
            });
            let (now, later) = rest.split_at(end.unwrap_or(rest.len()).max(1));
            if !self.send(now.iter().copied(), batches)? {
                return Ok(());
            }
            rest = later;
        }
        Ok(())
    }

    /// Judges some lines and hands them on; false if nobody takes them any more.
    fn send<'t>(
        &mut self,
        lines: impl Iterator<Item = &'t str>,
        batches: &mpsc::Sender<Accepted>,
    ) -> Result<bool, String> {
        let mut bytes = 0;
        let mut entries = Vec::new();
        for line in lines {
            if let Some(timestamp_ns) = self.lines.entry(line) {
                bytes += line.len();
                entries.push(PushEntry { timestamp_ns, line: line.into(), metadata: 0..0 });
            }
        }
        self.number += 1;
        if entries.is_empty() {
            return Ok(true);
        }
        let stream = PushStream { labels: self.labels.clone(), entries, ..PushStream::default() };
        let request = PushRequest { streams: vec![stream] };
        let accepted = self.events.judge(&request, self.id(), bytes).map_err(|e| e.to_string())?;
        Ok(batches.blocking_send(accepted).is_ok())
    }

    fn id(&self) -> u128 {
        let mut hash = Xxh3::new();
        for part in [&self.object.bucket, &self.object.key, &self.object.etag] {
            hash.update(part.as_bytes());
            hash.update(&[0xff]);
        }
        hash.update(&self.number.to_le_bytes());
        hash.digest128()
    }
}

/// The next lines, about [`BATCH_BYTES`] of them, and whether they are the last.
fn read_lines(mut text: &mut dyn BufRead) -> std::io::Result<(Vec<String>, bool)> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES {
        let mut line = Vec::new();
        let read = Read::take(&mut text, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok((lines, true));
        }
        bytes += read;
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        lines.push(String::from_utf8(line).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()));
    }
    Ok((lines, false))
}
