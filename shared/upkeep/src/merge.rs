//! Many segments become few: a k-way merge by (stream, time), streaming.
//!
//! In: opened inputs. Out: finished outputs, one after the other. What is held is a block of each input, some stored bytes ahead and
//! the output in the making with its keys and counts; it is counted. Packing runs beside the runtime's threads, fetching on them, in
//! turns, so that dropping the future ends a merge within a block's time. Equal rows are dropped where they meet, which is everywhere in one merge: an output
//! ends only between two times of a stream.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use model::Labels;
use segment::{Options, Segment, SortedWriter};
use store::Store;

use crate::input::Input;
use crate::{Error, Keep};

/// For how many pairs of a row room is made beforehand.
const PAIRS_USUAL: usize = 16;

/// A finished output.
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: Segment,
}

/// A merge under way.
pub(crate) struct Merge {
    inputs: Vec<Input>,
    keep: Arc<dyn Keep>,
    output_bytes: u64,
    /// The stream whose rows are being written; `None` before the first and between two.
    stream: Option<Labels>,
    /// Rows of that stream that are at hand: time and input.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    /// The input whose next block must come before anything else.
    dry: Option<usize>,
    writer: Option<Writing>,
    pub(crate) counts: Counts,
}

/// What a merge has done and held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows_in: u64,
    pub(crate) rows_forgotten: u64,
    pub(crate) memory_bytes_peak: u64,
}

/// The output in the making.
struct Writing {
    writer: SortedWriter,
    bytes: Vec<u8>,
    /// The stream and the time written last.
    stream: Option<Labels>,
    time: i64,
}

impl Merge {
    pub(crate) fn new(inputs: Vec<Input>, keep: Arc<dyn Keep>, output_bytes: u64) -> Self {
        Merge {
            inputs,
            keep,
            output_bytes,
            stream: None,
            heads: BinaryHeap::new(),
            dry: None,
            writer: None,
            counts: Counts::default(),
        }
    }

    /// The next output, or none if all rows are written.
    pub(crate) async fn next(mut self, store: &Store, span_bytes: u64) -> Result<(Self, Option<Output>), Error> {
        loop {
            for input in self.inputs.iter_mut().filter(|input| input.is_dry()) {
                input.fetch(store, span_bytes).await?;
            }
            let turn = tokio::task::spawn_blocking(move || {
                let output = self.turn()?;
                Ok::<_, Error>((self, output))
            });
            let (merge, output) = turn.await.map_err(|e| Error::Internal(e.to_string()))??;
            self = merge;
            if output.is_some() || (self.dry.is_none() && self.stream.is_none()) {
                return Ok((self, output));
            }
        }
    }

    /// Decodes what was fetched and writes rows until an input is dry, an output is complete, or all is written.
    fn turn(&mut self) -> Result<Option<Output>, Error> {
        for input in self.inputs.iter_mut().filter(|input| input.is_dry()) {
            input.decode()?;
        }
        if let Some(input) = self.dry.take() {
            self.offer(input);
        }
        self.note_memory();
        loop {
            let Some(Reverse((time, index))) = self.heads.peek().copied() else {
                if self.next_stream() {
                    continue;
                }
                return self.finish();
            };
            let full = self.writer.as_mut().is_some_and(|writing| writing.bytes.len() as u64 >= self.output_bytes);
            if full && self.writer.as_ref().is_some_and(|writing| !writing.is_at(self.stream.as_ref(), time)) {
                return self.finish();
            }
            self.heads.pop();
            self.write(index)?;
            let Some(input) = self.inputs.get_mut(index) else { continue };
            if input.advance() {
                // The next row is of the same stream.
                self.heads.extend(input.time().map(|time| Reverse((time, index))));
            } else if input.is_dry() {
                // Its next block may go on with this stream.
                self.dry = Some(index);
                if let Some(writing) = &mut self.writer {
                    writing.drain();
                }
                return Ok(None);
            }
        }
    }

    /// Ends the output in the making, if there is one.
    fn finish(&mut self) -> Result<Option<Output>, Error> {
        self.note_memory();
        self.writer.take().map(Writing::finish).transpose().map(Option::flatten)
    }

    fn note_memory(&mut self) {
        let inputs: u64 = self.inputs.iter().map(Input::memory_bytes).sum();
        let writing = self.writer.as_ref().map_or(0, Writing::memory_bytes);
        self.counts.memory_bytes_peak = self.counts.memory_bytes_peak.max(inputs + writing);
    }

    /// Starts the least stream at hand.
    fn next_stream(&mut self) -> bool {
        self.stream = self.inputs.iter().filter_map(Input::stream).min().cloned();
        (0..self.inputs.len()).for_each(|index| self.offer(index));
        self.stream.is_some()
    }

    /// Lets an input take part if its row is of the stream.
    fn offer(&mut self, index: usize) {
        let Some(input) = self.inputs.get(index) else { return };
        if let (Some(stream), Some(time)) = (input.stream(), input.time())
            && self.stream.as_ref() == Some(stream)
        {
            self.heads.push(Reverse((time, index)));
        }
    }

    fn write(&mut self, index: usize) -> Result<(), Error> {
        let (Some(input), Some(stream)) = (self.inputs.get(index), &self.stream) else { return Ok(()) };
        let mut metadata = Vec::with_capacity(PAIRS_USUAL);
        let entry = input.row(&mut metadata)?;
        self.counts.rows_in += 1;
        if !self.keep.keeps(stream, &entry) {
            self.counts.rows_forgotten += 1;
            return Ok(());
        }
        let writing = match &mut self.writer {
            Some(writing) => writing,
            None => self.writer.insert(Writing::start()?),
        };
        if writing.stream.as_ref() != Some(stream) {
            writing.writer.start_stream(stream).map_err(|why| input.refuse(why))?;
            writing.stream = Some(stream.clone());
        }
        writing.time = entry.timestamp_ns;
        writing.writer.push(entry).map_err(|why| input.refuse(why))
    }
}

impl Writing {
    fn start() -> Result<Self, Error> {
        let writer = SortedWriter::new(Options::merged()).map_err(|why| Error::Internal(why.to_string()))?;
        Ok(Writing { writer, bytes: Vec::new(), stream: None, time: i64::MIN })
    }

    fn is_at(&self, stream: Option<&Labels>, time: i64) -> bool {
        self.stream.as_ref() == stream && self.time == time
    }

    fn memory_bytes(&self) -> u64 {
        (self.bytes.capacity() + self.writer.memory_bytes()) as u64
    }

    fn drain(&mut self) {
        self.bytes.append(&mut self.writer.drain());
    }

    fn finish(mut self) -> Result<Option<Output>, Error> {
        self.drain();
        let mut facts = self.writer.finish().map_err(|why| Error::Internal(why.to_string()))?;
        self.bytes.append(&mut facts.bytes);
        Ok(Some(Output { bytes: self.bytes, facts }))
    }
}
