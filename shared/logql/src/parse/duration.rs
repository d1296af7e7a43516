//! Durations as text, in the two dialects that Loki reads: Prometheus' (`1d12h`, units from large to small, whole
//! numbers) and Go's (`1.5h`, any order, nothing above hours), and both as they are written.

use std::fmt::Write as _;

use crate::stage::convert;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Prometheus' units from large to small.
const PROMETHEUS_UNITS: [(&str, u64); 7] =
    [("y", 365 * DAY), ("w", 7 * DAY), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLISECOND)];

/// Prometheus' dialect to nanoseconds; the error is Prometheus' text.
pub(crate) fn prometheus(text: &str) -> Result<i64, String> {
    match text {
        "0" => return Ok(0),
        "" => return Err("empty duration string".into()),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {}", model::quote(text));
    let (mut total_ns, mut rest, mut units) = (0u64, text, &PROMETHEUS_UNITS[..]);
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, behind) = behind.split_at(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()));
        rest = behind;
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        if !PROMETHEUS_UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(format!("unknown unit {} in duration {}", model::quote(unit), model::quote(text)));
        }
        // Only units smaller than the last one may follow.
        let position = units.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let sum = count.checked_mul(units[position].1).and_then(|ns| total_ns.checked_add(ns));
        total_ns = sum.filter(|ns| i64::try_from(*ns).is_ok()).ok_or("duration out of range")?;
        units = &units[position + 1..];
    }
    i64::try_from(total_ns).map_err(|_| "duration out of range".into())
}

/// Either dialect, as in the text of a query.
pub(crate) fn any(text: &str) -> Result<i64, String> {
    prometheus(text).or_else(|_| convert::duration_ns(text))
}

/// How Prometheus writes a duration of whole milliseconds: `1h30m`, `2w`, `90d`.
pub(crate) fn to_prometheus(duration_ns: u64) -> String {
    let mut rest_ns = duration_ns / MILLISECOND * MILLISECOND;
    if rest_ns == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, unit_ns) in PROMETHEUS_UNITS {
        let count = rest_ns / unit_ns;
        let only_if_exact = matches!(unit, "y" | "w");
        if count == 0 || (only_if_exact && !rest_ns.is_multiple_of(unit_ns)) {
            continue;
        }
        rest_ns %= unit_ns;
        write!(out, "{count}{unit}").expect("writing to a string cannot fail");
    }
    out
}

/// How Go writes a duration: `1h30m0s`, `1.5s`, `250ms`, `0s`.
pub(crate) fn to_go(duration_ns: i64) -> String {
    let sign = if duration_ns < 0 { "-" } else { "" };
    let ns = duration_ns.unsigned_abs();
    match ns {
        0 => "0s".into(),
        1..1000 => format!("{sign}{ns}ns"),
        1000..MILLISECOND => format!("{sign}{}µs", decimal(ns, 1000)),
        MILLISECOND..SECOND => format!("{sign}{}ms", decimal(ns, MILLISECOND)),
        SECOND..MINUTE => format!("{sign}{}s", decimal(ns, SECOND)),
        MINUTE..HOUR => format!("{sign}{}m{}s", ns / MINUTE, decimal(ns % MINUTE, SECOND)),
        _ => format!("{sign}{}h{}m{}s", ns / HOUR, ns % HOUR / MINUTE, decimal(ns % MINUTE, SECOND)),
    }
}

/// `ns` in units, with the fraction that is needed.
fn decimal(ns: u64, unit_ns: u64) -> String {
    let (whole, fraction) = (ns / unit_ns, ns % unit_ns);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit_ns.ilog10() as usize;
    format!("{whole}.{}", format!("{fraction:0width$}").trim_end_matches('0'))
}
