//! The batch that is being filled: entries by stream, already in the form of the wire.
//!
//! In: records that left a pipeline, and how far their files were read. Out: a planned batch with one body for each set of external
//! labels, and an id that is a function of the collector, the bytes of the files and the body: the same batch never has two.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use loki_api::push::encode::{encode_entry, encode_stream};
use model::Labels;
use xxhash_rust::xxh3::{Xxh3, Xxh3DefaultBuilder};

use crate::journal::{Body, Planned};
use crate::positions::Position;
use crate::stages::{Pipeline, Record};

/// Streams of one batch at most; a batch with so many is full.
const STREAMS_MAX: usize = 10_000;

/// Entries that wait to be sent.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    streams: Vec<OpenStream>,
    /// Job and label values → stream.
    index: HashMap<Box<[u8]>, usize, Xxh3DefaultBuilder>,
    key: Vec<u8>,
    line_bytes: usize,
    entries: u64,
    advances: Vec<Advance>,
    forgotten: Vec<Position>,
}

#[derive(Debug)]
struct OpenStream {
    labels: Vec<(Box<str>, Box<str>)>,
    /// Entries as they stand in the stream's message.
    entries: Vec<u8>,
}

/// Bytes of one file that belong to the batch.
#[derive(Debug)]
struct Advance {
    from: u64,
    to: Position,
}

impl Batch {
    /// Adds an entry.
    pub(crate) fn push(&mut self, job: usize, pipeline: &Pipeline, record: &Record<'_>) {
        self.key.clear();
        self.key.extend_from_slice(&(job as u32).to_le_bytes());
        for (slot, _, value) in pipeline.labels(record) {
            self.key.extend_from_slice(&slot.to_bytes());
            self.key.extend_from_slice(&(value.len() as u32).to_le_bytes());
            self.key.extend_from_slice(value.as_bytes());
        }
        let stream = match self.index.get(&*self.key) {
            Some(stream) => *stream,
            None => {
                let labels = pipeline.labels(record).map(|(_, name, value)| (name.into(), value.into())).collect();
                self.streams.push(OpenStream { labels, entries: Vec::new() });
                self.index.insert(self.key.as_slice().into(), self.streams.len() - 1);
                self.streams.len() - 1
            }
        };
        if let Some(stream) = self.streams.get_mut(stream) {
            encode_entry(&mut stream.entries, record.timestamp_ns, &record.line, pipeline.metadata(record));
        }
        self.line_bytes += record.line.len() + pipeline.metadata(record).map(|(n, v)| n.len() + v.len()).sum::<usize>();
        self.entries += 1;
    }

    /// Notes that a file was read from an offset up to a position, whether or not entries came of it.
    pub(crate) fn advance(&mut self, from: u64, to: Position) {
        match self.advances.iter_mut().rev().find(|advance| advance.to.is_same_file(&to)) {
            Some(advance) if advance.to.offset == from => advance.to = to,
            _ => self.advances.push(Advance { from, to }),
        }
    }

    /// Notes that a file is gone for good.
    pub(crate) fn forget(&mut self, position: Position) {
        self.forgotten.push(position);
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0 && self.advances.is_empty() && self.forgotten.is_empty()
    }

    /// Whether no more should be added.
    pub(crate) fn is_full(&self, line_bytes_max: usize) -> bool {
        self.line_bytes >= line_bytes_max || self.streams.len() >= STREAMS_MAX
    }

    /// Ends the batch: one body for each set of external labels.
    pub(crate) fn plan(self, agent: &str, external_labels: &[&BTreeMap<String, String>]) -> Planned {
        let mut bodies: Vec<Body> = Vec::new();
        for external in external_labels {
            let text = external_text(external);
            if self.entries > 0 && bodies.iter().all(|body| body.external_labels != text) {
                let bytes = self.body(external);
                bodies.push(Body { id: self.id(agent, &bytes), external_labels: text, bytes });
            }
        }
        let advances = self.advances.into_iter().map(|advance| advance.to).collect();
        Planned { bodies, entries: self.entries, advances, forgotten: self.forgotten }
    }

    fn body(&self, external: &BTreeMap<String, String>) -> Bytes {
        let mut request = Vec::with_capacity(self.streams.iter().map(|stream| stream.entries.len() + 256).sum());
        for stream in &self.streams {
            let external = external.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let own = stream.labels.iter().map(|(name, value)| (&**name, &**value));
            let labels = Labels::from_pairs(external.chain(own));
            encode_stream(&mut request, &labels.to_string(), &stream.entries);
        }
        let compressed = snap::raw::Encoder::new().compress_vec(&request);
        Bytes::from(compressed.expect("snappy takes anything below 4 GiB, and a batch is bounded far below"))
    }

    fn id(&self, agent: &str, body: &[u8]) -> u128 {
        let mut hasher = Xxh3::new();
        hasher.update(agent.as_bytes());
        for Advance { from, to } in &self.advances {
            let (device, inode) = to.id.map_or((0, 0), |id| (id.device, id.inode));
            for number in [device, inode, to.head.bytes, to.head.hash, *from, to.offset] {
                hasher.update(&number.to_le_bytes());
            }
        }
        hasher.update(body);
        hasher.digest128()
    }
}

/// How a set of external labels is named in the journal.
pub(crate) fn external_text(external: &BTreeMap<String, String>) -> String {
    Labels::from_pairs(external.iter().map(|(name, value)| (name.as_str(), value.as_str()))).to_string()
}
