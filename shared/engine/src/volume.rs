//! How much there is of which stream, for `index/stats` and `index/volume`.
//!
//! In: selectors, a range, by what to sum. Out: totals, or series of bytes. What is counted, and how exactly, is `tally`'s.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use foldhash::fast::RandomState;
use logql::matcher::Selector;
use model::{Labels, Point, Sample, Series, Value};

use crate::reader::Reader;
use crate::scan::Scan;
use crate::tally::{self, Amount, Steps, Tally};
use crate::tenants::Tenants;
use crate::{Answer, Engine, Error, LabelsRequest, Limits, attempts, deadline, labels};

const NANOS_PER_MILLI: i64 = 1_000_000;

/// What the streams of a selector hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Distinct streams.
    pub streams: u64,
    /// Pieces of streams: one for each segment that has entries of a stream.
    pub chunks: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// By what volumes are summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeBy {
    /// The values of these labels together; none: those that the selector names, or all if it names none.
    Series(Vec<String>),
    /// Each label by itself; none: those that the selector names, or all if it names none.
    Labels(Vec<String>),
}

/// A question about volumes.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeRequest {
    /// Of which streams, and when.
    pub of: LabelsRequest,
    /// By what bytes are summed.
    pub by: VolumeBy,
    /// Steps end at its multiples; 0 is one step for the whole range.
    pub step_ns: i64,
    /// Most series of the answer.
    pub limit: usize,
    /// Most series that there may be before the limit; 0 is no bound.
    pub series_max: usize,
    /// What this tenant may ask.
    pub limits: Limits,
}

impl Engine {
    /// How much the streams of a selector hold.
    pub async fn index_stats(&self, request: LabelsRequest, limits: &Limits) -> Result<IndexStats, Error> {
        let tenants = Tenants::of_selectors(&request.tenants, &request.selectors)?;
        let work = |reader| tally_of(&request, 0, reader);
        let attempts = self.attempts(tenants, limits.skip_corrupt_segments, work);
        let (tally, _) = deadline::within(limits, attempts).await?;
        let amounts = tally.pieces.iter().flat_map(|piece| &piece.amounts).map(|(_, amount)| *amount);
        let all = amounts.fold(Amount::default(), Amount::plus);
        let doubles = tally.doubles.iter().map(|(.., amount)| *amount).fold(Amount::default(), Amount::plus);
        Ok(IndexStats {
            streams: tally.pieces.iter().map(|piece| &piece.labels).collect::<HashSet<_, RandomState>>().len() as u64,
            chunks: tally.pieces.len() as u64,
            bytes: all.bytes.saturating_sub(doubles.bytes),
            entries: all.rows.saturating_sub(doubles.rows),
        })
    }

    /// Bytes of lines by labels, the largest first: a vector, or a matrix if there are several steps of anything.
    pub async fn volume(&self, request: VolumeRequest) -> Result<Answer, Error> {
        let by = Grouping::new(&request)?;
        let tenants = Tenants::of_selectors(&request.of.tenants, &request.of.selectors)?;
        let work = |reader| tally_of(&request.of, request.step_ns, reader);
        let attempts = self.attempts(tenants, request.limits.skip_corrupt_segments, work);
        let (tally, reader) = deadline::within(&request.limits, attempts).await?;
        let sums = by.sum(&tally);
        let most = request.series_max;
        if most > 0 && sums.len() > most {
            let text = format!("the query hit the max number of series limit (limit: {most} series)");
            return Err(Error::Limit(text));
        }
        let mut sums: Vec<(u64, Labels, BTreeMap<i64, u64>)> =
            sums.into_iter().map(|(labels, steps)| (steps.values().sum(), labels, steps)).collect();
        sums.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        sums.truncate(request.limit);
        Ok(Answer { value: value(sums), stats: reader.stats(), warnings: attempts::warnings(reader.left_out()) })
    }
}

async fn tally_of(request: &LabelsRequest, step_ns: i64, reader: Reader) -> Result<Tally, Error> {
    let (scan, _cancel) = Scan::new(reader);
    let selectors: Vec<Selector> = labels::selectors(request)?;
    let segments = scan.reader().segments(request.range).await?;
    tally::count(&selectors, Steps::new(request.range, step_ns), request.range, segments, &scan).await
}

/// Which labels name a sum.
struct Grouping {
    names: BTreeSet<String>,
    /// Names that a stream must have.
    required: bool,
    /// Each name by itself.
    apart: bool,
}

impl Grouping {
    fn new(request: &VolumeRequest) -> Result<Self, Error> {
        let (targets, apart) = match &request.by {
            VolumeBy::Series(targets) => (targets, false),
            VolumeBy::Labels(targets) => (targets, true),
        };
        let mut names: BTreeSet<String> = targets.iter().cloned().collect();
        let required = !names.is_empty();
        if !required {
            for selector in &request.of.selectors {
                names.extend(logql::parse_selector(selector)?.into_iter().map(|matcher| matcher.name));
            }
        }
        Ok(Grouping { names, required, apart })
    }

    fn sum(&self, tally: &Tally) -> HashMap<Labels, BTreeMap<i64, u64>> {
        let mut sums =
            Sums { grouping: self, groups: HashMap::default(), streams: HashMap::default(), all: Vec::new() };
        for piece in &tally.pieces {
            for group in sums.of(&piece.labels) {
                let Some((_, steps)) = sums.all.get_mut(group) else { continue };
                piece.amounts.iter().for_each(|(end, amount)| *steps.entry(*end).or_default() += amount.bytes);
            }
        }
        for (labels, end, amount) in &tally.doubles {
            for group in sums.of(labels) {
                let bytes = sums.all.get_mut(group).and_then(|(_, steps)| steps.get_mut(end));
                bytes.into_iter().for_each(|bytes| *bytes = bytes.saturating_sub(amount.bytes));
            }
        }
        let in_order =
            |steps: HashMap<i64, u64, RandomState>| steps.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        let sums = sums.all.into_iter().map(|(labels, steps)| (labels, in_order(steps)));
        sums.filter(|(_, steps): &(Labels, BTreeMap<i64, u64>)| !steps.is_empty()).collect()
    }

    /// The sums to which a stream belongs.
    fn groups(&self, labels: &Labels) -> Vec<Labels> {
        if self.required && !self.names.iter().all(|name| labels.contains(name)) {
            return Vec::new();
        }
        let wanted = |name: &str| self.names.is_empty() || self.names.contains(name);
        let named = labels.iter().filter(|(name, _)| wanted(name));
        match self.apart {
            true => named.map(|(name, _)| Labels::from_pairs([(name, "")])).collect(),
            false => vec![named.collect()],
        }
    }
}

/// Sums on their way.
struct Sums<'g> {
    grouping: &'g Grouping,
    groups: HashMap<Labels, usize, RandomState>,
    /// The groups of the streams that were met.
    streams: HashMap<Labels, Vec<usize>, RandomState>,
    /// Each group's labels, and its bytes by the end of the step.
    all: Vec<(Labels, HashMap<i64, u64, RandomState>)>,
}

impl Sums<'_> {
    /// The groups of a stream.
    fn of(&mut self, stream: &Labels) -> Vec<usize> {
        if let Some(known) = self.streams.get(stream) {
            return known.clone();
        }
        let mut groups = Vec::new();
        for labels in self.grouping.groups(stream) {
            let group = *self.groups.entry(labels.clone()).or_insert(self.all.len());
            if group == self.all.len() {
                self.all.push((labels, HashMap::default()));
            }
            groups.push(group);
        }
        self.streams.insert(stream.clone(), groups.clone());
        groups
    }
}

fn value(sums: Vec<(u64, Labels, BTreeMap<i64, u64>)>) -> Value {
    let point = |(end, bytes): (i64, u64)| Point { timestamp_ms: end.div_euclid(NANOS_PER_MILLI), value: bytes as f64 };
    if sums.iter().all(|(.., steps)| steps.len() <= 1) {
        let samples = sums.into_iter().filter_map(|(_, labels, mut steps)| {
            let point = point(steps.pop_first()?);
            Some(Sample { labels, point })
        });
        return Value::Vector(samples.collect());
    }
    let series = |(_, labels, steps): (u64, Labels, BTreeMap<i64, u64>)| {
        let points = steps.into_iter().map(point).collect();
        Series { labels, points }
    };
    Value::Matrix(sums.into_iter().map(series).collect())
}
