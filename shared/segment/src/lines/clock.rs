//! Times as lines spell them, and back: what a line says of its own time is mostly the row's own, so nothing is left to store.
//!
//! In: text, or a form and nanoseconds since 1970. Out: the other. A text is a time only if spelling it again gives the same bytes.

const SECOND_NS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Longest text that [`spell`] gives.
pub(super) const SPELLED_BYTES_MAX: usize = 32;
/// Length of a time up to its seconds.
const SECONDS_BYTES: usize = 19;
const ACCESS_LOG_BYTES: usize = 20;

/// How a time is spelled.
///
/// | number | form |
/// |---|---|
/// | 0 to 9 | `2024-01-01T10:57:00Z` with as many digits of a second |
/// | 10 | the same with nine digits less the zeros at their end, one digit or more |
/// | 16 | `01/Jan/2024:10:57:00` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form(u8);

const TRIMMED: u8 = 10;
const ACCESS_LOG: u8 = 16;
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl Form {
    pub(super) fn from_number(number: u64) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        matches!(number, 0..=TRIMMED | ACCESS_LOG).then_some(Form(number))
    }

    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// A time less what this form does not show.
    pub(super) fn truncate(self, timestamp_ns: i64) -> i64 {
        let digits = match self.0 {
            TRIMMED => 9,
            ACCESS_LOG => 0,
            digits => u32::from(digits),
        };
        let unit = 10i64.pow(9 - digits.min(9));
        timestamp_ns.wrapping_sub(timestamp_ns.rem_euclid(unit))
    }
}

/// Whether a time may be spelled with that text in it. Letters are those of a month, or one that stands alone.
pub(super) fn may_hold(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| byte.is_ascii_digit() || b"-:./".contains(byte);
    let is_of_time = |letters: &[u8]| {
        matches!(letters, b"" | b"T" | b"Z")
            || MONTHS.iter().any(|month| month.windows(letters.len()).any(|part| part == letters))
    };
    text.split(is_mark).all(|letters| letters.len() <= 3 && is_of_time(letters))
}

/// The time that a text spells.
pub(super) fn parse(text: &[u8]) -> Option<(Form, i64)> {
    let (form, time) = if text.get(2) == Some(&b'/') { parse_access_log(text)? } else { parse_rfc3339(text)? };
    let mut again = [0; SPELLED_BYTES_MAX];
    let length = spell(form, time, &mut Day::default(), &mut again);
    (again.get(..length) == Some(text)).then_some((form, time))
}

fn parse_rfc3339(text: &[u8]) -> Option<(Form, i64)> {
    let (head, rest) = text.split_at_checked(19)?;
    let date = days(number(head.get(0..4)?)?, number(head.get(5..7)?)?, number(head.get(8..10)?)?)?;
    let seconds = seconds_of_day(head.get(11..19)?)?;
    let fraction = rest.strip_suffix(b"Z")?;
    let (digits, nanos) = match fraction.split_first() {
        None => (0, 0),
        Some((_, digits)) if (1..=9).contains(&digits.len()) => {
            let unit = 10i64.checked_pow(9 - u32::try_from(digits.len()).ok()?)?;
            (u8::try_from(digits.len()).ok()?, number(digits)? * unit)
        }
        Some(_) => return None,
    };
    let trimmed = digits == 9 || fraction.last().is_some_and(|digit| *digit != b'0');
    let form = if digits > 3 && digits != 6 && trimmed { TRIMMED } else { digits };
    Some((Form(form), (date * DAY_SECONDS + seconds).checked_mul(SECOND_NS)?.checked_add(nanos)?))
}

fn parse_access_log(text: &[u8]) -> Option<(Form, i64)> {
    let month = MONTHS.iter().position(|month| text.get(3..6) == Some(&month[..]))?;
    let date = days(number(text.get(7..11)?)?, i64::try_from(month).ok()? + 1, number(text.get(0..2)?)?)?;
    let seconds = seconds_of_day(text.get(12..)?)?;
    Some((Form(ACCESS_LOG), (date * DAY_SECONDS + seconds).checked_mul(SECOND_NS)?))
}

fn seconds_of_day(text: &[u8]) -> Option<i64> {
    Some(number(text.get(0..2)?)? * 3600 + number(text.get(3..5)?)? * 60 + number(text.get(6..8)?)?)
}

/// A number of a few digits.
fn number(digits: &[u8]) -> Option<i64> {
    let mut number = 0;
    for digit in digits {
        number = number * 10 + i64::from(digit.is_ascii_digit().then_some(digit & 15)?);
    }
    Some(number)
}

/// Days since 1970 of a date of the Gregorian calendar. After Howard Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// The date of a day since 1970. After `civil_from_days`.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The second spelled last, in both forms: the next one is mostly in the same, or in the same day.
#[derive(Default)]
pub(super) struct Day {
    second: Option<i64>,
    day: Option<i64>,
    rfc3339: [u8; SPELLED_BYTES_MAX],
    access_log: [u8; SPELLED_BYTES_MAX],
}

impl Day {
    fn set(&mut self, second: i64) {
        self.second = Some(second);
        let (day, of_day) = (second.div_euclid(DAY_SECONDS), second.rem_euclid(DAY_SECONDS));
        if self.day != Some(day) {
            self.day = Some(day);
            self.set_date(day);
        }
        let of_day = u32::try_from(of_day).unwrap_or_default();
        let ([a, b], [c, d], [e, f]) = (pair(of_day / 3600), pair(of_day / 60 % 60), pair(of_day % 60));
        let clock = [a, b, b':', c, d, b':', e, f];
        for (spelled, end) in [(&mut self.rfc3339, SECONDS_BYTES), (&mut self.access_log, ACCESS_LOG_BYTES)] {
            if let Some(to) = spelled.get_mut(end - clock.len()..).and_then(|to| to.first_chunk_mut()) {
                *to = clock;
            }
        }
    }

    #[cold]
    fn set_date(&mut self, day: i64) {
        let (year, month, day) = date(day);
        let [high, low] = [two(year.div_euclid(100)), two(year.rem_euclid(100))];
        let name = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or(b"Jan");
        let [month, day] = [two(month), two(day)];
        fill(&mut self.rfc3339, &[&high[..], &low, b"-", &month, b"-", &day, b"T"]);
        fill(&mut self.access_log, &[&day[..], b"/", name, b"/", &high, &low, b":"]);
    }
}

fn fill(target: &mut [u8], parts: &[&[u8]]) {
    for (to, from) in target.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = pairs();

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
}

/// Two digits; of what has more, the last two.
fn two(number: i64) -> [u8; 2] {
    pair(u32::try_from(number.rem_euclid(100)).unwrap_or_default())
}

fn pair(number: u32) -> [u8; 2] {
    PAIRS.get(number as usize).copied().unwrap_or_default()
}

/// Spells a time into `out` and gives its length; what stands behind it is of no meaning.
#[inline]
pub(super) fn spell(form: Form, time: i64, day: &mut Day, out: &mut [u8; SPELLED_BYTES_MAX]) -> usize {
    let (second, nanos) = (time.div_euclid(SECOND_NS), time.rem_euclid(SECOND_NS));
    if day.second != Some(second) {
        day.set(second);
    }
    if form.0 == ACCESS_LOG {
        *out = day.access_log;
        return ACCESS_LOG_BYTES;
    }
    *out = day.rfc3339;
    let nanos = u32::try_from(nanos).unwrap_or_default();
    let [a, b] = pair(nanos / 10_000_000);
    let [c, d] = pair(nanos / 100_000 % 100);
    let [e, f] = pair(nanos / 1_000 % 100);
    let [g, h] = pair(nanos / 10 % 100);
    let last = b'0' + (nanos % 10).to_le_bytes()[0];
    let fraction = [b'.', a, b, c, d, e, f, g, h, last];
    if let Some(to) = out.get_mut(SECONDS_BYTES..).and_then(|to| to.first_chunk_mut()) {
        *to = fraction;
    }
    let digits = match form.0 {
        TRIMMED if last != b'0' => 9,
        TRIMMED => 9 - fraction.iter().rev().take_while(|digit| **digit == b'0').count().min(8),
        digits => usize::from(digits),
    };
    let end = SECONDS_BYTES + if digits > 0 { digits + 1 } else { 0 };
    out.get_mut(end).into_iter().for_each(|byte| *byte = b'Z');
    end + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_that_logs_use() {
        let time = 1_704_106_620_670_435_540;
        for (text, form, time) in [
            ("2024-01-01T10:57:00.67043554Z", TRIMMED, time),
            ("2024-01-01T10:57:00.670435Z", 6, time - 540),
            ("2024-01-01T10:57:00Z", 0, time - 670_435_540),
            ("01/Jan/2024:10:57:00", ACCESS_LOG, time - 670_435_540),
            ("1969-12-31T23:59:59.999999999Z", TRIMMED, -1),
        ] {
            assert_eq!(parse(text.as_bytes()), Some((Form(form), time)), "{text}");
        }
        for text in ["", "2024-01-01", "2024-02-31T10:57:00Z", "2024-01-01T10:57:60Z", "2024-01-01T10:57:00+00:00"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn texts_that_no_time_holds() {
        for text in ["", "2024-01", "T10", "00Z", "1/Jan/2", "an", "Z"] {
            assert!(may_hold(text.as_bytes()), "{text}");
        }
        for text in ["error", "err", "Tx", "1 2", "GET", "=2024"] {
            assert!(!may_hold(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_spelled_the_same(time: i64, number in 0u64..17) {
            let Some(form) = Form::from_number(number) else { return Ok(()) };
            let (mut text, mut again) = ([0; SPELLED_BYTES_MAX], [0; SPELLED_BYTES_MAX]);
            let length = spell(form, form.truncate(time), &mut Day::default(), &mut text);
            let text = &text[..length];
            if let Some((form, time)) = parse(text) {
                let length = spell(form, time, &mut Day::default(), &mut again);
                prop_assert_eq!(text, &again[..length]);
            }
        }
    }
}
