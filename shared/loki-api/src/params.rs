//! Parameters of the query endpoints: names, formats, defaults and refusals as Loki has them.
//!
//! In: decoded `name=value` pairs of the URL and the form body, and the time now. Out: typed requests, or the text that
//! Loki answers with a 400. Steps are not aligned here: that is the engine's.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use crate::units::{parse_duration, print_go_duration};

/// Entries in an answer if the question names no limit.
const LIMIT_DEFAULT: u32 = 100;
/// How far back a question looks if it names no start.
const SINCE_DEFAULT: Duration = Duration::from_secs(3_600);
/// Seconds that a tail may hold entries back.
const TAIL_DELAY_SECONDS_MAX: u64 = 5;
/// Points a series may have.
const POINTS_MAX: i64 = 11_000;
/// Integers of at most so many characters are seconds, longer ones nanoseconds.
const SECONDS_CHARACTERS_MAX: usize = 10;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// Which way a log query walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest entry first.
    Forward,
    /// Newest entry first.
    #[default]
    Backward,
}

/// A `query_range` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeQuery {
    /// LogQL, not parsed yet.
    pub query: String,
    /// First nanosecond.
    pub start_ns: i64,
    /// Last nanosecond of a metric query, first one outside of a log query.
    pub end_ns: i64,
    /// Distance of the points, whole milliseconds, above zero.
    pub step_ns: i64,
    /// Least distance of log entries, whole milliseconds; 0 for all.
    pub interval_ns: i64,
    /// Entries in the answer.
    pub limit: u32,
    /// Which way to walk.
    pub direction: Direction,
}

/// A `query` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstantQuery {
    /// LogQL, not parsed yet.
    pub query: String,
    /// When.
    pub time_ns: i64,
    /// Entries in the answer.
    pub limit: u32,
    /// Which way to walk.
    pub direction: Direction,
}

/// A `tail` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailQuery {
    /// The earliest entry of the history.
    pub start_ns: i64,
    /// Entries of the history.
    pub limit: u32,
    /// How long entries are held back, so that late ones find their place.
    pub delay: Duration,
}

/// The range that labels, series and volume questions ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First nanosecond.
    pub start_ns: i64,
    /// Last nanosecond.
    pub end_ns: i64,
}

/// A parameter that Loki answers with 400 and this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParamError(Cow<'static, str>);

impl From<String> for ParamError {
    fn from(text: String) -> Self {
        ParamError(text.into())
    }
}

impl From<&'static str> for ParamError {
    fn from(text: &'static str) -> Self {
        ParamError(text.into())
    }
}

/// Decoded parameters. Of a name given twice the first value counts, as in Go's forms: those of the body come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Takes decoded pairs; those of a form body are to stand before those of the URL.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Params(pairs)
    }

    /// The first value of a name; an absent one is empty.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Every value of a name.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// `start`, `end` and `since`: the last hour unless told otherwise.
    pub fn bounds(&self, now_ns: i64) -> Result<Bounds, ParamError> {
        let since_ns = match self.get("since") {
            "" => SINCE_DEFAULT,
            text => parse_duration(text).map_err(|e| format!("could not parse 'since' parameter: {e}"))?,
        };
        let end_ns = self.timestamp("end")?.unwrap_or(now_ns);
        let since_ns = i64::try_from(since_ns.as_nanos()).unwrap_or(i64::MAX);
        let start_ns = self.timestamp("start")?.unwrap_or_else(|| end_ns.min(now_ns).saturating_sub(since_ns));
        Ok(Bounds { start_ns, end_ns })
    }

    /// A time by its name, if given.
    pub fn timestamp(&self, name: &str) -> Result<Option<i64>, ParamError> {
        match self.get(name) {
            "" => Ok(None),
            text => {
                parse_timestamp(text).map(Some).map_err(|e| format!("could not parse '{name}' parameter: {e}").into())
            }
        }
    }

    /// `limit`, which must be above zero.
    pub fn limit(&self) -> Result<u32, ParamError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(LIMIT_DEFAULT);
        }
        match text.parse::<i64>() {
            Ok(limit) if limit <= 0 => Err("limit must be a positive value".into()),
            Ok(limit) => Ok(u32::try_from(limit).unwrap_or(u32::MAX)),
            Err(_) => Err(number_error("Atoi", text)),
        }
    }

    /// `direction`, in any case.
    pub fn direction(&self) -> Result<Direction, ParamError> {
        match self.get("direction") {
            "" => Ok(Direction::default()),
            text if text.eq_ignore_ascii_case("forward") => Ok(Direction::Forward),
            text if text.eq_ignore_ascii_case("backward") => Ok(Direction::Backward),
            text => Err(format!("invalid direction '{text}'").into()),
        }
    }

    /// `step`, or the distance that gives about 250 points.
    pub fn step_ns(&self, bounds: Bounds) -> Result<i64, ParamError> {
        match self.get("step") {
            "" => {
                let seconds = bounds.end_ns.saturating_sub(bounds.start_ns) / NANOS_PER_SECOND / 250;
                Ok(seconds.max(1) * NANOS_PER_SECOND)
            }
            text => parse_seconds_or_duration(text),
        }
    }

    /// `step`, which must be above zero and give at most as many points as a series may have.
    pub fn checked_step_ns(&self, bounds: Bounds) -> Result<i64, ParamError> {
        let step_ns = self.step_ns(bounds)?;
        if step_ns <= 0 {
            return Err("zero or negative query resolution step widths are not accepted. Try a positive integer".into());
        }
        if bounds.end_ns.saturating_sub(bounds.start_ns) / step_ns > POINTS_MAX {
            return Err("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter".into());
        }
        Ok(step_ns)
    }

    /// A `query_range` request, checked.
    pub fn range_query(&self, now_ns: i64) -> Result<RangeQuery, ParamError> {
        let bounds = self.bounds(now_ns)?;
        let Bounds { start_ns, end_ns } = bounds;
        if end_ns < start_ns {
            return Err("end timestamp must not be before or equal to start time".into());
        }
        let (limit, direction) = (self.limit()?, self.direction()?);
        let step_ns = self.checked_step_ns(bounds)?;
        let interval_ns = match self.get("interval") {
            "" => 0,
            text => parse_seconds_or_duration(text)?,
        };
        if interval_ns < 0 {
            return Err("interval must be >= 0".into());
        }
        // Loki carries both as milliseconds; a step below one is kept at one, so that it stays a step.
        let whole_ms = |ns: i64| ns / NANOS_PER_MILLI * NANOS_PER_MILLI;
        let step_ns = whole_ms(step_ns).max(NANOS_PER_MILLI);
        let query = self.get("query").to_owned();
        Ok(RangeQuery { query, start_ns, end_ns, step_ns, interval_ns: whole_ms(interval_ns), limit, direction })
    }

    /// A `tail` request, checked; its query is looked at before.
    pub fn tail_query(&self, now_ns: i64) -> Result<TailQuery, ParamError> {
        let (limit, Bounds { start_ns, .. }) = (self.limit()?, self.bounds(now_ns)?);
        let delay_seconds = match self.get("delay_for") {
            "" => 0,
            text => text.parse::<i64>().map_err(|_| number_error("Atoi", text))?,
        };
        match u64::try_from(delay_seconds) {
            Ok(seconds @ 0..=TAIL_DELAY_SECONDS_MAX) => {
                Ok(TailQuery { start_ns, limit, delay: Duration::from_secs(seconds) })
            }
            _ => Err(format!("delay_for can't be greater than {TAIL_DELAY_SECONDS_MAX}").into()),
        }
    }

    /// A `query` request, checked. Any time goes: Grafana's health check asks for the year 2096.
    pub fn instant_query(&self, now_ns: i64) -> Result<InstantQuery, ParamError> {
        let time_ns = match self.get("time") {
            "" => now_ns,
            text => parse_timestamp(text)?,
        };
        let query = self.get("query").to_owned();
        Ok(InstantQuery { query, time_ns, limit: self.limit()?, direction: self.direction()? })
    }
}

/// A time: seconds with a point, whole seconds of up to ten characters, nanoseconds, or RFC 3339.
pub fn parse_timestamp(text: &str) -> Result<i64, ParamError> {
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        // Loki rounds the fraction to milliseconds.
        let milliseconds = (seconds.fract() * 1000.0).round() as i64;
        return Ok((seconds.trunc() as i64)
            .saturating_mul(NANOS_PER_SECOND)
            .saturating_add(milliseconds * NANOS_PER_MILLI));
    }
    if let Ok(number) = text.parse::<i64>() {
        let seconds = text.len() <= SECONDS_CHARACTERS_MAX;
        return Ok(if seconds { number.saturating_mul(NANOS_PER_SECOND) } else { number });
    }
    match text.parse::<Timestamp>() {
        Ok(time) => {
            Ok(i64::try_from(time.as_nanosecond()).unwrap_or(if time.as_second() < 0 { i64::MIN } else { i64::MAX }))
        }
        Err(_) => Err(number_error("ParseInt", text)),
    }
}

/// Seconds as a number, or a duration such as `5m`; nanoseconds.
fn parse_seconds_or_duration(text: &str) -> Result<i64, ParamError> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * NANOS_PER_SECOND as f64;
        if !ns.is_finite() || ns.abs() > i64::MAX as f64 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", model::quote(text)).into());
        }
        return Ok(ns as i64);
    }
    // Prometheus durations have no fractions.
    let duration = if text.contains('.') { None } else { parse_duration(text).ok() };
    match duration {
        Some(duration) => Ok(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)),
        None => Err(format!("cannot parse {} to a valid duration", model::quote(text)).into()),
    }
}

fn number_error(function: &str, text: &str) -> ParamError {
    format!("strconv.{function}: parsing {}: invalid syntax", model::quote(text)).into()
}

/// The text of a query whose range is longer than `max_query_length`.
pub fn query_length_error(length: Duration, limit: Duration) -> ParamError {
    let (length, limit) = (print_go_duration(length), crate::units::print_duration(limit));
    format!("the query time range exceeds the limit (query length: {length}, limit: {limit})").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::new(
            text.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect(),
        )
    }

    #[test]
    fn times() {
        let check = |text: &str, want: i64| assert_eq!(parse_timestamp(text), Ok(want), "{text}");
        check("1795168800", 1_795_168_800_000_000_000);
        check("4000000000", 4_000_000_000_000_000_000);
        check("1795168800000000000", 1_795_168_800_000_000_000);
        check("1795168800000", 1_795_168_800_000);
        check("1795168800.1234", 1_795_168_800_123_000_000);
        check("2026-11-20T10:00:00Z", 1_795_168_800_000_000_000);
        check("2026-11-20T11:00:00.5+01:00", 1_795_168_800_500_000_000);
        assert_eq!(
            parse_timestamp("x").expect_err("x").to_string(),
            r#"strconv.ParseInt: parsing "x": invalid syntax"#
        );
    }

    #[test]
    fn defaults() {
        let now = 10_000 * NANOS_PER_SECOND;
        let query = params("query={}").range_query(now).expect("fine");
        assert_eq!((query.start_ns, query.end_ns), (6_400 * NANOS_PER_SECOND, now));
        assert_eq!((query.step_ns, query.limit, query.direction), (14 * NANOS_PER_SECOND, 100, Direction::Backward));
        let query = params("since=5m&end=20000&step=1500ms").range_query(now).expect("fine");
        assert_eq!((query.start_ns, query.step_ns), (9_700 * NANOS_PER_SECOND, 1_500_000_000));
    }

    #[test]
    fn refusals() {
        let check = |text: &str, want: &str| assert_eq!(params(text).range_query(0).expect_err(text).to_string(), want);
        check("start=20&end=10", "end timestamp must not be before or equal to start time");
        check(
            "start=yesterday",
            r#"could not parse 'start' parameter: strconv.ParseInt: parsing "yesterday": invalid syntax"#,
        );
        check("since=x", r#"could not parse 'since' parameter: not a valid duration string: "x""#);
        check("limit=-5", "limit must be a positive value");
        check("limit=five", r#"strconv.Atoi: parsing "five": invalid syntax"#);
        check("direction=sideways", "invalid direction 'sideways'");
        check("step=0", "zero or negative query resolution step widths are not accepted. Try a positive integer");
        check("step=1.5s", r#"cannot parse "1.5s" to a valid duration"#);
        check("interval=-1", "interval must be >= 0");
        check(
            "start=0&end=5400&step=0.01",
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter",
        );
        assert!(params("start=10&end=10").range_query(0).is_ok());
        let tail = |text: &str, want: &str| {
            assert_eq!(params(text).tail_query(0).expect_err(text).to_string(), want);
        };
        tail("delay_for=6", "delay_for can't be greater than 5");
        tail("delay_for=-1", "delay_for can't be greater than 5");
        tail("delay_for=x", r#"strconv.Atoi: parsing "x": invalid syntax"#);
        tail("limit=0", "limit must be a positive value");
        assert_eq!(params("delay_for=5").tail_query(0).map(|tail| tail.delay.as_secs()), Ok(5));
    }
}
