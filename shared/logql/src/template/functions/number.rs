//! Functions over numbers. Their arguments are converted as sprig does: what is no number counts as 0.

use super::{Scope, int_at, text_at};
use crate::stage::convert;
use crate::template::tree::Number;
use crate::template::value::Value;

type Result<'r> = std::result::Result<Value<'r>, String>;

/// A whole number out of anything.
fn to_int(value: &Value<'_>) -> i64 {
    match value {
        Value::Bool(value) => i64::from(*value),
        #[expect(clippy::cast_possible_truncation, reason = "Go cuts the fraction off too")]
        Value::Float(value) => *value as i64,
        Value::Text(text) => text_to_int(text).unwrap_or(0),
        _ => value.whole().unwrap_or(0),
    }
}

/// `12`, `0x1f`, `12.00`; no other fraction.
fn text_to_int(text: &str) -> Option<i64> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    match Number::parse(whole)? {
        Number::Int(value) if !whole.contains(['.', 'e', 'E']) || whole.starts_with("0x") => Some(value),
        _ => None,
    }
}

/// A float out of anything.
fn to_float(value: &Value<'_>) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Float(value) => *value,
        Value::Text(text) => convert::float(text).unwrap_or(0.0),
        _ => value.whole().unwrap_or(0) as f64,
    }
}

fn first(a: &[Value<'_>]) -> f64 {
    a.first().map_or(0.0, to_float)
}

/// The size behind `2 KiB`, as a float.
pub(super) fn bytes<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    convert::bytes(text_at(a, 0)).map(|bytes| Value::Float(bytes as f64))
}

/// The seconds of a duration.
pub(super) fn duration<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let nanos = convert::duration_ns(text_at(a, 0))?;
    Ok(Value::Float((nanos / 1_000_000_000) as f64 + (nanos % 1_000_000_000) as f64 / 1e9))
}

pub(super) fn int<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Int(a.first().map_or(0, to_int)))
}

pub(super) fn float64<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Float(first(a)))
}

/// Folds whole numbers from left to right.
fn fold_int<'r>(a: &[Value<'r>], step: impl Fn(i64, i64) -> i64) -> Result<'r> {
    Ok(Value::Int(a.iter().map(to_int).reduce(step).unwrap_or(0)))
}

pub(super) fn add<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_int(a, i64::wrapping_add)
}

pub(super) fn sub<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_int(a, i64::wrapping_sub)
}

pub(super) fn mul<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_int(a, i64::wrapping_mul)
}

pub(super) fn max<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_int(a, i64::max)
}

pub(super) fn min<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_int(a, i64::min)
}

fn divide<'r>(a: &[Value<'r>], step: fn(i64, i64) -> i64) -> Result<'r> {
    match a {
        [_, by] if to_int(by) == 0 => Err("runtime error: integer divide by zero".to_owned()),
        _ => fold_int(a, step),
    }
}

pub(super) fn div<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    divide(a, i64::wrapping_div)
}

pub(super) fn modulo<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    divide(a, i64::wrapping_rem)
}

/// A decimal number: `mantissa × 10^-scale`. sprig computes in decimals, so that 0.1 + 0.2 is 0.3.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    mantissa: i128,
    scale: u32,
}

impl Decimal {
    /// Digits behind the point in a quotient.
    const DIVISION_SCALE: u32 = 16;

    /// The shortest decimal that stands for the float; none if it has too many digits to compute with here.
    fn of(value: f64) -> Option<Self> {
        let text = value.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let scale = u32::try_from(fraction.len()).ok().filter(|scale| *scale <= 24)?;
        let mantissa = format!("{whole}{fraction}").parse().ok()?;
        Some(Decimal { mantissa, scale })
    }

    fn value(self) -> f64 {
        let digits = self.mantissa.unsigned_abs().to_string();
        let scale = self.scale as usize;
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let magnitude: f64 = format!("{whole}.{fraction}").parse().unwrap_or(f64::NAN);
        if self.mantissa < 0 { -magnitude } else { magnitude }
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.mantissa.checked_mul(10_i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    fn plus(self, other: Self, sign: i128) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let mantissa = self.at_scale(scale)?.checked_add(other.at_scale(scale)?.checked_mul(sign)?)?;
        Some(Decimal { mantissa, scale })
    }

    fn times(self, other: Self) -> Option<Self> {
        Some(Decimal { mantissa: self.mantissa.checked_mul(other.mantissa)?, scale: self.scale + other.scale })
    }

    /// Rounds half away from zero.
    fn over(self, other: Self) -> Option<Self> {
        let numerator = self.at_scale(self.scale.max(other.scale) + Self::DIVISION_SCALE)?;
        let denominator = other.at_scale(self.scale.max(other.scale))?;
        let (quotient, rest) = (numerator.checked_div(denominator)?, numerator.checked_rem(denominator)?);
        let away = i128::from(rest.unsigned_abs() >= denominator.unsigned_abs() - rest.unsigned_abs());
        let sign = numerator.signum() * denominator.signum();
        Some(Decimal { mantissa: quotient + sign * away, scale: Self::DIVISION_SCALE })
    }
}

/// Folds floats from left to right in decimals, or in floats where decimals do not reach.
fn fold_decimal<'r>(
    a: &[Value<'r>],
    decimal: fn(Decimal, Decimal) -> Option<Decimal>,
    float: fn(f64, f64) -> f64,
) -> Result<'r> {
    let mut total = first(a);
    for value in a.iter().skip(1).map(to_float) {
        if !(total.is_finite() && value.is_finite()) {
            return Err("Cannot create a Decimal from NaN or Inf".to_owned());
        }
        let exact = Decimal::of(total).zip(Decimal::of(value)).and_then(|(a, b)| decimal(a, b)).map(Decimal::value);
        total = exact.unwrap_or_else(|| float(total, value));
    }
    Ok(Value::Float(total))
}

pub(super) fn addf<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_decimal(a, |a, b| a.plus(b, 1), |a, b| a + b)
}

pub(super) fn subf<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_decimal(a, |a, b| a.plus(b, -1), |a, b| a - b)
}

pub(super) fn mulf<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_decimal(a, Decimal::times, |a, b| a * b)
}

pub(super) fn divf<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    if a.iter().skip(1).any(|value| to_float(value) == 0.0) {
        return Err("decimal division by 0".to_owned());
    }
    fold_decimal(a, Decimal::over, |a, b| a / b)
}

fn fold_float<'r>(a: &[Value<'r>], step: fn(f64, f64) -> f64) -> Result<'r> {
    let either_nan = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { step(a, b) };
    Ok(Value::Float(a.iter().map(to_float).reduce(either_nan).unwrap_or(0.0)))
}

pub(super) fn maxf<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_float(a, f64::max)
}

pub(super) fn minf<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    fold_float(a, f64::min)
}

pub(super) fn ceil<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Float(first(a).ceil()))
}

pub(super) fn floor<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Float(first(a).floor()))
}

/// `round value places [from which fraction up]`
pub(super) fn round<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let round_on = a.get(2).map_or(0.5, to_float);
    let power = 10_f64.powf(int_at(a, 1) as f64);
    let digit = power * first(a);
    let rounded = if digit.fract() >= round_on { digit.ceil() } else { digit.floor() };
    Ok(Value::Float(rounded / power))
}
