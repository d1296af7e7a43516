//! Durations and byte sizes as Loki's configuration, parameters and error texts write them.
//!
//! In: `1w`, `30d1h`, `1.5h`, `256KB`, `3MB`. Out: nanoseconds and bytes; and the same texts again for people. A kilobyte
//! has 1024 bytes here, as in Loki. Never a panic: what does not fit is an error.

use std::time::Duration;

/// Units of time, longest name first where one begins another.
const TIME_UNITS: [(&str, u64); 11] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 24 * 3_600 * 1_000_000_000),
    ("w", 7 * 24 * 3_600 * 1_000_000_000),
    ("y", 365 * 24 * 3_600 * 1_000_000_000),
];

/// Text that is neither a Prometheus nor a Go duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid duration string: \"{0}\"")]
pub struct DurationError(pub String);

/// Text that is not a size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid size: \"{0}\"")]
pub struct SizeError(pub String);

/// Reads `1h30m`, `30d1h`, `1.5h` or a bare `0`; nanoseconds. A negative duration is an error.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let refused = || DurationError(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total_ns = 0_u64;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let unit_ns = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?.1;
        let part_ns = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(unit_ns).ok_or_else(refused)?,
            Err(_) => fraction_ns(number, unit_ns).ok_or_else(refused)?,
        };
        total_ns = total_ns.checked_add(part_ns).filter(|ns| *ns <= i64::MAX as u64).ok_or_else(refused)?;
        rest = tail;
    }
    Ok(Duration::from_nanos(total_ns))
}

/// `1.5` of a unit, if the number is one and the product fits.
fn fraction_ns(number: &str, unit_ns: u64) -> Option<u64> {
    let product = number.parse::<f64>().ok()? * unit_ns as f64;
    (product.is_finite() && product < i64::MAX as f64).then_some(product as u64)
}

/// Reads `256KB`, `1GB`, `1MiB` or plain bytes, in any case.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let refused = || SizeError(text.to_owned());
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        "P" | "PB" | "PIB" => 50,
        _ => return Err(refused()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).ok_or_else(refused)
}

/// A size for people, as Loki's error texts have it: `3MB`, `1.5GB`, `512B`.
pub fn print_size(bytes: u64) -> String {
    let units = [(50, "PB"), (40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
    match units.iter().find(|(shift, _)| bytes >= 1 << shift) {
        None => format!("{bytes}B"),
        Some((shift, unit)) if bytes.is_multiple_of(1 << shift) => format!("{}{unit}", bytes >> shift),
        Some((shift, unit)) => format!("{:.1}{unit}", bytes as f64 / f64::from(1_u32 << (shift - 10)) / 1024.0),
    }
}

/// A duration as Prometheus prints it: `1w`, `30d1h`, `1m30s`, `0s`.
pub fn print_duration(duration: Duration) -> String {
    let mut rest_ms = duration.as_millis();
    if rest_ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    // Years and weeks are printed only where nothing is left over, so that 15 days stay 15d.
    let units = [("y", 31_536_000_000, true), ("w", 604_800_000, true), ("d", 86_400_000, false)];
    let short_units = [("h", 3_600_000, false), ("m", 60_000, false), ("s", 1_000, false), ("ms", 1, false)];
    for (name, unit_ms, exact) in units.into_iter().chain(short_units) {
        let count = rest_ms / unit_ms;
        if count > 0 && (!exact || rest_ms.is_multiple_of(unit_ms)) {
            out.push_str(&format!("{count}{name}"));
            rest_ms -= count * unit_ms;
        }
    }
    out
}

/// A duration as Go prints it: `720h0m0s`, `1.5s`, `0s`.
pub fn print_go_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 && nanos > 0 {
        let total = f64::from(nanos);
        return match nanos {
            n if n < 1_000 => format!("{n}ns"),
            n if n < 1_000_000 => format!("{}µs", total / 1e3),
            _ => format!("{}ms", total / 1e6),
        };
    }
    let mut fraction = if nanos == 0 { String::new() } else { format!(".{nanos:09}") };
    fraction.truncate(fraction.trim_end_matches('0').len());
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check =
            |text: &str, seconds: f64| assert_eq!(parse_duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        check("0", 0.0);
        check("1w", 604_800.0);
        check("30d1h", 2_595_600.0);
        check("1h30m", 5_400.0);
        check("1.5h", 5_400.0);
        check("250ms", 0.25);
        for bad in ["", "5", "x", "5x", "-1s", "1h-", ".", "1..2s", "999999999999y", "s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: u64| assert_eq!(parse_size(text), Ok(bytes), "{text}");
        check("256KB", 262_144);
        check("1gb", 1 << 30);
        check("3MB", 3 << 20);
        check("17", 17);
        for bad in ["", "KB", "1XB", "-1", "1.5MB", "99999999999999999GB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn printing() {
        let print = |text: &str| print_duration(parse_duration(text).expect("a duration"));
        assert_eq!(
            [print("1w"), print("721h"), print("90s"), print("15d"), print("0")],
            ["1w", "30d1h", "1m30s", "15d", "0s"]
        );
        let go = |text: &str| print_go_duration(parse_duration(text).expect("a duration"));
        assert_eq!(
            [go("30d"), go("1500ms"), go("90s"), go("0"), go("250ms")],
            ["720h0m0s", "1.5s", "1m30s", "0s", "250ms"]
        );
        assert_eq!(
            [print_size(3 << 20), print_size(1536), print_size(12), print_size(5 << 30)],
            ["3MB", "1.5KB", "12B", "5GB"]
        );
    }
}
