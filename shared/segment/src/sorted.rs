//! Rows that come in (stream, time) order become a segment, block by block.
//!
//! Finished blocks can be drained while rows still come, so that merging needs the memory of one block, the filters
//! and the counts, however large the segment. Rows out of order are refused; equal rows are dropped.

use std::collections::HashSet;

use model::{EntryRef, Labels};

use crate::Error;
use crate::block::{BlockMeta, Row, row_digest};
use crate::counts::Counter;
use crate::filter::{Filter, FilterMeta, Key, KeySet};
use crate::footer::{Footer, SECTION_COUNTS, SECTION_GRAMS, SECTION_STREAMS, SectionMeta};
use crate::layout::{BLOCK_NAMES_MAX, HEADER, LINE_BYTES_MAX, SECTION_BYTES_MAX, Trailer, VERSION, checksum64};
use crate::names::{Names, NamesId};
use crate::streams::{self, StreamInfo};
use crate::tools::Tools;
use crate::writer::{Options, Segment};

/// Writes a segment from rows in order. For a merge, feed it the rows of a k-way merge by (labels, time).
pub struct SortedWriter {
    options: Options,
    tools: Tools,
    out: Vec<u8>,
    drained_bytes: u64,
    blocks: Vec<BlockMeta>,
    block_filters: Vec<u8>,
    /// The distinct keys of each block but the last, for the segment's filter.
    keys: Vec<Key>,
    /// By number; the first is the one that changes.
    names: Vec<Names>,
    streams: Vec<StreamInfo>,
    counter: Counter,
    /// Digests of the rows of the current stream and time, once there are two.
    same_time: HashSet<u128>,
    rows_dropped: u64,
}

impl SortedWriter {
    /// Starts a segment.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(SortedWriter {
            tools: Tools::take(options.level)?,
            options: options.within_limits(),
            out: HEADER.to_vec(),
            drained_bytes: 0,
            blocks: Vec::new(),
            block_filters: Vec::new(),
            keys: Vec::new(),
            names: vec![Names::default()],
            streams: Vec::new(),
            counter: Counter::default(),
            same_time: HashSet::new(),
            rows_dropped: 0,
        })
    }

    /// The rows of this stream follow. Streams come in ascending order of their labels, each once.
    pub fn start_stream(&mut self, labels: &Labels) -> Result<(), Error> {
        self.end_stream()?;
        if self.streams.last().is_some_and(|before| before.labels >= *labels) {
            return Err(Error::Order { why: "streams must ascend" });
        }
        if self.tools.block.line_bytes() >= self.options.block_bytes_min {
            self.end_block()?;
        }
        self.streams.push(StreamInfo {
            labels: labels.clone(),
            rows: 0,
            line_bytes: 0,
            metadata_bytes: 0,
            min_ts: i64::MAX,
            max_ts: i64::MIN,
        });
        Ok(())
    }

    /// Tells of names that rows of [`SortedWriter::push_values`] will have: sorted, each once.
    pub fn add_names<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> NamesId {
        self.names.push(Names::new(names));
        NamesId(self.names.len() - 1)
    }

    /// The next row of the stream. Times must not descend; a row equal to one before is dropped.
    pub fn push(&mut self, entry: EntryRef<'_>) -> Result<(), Error> {
        let names = entry.metadata.iter().map(|(name, _)| *name);
        if let Some(changing) = self.names.get_mut(NamesId::CHANGING.0)
            && !changing.are(names.clone())
        {
            *changing = Names::new(names);
            self.tools.block.forget_columns(NamesId::CHANGING);
        }
        let values = entry.metadata.iter().map(|(_, value)| *value);
        self.push_values(entry.timestamp_ns, entry.line, NamesId::CHANGING, values)
    }

    /// [`SortedWriter::push`] for who knows which rows have the same names; there is a value for each of them.
    ///
    /// Rows of the same time are equal if the 128-bit hashes of line and metadata are: they need not be kept, and two
    /// different lines of one stream and nanosecond would have to meet in 2^128.
    pub fn push_values<'v>(
        &mut self,
        timestamp_ns: i64,
        line: &str,
        names_id: NamesId,
        values: impl Iterator<Item = &'v str> + Clone,
    ) -> Result<(), Error> {
        let Some(names) = self.names.get(names_id.0) else {
            return Err(Error::Order { why: "names must be added first" });
        };
        let Some(stream) = self.streams.last_mut() else {
            return Err(Error::Order { why: "a stream must be started first" });
        };
        if timestamp_ns < stream.max_ts {
            return Err(Error::Order { why: "times must not descend" });
        }
        let repeats_time = stream.rows > 0 && timestamp_ns == stream.max_ts;
        let metadata_bytes = names.bytes() + values.clone().map(str::len).sum::<usize>();
        check_size("line", line.len(), LINE_BYTES_MAX)?;
        check_size("structured metadata of an entry", metadata_bytes, LINE_BYTES_MAX)?;
        check_size("structured metadata names of an entry", names.len(), BLOCK_NAMES_MAX)?;
        if !repeats_time {
            if !self.same_time.is_empty() {
                self.same_time.clear();
            }
        } else {
            // The first of them is the block's last row: a block only ends when the next row has passed this place.
            if self.same_time.is_empty() {
                self.same_time.extend(self.tools.block.last_digest());
            }
            let metadata = names.iter().map(|name| &**name).zip(values.clone());
            if !self.same_time.insert(row_digest(line.as_bytes(), metadata)) {
                self.rows_dropped += 1;
                return Ok(());
            }
        }
        stream.rows += 1;
        stream.line_bytes += line.len() as u64;
        stream.metadata_bytes += metadata_bytes as u64;
        stream.min_ts = stream.min_ts.min(timestamp_ns);
        stream.max_ts = timestamp_ns;
        self.counter.add(timestamp_ns, names.level(values.clone()), line.len() as u64);
        if self.is_full(line.len(), metadata_bytes, names.len()) {
            self.end_block()?;
        }
        let stream = self.streams.last().zip(u32::try_from(self.streams.len() - 1).ok());
        if let Some(((stream, index), names)) = stream.zip(self.names.get(names_id.0)) {
            let row = Row { timestamp_ns, line, names_id, names, values };
            self.tools.block.push(index, &stream.labels, row, &mut self.tools.grams);
        }
        Ok(())
    }

    /// Takes the bytes that are finished: they and all later ones, in order, are the segment.
    pub fn drain(&mut self) -> Vec<u8> {
        self.drained_bytes += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    /// About the memory that an end of the segment takes besides its bytes: keys and counts, which grow with it, and the block in the
    /// making. Keys are there twice when they are sorted by slices.
    pub fn memory_bytes(&self) -> usize {
        let keys = (self.keys.capacity() + self.keys.len()) * size_of::<Key>();
        let block = self.tools.block.line_bytes() + self.tools.block.metadata_bytes();
        keys + self.block_filters.capacity() + self.counter.memory_bytes() + block
    }

    /// Ends the segment. Its bytes are those that were not drained.
    pub fn finish(mut self) -> Result<Segment, Error> {
        self.end_stream()?;
        self.seal_block()?;
        if self.blocks.is_empty() {
            return Err(Error::Empty);
        }
        let mut offset = self.offset();
        for block in &mut self.blocks {
            let length = block.filter.range.end - block.filter.range.start;
            block.filter.range = offset..offset + length;
            offset += length;
        }
        self.out.append(&mut self.block_filters);
        let slices = self.put_slices()?;
        let counts = self.counter.encode();
        let counts = self.put_section(SECTION_COUNTS, "counts", &counts)?;
        let table = streams::encode(&self.streams);
        let mut sections = vec![counts, self.put_section(SECTION_STREAMS, "stream table", &table)?];
        let line_bytes: u64 = self.streams.iter().map(|stream| stream.line_bytes).sum();
        let grams_bytes_max = line_bytes / self.options.gram_line_bytes_min.max(1);
        if let Some(grams) = self.tools.grams.fold(self.options.gram_bits, grams_bytes_max) {
            sections.push(self.put_section(SECTION_GRAMS, "gram filter", &grams)?);
        }
        let footer_offset = self.offset();
        let streams = std::mem::take(&mut self.streams);
        let blocks = std::mem::take(&mut self.blocks);
        let footer = Footer { version: VERSION, streams, blocks, slices, sections };
        let raw = footer.encode();
        check_size("footer", raw.len(), usize::try_from(SECTION_BYTES_MAX).unwrap_or(usize::MAX))?;
        let start = self.out.len();
        let codec = self.tools.packer.pack("footer", &raw, &mut self.out)?;
        let stored = self.out.get(start..).unwrap_or_default().to_vec();
        let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        Trailer::encode(footer_offset, &stored, raw_len, codec, &mut self.out)?;
        let object_len = self.offset();
        self.tools.keep();
        Ok(Segment {
            min_ts: footer.min_ts(),
            max_ts: footer.max_ts(),
            rows: footer.rows(),
            rows_dropped: self.rows_dropped,
            line_bytes: footer.streams.iter().map(|stream| stream.line_bytes).sum(),
            metadata_bytes: footer.streams.iter().map(|stream| stream.metadata_bytes).sum(),
            object_len,
            bytes: self.out,
        })
    }

    /// Where the next byte lies in the segment.
    fn offset(&self) -> u64 {
        self.drained_bytes + self.out.len() as u64
    }

    fn end_stream(&mut self) -> Result<(), Error> {
        match self.streams.last() {
            None => return Ok(()),
            Some(stream) if stream.rows > 0 => self.counter.end_stream(),
            Some(_) => return Err(Error::Order { why: "a stream without rows" }),
        }
        Ok(())
    }

    fn is_full(&self, line_bytes: usize, metadata_bytes: usize, names: usize) -> bool {
        let Options { block_bytes_max, block_rows_max, .. } = self.options;
        let block = &self.tools.block;
        block.rows() >= block_rows_max as usize
            || block.line_bytes() + line_bytes > block_bytes_max
            || block.metadata_bytes() + metadata_bytes > METADATA_BYTES_PER_LINE_BYTE_MAX * block_bytes_max
            || block.names() + names > BLOCK_NAMES_MAX
    }

    /// Ends a block that another one follows.
    fn end_block(&mut self) -> Result<(), Error> {
        self.seal_block()?;
        self.keys.extend(self.tools.block.keys().iter());
        self.tools.block.keys().clear();
        Ok(())
    }

    fn seal_block(&mut self) -> Result<(), Error> {
        if self.tools.block.rows() == 0 {
            return Ok(());
        }
        let offset = self.drained_bytes;
        let mut block =
            self.tools.block.seal(self.options.lines_by_template, &mut self.tools.packer, offset, &mut self.out)?;
        let keys = self.tools.block.keys();
        block.filter = Filter::build(keys, self.options.block_filter_error_rate).encode(&mut self.block_filters);
        self.blocks.push(block);
        Ok(())
    }

    /// The segment's filter, which a single block does not need: its own says the same.
    fn put_slices(&mut self) -> Result<Vec<FilterMeta>, Error> {
        if self.blocks.len() < 2 {
            return Ok(Vec::new());
        }
        self.keys.extend(self.tools.block.keys().iter());
        let count = self.keys.len().div_ceil(self.options.slice_keys_max);
        let mut parts: Vec<Vec<Key>> = vec![Vec::new(); count];
        for key in self.keys.drain(..) {
            if let Some(part) = parts.get_mut(key.slice(count)) {
                part.push(key);
            }
        }
        let mut distinct = KeySet::new();
        let mut slices = Vec::with_capacity(count);
        for part in parts {
            distinct.clear();
            part.into_iter().for_each(|key| distinct.insert(key));
            let mut slice = Filter::build(&distinct, self.options.segment_filter_error_rate).encode(&mut self.out);
            slice.range = slice.range.start + self.drained_bytes..slice.range.end + self.drained_bytes;
            slices.push(slice);
        }
        Ok(slices)
    }

    fn put_section(&mut self, kind: u64, part: &'static str, raw: &[u8]) -> Result<SectionMeta, Error> {
        check_size(part, raw.len(), usize::try_from(SECTION_BYTES_MAX).unwrap_or(usize::MAX))?;
        let (start, offset) = (self.out.len(), self.offset());
        let codec = self.tools.packer.pack(part, raw, &mut self.out)?;
        let checksum = checksum64(self.out.get(start..).unwrap_or_default());
        Ok(SectionMeta { range: offset..self.offset(), raw_len: raw.len() as u64, kind, codec, checksum })
    }
}

/// A block is also full when its metadata, repeats included, passes this many times the wanted bytes of lines.
const METADATA_BYTES_PER_LINE_BYTE_MAX: usize = 8;

fn check_size(part: &'static str, value: usize, limit: usize) -> Result<(), Error> {
    if value > limit { Err(Error::Limit { part, value: value as u64, limit: limit as u64 }) } else { Ok(()) }
}
