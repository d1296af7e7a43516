//! A case: entries, delete requests, rules of retention, and what happens. Also what is to be seen of it all, told plainly.
//!
//! [`Case::shows`] is the yardstick: it looks at one entry at a time and knows nothing of segments, runs, minutes' counts or merges.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::{Entry, Labels};
use proptest::prelude::*;
use upkeep::{Deletes, ForgetSettings, StreamPeriod};

pub(crate) const SECOND_NS: i64 = 1_000_000_000;
pub(crate) const MINUTE_NS: i64 = 60 * SECOND_NS;
pub(crate) const HOUR_NS: i64 = 60 * MINUTE_NS;
pub(crate) const DAY_NS: i64 = 24 * HOUR_NS;
/// A midnight; entries lie in the two days behind it.
pub(crate) const START_NS: i64 = 1_795_132_800_000_000_000;
/// When the questions are asked at first; then a day and an hour later.
pub(crate) const NOW_NS: i64 = START_NS + 3 * DAY_NS;
pub(crate) const LATER_NS: i64 = NOW_NS + DAY_NS + HOUR_NS;
/// After it a request cannot be cancelled.
pub(crate) const CANCEL: Duration = Duration::from_secs(86_400);
/// Segments that are pushed of a day.
pub(crate) const BATCHES: usize = 5;

/// Labels of the streams. The fourth has a level of its own, the fifth a label that no other has.
const STREAMS: [&[(&str, &str)]; 5] = [
    &[("app", "a"), ("env", "dev")],
    &[("app", "a"), ("env", "prod")],
    &[("app", "b"), ("env", "dev")],
    &[("app", "c"), ("detected_level", "debug")],
    &[("app", "c"), ("tier", "x")],
];

/// An entry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) time_ns: i64,
    pub(crate) stream: usize,
    pub(crate) shape: u8,
    pub(crate) number: u8,
    pub(crate) level: Option<&'static str>,
    pub(crate) trace: Option<u8>,
    /// In which segments it lies: a bit each.
    pub(crate) batches: u8,
}

impl Row {
    pub(crate) fn labels(&self) -> Labels {
        Labels::from_pairs(STREAMS[self.stream].iter().copied())
    }

    fn label(&self, name: &str) -> &'static str {
        STREAMS[self.stream].iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    /// The level as a query sees it: a label of the stream hides metadata.
    fn seen_level(&self) -> &'static str {
        match self.label("detected_level") {
            "" => self.level.unwrap_or_default(),
            own => own,
        }
    }

    /// Shapes differ in what stands between their words, so that each is one pattern whatever comes first.
    pub(crate) fn line(&self) -> String {
        let number = self.number;
        match self.shape {
            0 => format!("op=load v={number}"),
            1 => format!("op=save v={number} size={number}kb"),
            2 => format!("panic: at {number}"),
            _ => String::new(),
        }
    }

    pub(crate) fn entry(&self) -> Entry {
        let trace = self.trace.map(|trace| ("trace", format!("t{trace}")));
        let metadata = self.level.map(|level| ("detected_level", level.to_owned())).into_iter().chain(trace);
        Entry { timestamp_ns: self.time_ns, line: self.line(), metadata: metadata.collect() }
    }
}

/// `1d 05:01:00.000000001`
pub(crate) fn clock(time_ns: i64) -> String {
    let since = time_ns - START_NS;
    let (day, rest) = (since.div_euclid(DAY_NS), since.rem_euclid(DAY_NS));
    let (hour, minute) = (rest / HOUR_NS, rest / MINUTE_NS % 60);
    format!("{day}d {hour:02}:{minute:02}:{:02}.{:09}", rest / SECOND_NS % 60, rest % SECOND_NS)
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { time_ns, stream, level, trace, batches, .. } = self;
        write!(f, "{} {:?} {:?}", clock(*time_ns), STREAMS[*stream], self.line())?;
        write!(f, " level={} trace={trace:?} in={batches:05b}", level.unwrap_or("-"))
    }
}

/// What can be deleted, and whether an entry is.
type Deleting = (&'static str, fn(&Row) -> bool);

const DELETINGS: [Deleting; 10] = [
    (r#"{app="a"}"#, |row| row.label("app") == "a"),
    (r#"{tier="x"}"#, |row| row.label("tier") == "x"),
    (r#"{app=~"a|b"} |= "3""#, |row| row.label("app") != "c" && row.line().contains('3')),
    (r#"{app=~".+"} != "load""#, |row| !row.line().contains("load")),
    (r#"{env="dev"} | detected_level="error""#, |row| row.label("env") == "dev" && row.seen_level() == "error"),
    (r#"{app=~".+"} | detected_level!="info""#, |row| row.seen_level() != "info"),
    (r#"{app=~".+"} |~ "op=sav." |= "1""#, |row| row.shape == 1 && row.line().contains('1')),
    (r#"{app=~".+"} | logfmt | v > 5"#, |row| row.shape < 2 && row.number > 5),
    (r#"{app="c"} | trace="t1""#, |row| row.label("app") == "c" && row.trace == Some(1)),
    (r#"{app="nobody"}"#, |_| false),
];

/// A delete request.
#[derive(Clone)]
pub(crate) struct Request {
    deleting: Deleting,
    /// Both ends are deleted.
    pub(crate) times: (i64, i64),
    /// It was taken so long ago that it is for good.
    pub(crate) is_old: bool,
    /// It is cancelled before it is for good.
    pub(crate) is_cancelled: bool,
}

impl Request {
    pub(crate) fn query(&self) -> &'static str {
        self.deleting.0
    }

    pub(crate) fn created_ns(&self) -> i64 {
        NOW_NS - if self.is_old { 30 } else { 1 } * HOUR_NS
    }

    pub(crate) fn deletes(&self, row: &Row) -> bool {
        (self.times.0..=self.times.1).contains(&row.time_ns) && (self.deleting.1)(row)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} to {}", self.query(), clock(self.times.0), clock(self.times.1))?;
        let (old, cancelled) =
            (["", " old"][usize::from(self.is_old)], ["", " cancelled"][usize::from(self.is_cancelled)]);
        write!(f, "{old}{cancelled}")
    }
}

/// Whose period a rule can give, and whether an entry is among them.
const CHOOSINGS: [Deleting; 6] = [
    (r#"{app="a"}"#, |row| row.label("app") == "a"),
    (r#"{env="dev"}"#, |row| row.label("env") == "dev"),
    (r#"{detected_level="error"}"#, |row| row.seen_level() == "error"),
    (r#"{app=~"a|b", detected_level=~"info|debug"}"#, |row| {
        row.label("app") != "c" && ["info", "debug"].contains(&row.seen_level())
    }),
    (r#"{app=~".+", detected_level!="error"}"#, |row| row.seen_level() != "error"),
    (r#"{app="c"}"#, |row| row.label("app") == "c"),
];

/// A period for some entries.
#[derive(Clone)]
pub(crate) struct Rule {
    choosing: Deleting,
    priority: i64,
    period: Duration,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} priority {} {:?}", self.choosing.0, self.priority, self.period)
    }
}

/// Something that happens to the store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// One merge of a day, of at most so many segments; its outputs are small, or one.
    Merge { day: usize, inputs: usize, small: bool },
    /// A batch is sent again, and finds its way into another segment.
    Again { batch: usize },
}

/// What is asked, besides everything of all time.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
    pub(crate) window_s: i64,
    pub(crate) step_s: i64,
    pub(crate) limit: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) rows: Vec<Row>,
    pub(crate) requests: Vec<Request>,
    pub(crate) period: Duration,
    pub(crate) rules: Vec<Rule>,
    pub(crate) early: Vec<Event>,
    pub(crate) late: Vec<Event>,
    pub(crate) asking: Asking,
}

impl Case {
    /// Whether an entry is to be seen; `is_late`: a day later, when requests are cancelled or for good.
    pub(crate) fn shows(&self, row: &Row, is_late: bool) -> bool {
        let now_ns = if is_late { LATER_NS } else { NOW_NS };
        let rules = self.rules.iter().filter(|rule| (rule.choosing.1)(row));
        let rule = rules.min_by_key(|rule| (-rule.priority, rule.period));
        let period_ns = rule.map_or(self.period, |rule| rule.period).as_nanos() as i64;
        // A period ends with the minute.
        let is_past = period_ns > 0 && row.time_ns <= -((period_ns - now_ns).div_euclid(MINUTE_NS) * MINUTE_NS);
        let mut requests = self.requests.iter().filter(|request| !is_late || !request.is_cancelled);
        !is_past && !requests.any(|request| request.deletes(row))
    }

    pub(crate) fn settings(&self) -> ForgetSettings {
        let rule = |rule: &Rule| StreamPeriod {
            selector: rule.choosing.0.to_owned(),
            priority: rule.priority,
            period: rule.period,
        };
        ForgetSettings {
            retention_period: self.period,
            retention_streams: self.rules.iter().map(rule).collect(),
            deletes: Deletes::Delete { after: CANCEL },
        }
    }
}

/// Hours in which there are entries: beside each other, apart, and around midnight.
const HOURS: [i64; 8] = [0, 1, 5, 12, 23, 24, 30, 47];

/// Times of entries: ends of minutes, the nanosecond behind them, and between; four minutes an hour.
fn time() -> impl Strategy<Value = i64> {
    let within =
        |quarter: i64| quarter / 4 * MINUTE_NS + [0, 1, 30 * SECOND_NS, 45 * SECOND_NS][(quarter % 4) as usize];
    (prop::sample::select(HOURS.to_vec()), 0i64..16)
        .prop_map(move |(hour, quarter)| START_NS + hour * HOUR_NS + within(quarter))
}

fn times() -> impl Strategy<Value = (i64, i64)> {
    let edge = || (time(), prop::sample::select(vec![0, 1, -1, 7 * SECOND_NS])).prop_map(|(time, by)| time + by);
    let between = (edge(), edge()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![1 => Just((0, NOW_NS)), 3 => between]
}

fn row() -> impl Strategy<Value = (usize, u8, u8, Option<&'static str>, Option<u8>, u8)> {
    let level = prop::sample::select(vec![None, Some("info"), Some("error"), Some("debug")]);
    (0..STREAMS.len(), 0u8..4, 0u8..14, level, prop::option::of(0u8..3), 1u8..(1 << BATCHES))
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::btree_map(time(), row(), 1..60).prop_map(|rows: BTreeMap<i64, _>| {
        let row = |(time_ns, (stream, shape, number, level, trace, batches))| {
            // Mostly one segment, sometimes several.
            let batches = if batches % 3 == 0 { batches } else { 1 << (batches as usize % BATCHES) };
            Row { time_ns, stream, shape, number, level, trace, batches }
        };
        rows.into_iter().map(row).collect()
    })
}

fn request() -> impl Strategy<Value = Request> {
    let flags = prop::sample::select(vec![(false, false), (true, false), (false, true)]);
    (prop::sample::select(DELETINGS.to_vec()), times(), flags)
        .prop_map(|(deleting, times, (is_old, is_cancelled))| Request { deleting, times, is_old, is_cancelled })
}

/// Periods that end before, among and behind the entries; 0 is for ever.
fn period() -> impl Strategy<Value = Duration> {
    let some =
        (20u64..80, prop::sample::select(vec![0, 1, 15, 90])).prop_map(|(h, s)| Duration::from_secs(3600 * h + s));
    prop_oneof![1 => Just(Duration::ZERO), 2 => some]
}

fn rule() -> impl Strategy<Value = Rule> {
    (prop::sample::select(CHOOSINGS.to_vec()), 0i64..3, period()).prop_map(|(choosing, priority, period)| Rule {
        choosing,
        priority,
        period,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let merge = (0usize..2, 2usize..5, any::<bool>());
    prop_oneof![
        3 => merge.prop_map(|(day, inputs, small)| Event::Merge { day, inputs, small }),
        1 => (0..BATCHES).prop_map(|batch| Event::Again { batch }),
    ]
}

fn asking() -> impl Strategy<Value = Asking> {
    let step_s = prop::sample::select(vec![60, 900, 3600, 7, 5000]);
    let window_s = prop::sample::select(vec![60, 300, 3600, 50_000, 61, 15]);
    (times(), window_s, step_s, 1usize..20).prop_map(|((from_ns, to_ns), window_s, step_s, limit)| Asking {
        from_ns: from_ns.max(START_NS - HOUR_NS),
        to_ns: to_ns.min(START_NS + 2 * DAY_NS),
        window_s,
        step_s,
        limit,
    })
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let events = || prop::collection::vec(event(), 0..4);
    let retention = (period(), prop::collection::vec(rule(), 0..4));
    // Without one or the other as often as not: less is forgotten, and more is left to be wrong.
    let retention = prop_oneof![Just((Duration::ZERO, Vec::new())), retention];
    let requests = prop::collection::vec(request(), 0..4);
    (rows(), requests, retention, events(), events(), asking()).prop_map(
        |(rows, mut requests, (period, rules), early, late, asking)| {
            // One that asks the same as another is that other.
            requests.sort_by_key(|request| (request.query(), request.times));
            requests.dedup_by_key(|request| (request.query(), request.times));
            Case { rows, requests, period, rules, early, late, asking }
        },
    )
}
