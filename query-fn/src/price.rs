//! What reads cost: AWS's list prices, in dollars.
//!
//! In: requests and bytes. Out: dollars. The prices are those of us-east-1 as they stood in 2025: S3 Standard, and Lambda on
//! arm64 in its first tier, without free allowances and discounts; S3's stand in `store::price`. Bytes cost nothing between S3 and Lambda of one region.

use engine::Reads;
use store::price::{GET_DOLLARS_PER_THOUSAND, PUT_DOLLARS_PER_THOUSAND};

/// Where the prices hold, as answers say it.
pub(crate) const PRICES_OF: &str = "us-east-1, S3 Standard and Lambda on arm64, list prices of 2025";

const LAMBDA_DOLLARS_PER_GB_SECOND: f64 = 0.000_013_333_4;
const LAMBDA_DOLLARS_PER_MILLION_REQUESTS: f64 = 0.20;

/// The memory of the query function, as infra/aws sets it up: one processor.
const LAMBDA_MEMORY_MB: f64 = 1769.0;
const MB_PER_GB: f64 = 1024.0;

// How long the function runs is an estimate from three rough figures.
/// Until a request is answered.
const REQUEST_SECONDS: f64 = 0.02;
/// Requests under way at the same time.
const REQUESTS_AT_ONCE: f64 = 16.0;
/// What comes from S3 in a second.
const FETCHED_BYTES_PER_SECOND: f64 = 80e6;
/// Uncompressed bytes that one processor goes through in a second.
const SEARCHED_BYTES_PER_SECOND: f64 = 400e6;

/// The price of a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Price {
    /// For listings.
    pub(crate) list_dollars: f64,
    /// For objects and ranges.
    pub(crate) get_dollars: f64,
    /// How long the function runs, about.
    pub(crate) lambda_seconds: f64,
    /// For the function.
    pub(crate) lambda_dollars: f64,
}

impl Price {
    /// Of these reads, and of going through so many uncompressed bytes.
    pub(crate) fn new(reads: Reads, searched_bytes: u64) -> Self {
        let round_trips = (reads.gets as f64 / REQUESTS_AT_ONCE).ceil() + reads.lists as f64;
        let lambda_seconds = round_trips * REQUEST_SECONDS
            + reads.bytes as f64 / FETCHED_BYTES_PER_SECOND
            + searched_bytes as f64 / SEARCHED_BYTES_PER_SECOND;
        Price {
            list_dollars: reads.lists as f64 / 1e3 * PUT_DOLLARS_PER_THOUSAND,
            get_dollars: reads.gets as f64 / 1e3 * GET_DOLLARS_PER_THOUSAND,
            lambda_seconds,
            lambda_dollars: lambda_seconds * LAMBDA_MEMORY_MB / MB_PER_GB * LAMBDA_DOLLARS_PER_GB_SECOND
                + LAMBDA_DOLLARS_PER_MILLION_REQUESTS / 1e6,
        }
    }

    /// All of it.
    pub(crate) fn dollars(&self) -> f64 {
        self.list_dollars + self.get_dollars + self.lambda_dollars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_cost_what_the_list_says() {
        let price = Price::new(Reads { lists: 1_000, gets: 10_000, bytes: 0 }, 0);
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got}, not {want}");
        close(price.list_dollars, 0.005);
        close(price.get_dollars, 0.004);
        close(price.lambda_seconds, (1_000.0 + 625.0) * REQUEST_SECONDS);
    }
}
