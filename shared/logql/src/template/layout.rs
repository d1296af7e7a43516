//! Go's layouts: a time is written as the reference time `Mon Jan 2 15:04:05 MST 2006` would be.
//!
//! In: a layout, and a time to format or a text to parse. Out: the text, or the time if the text fits. Both directions
//! read the layout through the same table.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use super::time::{self, Time};

/// An element of a layout.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    LongMonth,
    Month,
    MonthNumber {
        padded: bool,
    },
    LongWeekday,
    Weekday,
    Day {
        pad: Option<char>,
    },
    YearDay {
        pad: char,
    },
    Hour24,
    Hour12 {
        padded: bool,
    },
    Minute {
        padded: bool,
    },
    Second {
        padded: bool,
    },
    LongYear,
    Year,
    HalfDay {
        upper: bool,
    },
    Zone,
    /// `-07:00`, or with `Z` for none.
    Offset {
        z: bool,
        colon: bool,
        minutes: bool,
        seconds: bool,
    },
    /// `.000` prints that many digits, `.999` leaves out zeros at the end.
    Fraction {
        digits: usize,
        optional: bool,
    },
}

const fn offset(z: bool, colon: bool, minutes: bool, seconds: bool) -> Element {
    Element::Offset { z, colon, minutes, seconds }
}

/// What stands for what; where one begins with another the longer stands first.
const ELEMENTS: &[(&str, Element)] = &[
    ("January", Element::LongMonth),
    ("Jan", Element::Month),
    ("Monday", Element::LongWeekday),
    ("Mon", Element::Weekday),
    ("MST", Element::Zone),
    ("002", Element::YearDay { pad: '0' }),
    ("01", Element::MonthNumber { padded: true }),
    ("02", Element::Day { pad: Some('0') }),
    ("03", Element::Hour12 { padded: true }),
    ("04", Element::Minute { padded: true }),
    ("05", Element::Second { padded: true }),
    ("06", Element::Year),
    ("2006", Element::LongYear),
    ("15", Element::Hour24),
    ("__2", Element::YearDay { pad: ' ' }),
    ("_2", Element::Day { pad: Some(' ') }),
    ("1", Element::MonthNumber { padded: false }),
    ("2", Element::Day { pad: None }),
    ("3", Element::Hour12 { padded: false }),
    ("4", Element::Minute { padded: false }),
    ("5", Element::Second { padded: false }),
    ("PM", Element::HalfDay { upper: true }),
    ("pm", Element::HalfDay { upper: false }),
    ("-07:00:00", offset(false, true, true, true)),
    ("-070000", offset(false, false, true, true)),
    ("-07:00", offset(false, true, true, false)),
    ("-0700", offset(false, false, true, false)),
    ("-07", offset(false, false, false, false)),
    ("Z07:00:00", offset(true, true, true, true)),
    ("Z070000", offset(true, false, true, true)),
    ("Z07:00", offset(true, true, true, false)),
    ("Z0700", offset(true, false, true, false)),
    ("Z07", offset(true, false, false, false)),
];

/// The element with which a layout begins here, and its length.
fn element_at(layout: &str) -> Option<(Element, usize)> {
    if let Some(fraction) = layout.strip_prefix(['.', ',']) {
        let digit = fraction.chars().next().filter(|c| matches!(c, '0' | '9'))?;
        let digits = fraction.len() - fraction.trim_start_matches(digit).len();
        let ends = !fraction[digits..].starts_with(|c: char| c.is_ascii_digit());
        return ends.then_some((Element::Fraction { digits, optional: digit == '9' }, digits + 1));
    }
    if layout.starts_with("_2006") {
        return None;
    }
    let (text, element) = ELEMENTS.iter().find(|(text, element)| {
        let short_name = matches!(element, Element::Month | Element::Weekday);
        layout
            .strip_prefix(text)
            .is_some_and(|rest| !(short_name && rest.starts_with(|c: char| c.is_ascii_lowercase())))
    })?;
    Some((*element, text.len()))
}

/// Cuts a layout into literal text and elements.
fn pieces(layout: &str) -> Vec<(&str, Option<Element>)> {
    let mut found = Vec::new();
    let mut literal = 0;
    let mut at = 0;
    while at < layout.len() {
        match element_at(&layout[at..]) {
            Some((element, length)) => {
                found.push((&layout[literal..at], Some(element)));
                at += length;
                literal = at;
            }
            None => at += layout[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    found.push((&layout[literal..], None));
    found
}

/// Writes a time as the layout says.
pub(super) fn format(time: &Time, layout: &str) -> String {
    let local = time.local();
    let mut out = String::new();
    for (literal, element) in pieces(layout) {
        out.push_str(literal);
        if let Some(element) = element {
            out.push_str(&written(time, local, element));
        }
    }
    out
}

fn written(time: &Time, local: DateTime, element: Element) -> String {
    let number = |value: i64, padded: bool| if padded { format!("{value:02}") } else { value.to_string() };
    let month = i64::from(local.month());
    match element {
        Element::LongMonth => time::month_name(month).to_owned(),
        Element::Month => time::month_name(month).chars().take(3).collect(),
        Element::MonthNumber { padded } => number(month, padded),
        Element::LongWeekday => time.weekday_name().to_owned(),
        Element::Weekday => time.weekday_name().chars().take(3).collect(),
        Element::Day { pad: None } => local.day().to_string(),
        Element::Day { pad: Some(' ') } => format!("{:2}", local.day()),
        Element::Day { pad: Some(_) } => number(i64::from(local.day()), true),
        Element::YearDay { pad: ' ' } => format!("{:3}", local.date().day_of_year()),
        Element::YearDay { .. } => format!("{:03}", local.date().day_of_year()),
        Element::Hour24 => number(i64::from(local.hour()), true),
        Element::Hour12 { padded } => number((i64::from(local.hour()) + 11) % 12 + 1, padded),
        Element::Minute { padded } => number(i64::from(local.minute()), padded),
        Element::Second { padded } => number(i64::from(local.second()), padded),
        Element::LongYear => format!("{:04}", local.year()),
        Element::Year => format!("{:02}", local.year().rem_euclid(100)),
        Element::HalfDay { upper } => match (local.hour() >= 12, upper) {
            (true, true) => "PM",
            (true, false) => "pm",
            (false, true) => "AM",
            (false, false) => "am",
        }
        .to_owned(),
        Element::Zone => time.zone_name(),
        Element::Offset { z, .. } if z && time.offset_seconds() == 0 => "Z".to_owned(),
        Element::Offset { colon, minutes, seconds, .. } => offset_text(time.offset_seconds(), colon, minutes, seconds),
        Element::Fraction { digits, optional } => fraction_text(local.subsec_nanosecond(), digits, optional),
    }
}

fn offset_text(offset_seconds: i32, colon: bool, minutes: bool, seconds: bool) -> String {
    let magnitude = offset_seconds.unsigned_abs();
    let colon = if colon { ":" } else { "" };
    let mut text = format!("{}{:02}", if offset_seconds < 0 { '-' } else { '+' }, magnitude / 3600);
    if minutes {
        text += &format!("{colon}{:02}", magnitude / 60 % 60);
    }
    if seconds {
        text += &format!("{colon}{:02}", magnitude % 60);
    }
    text
}

fn fraction_text(nanos: i32, digits: usize, optional: bool) -> String {
    let all = format!("{nanos:09}");
    let mut text = format!(".{}", &all[..digits.min(9)]);
    if digits > 9 {
        text.push_str(&"0".repeat(digits - 9));
    }
    if optional {
        text.truncate(text.trim_end_matches('0').len());
        text.truncate(text.trim_end_matches('.').len());
    }
    text
}

/// Reads a time that is written as the layout says; one without a zone lies in `zone`.
pub(super) fn parse(layout: &str, text: &str, zone: &TimeZone) -> Option<Time> {
    let mut reader = Reader { rest: text, parts: Parts::default() };
    let pieces = pieces(layout);
    for (i, (literal, element)) in pieces.iter().enumerate() {
        reader.literal(literal)?;
        let next = pieces.get(i + 1).filter(|(literal, _)| literal.is_empty()).and_then(|(_, element)| *element);
        if let Some(element) = element {
            reader.element(*element, matches!(next, Some(Element::Fraction { .. })))?;
        }
    }
    reader.rest.is_empty().then_some(())?;
    reader.parts.time(zone)
}

/// What was read so far.
#[derive(Debug, Default)]
struct Parts {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    /// Afternoon or not.
    half_day: Option<bool>,
    offset_seconds: Option<i32>,
    zone_name: Option<String>,
}

impl Parts {
    fn time(self, zone: &TimeZone) -> Option<Time> {
        let hour = match self.half_day {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = match self.year_day {
            Some(day) => Date::new(self.year, 1, 1).ok()?.with().day_of_year(day).build().ok()?,
            None => Date::new(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
        };
        let local = date.to_datetime(jiff::civil::Time::new(hour, self.minute, self.second, self.nanos).ok()?);
        let utc = |offset: i32| Offset::from_seconds(offset).ok()?.to_timestamp(local).ok();
        match (self.offset_seconds, self.zone_name) {
            (Some(offset), name) => Some(Time::fixed(utc(offset)?, offset, name.unwrap_or_default())),
            (None, Some(name)) if name != "UTC" => Some(Time::fixed(utc(0)?, 0, name)),
            (None, Some(_)) => Some(Time::utc(utc(0)?)),
            (None, None) => {
                let timestamp: Timestamp = zone.to_ambiguous_zoned(local).compatible().ok()?.timestamp();
                Some(Time::in_zone(timestamp, zone))
            }
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
    parts: Parts,
}

impl Reader<'_> {
    /// The literal must be there, but any run of blanks stands for any other.
    fn literal(&mut self, literal: &str) -> Option<()> {
        let mut literal = literal;
        while let Some(c) = literal.chars().next() {
            if c == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return None;
                }
                literal = literal.trim_start_matches(' ');
                self.rest = self.rest.trim_start_matches(' ');
                continue;
            }
            self.rest = self.rest.strip_prefix(c)?;
            literal = &literal[c.len_utf8()..];
        }
        Some(())
    }

    /// A number of at least `least` and at most `most` digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<i32> {
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits < least {
            return None;
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().ok()
    }

    fn small(&mut self, padded: bool) -> Option<i8> {
        self.digits(if padded { 2 } else { 1 }, 2).and_then(|number| i8::try_from(number).ok())
    }

    fn name(&mut self, names: impl Iterator<Item = (usize, &'static str)>, short: bool) -> Option<usize> {
        for (index, name) in names {
            let name = if short { &name[..3] } else { name };
            if self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
                self.rest = &self.rest[name.len()..];
                return Some(index);
            }
        }
        None
    }

    fn element(&mut self, element: Element, fraction_follows: bool) -> Option<()> {
        match element {
            Element::LongMonth | Element::Month => {
                let names = (1..=12).map(|month| (month as usize, time::month_name(month)));
                self.parts.month = i8::try_from(self.name(names, element == Element::Month)?).ok();
            }
            Element::LongWeekday | Element::Weekday => {
                let names = (0..7).map(|day| (day as usize, time::weekday_name(day)));
                self.name(names, element == Element::Weekday)?;
            }
            Element::MonthNumber { padded } => self.parts.month = Some(self.small(padded)?),
            Element::Day { pad } => {
                if pad == Some(' ') {
                    self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                }
                self.parts.day = Some(self.small(pad == Some('0'))?);
            }
            Element::YearDay { .. } => {
                self.rest = self.rest.trim_start_matches(' ');
                self.parts.year_day = i16::try_from(self.digits(1, 3)?).ok();
            }
            Element::Hour24 => self.parts.hour = self.small(false)?,
            Element::Hour12 { padded } => self.parts.hour = self.small(padded).filter(|hour| *hour <= 12)?,
            Element::Minute { padded } => self.parts.minute = self.small(padded)?,
            Element::Second { padded } => {
                self.parts.second = self.small(padded)?;
                let more =
                    self.rest.starts_with(['.', ',']) && self.rest[1..].starts_with(|c: char| c.is_ascii_digit());
                if more && !fraction_follows {
                    self.fraction()?;
                }
            }
            Element::LongYear => self.parts.year = i16::try_from(self.digits(4, 4)?).ok()?,
            Element::Year => {
                let year = i16::try_from(self.digits(2, 2)?).ok()?;
                self.parts.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            Element::HalfDay { upper } => {
                let (am, pm) = if upper { ("AM", "PM") } else { ("am", "pm") };
                let afternoon = self.rest.starts_with(pm);
                self.rest = self.rest.strip_prefix(if afternoon { pm } else { am })?;
                self.parts.half_day = Some(afternoon);
            }
            Element::Zone => self.zone_name()?,
            Element::Offset { z: true, .. } if self.rest.starts_with('Z') => {
                self.rest = &self.rest[1..];
                self.parts.offset_seconds = Some(0);
            }
            Element::Offset { colon, minutes, seconds, .. } => self.offset(colon, minutes, seconds)?,
            Element::Fraction { digits, optional } => {
                let there =
                    self.rest.starts_with(['.', ',']) && self.rest[1..].starts_with(|c: char| c.is_ascii_digit());
                match (there, optional) {
                    (true, _) => {
                        let length = self.fraction()?;
                        (optional || length == digits).then_some(())?;
                    }
                    (false, true) => {}
                    (false, false) => return None,
                }
            }
        }
        Some(())
    }

    /// The point and the digits behind it; tells how many there were.
    fn fraction(&mut self) -> Option<usize> {
        let digits = self.rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        let nine: String = self.rest[1..=digits].chars().chain(std::iter::repeat('0')).take(9).collect();
        self.parts.nanos = nine.parse().ok()?;
        self.rest = &self.rest[digits + 1..];
        Some(digits)
    }

    fn zone_name(&mut self) -> Option<()> {
        let letters = self.rest.bytes().take_while(u8::is_ascii_uppercase).count();
        (3..=5).contains(&letters).then_some(())?;
        let (name, rest) = self.rest.split_at(letters);
        self.rest = rest;
        self.parts.zone_name = Some(name.to_owned());
        Some(())
    }

    fn offset(&mut self, colon: bool, minutes: bool, seconds: bool) -> Option<()> {
        let negative = self.rest.starts_with('-');
        self.rest = self.rest.strip_prefix(['+', '-'])?;
        let mut total = self.digits(2, 2)? * 3600;
        for (wanted, unit) in [(minutes, 60), (seconds, 1)] {
            if wanted {
                self.rest = if colon { self.rest.strip_prefix(':')? } else { self.rest };
                total += self.digits(2, 2)? * unit;
            }
        }
        self.parts.offset_seconds = Some(if negative { -total } else { total });
        Some(())
    }
}
