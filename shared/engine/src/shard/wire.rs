//! What a root and its leaves say to each other.
//!
//! In: a shard, or a leaf's answer. Out: bytes and back; a process of another version is told apart by the first byte. The rest is
//! zstd over:
//! ```text
//! shard   = tenant count, ids | query | time of asking | timeout in ms | answer's largest size | start | end
//!         | 0, direction (0 forward, 1 backward), limit      entries of a log query
//!         | 1, leaf, start, end, step                        a fold of one range aggregation
//!         | segment count | (key, size, min_ts, max_ts, rows, fresh, count of marks, marks)…
//! answer  = count of figures, figures (as in `QueryStats`) | 0, entries or fold
//!                                                          | 1, why the question is refused
//!                                                          | 2, why it was not done
//! entries = count | (time − the one before, line, stream's number, its labels if the number is new, metadata, parsed)…
//! fold    = `logql::eval::RangeFold`
//! ```
//! Numbers and texts are `model::wire`'s.

use std::collections::HashMap;
use std::io::Read as _;
use std::time::Duration;

use logql::eval::Steps;
use model::{Labels, LogEntry, QueryStats, TenantId, TimeRange, WireError, WireReader, WireWriter};
use store::{Key, Marks, SegmentRef};

use crate::Direction;

/// Changes whenever another version would misread what this one writes, or mean something else by it.
const VERSION: u8 = 3;
/// zstd's level: a shard is small, an answer waits for nobody.
const LEVEL: i32 = 1;
/// A shard's largest size, unpacked.
const SHARD_BYTES_MAX: usize = 64 << 20;
/// The least bytes of an entry, and of a segment.
const ENTRY_BYTES_MIN: usize = 5;
const SEGMENT_BYTES_MIN: usize = 7;

/// One slice of a question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shard {
    /// Whose logs.
    pub(super) tenants: Vec<TenantId>,
    /// The whole question.
    pub(super) query: String,
    /// When it was asked: what is past by then is forgotten by all.
    pub(super) asked_ns: i64,
    /// How long the leaf may take.
    pub(super) timeout: Duration,
    /// Larger answers are not sent.
    pub(super) answer_bytes_max: usize,
    /// The slice.
    pub(super) range: TimeRange,
    /// What is wanted of it.
    pub(super) part: Part,
    /// All segments that may hold entries of the slice.
    pub(super) segments: Vec<SegmentRef>,
}

/// What a leaf is to give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Part {
    /// The first entries of a log query.
    Entries { direction: Direction, limit: usize },
    /// What one range aggregation of a metric query folds; `leaf` counts from the left.
    Fold { leaf: usize, steps: Steps },
}

impl Shard {
    pub(super) fn write(&self) -> Result<Vec<u8>, WireError> {
        let mut out = WireWriter::default();
        out.count(self.tenants.len());
        self.tenants.iter().for_each(|tenant| out.text(tenant.as_str()));
        out.text(&self.query);
        out.signed(self.asked_ns);
        out.unsigned(u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX));
        out.count(self.answer_bytes_max);
        out.signed(self.range.start_ns());
        out.signed(self.range.end_ns());
        match self.part {
            Part::Entries { direction, limit } => {
                out.byte(0);
                out.byte(u8::from(direction == Direction::Backward));
                out.count(limit);
            }
            Part::Fold { leaf, steps } => {
                out.byte(1);
                out.count(leaf);
                [steps.start_ns, steps.end_ns, steps.step_ns].into_iter().for_each(|time_ns| out.signed(time_ns));
            }
        }
        out.count(self.segments.len());
        for segment in &self.segments {
            out.text(segment.key.as_str());
            out.unsigned(segment.size);
            out.signed(segment.min_ts);
            out.signed(segment.max_ts);
            out.unsigned(segment.rows);
            out.byte(u8::from(segment.fresh));
            out.count(segment.forgot.iter().count());
            segment.forgot.iter().for_each(|mark| out.text(mark));
        }
        pack(out)
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let bytes = unpack(bytes, SHARD_BYTES_MAX)?;
        let mut input = WireReader::new(&bytes);
        let tenants = (0..input.count(1)?).map(|_| {
            let tenant = TenantId::new(input.text()?);
            tenant.map_err(|_| WireError("a tenant's id is none"))
        });
        let shard = Shard {
            tenants: tenants.collect::<Result<_, _>>()?,
            query: input.text()?.to_owned(),
            asked_ns: input.signed()?,
            timeout: Duration::from_millis(input.unsigned()?),
            answer_bytes_max: input.index()?,
            range: read_range(&mut input)?,
            part: Part::read(&mut input)?,
            segments: (0..input.count(SEGMENT_BYTES_MIN)?)
                .map(|_| read_segment(&mut input))
                .collect::<Result<_, _>>()?,
        };
        input.end()?;
        Ok(shard)
    }
}

fn read_range(input: &mut WireReader<'_>) -> Result<TimeRange, WireError> {
    TimeRange::new(input.signed()?, input.signed()?).map_err(|_| WireError("a slice ends before it starts"))
}

impl Part {
    fn read(input: &mut WireReader<'_>) -> Result<Self, WireError> {
        match input.byte()? {
            0 => {
                let direction = if input.byte()? == 0 { Direction::Forward } else { Direction::Backward };
                Ok(Part::Entries { direction, limit: input.index()? })
            }
            1 => {
                let leaf = input.index()?;
                let steps = Steps { start_ns: input.signed()?, end_ns: input.signed()?, step_ns: input.signed()? };
                Ok(Part::Fold { leaf, steps })
            }
            _ => Err(WireError("a shard of an unknown kind")),
        }
    }
}

fn read_segment(input: &mut WireReader<'_>) -> Result<SegmentRef, WireError> {
    Ok(SegmentRef {
        key: Key::parse(input.text()?).map_err(|_| WireError("a segment's key is none"))?,
        size: input.unsigned()?,
        min_ts: input.signed()?,
        max_ts: input.signed()?,
        rows: input.unsigned()?,
        fresh: input.byte()? != 0,
        forgot: (0..input.count(1)?).map(|_| input.text()).collect::<Result<Marks, _>>()?,
        catalog: None,
    })
}

/// How a leaf's work ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome<T> {
    /// With a result.
    Done(T),
    /// Nobody can answer the question.
    Refused(String),
    /// Perhaps somebody else can.
    Undone(String),
}

/// An answer's bytes. A result is written by whoever has it.
pub(super) fn write_answer(
    stats: &QueryStats,
    outcome: Outcome<&dyn Fn(&mut WireWriter)>,
) -> Result<Vec<u8>, WireError> {
    let mut out = WireWriter::default();
    let figures = figures(*stats);
    out.count(figures.len());
    figures.iter().for_each(|figure| out.unsigned(*figure));
    match outcome {
        Outcome::Done(write) => {
            out.byte(0);
            write(&mut out);
        }
        Outcome::Refused(why) => {
            out.byte(1);
            out.text(&why);
        }
        Outcome::Undone(why) => {
            out.byte(2);
            out.text(&why);
        }
    }
    pack(out)
}

/// What a leaf counted, and how its work ended; `read` reads a result.
pub(super) fn read_answer<T>(
    bytes: &[u8],
    bytes_max: usize,
    read: impl FnOnce(&mut WireReader<'_>) -> Result<T, WireError>,
) -> Result<(QueryStats, Outcome<T>), WireError> {
    let bytes = unpack(bytes, bytes_max)?;
    let mut input = WireReader::new(&bytes);
    let stats = read_figures(&mut input)?;
    let outcome = match input.byte()? {
        0 => Outcome::Done(read(&mut input)?),
        1 => Outcome::Refused(input.text()?.to_owned()),
        2 => Outcome::Undone(input.text()?.to_owned()),
        _ => return Err(WireError("an answer of an unknown kind")),
    };
    input.end()?;
    Ok((stats, outcome))
}

/// What a leaf's figures add to a query's: what it read and looked at. How long it took, and how many there are of what the root
/// counts itself, is left out.
fn figures(stats: QueryStats) -> [u64; 13] {
    [
        stats.line_bytes,
        stats.lines,
        stats.post_filter_lines,
        stats.metadata_bytes,
        stats.duplicates,
        stats.streams,
        stats.segments_opened,
        stats.blocks,
        stats.blocks_skipped,
        stats.blocks_read,
        stats.store_requests,
        stats.store_bytes,
        stats.cache_hits,
    ]
}

fn read_figures(input: &mut WireReader<'_>) -> Result<QueryStats, WireError> {
    let count = input.count(1)?;
    let read: Vec<u64> = (0..count).map(|_| input.unsigned()).collect::<Result<_, _>>()?;
    let [line_bytes, lines, post_filter_lines, metadata_bytes, duplicates, streams, rest @ ..] = read.as_slice() else {
        return Err(WireError("an answer without figures"));
    };
    let [segments_opened, blocks, blocks_skipped, blocks_read, store_requests, store_bytes, cache_hits] = rest else {
        return Err(WireError("an answer with other figures"));
    };
    Ok(QueryStats {
        line_bytes: *line_bytes,
        lines: *lines,
        post_filter_lines: *post_filter_lines,
        metadata_bytes: *metadata_bytes,
        duplicates: *duplicates,
        streams: *streams,
        segments_opened: *segments_opened,
        blocks: *blocks,
        blocks_skipped: *blocks_skipped,
        blocks_read: *blocks_read,
        store_requests: *store_requests,
        store_bytes: *store_bytes,
        cache_hits: *cache_hits,
        ..QueryStats::default()
    })
}

/// Entries as they are answered, each stream's labels once.
pub(super) fn write_entries(entries: &[LogEntry], out: &mut WireWriter) {
    let mut streams: HashMap<&Labels, usize> = HashMap::new();
    let mut before = 0i64;
    out.count(entries.len());
    for entry in entries {
        out.signed(entry.timestamp_ns.wrapping_sub(before));
        out.text(&entry.line);
        let next = streams.len();
        let number = *streams.entry(&entry.stream).or_insert(next);
        out.count(number);
        if number == next {
            out.labels(&entry.stream);
        }
        out.labels(&entry.metadata);
        out.labels(&entry.parsed);
        before = entry.timestamp_ns;
    }
}

pub(super) fn read_entries(input: &mut WireReader<'_>) -> Result<Vec<LogEntry>, WireError> {
    let mut streams: Vec<Labels> = Vec::new();
    let mut before = 0i64;
    let count = input.count(ENTRY_BYTES_MIN)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let timestamp_ns = before.wrapping_add(input.signed()?);
        let line = input.text()?.to_owned();
        let number = input.index()?;
        if number == streams.len() {
            streams.push(input.labels()?);
        }
        let stream = streams.get(number).ok_or(WireError("an entry of an unknown stream"))?.clone();
        entries.push(LogEntry { timestamp_ns, line, stream, metadata: input.labels()?, parsed: input.labels()? });
        before = timestamp_ns;
    }
    Ok(entries)
}

fn pack(message: WireWriter) -> Result<Vec<u8>, WireError> {
    let packed = zstd::bulk::compress(&message.into_bytes(), LEVEL).map_err(|_| WireError("zstd cannot pack"))?;
    Ok([&[VERSION], packed.as_slice()].concat())
}

fn unpack(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, WireError> {
    let broken = |_| WireError("a message is not zstd");
    let Some((version, packed)) = bytes.split_first() else { return Err(WireError("an empty message")) };
    if *version != VERSION {
        return Err(WireError("the message of another version"));
    }
    let mut unpacked = Vec::new();
    let most = (bytes_max as u64).saturating_add(1);
    zstd::stream::read::Decoder::new(packed).map_err(broken)?.take(most).read_to_end(&mut unpacked).map_err(broken)?;
    if unpacked.len() > bytes_max { Err(WireError("a message is too large")) } else { Ok(unpacked) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shard(part: Part) -> Shard {
        let key = |key: &str| Key::parse(key).expect("a key");
        let fresh = "t/a/1970-01-01/l0/0000000000000000001-0000000000000000002-000000000000000000000000000000ff-3.seg";
        let merged = "t/b/2026-11-20/seg/00000000000000000000000000000001-12.seg";
        Shard {
            tenants: ["a", "b"].map(|id| TenantId::new(id).expect("an id")).to_vec(),
            query: "rate({a=\"é\"}[1m])".to_owned(),
            asked_ns: 1_795_168_800_000_000_000,
            timeout: Duration::from_millis(1500),
            answer_bytes_max: 6 << 20,
            range: TimeRange::new(-5, i64::MAX).expect("a range"),
            part,
            segments: vec![
                SegmentRef {
                    key: key(fresh),
                    size: 9,
                    min_ts: 1,
                    max_ts: 2,
                    rows: 3,
                    fresh: true,
                    forgot: Marks::default(),
                    catalog: None,
                },
                SegmentRef {
                    key: key(merged),
                    size: 1 << 40,
                    min_ts: -1,
                    max_ts: 7,
                    rows: 1,
                    fresh: false,
                    forgot: ["delete-1", "retention-2"].into_iter().collect(),
                    catalog: None,
                },
            ],
        }
    }

    #[test]
    fn shards_are_read_as_they_were_written() {
        let steps = Steps { start_ns: 1, end_ns: 9, step_ns: 2 };
        let entries = Part::Entries { direction: Direction::Backward, limit: 77 };
        for part in [entries, Part::Fold { leaf: 2, steps }] {
            let bytes = shard(part).write().expect("packs");
            assert_eq!(Shard::read(&bytes), Ok(shard(part)));
            assert!((0..bytes.len()).all(|end| Shard::read(&bytes[..end]).is_err()), "cut off");
            assert_eq!(
                Shard::read(&[&[VERSION + 1], &bytes[1..]].concat()),
                Err(WireError("the message of another version"))
            );
        }
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let mut out = WireWriter::default();
        out.text(&"x".repeat(1 << 20));
        let packed = pack(out).expect("packs");
        assert!(packed.len() < 1000 && unpack(&packed, 1 << 19).is_err() && unpack(&packed, 2 << 20).is_ok());
    }

    proptest! {
        #[test]
        fn answers_are_read_as_they_were_written(
            lines in prop::collection::vec((any::<i64>(), ".{0,20}", 0u8..3), 0..20), figure: u64,
        ) {
            let labels = |n: &u8| Labels::from_pairs([("n", n.to_string())]);
            let entries: Vec<LogEntry> = lines.iter().map(|(timestamp_ns, line, n)| LogEntry {
                timestamp_ns: *timestamp_ns, line: line.clone(), stream: labels(n), metadata: labels(n), parsed: Labels::default(),
            }).collect();
            let stats = QueryStats { lines: figure, cache_hits: 3, ..QueryStats::default() };
            let bytes = write_answer(&stats, Outcome::Done(&|out| write_entries(&entries, out))).expect("packs");
            let got = read_answer(&bytes, 1 << 20, read_entries).expect("reads");
            prop_assert_eq!(got, (stats, Outcome::Done(entries)));
        }

        /// Bytes that are zstd all right, and nonsense behind it.
        #[test]
        fn nonsense_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let packed = [&[VERSION], zstd::bulk::compress(&bytes, 1).expect("packs").as_slice()].concat();
            let _ = Shard::read(&packed);
            let _ = Shard::read(&bytes);
            let _ = read_answer(&packed, 1 << 20, read_entries);
        }
    }
}
