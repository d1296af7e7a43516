//! Runs the scripts in `tests/scripts`: push entries, ask queries, see the plan, what was read, and the answer.
//!
//! Commands:
//! - `push '{labels}' segment=N "line" ...` adds entries, a second apart, to segment N; `from=S` sets the first one's
//!   second, `step=S` their distance, `md='name=value,…'` their structured metadata.
//! - `store [block=BYTES]` writes the segments.
//! - `query 'LogQL' [limit=N] [dir=forward] [start=S] [end=S] [step=S] [interval=S]` asks a range; `at 'LogQL' time=S`
//!   an instant. Tags: `[plan]` prints what was skipped, `[reads]` requests and blocks,
//!   `[explain]` what was foretold. What is explained is compared with what is read in any case.
//! - `retain [period=S] ['{selector}' priority=N]` sets the period of all streams, or adds a rule; `now S` says what time it is, and
//!   `delete 'LogQL' start=S end=S` takes a delete request.
//! - `labels`, `values NAME`, `series`, each with selectors.
//! - `set memory=BYTES | entries=N | series=N` changes limits.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use engine::{Deletes, ForgetSettings, Policy, StreamPeriod};
use engine::{Direction, Engine, EngineSettings, Explained, LabelsRequest, Limits, PartExplained, QueryRequest, When};
use goldenscript::{ArgumentConsumer, Command, Context};
use model::{Day, Entry, Labels, QueryStats, TenantId, TimeRange, Value};
use store::{FreshKey, Store, StoreUrl};

/// 2026-11-20T10:00:00Z; scripts count seconds from here.
const START_S: i64 = 1_795_168_800;
const SECOND_NS: i64 = 1_000_000_000;

struct Runner {
    runtime: tokio::runtime::Runtime,
    store: Store,
    settings: EngineSettings,
    limits: Limits,
    pending: BTreeMap<u32, Vec<(Labels, Entry)>>,
    forget: ForgetSettings,
    now_s: i64,
    /// Whether any command was about forgetting.
    forgets: bool,
}

impl Runner {
    fn new() -> Self {
        let settings = EngineSettings {
            decode_concurrency_max: 1,
            blocks_ahead_max: 0,
            store_concurrency_max: 1,
            ..EngineSettings::default()
        };
        Runner {
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"),
            store: Store::open(&StoreUrl::memory(), []).expect("a store in memory"),
            settings,
            limits: Limits::default(),
            pending: BTreeMap::new(),
            forget: ForgetSettings { deletes: Deletes::Hide, ..ForgetSettings::default() },
            now_s: 3600,
            forgets: false,
        }
    }

    fn engine(&self) -> Engine {
        let (forget, now_s) = (self.forget.clone(), self.now_s);
        let policy = Policy::new(move |_| forget.clone(), move || (START_S + now_s) * SECOND_NS);
        let engine = Engine::new(self.store.clone(), self.settings.clone());
        // Most scripts are about what is not forgotten: then nothing is asked.
        if self.forgets { engine.heeding(policy) } else { engine }
    }

    fn forget(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        self.forgets = true;
        let mut args = command.consume_args();
        match (command.name.as_str(), args.next_pos()) {
            ("now", Some(seconds)) => self.now_s = seconds.parse()?,
            ("retain", None) => {
                self.forget.retention_period = Duration::from_secs(parse(&mut args, "period")?.ok_or("no period")?);
            }
            ("retain", Some(selector)) => self.forget.retention_streams.push(StreamPeriod {
                selector: selector.to_owned(),
                period: Duration::from_secs(parse(&mut args, "period")?.ok_or("no period")?),
                priority: parse(&mut args, "priority")?.unwrap_or(0),
            }),
            ("delete", Some(query)) => {
                let at = |seconds: Option<i64>| (START_S + seconds.unwrap_or(0)) * SECOND_NS;
                let range = (at(parse(&mut args, "start")?), at(parse(&mut args, "end")?));
                let now_ns = at(Some(self.now_s));
                self.runtime.block_on(self.engine().request_delete(&TenantId::single(), query, range, now_ns))?;
            }
            _ => return Err("what is to be forgotten?".into()),
        }
        args.reject_next()?;
        Ok(String::new())
    }

    fn push(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let labels = labels(args.next_pos().ok_or("no labels")?)?;
        let segment = parse(&mut args, "segment")?.unwrap_or(1);
        let from: i64 = parse(&mut args, "from")?.unwrap_or(0);
        let step: i64 = parse(&mut args, "step")?.unwrap_or(1);
        let metadata: Option<String> = parse(&mut args, "md")?;
        let metadata: Labels =
            metadata.iter().flat_map(|text| text.split(',')).filter_map(|p| p.split_once('=')).collect();
        let lines = std::iter::from_fn(|| args.next_pos());
        for (i, line) in lines.enumerate() {
            let timestamp_ns = (START_S + from + step * i as i64) * SECOND_NS;
            let entry = Entry { timestamp_ns, line: line.to_owned(), metadata: metadata.clone() };
            self.pending.entry(segment).or_default().push((labels.clone(), entry));
        }
        args.reject_next()?;
        Ok(String::new())
    }

    fn store(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let block = parse(&mut args, "block")?.unwrap_or(1 << 20);
        args.reject_next()?;
        for (batch, entries) in std::mem::take(&mut self.pending) {
            let options = segment::Options {
                block_bytes_max: block,
                block_bytes_min: block / 2,
                // Segments of any size have grams.
                gram_line_bytes_min: 1,
                ..Default::default()
            };
            let mut writer = segment::Writer::new(options);
            for (labels, entry) in &entries {
                writer.add(labels, std::slice::from_ref(entry));
            }
            let built = writer.finish()?;
            let key = FreshKey {
                day: Day::of(built.min_ts),
                min_ts: built.min_ts,
                max_ts: built.max_ts,
                batch_id: batch.into(),
                rows: built.rows,
            };
            self.runtime.block_on(self.store.put_fresh(&TenantId::single(), key, built.bytes.into()))?;
        }
        Ok(String::new())
    }

    fn query(&mut self, command: &Command, context: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let query = args.next_pos().ok_or("no query")?.to_owned();
        let seconds = |value: Option<f64>, or: f64| ((value.unwrap_or(or) * 1e3) as i64) * 1_000_000;
        let time: Option<f64> = parse(&mut args, "time")?;
        let (start, end) = (parse(&mut args, "start")?, parse(&mut args, "end")?);
        let (step, interval) = (parse(&mut args, "step")?, parse(&mut args, "interval")?);
        let when = match command.name.as_str() {
            "at" => When::Instant { time_ns: START_S * SECOND_NS + seconds(time, 60.0) },
            _ => When::Range {
                start_ns: START_S * SECOND_NS + seconds(start, 0.0),
                end_ns: START_S * SECOND_NS + seconds(end, 3600.0),
                step_ns: seconds(step, 60.0),
                interval_ns: seconds(interval, 0.0),
            },
        };
        let forward = args.take_key("dir") == Some("forward");
        let request = QueryRequest {
            tenants: vec![TenantId::single()],
            query,
            when,
            direction: if forward { Direction::Forward } else { Direction::Backward },
            limit: parse(&mut args, "limit")?.unwrap_or(100),
            limits: self.limits.clone(),
            partial_series: parse(&mut args, "partial")?.unwrap_or(false),
        };
        args.reject_next()?;
        let answer = self.runtime.block_on(self.engine().query(request.clone()))?;
        let explained = self.runtime.block_on(self.engine().explain(request))?;
        check_explained(&explained, &answer.stats);
        let mut out = String::new();
        if context.tags.contains("explain") {
            explain(&mut out, &explained);
        }
        if context.tags.contains("plan") {
            plan(&mut out, &answer.stats);
        }
        if context.tags.contains("reads") {
            let QueryStats { store_requests, blocks_read, lines, duplicates, .. } = answer.stats;
            writeln!(out, "requests={store_requests} blocks={blocks_read} lines={lines} duplicates={duplicates}")?;
        }
        answer.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))?;
        print(&mut out, &answer.value);
        Ok(out)
    }

    fn labels(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let name = if command.name == "values" { args.next_pos().map(str::to_owned) } else { None };
        let selectors = std::iter::from_fn(|| args.next_pos()).map(str::to_owned).collect();
        let seconds = |value: Option<i64>, or: i64| (START_S + value.unwrap_or(or)) * SECOND_NS;
        let range = TimeRange::new(seconds(parse(&mut args, "start")?, 0), seconds(parse(&mut args, "end")?, 3600))?;
        args.reject_next()?;
        let request = LabelsRequest { tenants: vec![TenantId::single()], range, selectors };
        let (engine, runtime) = (self.engine(), &self.runtime);
        let lines = match (command.name.as_str(), name) {
            ("labels", _) => runtime.block_on(engine.labels(request))?,
            ("values", Some(name)) => runtime.block_on(engine.label_values(&name, request))?,
            _ => runtime.block_on(engine.series(request))?.iter().map(Labels::to_string).collect(),
        };
        Ok(lines.join("\n"))
    }

    fn set(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        self.settings.query_memory_bytes_max =
            parse(&mut args, "memory")?.unwrap_or(self.settings.query_memory_bytes_max);
        self.settings.whole_object_bytes_max =
            parse(&mut args, "whole")?.unwrap_or(self.settings.whole_object_bytes_max);
        self.settings.tail_bytes = parse(&mut args, "tail")?.unwrap_or(self.settings.tail_bytes);
        self.limits.max_entries_limit_per_query =
            parse(&mut args, "entries")?.unwrap_or(self.limits.max_entries_limit_per_query);
        self.limits.max_query_series = parse(&mut args, "series")?.unwrap_or(self.limits.max_query_series);
        args.reject_next()?;
        Ok(String::new())
    }
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Result<String, Box<dyn Error>> {
        match command.name.as_str() {
            "push" => self.push(command),
            "store" => self.store(command),
            "query" | "at" => self.query(command, context),
            "labels" | "values" | "series" => self.labels(command),
            "set" => self.set(command),
            "retain" | "now" | "delete" => self.forget(command),
            name => Err(format!("unknown command {name}").into()),
        }
    }
}

/// The value of `key=value`, if it is there.
fn parse<T: std::str::FromStr>(args: &mut ArgumentConsumer<'_>, key: &str) -> Result<Option<T>, Box<dyn Error>>
where
    T::Err: Error + 'static,
{
    Ok(args.take_key(key).map(str::parse).transpose()?)
}

fn plan(out: &mut String, stats: &QueryStats) {
    let QueryStats { streams, segments, segments_opened, blocks, blocks_skipped, .. } = stats;
    let _ = writeln!(
        out,
        "streams={streams} segments={segments_opened}/{segments} blocks={}/{blocks} (filters skipped {blocks_skipped})",
        blocks - blocks_skipped
    );
}

/// What was explained is what was read, query by query of every script.
fn check_explained(explained: &Explained, stats: &QueryStats) {
    let (said, read) = (explained.reads(), (stats.store_requests, stats.store_bytes));
    match explained.exact {
        true => assert_eq!((said.requests(), said.bytes), read, "{explained:#?}"),
        false => assert!(said.requests() >= read.0 && said.bytes >= read.1, "{read:?} of {explained:#?}"),
    }
    for PartExplained { blocks, segments, .. } in &explained.parts {
        let filtered = blocks.by_segment_filter + blocks.by_block_filter + blocks.by_gram_filter;
        let skipped = filtered + blocks.counted + blocks.beyond_limit;
        assert_eq!(blocks.outside_range + blocks.other_streams + skipped + blocks.read, blocks.all, "{blocks:?}");
        assert_eq!(segments.outside_range + segments.beyond_limit + segments.opened, segments.listed, "{segments:?}");
    }
}

fn explain(out: &mut String, explained: &Explained) {
    for part in &explained.parts {
        let need = part.need.as_deref().unwrap_or("nothing");
        let _ = writeln!(out, "{} needs {need}, columns {}", part.query, part.columns.join(", "));
        let _ = writeln!(out, "  streams {}/{}, rows {}", part.streams, part.streams_seen, part.rows);
        let (segments, blocks) = (format!("{:?}", part.segments), format!("{:?}", part.blocks));
        let _ = writeln!(out, "  {}", segments.replace("SegmentsExplained", "segments"));
        let _ = writeln!(out, "  {}", blocks.replace("BlocksExplained", "blocks"));
        let steps = [("listing", part.listing), ("footers", part.footers), ("filters", part.filters)];
        let steps = steps.into_iter().chain([("doubles", part.doubles), ("counts", part.counts)]);
        let steps = steps.chain([("columns", part.columns_read)]).filter(|(_, reads)| reads.requests() > 0);
        let steps: Vec<&str> = steps.map(|(step, _)| step).collect();
        let _ = writeln!(out, "  reads {}{}", if part.exact { "" } else { "at most " }, steps.join(", "));
    }
}

fn second(timestamp_ns: i64) -> f64 {
    (timestamp_ns - START_S * SECOND_NS) as f64 / 1e9
}

fn print(out: &mut String, value: &Value) {
    match value {
        Value::Entries(entries) => {
            for entry in entries {
                let _ = write!(out, "{} {}", second(entry.timestamp_ns), entry.stream);
                for (name, labels) in [("metadata", &entry.metadata), ("parsed", &entry.parsed)] {
                    if !labels.is_empty() {
                        let _ = write!(out, " {name}={labels}");
                    }
                }
                let _ = writeln!(out, " {}", entry.line);
            }
        }
        Value::Vector(samples) => {
            for sample in samples {
                let _ = writeln!(out, "{} {}", sample.labels, sample.point.value);
            }
        }
        Value::Matrix(series) => {
            for series in series {
                let _ = write!(out, "{}", series.labels);
                for point in &series.points {
                    let _ = write!(out, " {}@{}", point.value, point.timestamp_ms / 1000 - START_S);
                }
                out.push('\n');
            }
        }
        Value::Scalar(point) => {
            let _ = writeln!(out, "{}", point.value);
        }
    }
}

/// Reads `{a="b"}` by the selector parser.
fn labels(text: &str) -> Result<Labels, Box<dyn Error>> {
    Ok(logql::parse_selector(text)?.into_iter().map(|matcher| (matcher.name, matcher.value)).collect())
}

test_each_file::test_each_path! { in "./shared/engine/tests/scripts" as scripts => run }

fn run(path: &std::path::Path) {
    goldenscript::run(&mut Runner::new(), path).expect("the script can be run")
}
