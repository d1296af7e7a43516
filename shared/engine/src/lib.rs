//! Plan, prune, scan, compute: a LogQL query over stored segments.
//!
//! In: a request and a store. Out: a value and what it cost. A query is parsed once; its time range chooses segments,
//! their footers choose streams and blocks, filters prove blocks empty, and what is left is read column by column and
//! computed block by block. Nothing grows with the data: results and blocks under way have a budget.

mod error;
mod request;
mod settings;
mod tenants;

mod guard;

pub mod needles;
mod plan;

mod forget;

mod attempts;
mod block_cache;
mod budget;
mod catalogs;
mod deadline;
mod footers;
mod groups;
mod prune;
mod reader;
mod slices;

mod codes;
mod columns;
mod counted;
mod duplicates;
mod hits;
mod rows;
mod scan;

mod detected;
mod labels;
mod live;
mod logs;
mod metrics;
mod minutes;
mod newest;
mod patterns;
mod tally;
mod volume;

mod shard;

mod explain;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use logql::ast::{Expr, LogExpr, MetricExpr};
use logql::eval::Steps;
use model::{Labels, LogEntry, QueryStats, TimeRange, Value};
use store::Store;

pub use detected::{DetectedField, DetectedLabel};
pub use error::Error;
pub use explain::{BlocksExplained, Explained, PartExplained, Reads, SegmentsExplained};
pub use footers::{OpenSegment, SegmentIndex};
pub use forget::{
    DeleteStatus, Deletes, Forget, ForgetSettings, Policy, Rules, StreamForget, StreamPeriod, check_delete,
    check_retention_selector,
};
pub use guard::Blocked;
pub use labels::check_selector;
pub use live::{LiveEntry, LiveQuery};
pub use patterns::{Pattern, Patterns, PatternsRequest};
pub use plan::{Plan, PlannedBlock, PlannedRun, PlannedSegment, Skip};
pub use request::{Answer, Direction, LabelsRequest, Limits, QueryRequest, When};
pub use settings::EngineSettings;
pub use shard::{FanOut, FanOutSettings, Leaves, Undone};
pub use volume::{IndexStats, VolumeBy, VolumeRequest};

use block_cache::BlockCache;
use footers::Footers;
use forget::Question;
use reader::Reader;
use scan::Scan;
use shard::Fan;
use tenants::Tenants;

/// Answers queries over one store. Cloning copies a pointer.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    settings: EngineSettings,
    footers: Arc<Footers>,
    fan_out: Option<FanOut>,
    blocks: Arc<BlockCache>,
    policy: Policy,
    known_deletes: Arc<forget::Known>,
    corrupt: Arc<AtomicU64>,
}

impl Engine {
    /// An engine over a store. It forgets nothing.
    pub fn new(store: Store, settings: EngineSettings) -> Self {
        let blocks = Arc::new(BlockCache::new(&settings));
        let footers = Arc::new(Footers::new(settings.footer_cache_bytes_max, blocks.clone()));
        let (policy, known_deletes) = Default::default();
        let corrupt = Arc::default();
        Engine { store, settings, footers, blocks, fan_out: None, policy, known_deletes, corrupt }
    }

    /// The same engine, which gives slices of large questions to other processes.
    pub fn with_fan_out(self, fan_out: FanOut) -> Self {
        Engine { fan_out: Some(fan_out), ..self }
    }

    /// The same engine, which does not show what is to be forgotten.
    pub fn heeding(self, policy: Policy) -> Self {
        Engine { policy, ..self }
    }

    /// Answers a LogQL query. Dropping the future ends its work.
    pub async fn query(&self, request: QueryRequest) -> Result<Answer, Error> {
        let started = Instant::now();
        let expr = logql::parse(&request.query)?;
        guard::check(&request.query, &expr, &request.limits)?;
        let Some(when) = guard::within_lookback(request.when, request.limits.oldest_ns) else {
            let value = guard::nothing(&expr, request.when);
            return Ok(Answer { value, stats: QueryStats::default(), warnings: Vec::new() });
        };
        let request = QueryRequest { when, ..request };
        let (expr, request) = (&expr, &request);
        let work = |reader: Reader| async move {
            guard::check_bytes(expr, when, &request.limits, &reader).await?;
            let (scan, _cancel) = Scan::new(reader);
            let fan = Fan::new(self.fan_out.as_ref(), request, &scan);
            match expr {
                Expr::Log(log) => log_query(log, request, &scan, &fan).await,
                Expr::Metric(metric) => metric_query(metric, request, &fan).await,
            }
        };
        let tenants = Tenants::of_query(&request.tenants, expr)?;
        let answering = self.attempts(tenants, request.limits.skip_corrupt_segments, work);
        let ((value, mut warnings), reader) = within(request.limits.query_timeout, answering).await?;
        warnings.extend(attempts::warnings(reader.left_out()));
        let mut stats = reader.stats();
        stats.entries_returned = if let Value::Entries(entries) = &value { entries.len() as u64 } else { 0 };
        stats.exec_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Ok(Answer { value, stats, warnings })
    }

    /// Says what a query would read, if it were asked now, and what it would not. Reads no block but those whose entries may lie
    /// in two segments.
    pub async fn explain(&self, request: QueryRequest) -> Result<Explained, Error> {
        let expr = logql::parse(&request.query)?;
        guard::check(&request.query, &expr, &request.limits)?;
        let Some(when) = guard::within_lookback(request.when, request.limits.oldest_ns) else {
            return Ok(explain::nothing(&expr));
        };
        let request = QueryRequest { when, ..request };
        let (expr, request) = (&expr, &request);
        let work = |reader: Reader| async move {
            guard::check_bytes(expr, when, &request.limits, &reader).await?;
            explain::explain(expr, request, reader).await
        };
        let tenants = Tenants::of_query(&request.tenants, expr)?;
        let explaining = self.attempts(tenants, request.limits.skip_corrupt_segments, work);
        Ok(within(request.limits.query_timeout, explaining).await?.0)
    }

    /// The names of all labels, sorted.
    pub async fn labels(&self, request: LabelsRequest) -> Result<Vec<String>, Error> {
        let series = self.all_series(&request).await?;
        let names: BTreeSet<&str> = series.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// The values of one label, sorted.
    pub async fn label_values(&self, name: &str, request: LabelsRequest) -> Result<Vec<String>, Error> {
        let series = self.all_series(&request).await?;
        let values: BTreeSet<&str> = series.iter().filter_map(|labels| labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }

    /// The label sets of all streams, sorted.
    pub async fn series(&self, request: LabelsRequest) -> Result<Vec<Labels>, Error> {
        Ok(self.all_series(&request).await?.into_iter().collect())
    }

    /// The labels of streams that are worth showing.
    pub async fn detected_labels(&self, request: LabelsRequest) -> Result<Vec<DetectedLabel>, Error> {
        Ok(detected::labels(&self.all_series(&request).await?))
    }

    /// The fields that the newest entries of a log query have; at most `fields_max`.
    pub async fn detected_fields(&self, request: QueryRequest, fields_max: usize) -> Result<Vec<DetectedField>, Error> {
        match self.query(request).await?.value {
            Value::Entries(entries) => detected::fields(&entries, fields_max),
            _ => Err(Error::Invalid("only log queries have fields".to_owned())),
        }
    }

    async fn all_series(&self, request: &LabelsRequest) -> Result<BTreeSet<Labels>, Error> {
        let tenants = Tenants::of_selectors(&request.tenants, &request.selectors)?;
        let work = |reader: Reader| async move { labels::series(request, &reader).await };
        Ok(self.attempts(tenants, false, work).await?.0)
    }

    /// How many damaged segments questions have come across, each time they did.
    pub fn corrupt_segments(&self) -> u64 {
        self.corrupt.load(Relaxed)
    }

    fn count_corrupt(&self) {
        self.corrupt.fetch_add(1, Relaxed);
    }

    fn reader(&self, tenants: Tenants) -> Reader {
        let question = self.question(tenants.clone());
        self.reader_of(tenants, question)
    }

    fn question(&self, tenants: Tenants) -> Question {
        Question::new(self.policy.clone(), self.known_deletes.clone(), tenants)
    }

    fn reader_of(&self, tenants: Tenants, question: Question) -> Reader {
        let (footers, blocks) = (self.footers.clone(), self.blocks.clone());
        Reader::new(self.store.metered(), footers, blocks, self.settings.clone(), tenants, question)
    }
}

/// Prints a query in its usual form.
pub fn format_query(query: &str) -> Result<String, Error> {
    Ok(logql::pretty(&logql::parse(query)?))
}

type ValueAndWarnings = (Value, Vec<String>);

/// Work that may take only so long; zero is forever.
async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout.is_zero() {
        true => work.await,
        false => tokio::time::timeout(timeout, work).await.map_err(|_| Error::Timeout)?,
    }
}

async fn log_query(
    expr: &LogExpr,
    request: &QueryRequest,
    scan: &Scan,
    fan: &Fan<'_>,
) -> Result<ValueAndWarnings, Error> {
    let (range, interval_ns) = log_range(request)?;
    let query = logs::LogQuery::new(expr, request.direction, request.limit)?;
    let entries = if interval_ns > 0 {
        thinned(&query, request, scan, range, interval_ns).await?
    } else {
        fan.entries(expr, &query, range).await?
    };
    Ok((Value::Entries(entries), Vec::new()))
}

/// When a log query is about, and how far apart its entries are to be; refuses what is not a log query's to ask.
fn log_range(request: &QueryRequest) -> Result<(TimeRange, i64), Error> {
    let When::Range { start_ns, end_ns, interval_ns, .. } = request.when else {
        return Err(Error::Invalid(
            "log queries are not supported as an instant query type, please change your query to a range query type"
                .to_owned(),
        ));
    };
    let most = request.limits.max_entries_limit_per_query;
    if most > 0 && request.limit > most {
        let asked = request.limit;
        return Err(Error::Limit(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query ({asked} > {most})"
        )));
    }
    Ok((range(start_ns, end_ns)?, interval_ns))
}

/// Entries at least an interval apart. Loki splits the range first, takes the first `limit` entries of each part and thins
/// only those, so that a short interval over many entries gives few; so do we.
async fn thinned(
    query: &logs::LogQuery,
    request: &QueryRequest,
    scan: &Scan,
    range: TimeRange,
    interval_ns: i64,
) -> Result<Vec<LogEntry>, Error> {
    let mut entries = Vec::new();
    for part in split(range, request) {
        let found = query.run(scan, part).await?;
        entries.extend(logs::thin(found, interval_ns));
        if entries.len() >= request.limit {
            entries.truncate(request.limit);
            break;
        }
    }
    Ok(entries)
}

/// Cuts a range at the multiples of the split interval, in the order asked.
fn split(range: TimeRange, request: &QueryRequest) -> Vec<TimeRange> {
    let interval_ns = i64::try_from(request.limits.split_queries_by_interval.as_nanos()).unwrap_or(i64::MAX);
    let mut parts = Vec::new();
    let mut from = range.start_ns();
    while interval_ns > 0 && from < range.end_ns() {
        let next = from.saturating_sub(from.rem_euclid(interval_ns)).saturating_add(interval_ns).min(range.end_ns());
        parts.extend(TimeRange::new(from, next));
        from = next;
    }
    if parts.is_empty() {
        parts.push(range);
    }
    if request.direction == Direction::Backward {
        parts.reverse();
    }
    parts
}

/// The times at which a metric query is evaluated.
fn steps(request: &QueryRequest) -> Steps {
    match request.when {
        When::Instant { time_ns } => Steps::instant(time_ns),
        When::Range { start_ns, end_ns, step_ns, .. } if request.limits.split_queries_by_interval.is_zero() => {
            Steps { start_ns, end_ns, step_ns }
        }
        When::Range { start_ns, end_ns, step_ns, .. } => Steps::aligned(start_ns, end_ns, step_ns),
    }
}

async fn metric_query(expr: &MetricExpr, request: &QueryRequest, fan: &Fan<'_>) -> Result<ValueAndWarnings, Error> {
    let evaluated = metrics::evaluate(expr, steps(request), fan).await?;
    let (most, found) = (request.limits.max_query_series, evaluated.series_count());
    let too_many = most > 0 && found > most;
    let reached = format!("maximum number of series ({most}) reached for a single query");
    if too_many && !request.partial_series {
        return Err(Error::Limit(format!(
            "{reached}; consider reducing query cardinality by adding more specific stream selectors, reducing the time \
             range, or aggregating results with functions like sum(), count() or topk()"
        )));
    }
    let mut value = match request.when {
        When::Instant { .. } => evaluated.into_instant(),
        When::Range { .. } => evaluated.into_range(),
    };
    if !too_many {
        return Ok((value, Vec::new()));
    }
    match &mut value {
        Value::Matrix(series) => series.truncate(most),
        Value::Vector(samples) => samples.truncate(most),
        Value::Entries(_) | Value::Scalar(_) => {}
    }
    Ok((value, vec![format!("{reached}; returning partial results")]))
}

fn range(start_ns: i64, end_ns: i64) -> Result<TimeRange, Error> {
    TimeRange::new(start_ns, end_ns)
        .map_err(|_| Error::Invalid("end timestamp must not be before or equal to start time".to_owned()))
}
