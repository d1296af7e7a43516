//! Text to numbers as Go reads it: floats, durations and sizes, with Go's error texts.
//!
//! In: a label's value. Out: the number, or the text that stands in `__error_details__`.

use model::quote;

/// A number, as `strconv.ParseFloat` reads it.
pub(crate) fn float(text: &str) -> Result<f64, String> {
    let error = |why: &str| format!("strconv.ParseFloat: parsing {}: {why}", quote(text));
    let value = match text.parse::<f64>() {
        Ok(value) => value,
        Err(_) => hex_float(text).ok_or_else(|| error("invalid syntax"))?,
    };
    let names_infinity = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    if value.is_infinite() && !names_infinity { Err(error("value out of range")) } else { Ok(value) }
}

/// `0x1.8p3`: a hexadecimal mantissa and a binary exponent, which Go demands.
fn hex_float(text: &str) -> Option<f64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let rest = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"))?;
    let (mantissa, exponent) = rest.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0_f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.saturating_sub(i32::try_from(fraction.len()).ok()?.saturating_mul(4));
    Some(sign * value * f64::powi(2.0, shift))
}

/// Nanoseconds, as `time.ParseDuration` reads them: `1h15m30.918s`, `-5us`, `0`; no days.
pub(crate) fn duration_ns(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = leading_number(rest).ok_or_else(invalid)?;
        rest = rest.get(number.bytes..).unwrap_or_default();
        let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, after) = rest.split_at(unit_end);
        if unit.is_empty() {
            // Two dots in a number are no number; an end is a missing unit.
            let why = if number_end > number.bytes {
                invalid()
            } else {
                format!("time: missing unit in duration {}", quote(text))
            };
            return Err(why);
        }
        let unit_ns =
            unit_ns(unit).ok_or_else(|| format!("time: unknown unit {} in duration {}", quote(unit), quote(text)))?;
        let piece = number.in_units(unit_ns).ok_or_else(invalid)?;
        total = total.checked_add(piece).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    match (negative, i64::try_from(total)) {
        (true, Ok(total)) => Ok(-total),
        (true, Err(_)) => Ok(i64::MIN),
        (false, Ok(total)) => Ok(total),
        (false, Err(_)) => Err(invalid()),
    }
}

/// `12.345` taken apart, so that whole units stay exact.
struct Number {
    whole: u64,
    /// The digits behind the dot, as far as they fit; to be divided by the scale.
    fraction: u64,
    scale: f64,
    bytes: usize,
}

impl Number {
    fn in_units(&self, unit_ns: u64) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a unit is small")]
        let fraction = (self.fraction as f64 * (unit_ns as f64 / self.scale)) as u64;
        self.whole.checked_mul(unit_ns)?.checked_add(fraction)
    }
}

fn leading_number(text: &str) -> Option<Number> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole_end = digits(text);
    let (whole, rest) = text.split_at(whole_end);
    let fraction = rest.strip_prefix('.').map(|rest| rest.get(..digits(rest)).unwrap_or_default());
    if whole.is_empty() && fraction.is_none_or(str::is_empty) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let bytes = whole_end + fraction.map_or(0, |f| f.len() + 1);
    let (mut value, mut scale) = (0u64, 1.0);
    for digit in fraction.unwrap_or_default().bytes() {
        let Some(next) = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0'))) else { break };
        (value, scale) = (next, scale * 10.0);
    }
    Some(Number { whole, fraction: value, scale, bytes })
}

fn unit_ns(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Bytes, as Go's humanize reads them: `1.5 KiB`, `20MB`, `1,024`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let number = float(&number.replace(',', ""))?;
    let unit = unit.trim().to_lowercase();
    let factor = size_unit(&unit).ok_or_else(|| format!("unhandled size name: {unit}"))?;
    let value = number * factor;
    if value >= u64::MAX as f64 {
        return Err(format!("too large: {text}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and the end is checked")]
    Ok(value as u64)
}

fn size_unit(unit: &str) -> Option<f64> {
    let (power, base) = match unit {
        "" | "b" => return Some(1.0),
        _ if unit.len() <= 2 && unit.ends_with('i') => (unit.get(..1)?, 1024.0_f64),
        _ if unit.ends_with("ib") => (unit.strip_suffix("ib")?, 1024.0),
        _ => (unit.strip_suffix('b').unwrap_or(unit), 1000.0),
    };
    let power = ["k", "m", "g", "t", "p", "e"].iter().position(|p| *p == power)?;
    Some(base.powi(i32::try_from(power).ok()? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_as_go_reads_them() {
        for (text, want) in
            [("1", 1.0), ("-0.5", -0.5), ("+1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("0x1p4", 16.0), ("0x1.8p1", 3.0)]
        {
            assert_eq!(float(text), Ok(want), "{text}");
        }
        assert!(float("NaN").is_ok_and(f64::is_nan));
        assert_eq!(float("-Inf"), Ok(f64::NEG_INFINITY));
        for (text, why) in [
            ("", "invalid syntax"),
            ("1.2s", "invalid syntax"),
            (" 1", "invalid syntax"),
            ("1e999", "value out of range"),
            ("0x1", "invalid syntax"),
        ] {
            assert_eq!(float(text), Err(format!("strconv.ParseFloat: parsing \"{text}\": {why}")));
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, want) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("-1.5h", -5_400_000_000_000),
            ("1h15m30.918s", 4_530_918_000_000),
            ("619us", 619_000),
            ("1µs", 1_000),
            (".5s", 500_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(duration_ns(text), Ok(want), "{text}");
        }
        for (text, want) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            ("abc", "time: invalid duration \"abc\""),
            (".s", "time: invalid duration \".s\""),
            ("10", "time: missing unit in duration \"10\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
        ] {
            assert_eq!(duration_ns(text), Err(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_humanize_reads_them() {
        for (text, want) in [
            ("42", 42),
            ("4B", 4),
            ("1KB", 1000),
            ("1 KiB", 1024),
            ("1.5MB", 1_500_000),
            ("364KiB", 372_736),
            ("1,024", 1024),
            ("2g", 2_000_000_000),
            ("1ki", 1024),
            ("1EiB", 1 << 60),
        ] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        assert_eq!(bytes("x"), Err("strconv.ParseFloat: parsing \"\": invalid syntax".to_owned()));
        assert_eq!(bytes("1 xb"), Err("unhandled size name: xb".to_owned()));
        assert_eq!(bytes("100EB"), Err("too large: 100EB".to_owned()));
    }
}
