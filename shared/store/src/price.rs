//! What S3 takes for objects and requests.
//!
//! In: bytes and counts. Out: dollars, by the list prices of S3 Standard in us-east-1 as they stood in November 2025, without free
//! allowances and discounts. The only place that knows them.

use crate::Counts;

/// Where and when the prices hold.
pub const PRICES_OF: &str = "us-east-1, S3 Standard, list prices of November 2025";

/// The first 50 TB.
pub const STORED_DOLLARS_PER_GB_MONTH: f64 = 0.023;
/// Listings too.
pub const PUT_DOLLARS_PER_THOUSAND: f64 = 0.005;
/// Objects and ranges.
pub const GET_DOLLARS_PER_THOUSAND: f64 = 0.0004;

/// What AWS bills as a GB of storage.
const BYTES_PER_GB: f64 = 1024.0 * 1024.0 * 1024.0;

/// For keeping so many bytes for a month.
pub fn month_dollars(bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_GB * STORED_DOLLARS_PER_GB_MONTH
}

/// For requests. Deletes are free.
pub fn request_dollars(counts: &Counts) -> f64 {
    let dear = counts.puts + counts.lists;
    let cheap = counts.gets + counts.heads;
    dear as f64 / 1e3 * PUT_DOLLARS_PER_THOUSAND + cheap as f64 / 1e3 * GET_DOLLARS_PER_THOUSAND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_list_says() {
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-12, "{got}, not {want}");
        close(month_dollars(100 << 30), 2.3);
        let counts = Counts { puts: 500, lists: 500, gets: 900, heads: 100, deletes: 7, ..Counts::default() };
        close(request_dollars(&counts), 0.0054);
    }
}
