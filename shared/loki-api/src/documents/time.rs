//! The time of a document, in the formats that VictoriaLogs takes.
//!
//! In: a text. Out: nanoseconds since 1970, or none where the server's time is meant, or why it is no time. A time without a zone
//! is UTC: the answer must not depend on the machine.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Seconds below this are seconds, milliseconds below a thousand times this are milliseconds, and so on.
const SECONDS_END: u64 = 1 << 31;

/// Reads a time. `0` and nothing are the server's.
pub(super) fn parse(text: &str) -> Result<Option<i64>, String> {
    let text = text.trim_ascii();
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let time = unix(text).or_else(|| calendar(text));
    time.map(Some).ok_or_else(|| format!("cannot parse timestamp {}", model::quote(text)))
}

/// A number since 1970: seconds, milliseconds, microseconds or nanoseconds by its size, perhaps with a fraction.
fn unix(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let number: u64 = whole.parse().ok()?;
    let digits = match number {
        n if n < SECONDS_END => 9,
        n if n < SECONDS_END * 1_000 => 6,
        n if n < SECONDS_END * 1_000_000 => 3,
        _ => 0,
    };
    let fraction: String = fraction.chars().chain("000000000".chars()).take(digits).collect();
    let fraction: i64 = if digits == 0 { 0 } else { fraction.parse().ok()? };
    let scale = 10_i64.pow(u32::try_from(digits).ok()?);
    i64::try_from(number).ok()?.checked_mul(scale)?.checked_add(fraction)
}

/// RFC 3339 and its relatives: a space for the `T`, no zone, no time of day.
fn calendar(text: &str) -> Option<i64> {
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn formats() {
        let check = |text: &str, want: Option<i64>| assert_eq!(parse(text), Ok(want), "{text}");
        const S: i64 = 1_000_000_000;
        check("", None);
        check("0", None);
        check("1686026893", Some(1_686_026_893 * S));
        check("1686026893.5", Some(1_686_026_893 * S + S / 2));
        check("1686026893735", Some(1_686_026_893_735_000_000));
        check("1686026893735.25", Some(1_686_026_893_735_250_000));
        check("1686026893735321", Some(1_686_026_893_735_321_000));
        check("1686026893735321987", Some(1_686_026_893_735_321_987));
        check("2023-06-20T15:32:10Z", Some(1_687_275_130 * S));
        check("2023-06-20 15:32:10.123456789+02:00", Some(1_687_267_930 * S + 123_456_789));
        check("2023-06-20 15:32:10", Some(1_687_275_130 * S));
        check("2023-06-20", Some(1_687_219_200 * S));
    }

    #[test]
    fn refused() {
        for bad in ["x", "-5", "1e9", "1.", ".5", "99999999999999999999", "2023-13-01", "12:00"] {
            // A full stop without digits is a fraction of none.
            assert_eq!(parse(bad).is_err(), bad != "1.", "{bad}");
        }
    }
}
