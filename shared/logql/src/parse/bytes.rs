//! Sizes as text: `10KB` is 10 000 bytes, `10KiB` is 10 240. Case and a blank before the unit do not matter.

/// Text to bytes; the error is that of the library that Loki uses.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len()));
    let number = number.replace(',', "");
    let count: f64 =
        number.parse().map_err(|_| format!("strconv.ParseFloat: parsing {}: invalid syntax", model::quote(&number)))?;
    let unit = unit.trim().to_lowercase();
    let size = count * unit_bytes(&unit).ok_or_else(|| format!("unhandled size name: {unit}"))? as f64;
    if size >= u64::MAX as f64 {
        return Err(format!("too large: {text}"));
    }
    Ok(size as u64)
}

fn unit_bytes(unit: &str) -> Option<u64> {
    let (prefix, base) = match unit.strip_suffix('b').unwrap_or(unit) {
        "" => return Some(1),
        unit => unit.strip_suffix('i').map_or((unit, 1000u64), |prefix| (prefix, 1024)),
    };
    let power = ["k", "m", "g", "t", "p", "e"].into_iter().zip(1..).find(|(name, _)| *name == prefix)?.1;
    Some(base.pow(power))
}

/// The short form that Loki prints, if it means the same, otherwise plain bytes.
pub(crate) fn print(size_bytes: u64) -> String {
    let short = humanized(size_bytes);
    if parse(&short) == Ok(size_bytes) { short } else { format!("{size_bytes}B") }
}

/// Two digits or a whole number of the largest decimal unit that fits. No unit above P: a query cannot hold one.
fn humanized(size_bytes: u64) -> String {
    let power = size_bytes.max(1).ilog(1000).min(5);
    let unit = ["B", "kB", "MB", "GB", "TB", "PB"][power as usize];
    let count = (size_bytes as f64 / 1000f64.powi(power as i32) * 10.0 + 0.5).floor() / 10.0;
    if power > 0 && count < 10.0 && count.fract() != 0.0 {
        format!("{count:.1}{unit}")
    } else {
        format!("{count:.0}{unit}")
    }
}
