//! Times: nanoseconds since 1970 as `i64`, half-open ranges of them, and UTC days.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, tz::Offset};

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_DAY: i64 = 86_400 * NANOS_PER_SECOND;

/// A range of time: `start_ns` belongs to it, `end_ns` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    start_ns: i64,
    end_ns: i64,
}

/// A range that would end before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("time range ends at {end_ns}, before its start {start_ns}")]
pub struct TimeRangeError {
    start_ns: i64,
    end_ns: i64,
}

impl TimeRange {
    /// A range of `[start_ns, end_ns)`; an empty one is allowed.
    pub fn new(start_ns: i64, end_ns: i64) -> Result<Self, TimeRangeError> {
        if start_ns > end_ns { Err(TimeRangeError { start_ns, end_ns }) } else { Ok(TimeRange { start_ns, end_ns }) }
    }

    /// The first nanosecond of the range.
    pub fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// The first nanosecond behind the range.
    pub fn end_ns(&self) -> i64 {
        self.end_ns
    }

    /// Whether a time lies in the range.
    pub fn contains(&self, timestamp_ns: i64) -> bool {
        self.start_ns <= timestamp_ns && timestamp_ns < self.end_ns
    }

    /// Whether any entry between `min_ns` and `max_ns`, both included, can lie in the range.
    pub fn overlaps(&self, min_ns: i64, max_ns: i64) -> bool {
        min_ns < self.end_ns && max_ns >= self.start_ns
    }

    /// The UTC days that the range touches, oldest first; none if it is empty.
    pub fn days(&self) -> impl DoubleEndedIterator<Item = Day> + use<> {
        let last = if self.start_ns == self.end_ns { Day::of(self.start_ns).0 - 1 } else { Day::of(self.end_ns - 1).0 };
        (Day::of(self.start_ns).0..=last).map(Day)
    }
}

/// A UTC day, counted from 1970-01-01. Printed and parsed as `2026-11-20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day in which a time lies.
    pub fn of(timestamp_ns: i64) -> Self {
        Day(timestamp_ns.div_euclid(NANOS_PER_DAY))
    }

    /// The first nanosecond of the day.
    pub fn start_ns(self) -> i64 {
        self.0 * NANOS_PER_DAY
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * self.0);
        write!(f, "{}", Offset::UTC.to_datetime(start).date())
    }
}

/// Reads `2026-11-20`.
impl FromStr for Day {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let date: Date = text.parse()?;
        let start = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0))?;
        Ok(Day(start.as_second().div_euclid(86_400)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_print_and_parse() {
        let day = Day::of(1_795_168_800_000_000_000);
        assert_eq!(day.to_string(), "2026-11-20");
        assert_eq!("2026-11-20".parse::<Day>().ok(), Some(day));
        assert_eq!(Day::of(-1).to_string(), "1969-12-31");
    }

    #[test]
    fn a_range_touches_the_days_it_holds() {
        let day = Day::of(0);
        let range = |start, end| TimeRange::new(start, end).expect("ordered");
        assert_eq!(range(0, NANOS_PER_DAY).days().collect::<Vec<_>>(), [day]);
        assert_eq!(range(5, NANOS_PER_DAY + 1).days().count(), 2);
        assert_eq!(range(5, 5).days().count(), 0);
        assert!(TimeRange::new(2, 1).is_err());
    }
}
