//! Times as AWS services write them, to nanoseconds since 1970.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Seconds with a fraction, to the millisecond; zero is no time.
pub(super) fn from_seconds(seconds: f64) -> Option<i64> {
    from_milliseconds((seconds * 1000.0).round() as i64)
}

/// Milliseconds; zero is no time.
pub(super) fn from_milliseconds(milliseconds: i64) -> Option<i64> {
    (milliseconds > 0).then(|| milliseconds.checked_mul(1_000_000)).flatten()
}

/// RFC 3339, the same without a zone (UTC is meant), or a number of seconds, milliseconds, microseconds or nanoseconds: told
/// apart by how large it is.
pub(super) fn from_text(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return from_number(number);
    }
    let timestamp = text.parse::<Timestamp>().or_else(|_| in_utc(text.parse::<DateTime>()?)).ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}

/// A number whose unit is told by its size: seconds until the year 5138, then milliseconds, and so on.
pub(super) fn from_number(number: i64) -> Option<i64> {
    const SECONDS_MAX: i64 = 100_000_000_000;
    let unit = match number {
        ..=0 => return None,
        n if n < SECONDS_MAX => 1_000_000_000,
        n if n < SECONDS_MAX * 1_000 => 1_000_000,
        n if n < SECONDS_MAX * 1_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(unit)
}

/// As web servers write it: `06/Feb/2019:00:00:38 +0000`.
pub(super) fn from_access_log(text: &str) -> Option<i64> {
    let timestamp = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}

fn in_utc(time: DateTime) -> Result<Timestamp, jiff::Error> {
    Ok(time.to_zoned(TimeZone::UTC)?.timestamp())
}
