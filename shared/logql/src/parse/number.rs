//! Number literals: Go's `ParseFloat`.

/// Text to number; the error is Go's text.
pub(super) fn parse(text: &str) -> Result<f64, String> {
    let error = |why| format!("strconv.ParseFloat: parsing {}: {why}", model::quote(text));
    let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => hexadecimal(digits),
        None => text.parse().ok(),
    };
    let value = value.ok_or_else(|| error("invalid syntax"))?;
    if value.is_finite() { Ok(value) } else { Err(error("value out of range")) }
}

/// `1.8p3`: the exponent is a power of two and must be there.
fn hexadecimal(digits: &str) -> Option<f64> {
    let (mantissa, exponent) = digits.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: String = whole.chars().chain(fraction.chars()).filter(|c| *c != '_').collect();
    let exponent: i32 = exponent.parse().ok()?;
    let mantissa = digits.chars().try_fold(0f64, |sum, digit| Some(sum * 16.0 + f64::from(digit.to_digit(16)?)))?;
    Some(mantissa * 2f64.powi(exponent.saturating_sub(4 * i32::try_from(fraction.len()).ok()?)))
}
