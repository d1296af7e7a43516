//! Go's `time.Time`, `Duration`, `Month` and `Weekday`, as far as templates meet them.

use std::fmt;
use std::rc::Rc;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::layout;
use super::value::Value;

/// A moment and the offset in which it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Time {
    timestamp: Timestamp,
    offset_seconds: i32,
    /// Empty if the zone has no name.
    zone: Rc<str>,
}

const DAY_NS: i64 = 86_400_000_000_000;

impl Time {
    /// In UTC, which is also the local zone wherever a query runs.
    pub(super) fn utc(timestamp: Timestamp) -> Self {
        Self::fixed(timestamp, 0, "UTC".to_owned())
    }

    /// At an offset; without a name and at none it counts as UTC.
    pub(super) fn fixed(timestamp: Timestamp, offset_seconds: i32, zone: String) -> Self {
        let zone = if zone.is_empty() && offset_seconds == 0 { "UTC".into() } else { zone.into() };
        Time { timestamp, offset_seconds, zone }
    }

    pub(super) fn in_zone(timestamp: Timestamp, zone: &TimeZone) -> Self {
        let info = zone.to_offset_info(timestamp);
        Self::fixed(timestamp, info.offset().seconds(), info.abbreviation().to_owned())
    }

    pub(super) fn from_nanos(nanos: i128) -> Option<Self> {
        Timestamp::from_nanosecond(nanos).ok().map(Self::utc)
    }

    /// The time that stands for none: the first moment of year 1.
    pub(super) fn zero() -> Self {
        let first = Date::constant(1, 1, 1).to_datetime(jiff::civil::Time::midnight());
        Self::utc(Offset::UTC.to_timestamp(first).unwrap_or(Timestamp::MIN))
    }

    pub(super) fn local(&self) -> DateTime {
        Offset::from_seconds(self.offset_seconds).unwrap_or(Offset::UTC).to_datetime(self.timestamp)
    }

    pub(super) fn offset_seconds(&self) -> i32 {
        self.offset_seconds
    }

    /// The zone's abbreviation, or its offset if it has none.
    pub(super) fn zone_name(&self) -> String {
        if !self.zone.is_empty() {
            return self.zone.to_string();
        }
        let whole_hours = self.offset_seconds % 3600 == 0;
        layout::format(&Time { zone: "x".into(), ..self.clone() }, if whole_hours { "-07" } else { "-0700" })
    }

    pub(super) fn weekday_name(&self) -> &'static str {
        weekday_name(self.weekday())
    }

    fn weekday(&self) -> i64 {
        i64::from(self.local().weekday().to_sunday_zero_offset())
    }

    pub(super) fn unix(&self) -> i64 {
        self.timestamp.as_nanosecond().div_euclid(1_000_000_000).try_into().unwrap_or(i64::MAX)
    }

    pub(super) fn unix_milli(&self) -> i64 {
        self.timestamp.as_nanosecond().div_euclid(1_000_000).try_into().unwrap_or(i64::MAX)
    }

    /// Wraps beyond the years 1678 to 2262, as in Go.
    #[expect(clippy::cast_possible_truncation, reason = "Go wraps here too")]
    pub(super) fn unix_nano(&self) -> i64 {
        self.timestamp.as_nanosecond() as i64
    }

    fn moved(&self, by: SignedDuration) -> Result<Self, String> {
        let timestamp = self.timestamp.checked_add(by).map_err(|_| "time is out of range".to_owned())?;
        Ok(Time { timestamp, ..self.clone() })
    }

    /// The duration since another time, as far as one can be counted.
    fn since(&self, other: &Time) -> i64 {
        let nanos = self.timestamp.as_nanosecond() - other.timestamp.as_nanosecond();
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// Rounds down to a multiple of a duration since year 1, or to the nearest.
    fn rounded(&self, unit_ns: i64, nearest: bool) -> Result<Self, String> {
        if unit_ns <= 0 {
            return Ok(self.clone());
        }
        let since_zero = self.timestamp.as_nanosecond() - Time::zero().timestamp.as_nanosecond();
        let over = i64::try_from(since_zero.rem_euclid(i128::from(unit_ns))).unwrap_or(0);
        let up = nearest && over >= unit_ns - over;
        self.moved(SignedDuration::from_nanos(if up { unit_ns - over } else { -over }))
    }

    /// Months and days beyond their ends run on into the next, as in Go.
    fn add_date(&self, years: i64, months: i64, days: i64) -> Result<Self, String> {
        let out_of_range = || "time is out of range".to_owned();
        let local = self.local();
        let month = (i64::from(local.month()) - 1).checked_add(months).ok_or_else(out_of_range)?;
        let year = i64::from(local.year()).checked_add(years).and_then(|y| y.checked_add(month.div_euclid(12)));
        let year = year.and_then(|y| i16::try_from(y).ok()).ok_or_else(out_of_range)?;
        let month = i8::try_from(month.rem_euclid(12) + 1).map_err(|_| out_of_range())?;
        let first = Date::new(year, month, 1).map_err(|_| out_of_range())?;
        let days =
            days.checked_add(i64::from(local.day()) - 1).filter(|d| d.abs() < 10_000_000).ok_or_else(out_of_range)?;
        let moved = first.to_datetime(local.time()).checked_add(SignedDuration::from_hours(24 * days));
        let offset = Offset::from_seconds(self.offset_seconds).unwrap_or(Offset::UTC);
        let timestamp = moved.and_then(|moved| offset.to_timestamp(moved)).map_err(|_| out_of_range())?;
        Ok(Time { timestamp, ..self.clone() })
    }

    /// Calls a method of `time.Time`; none if there is none of that name.
    pub(super) fn call<'r>(&self, method: &str, arguments: &[Value<'r>]) -> Option<Result<Value<'r>, String>> {
        let local = self.local();
        let int = |value: i64| Some(Ok(Value::Int(value)));
        Some(match (method, arguments) {
            ("Unix", []) => return int(self.unix()),
            ("UnixMilli", []) => return int(self.unix_milli()),
            ("UnixMicro", []) => {
                return int(self.timestamp.as_nanosecond().div_euclid(1000).try_into().unwrap_or(i64::MAX));
            }
            ("UnixNano", []) => return int(self.unix_nano()),
            ("Year", []) => return int(i64::from(local.year())),
            ("Month", []) => Ok(Value::Month(i64::from(local.month()))),
            ("Day", []) => return int(i64::from(local.day())),
            ("Hour", []) => return int(i64::from(local.hour())),
            ("Minute", []) => return int(i64::from(local.minute())),
            ("Second", []) => return int(i64::from(local.second())),
            ("Nanosecond", []) => return int(i64::from(local.subsec_nanosecond())),
            ("YearDay", []) => return int(i64::from(local.date().day_of_year())),
            ("Weekday", []) => Ok(Value::Weekday(self.weekday())),
            ("String", []) => Ok(Value::text(self.to_string())),
            ("UTC" | "Local", []) => Ok(Value::Time(Time::utc(self.timestamp))),
            ("IsZero", []) => Ok(Value::Bool(*self == Time::zero())),
            ("Format", [Value::Text(layout)]) => Ok(Value::text(layout::format(self, layout))),
            ("Add", [Value::Duration(by) | Value::Int(by)]) => {
                self.moved(SignedDuration::from_nanos(*by)).map(Value::Time)
            }
            ("AddDate", [Value::Int(years), Value::Int(months), Value::Int(days)]) => {
                self.add_date(*years, *months, *days).map(Value::Time)
            }
            ("Sub", [Value::Time(other)]) => Ok(Value::Duration(self.since(other))),
            ("Before", [Value::Time(other)]) => Ok(Value::Bool(self.timestamp < other.timestamp)),
            ("After", [Value::Time(other)]) => Ok(Value::Bool(self.timestamp > other.timestamp)),
            ("Equal", [Value::Time(other)]) => Ok(Value::Bool(self.timestamp == other.timestamp)),
            ("Compare", [Value::Time(other)]) => return int(self.timestamp.cmp(&other.timestamp) as i64),
            ("Truncate", [Value::Duration(unit) | Value::Int(unit)]) => self.rounded(*unit, false).map(Value::Time),
            ("Round", [Value::Duration(unit) | Value::Int(unit)]) => self.rounded(*unit, true).map(Value::Time),
            _ => return None,
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&layout::format(self, "2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// Calls a method of `time.Duration`.
pub(super) fn call_duration<'r>(nanos: i64, method: &str) -> Option<Value<'r>> {
    let float = |unit: f64| Some(Value::Float(nanos as f64 / unit));
    match method {
        "Hours" => float(3.6e12),
        "Minutes" => float(6e10),
        "Seconds" => float(1e9),
        "Milliseconds" => Some(Value::Int(nanos / 1_000_000)),
        "Microseconds" => Some(Value::Int(nanos / 1_000)),
        "Nanoseconds" => Some(Value::Int(nanos)),
        "Abs" => Some(Value::Duration(nanos.saturating_abs())),
        "String" => Some(Value::text(duration_text(nanos))),
        _ => None,
    }
}

/// As Go prints a duration: `1h2m3.5s`, `150ms`, `0s`.
pub(super) fn duration_text(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let decimal = |unit: u64, width: usize| {
        let fraction = format!("{:0width$}", magnitude % unit);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        (magnitude / unit, format!("{point}{fraction}"))
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}{}µs", decimal(1_000, 3).0, decimal(1_000, 3).1),
        1_000_000..1_000_000_000 => format!("{sign}{}{}ms", decimal(1_000_000, 6).0, decimal(1_000_000, 6).1),
        _ => {
            let (seconds, fraction) = decimal(1_000_000_000, 9);
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}{fraction}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}{fraction}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}{fraction}s"),
            }
        }
    }
}

/// The English name of a month, counted from 1.
pub(super) fn month_name(month: i64) -> &'static str {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    usize::try_from(month - 1).ok().and_then(|i| NAMES.get(i)).copied().unwrap_or("%!Month")
}

/// The English name of a weekday, counted from Sunday, 0.
pub(super) fn weekday_name(day: i64) -> &'static str {
    const NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    usize::try_from(day).ok().and_then(|i| NAMES.get(i)).copied().unwrap_or("%!Weekday")
}

/// Reads `unixToTime`'s argument; its length tells the unit.
pub(super) fn from_epoch(text: &str) -> Result<Time, String> {
    let fail = |why: &str| format!("unable to parse time '{text}': {why}");
    let number: i64 =
        text.parse().map_err(|_| fail(&format!("strconv.ParseInt: parsing {}: invalid syntax", model::quote(text))))?;
    let unit_ns = match text.len() {
        5 => DAY_NS,
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(fail("<nil>")),
    };
    Time::from_nanos(i128::from(number) * i128::from(unit_ns)).ok_or_else(|| fail("out of range"))
}
