//! Numbers as Go prints them.

/// Go's `%v`: the shortest digits that mean the same number, with an exponent below 1e-4 and from 1e6 on (`1e+06`). What
/// cannot be written as a literal is written as the operation that makes it.
pub(super) fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "(0 / 0)".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "(1e308 * 10)".into() } else { "(-1e308 * 10)".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Go's `%f`: six decimals, or as many as it takes.
pub(super) fn fixed(value: f64) -> String {
    let six = format!("{value:.6}");
    if six.parse() == Ok(value) { six } else { value.to_string() }
}
