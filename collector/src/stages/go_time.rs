//! Reads times by Go's layouts, in which an example time (`2006-01-02T15:04:05Z07:00`) shows the form.
//!
//! In: a layout, once; then texts. Out: nanoseconds since 1970, or nothing if the text does not have the form. As in Go, a
//! fraction behind the seconds is read even if the layout shows none, and a zone's short name counts as UTC unless the
//! given location knows it. <https://pkg.go.dev/time#pkg-constants>

use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::NANOS_PER_SECOND;

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

/// Layouts that Promtail knows by name.
const NAMED: [(&str, &str); 10] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", RFC3339),
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
];

const MONTHS: [&str; 12] = [
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
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// One piece of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Year4,
    Year2,
    MonthName { long: bool },
    Month { zero: bool },
    WeekdayName { long: bool },
    Day { zero: bool, space: bool },
    YearDay { space: bool },
    Hour24,
    Hour12 { zero: bool },
    Minute { zero: bool },
    Second { zero: bool },
    HalfDay { upper: bool },
    ZoneName,
    ZoneOffset { z: bool, colon: bool, minutes: bool, seconds: bool },
    Fraction { digits: usize },
    OptionalFraction,
}

/// A layout, ready to read times with.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    parts: Vec<Part>,
    has_year: bool,
    is_rfc3339: bool,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: Option<i64>,
    minute: Option<i64>,
    second: Option<i64>,
    nanos: i64,
    afternoon: Option<bool>,
    offset_seconds: Option<i64>,
    zone_name: Option<String>,
}

impl Layout {
    /// Splits a layout, or the layout of that name, into its parts.
    pub(super) fn new(layout: &str) -> Self {
        let mut rest = NAMED.iter().find(|(name, _)| *name == layout).map_or(layout, |(_, layout)| layout);
        let is_rfc3339 =
            rest.starts_with("2006-01-02T15:04:05") && rest.ends_with("Z07:00") && layout.starts_with("RFC3339");
        let mut parts = Vec::new();
        let mut literal = String::new();
        while let Some(c) = rest.chars().next() {
            match next_part(rest) {
                Some((part, len)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                    rest = rest.get(len..).unwrap_or_default();
                }
                None => {
                    literal.push(c);
                    rest = rest.get(c.len_utf8()..).unwrap_or_default();
                }
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let has_year = parts.iter().any(|part| matches!(part, Part::Year4 | Part::Year2));
        Layout { parts, has_year, is_rfc3339 }
    }

    /// Reads a time. Without a zone it is of `location`; without a year it is the one that fits the time of reading best.
    pub(super) fn parse(&self, text: &str, location: &TimeZone, now_ns: i64) -> Option<i64> {
        if self.is_rfc3339
            && let Some(timestamp_ns) = parse_rfc3339(text.as_bytes())
        {
            return Some(timestamp_ns);
        }
        let mut fields = Fields::default();
        let mut rest = text;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            rest = read_part(part, rest, &mut fields)?;
            let fraction_follows = matches!(parts.peek(), Some(Part::Fraction { .. } | Part::OptionalFraction));
            if matches!(part, Part::Second { .. }) && !fraction_follows {
                rest = read_optional_fraction(rest, &mut fields);
            }
        }
        if !rest.is_empty() {
            return None;
        }
        if !self.has_year {
            fields.year = Some(guess_year(fields.month.unwrap_or(1), now_ns));
        }
        fields.timestamp_ns(location)
    }
}

impl Fields {
    fn timestamp_ns(&self, location: &TimeZone) -> Option<i64> {
        let hour = match (self.hour.unwrap_or(0), self.afternoon) {
            (hour, Some(true)) if hour < 12 => hour + 12,
            (12, Some(false)) => 0,
            (hour, _) => hour,
        };
        let year = self.year.unwrap_or(0);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = if let Some(year_day) = self.year_day {
            if year_day < 1 || year_day > 365 + i64::from(leap) {
                return None;
            }
            days_from_civil(year, 1, 1) + year_day - 1
        } else {
            let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
            Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
            days_from_civil(year, month, day)
        };
        let local = days * 86_400 + hour * 3_600 + self.minute.unwrap_or(0) * 60 + self.second.unwrap_or(0);
        let offset = match self.offset_seconds {
            Some(offset) => offset,
            None => self.offset_in(location, local)?,
        };
        (local - offset).checked_mul(NANOS_PER_SECOND)?.checked_add(self.nanos)
    }

    /// The location's offset at a local time; a zone name that is not the location's own stands for UTC.
    fn offset_in(&self, location: &TimeZone, local: i64) -> Option<i64> {
        if *location == TimeZone::UTC {
            return Some(0);
        }
        let civil = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(local).ok()?);
        let timestamp = location.to_ambiguous_timestamp(civil).compatible().ok()?;
        let info = location.to_offset_info(timestamp);
        let known = self.zone_name.as_deref().is_none_or(|name| info.abbreviation() == name);
        Some(if known { i64::from(info.offset().seconds()) } else { 0 })
    }
}

/// The part that a layout starts with, and its length; nothing if it starts with other text.
fn next_part(layout: &str) -> Option<(Part, usize)> {
    let lower_follows = |len: usize| layout.as_bytes().get(len).is_some_and(u8::is_ascii_lowercase);
    let fixed: [(&str, Part); 28] = [
        ("January", Part::MonthName { long: true }),
        ("Monday", Part::WeekdayName { long: true }),
        ("MST", Part::ZoneName),
        ("002", Part::YearDay { space: false }),
        ("01", Part::Month { zero: true }),
        ("02", Part::Day { zero: true, space: false }),
        ("03", Part::Hour12 { zero: true }),
        ("04", Part::Minute { zero: true }),
        ("05", Part::Second { zero: true }),
        ("06", Part::Year2),
        ("15", Part::Hour24),
        ("1", Part::Month { zero: false }),
        ("2006", Part::Year4),
        ("2", Part::Day { zero: false, space: false }),
        ("__2", Part::YearDay { space: true }),
        ("3", Part::Hour12 { zero: false }),
        ("4", Part::Minute { zero: false }),
        ("5", Part::Second { zero: false }),
        ("PM", Part::HalfDay { upper: true }),
        ("pm", Part::HalfDay { upper: false }),
        ("-070000", offset(false, false, true)),
        ("-07:00:00", offset(false, true, true)),
        ("-0700", offset(false, false, false)),
        ("-07:00", offset(false, true, false)),
        ("Z070000", offset(true, false, true)),
        ("Z07:00:00", offset(true, true, true)),
        ("Z0700", offset(true, false, false)),
        ("Z07:00", offset(true, true, false)),
    ];
    for (text, part) in fixed {
        if layout.starts_with(text) {
            return Some((part, text.len()));
        }
    }
    let short = |z| Part::ZoneOffset { z, colon: false, minutes: false, seconds: false };
    if layout.starts_with("Jan") && !lower_follows(3) {
        Some((Part::MonthName { long: false }, 3))
    } else if layout.starts_with("Mon") && !lower_follows(3) {
        Some((Part::WeekdayName { long: false }, 3))
    } else if layout.starts_with("-07") {
        Some((short(false), 3))
    } else if layout.starts_with("Z07") {
        Some((short(true), 3))
    } else if layout.starts_with("_2") && !layout.starts_with("_2006") {
        Some((Part::Day { zero: false, space: true }, 2))
    } else {
        fraction_part(layout)
    }
}

fn offset(z: bool, colon: bool, seconds: bool) -> Part {
    Part::ZoneOffset { z, colon, minutes: true, seconds }
}

/// `.000` wants so many digits, `.999` takes any number of them or none.
fn fraction_part(layout: &str) -> Option<(Part, usize)> {
    let digits = layout.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let count = digits.len() - digits.trim_start_matches(digit).len();
    if digits.as_bytes().get(count).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let part = if digit == '0' { Part::Fraction { digits: count } } else { Part::OptionalFraction };
    Some((part, 1 + count))
}

/// Reads one part from the front of a text; gives what is behind it.
fn read_part<'t>(part: &Part, text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let (value, rest) = match part {
        Part::Literal(literal) => return skip_literal(text, literal),
        Part::OptionalFraction => return Some(read_optional_fraction(text, fields)),
        Part::Fraction { digits } => return read_fraction(text, *digits, fields),
        Part::ZoneName => return read_zone_name(text, fields),
        Part::ZoneOffset { z, colon, minutes, seconds } => {
            return read_offset(text, (*z, *colon, *minutes, *seconds), fields);
        }
        Part::WeekdayName { long } => return Some(lookup(text, &WEEKDAYS, *long)?.1),
        Part::HalfDay { upper } => {
            let (am, pm) = if *upper { ("AM", "PM") } else { ("am", "pm") };
            fields.afternoon = Some(text.starts_with(pm));
            return text.strip_prefix(pm).or_else(|| text.strip_prefix(am));
        }
        Part::MonthName { long } => lookup(text, &MONTHS, *long)?,
        Part::Year4 => digits(text, 4)?,
        Part::Year2 => digits(text, 2)?,
        Part::YearDay { space } => {
            digits(if *space { text.trim_start_matches(' ') } else { text }, 3).or_else(|| {
                let trimmed = text.trim_start_matches(' ');
                if *space && trimmed.len() < text.len() { number(trimmed, false) } else { None }
            })?
        }
        Part::Day { zero, space } => number(if *space { text.strip_prefix(' ').unwrap_or(text) } else { text }, *zero)?,
        Part::Hour24 => number(text, false)?,
        Part::Month { zero } | Part::Hour12 { zero } | Part::Minute { zero } | Part::Second { zero } => {
            number(text, *zero)?
        }
    };
    let (place, allowed) = match part {
        Part::MonthName { .. } | Part::Month { .. } => (&mut fields.month, 1..=12),
        Part::Year4 => (&mut fields.year, 0..=9_999),
        Part::Year2 => {
            fields.year = Some(if value >= 69 { 1900 + value } else { 2000 + value });
            return Some(rest);
        }
        Part::YearDay { .. } => (&mut fields.year_day, 1..=366),
        Part::Day { .. } => (&mut fields.day, 1..=31),
        Part::Hour24 => (&mut fields.hour, 0..=23),
        Part::Hour12 { .. } => (&mut fields.hour, 0..=12),
        Part::Minute { .. } => (&mut fields.minute, 0..=59),
        _ => (&mut fields.second, 0..=59),
    };
    *place = Some(value).filter(|value| allowed.contains(value));
    place.map(|_| rest)
}

/// A blank in the layout stands for any number of blanks.
fn skip_literal<'t>(mut text: &'t str, mut literal: &str) -> Option<&'t str> {
    while let Some(c) = literal.chars().next() {
        if c == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            literal = literal.trim_start_matches(' ');
            text = text.trim_start_matches(' ');
        } else {
            text = text.strip_prefix(c)?;
            literal = literal.get(c.len_utf8()..)?;
        }
    }
    Some(text)
}

fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let all = number.bytes().all(|b| b.is_ascii_digit());
    Some((number.parse().ok().filter(|_| all)?, rest))
}

/// One or two digits; two if the layout shows a leading zero.
fn number(text: &str, two: bool) -> Option<(i64, &str)> {
    digits(text, 2).or_else(|| if two { None } else { digits(text, 1) })
}

/// A month's or weekday's name, whatever its case; its place in the table counts from one.
fn lookup<'t>(text: &'t str, table: &[&str], long: bool) -> Option<(i64, &'t str)> {
    for (i, name) in table.iter().enumerate() {
        let name = if long { name } else { name.get(..3)? };
        if text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Some((i as i64 + 1, text.get(name.len()..)?));
        }
    }
    None
}

fn read_fraction<'t>(text: &'t str, count: usize, fields: &mut Fields) -> Option<&'t str> {
    let (fraction, rest) = text.strip_prefix(['.', ','])?.split_at_checked(count)?;
    fields.nanos = nanos(fraction)?;
    Some(rest)
}

fn read_optional_fraction<'t>(text: &'t str, fields: &mut Fields) -> &'t str {
    let Some(after) = text.strip_prefix(['.', ',']) else { return text };
    let count = after.bytes().take_while(u8::is_ascii_digit).count();
    match after.split_at_checked(count).and_then(|(fraction, rest)| Some((nanos(fraction)?, rest))) {
        Some((value, rest)) => {
            fields.nanos = value;
            rest
        }
        None => text,
    }
}

/// A decimal fraction of a second; digits behind the ninth do not count.
fn nanos(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = fraction.get(..fraction.len().min(9))?;
    Some(kept.parse::<i64>().ok()? * 10_i64.pow(9 - kept.len() as u32))
}

fn read_offset<'t>(
    text: &'t str,
    (z, colon, minutes, seconds): (bool, bool, bool, bool),
    fields: &mut Fields,
) -> Option<&'t str> {
    if z && let Some(rest) = text.strip_prefix('Z') {
        fields.offset_seconds = Some(0);
        return Some(rest);
    }
    let sign = if text.starts_with('+') { 1 } else { -1 };
    let (hour, mut rest) = digits(text.strip_prefix(['+', '-'])?, 2)?;
    let mut total = hour * 3_600;
    for (wanted, unit) in [(minutes, 60), (seconds, 1)] {
        if wanted {
            let (value, behind) = digits(if colon { rest.strip_prefix(':')? } else { rest }, 2)?;
            total += (value < 60).then_some(value * unit)?;
            rest = behind;
        }
    }
    fields.offset_seconds = Some((hour <= 24).then_some(sign * total)?);
    Some(rest)
}

/// `UTC`, `CEST`, `GMT+3`, `+03`.
fn read_zone_name<'t>(text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    if letters == 0 {
        // Zones without a name of their own print as their offset.
        return read_offset(text, (false, false, false, false), fields);
    }
    if !(3..=5).contains(&letters) {
        return None;
    }
    let (name, rest) = text.split_at_checked(letters)?;
    match name {
        "UTC" => fields.offset_seconds = Some(0),
        "GMT" if rest.starts_with(['+', '-']) => {
            let count = rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
            let (hours, rest) = rest.split_at_checked(1 + count)?;
            let hours: i64 = hours.parse().ok().filter(|hours| (-23..=23).contains(hours))?;
            fields.offset_seconds = Some(hours * 3_600);
            return Some(rest);
        }
        _ => fields.zone_name = Some(name.to_owned()),
    }
    Some(rest)
}

/// The year of a time that does not tell it: this year, but for December read in January and January read in December.
fn guess_year(month: i64, now_ns: i64) -> i64 {
    let Ok(now) = jiff::Timestamp::from_nanosecond(i128::from(now_ns)) else { return 1970 };
    let today = jiff::tz::Offset::UTC.to_datetime(now);
    let year = i64::from(today.year());
    match (month, today.month()) {
        (12, 1) => year - 1,
        (1, 12) => year + 1,
        _ => year,
    }
}

/// The usual form, `2024-11-14T14:16:54.123Z` or with `+01:00`, read at fixed places. What it does not read, the parts may.
fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (fixed, rest) = text.split_first_chunk::<19>()?;
    let digit = |i: usize| fixed.get(i).map(|b| i64::from(b.wrapping_sub(b'0'))).filter(|d| *d < 10);
    let two = |i: usize| Some(digit(i)? * 10 + digit(i + 1)?);
    if (fixed[4], fixed[7], fixed[10], fixed[13], fixed[16]) != (b'-', b'-', b'T', b':', b':') {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    // Days that not every month has are left to the slower way.
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (mut nanos, mut zone) = (0, rest);
    if let [b'.', behind @ ..] = rest {
        let count = behind.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 || count > 9 {
            return None;
        }
        for b in behind.get(..count)? {
            nanos = nanos * 10 + i64::from(b - b'0');
        }
        nanos *= 10_i64.pow(9 - count as u32);
        zone = behind.get(count..)?;
    }
    let offset = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1 @ b'0'..=b'9', h0 @ b'0'..=b'9', b':', m1 @ b'0'..=b'5', m0 @ b'0'..=b'9'] => {
            let tens = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let seconds = tens(h1, h0) * 3_600 + tens(m1, m0) * 60;
            if seconds > 86_400 {
                return None;
            }
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
}

/// Days since 1970 of a date of the Gregorian calendar. <http://howardhinnant.github.io/date_algorithms.html#days_from_civil>
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layout, text, location, and what comes out in RFC 3339; the time of reading is 2026-01-15.
    #[test]
    fn times_are_read_as_go_reads_them() {
        let check = |layout: &str, text: &str, location: &str, want: &str| {
            let zone =
                if location.is_empty() { TimeZone::UTC } else { TimeZone::get(location).expect("zone is known") };
            let got = Layout::new(layout).parse(text, &zone, 1_768_435_200_000_000_000).map_or("-".to_owned(), |ns| {
                jiff::Timestamp::from_nanosecond(i128::from(ns)).expect("in range").to_string()
            });
            assert_eq!(got, want, "{layout} {text}");
        };
        check("RFC3339Nano", "2024-11-14T14:16:54.123Z", "", "2024-11-14T14:16:54.123Z");
        check("RFC3339Nano", "2024-11-14T14:16:54Z", "", "2024-11-14T14:16:54Z");
        check("RFC3339Nano", "2024-11-14T14:16:54.123456+01:00", "", "2024-11-14T13:16:54.123456Z");
        check("RFC3339Nano", "2024-11-14T14:16:54.123456789123Z", "", "2024-11-14T14:16:54.123456789Z");
        check("RFC3339Nano", "2024-11-14T14:16:54,5Z", "", "2024-11-14T14:16:54.5Z");
        // Python's isoformat() of a naive time has no zone, and structlog's fmt="iso" has one.
        check("RFC3339Nano", "2024-11-14T14:16:54.123456", "", "-");
        check("RFC3339Nano", "2024-11-14 14:16:54.123456Z", "", "-");
        check("RFC3339Nano", "2024-02-30T00:00:00Z", "", "-");
        check("RFC3339Nano", "2024-02-29T23:59:59Z", "", "2024-02-29T23:59:59Z");
        check("RFC3339Nano", "2023-02-29T23:59:59Z", "", "-");
        check("RFC3339Nano", "2024-11-14T24:16:54Z", "", "-");
        check("RFC3339Nano", "2024-11-14T14:16:54.Z", "", "-");
        check("RFC3339Nano", "2024-11-14T14:16:54Zx", "", "-");
        check("RFC3339Nano", "", "", "-");
        check("RFC3339", "2024-11-14T14:16:54.123Z", "", "2024-11-14T14:16:54.123Z");
        check("RFC1123", "Thu, 14 Nov 2024 14:16:54 GMT", "", "2024-11-14T14:16:54Z");
        check("RFC1123", "Thu, 14 Nov 2024 14:16:54 GMT+3", "", "2024-11-14T11:16:54Z");
        check("RFC1123Z", "Thu, 14 Nov 2024 14:16:54 -0230", "", "2024-11-14T16:46:54Z");
        check("RFC1123", "Thu, 14 Nov 2024 14:16:54 CET", "Europe/Berlin", "2024-11-14T13:16:54Z");
        check("RFC1123", "Thu, 14 Nov 2024 14:16:54 XYZ", "Europe/Berlin", "2024-11-14T14:16:54Z");
        check("ANSIC", "Thu Nov  7 14:16:54 2024", "", "2024-11-07T14:16:54Z");
        check("ANSIC", "thu nov 14 14:16:54 2024", "", "2024-11-14T14:16:54Z");
        check("RFC850", "Thursday, 14-Nov-24 14:16:54 UTC", "", "2024-11-14T14:16:54Z");
        check("RFC822Z", "14 Nov 24 14:16 +0100", "", "2024-11-14T13:16:00Z");
        check("RubyDate", "Thu Nov 14 14:16:54 +0000 2024", "", "2024-11-14T14:16:54Z");
        check("2006-01-02 15:04:05,000", "2024-11-14 14:16:54,123", "", "2024-11-14T14:16:54.123Z");
        check("2006-01-02 15:04:05.000", "2024-11-14 14:16:54.12", "", "-");
        check("2006-01-02 15:04:05", "2024-07-14 14:16:54.25", "America/New_York", "2024-07-14T18:16:54.25Z");
        check("02/Jan/2006:15:04:05 -0700", "14/Nov/2024:14:16:54 +0000", "", "2024-11-14T14:16:54Z");
        check("Jan 2, 2006 at 3:04pm (MST)", "Feb 3, 2013 at 7:54pm (PST)", "", "2013-02-03T19:54:00Z");
        check(
            "Jan 2, 2006 at 3:04pm (MST)",
            "Feb 3, 2013 at 7:54pm (PST)",
            "America/Los_Angeles",
            "2013-02-04T03:54:00Z",
        );
        check("3:04:05 PM 1/2/06", "12:00:01 AM 2/3/70", "", "1970-02-03T00:00:01Z");
        check("2006 002", "2024 060", "", "2024-02-29T00:00:00Z");
        check("Jan _2 15:04:05", "Jan  5 01:02:03", "", "2026-01-05T01:02:03Z");
        check("Jan _2 15:04:05", "Dec 31 23:59:59", "", "2025-12-31T23:59:59Z");
        check("2006-01-02T15:04:05.999999999Z07:00", "9999-01-01T00:00:00Z", "", "-");
        check("20060102T150405Z0700", "20241114T141654+0530", "", "2024-11-14T08:46:54Z");
        check("2006-01-02Z07", "2024-11-14-03", "", "2024-11-14T03:00:00Z");
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_time_or_nothing(layout in ".{0,40}", text in ".{0,40}") {
            Layout::new(&layout).parse(&text, &TimeZone::UTC, 0);
            Layout::new("RFC3339Nano").parse(&text, &TimeZone::UTC, 0);
        }

        #[test]
        fn the_fast_way_and_the_parts_agree(ns in -2_000_000_000_000_000_000_i64..4_000_000_000_000_000_000) {
            let text = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_string();
            let slow = Layout { is_rfc3339: false, ..Layout::new("RFC3339Nano") };
            proptest::prop_assert_eq!(slow.parse(&text, &TimeZone::UTC, 0), Some(ns));
            proptest::prop_assert_eq!(Layout::new("RFC3339Nano").parse(&text, &TimeZone::UTC, 0), Some(ns));
        }
    }
}
