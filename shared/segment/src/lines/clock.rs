//! Times as lines spell them, and back: what a line says of its own time is mostly the row's own, so nothing is left to store.
//!
//! In: text, or a form and nanoseconds since 1970. Out: the other. A text is a time only if spelling it again gives the same bytes.

const SECOND_NS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Longest text that [`spell`] gives.
pub(super) const SPELLED_BYTES_MAX: usize = 32;

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

/// The time that a text spells.
pub(super) fn parse(text: &[u8]) -> Option<(Form, i64)> {
    let (form, time) = if text.get(2) == Some(&b'/') { parse_access_log(text)? } else { parse_rfc3339(text)? };
    let mut again = Vec::with_capacity(SPELLED_BYTES_MAX);
    spell(form, time, &mut Day::default(), &mut again);
    (again == text).then_some((form, time))
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

/// The second spelled last in both forms: the next one is mostly in the same.
#[derive(Default)]
pub(super) struct Day {
    second: Option<i64>,
    rfc3339: [u8; 19],
    access_log: [u8; 20],
}

impl Day {
    fn set(&mut self, second: i64) {
        self.second = Some(second);
        let (year, month, day) = date(second.div_euclid(DAY_SECONDS));
        let of_day = second.rem_euclid(DAY_SECONDS);
        let [high, low] = [two(year.div_euclid(100)), two(year.rem_euclid(100))];
        let [month_digits, day] = [two(month), two(day)];
        let [hour, minute, second] = [two(of_day / 3600), two(of_day / 60 % 60), two(of_day % 60)];
        let index = usize::try_from(month - 1).unwrap_or_default();
        let name = MONTHS.get(index).copied().unwrap_or(b"Jan");
        let spelled = [&high[..], &low, b"-", &month_digits, b"-", &day, b"T", &hour, b":", &minute, b":", &second];
        fill(&mut self.rfc3339, &spelled);
        let spelled = [&day[..], b"/", name, b"/", &high, &low, b":", &hour, b":", &minute, b":", &second];
        fill(&mut self.access_log, &spelled);
    }
}

fn fill(target: &mut [u8], parts: &[&[u8]]) {
    for (to, from) in target.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
}

/// Two digits; what has more has none.
fn two(number: i64) -> [u8; 2] {
    let digit = |number: i64| b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or_default();
    [digit(number / 10), digit(number)]
}

/// Appends a time.
pub(super) fn spell(form: Form, time: i64, day: &mut Day, out: &mut Vec<u8>) {
    let (second, nanos) = (time.div_euclid(SECOND_NS), time.rem_euclid(SECOND_NS));
    if day.second != Some(second) {
        day.set(second);
    }
    if form.0 == ACCESS_LOG {
        out.extend_from_slice(&day.access_log);
        return;
    }
    let nanos = u32::try_from(nanos).unwrap_or_default();
    let mut fraction = *b".000000000Z";
    let mut rest = nanos;
    for digit in fraction.iter_mut().skip(1).take(9).rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    let digits = match form.0 {
        TRIMMED => {
            let zeros = fraction.iter().take(10).rev().take_while(|digit| **digit == b'0').count();
            9 - zeros.min(8)
        }
        digits => usize::from(digits),
    };
    out.extend_from_slice(&day.rfc3339);
    if digits > 0 {
        out.extend(fraction.iter().take(digits + 1));
    }
    out.push(b'Z');
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

    proptest! {
        #[test]
        fn what_parses_is_spelled_the_same(time: i64, number in 0u64..17) {
            let Some(form) = Form::from_number(number) else { return Ok(()) };
            let mut text = Vec::new();
            spell(form, form.truncate(time), &mut Day::default(), &mut text);
            if let Some((form, time)) = parse(&text) {
                let mut again = Vec::new();
                spell(form, time, &mut Day::default(), &mut again);
                prop_assert_eq!(text, again);
            }
        }
    }
}
