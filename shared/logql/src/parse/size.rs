//! Sizes as Loki prints them.

use crate::stage::convert;

/// The short form that Loki prints, if it means the same, otherwise plain bytes.
pub(crate) fn print(size_bytes: u64) -> String {
    let short = humanized(size_bytes);
    if convert::bytes(&short) == Ok(size_bytes) { short } else { format!("{size_bytes}B") }
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
