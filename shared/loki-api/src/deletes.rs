//! Delete requests over HTTP: their parameters, Loki's refusals, and the list of those that were taken.
//!
//! In: parameters of the URL and the time now. Out: a checked request, or the text that Loki answers with a 400. What the query
//! means is not known here.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Number, json};

use crate::params::{ParamError, Params};
use crate::units::{parse_duration, print_go_duration};

/// The header that names a request that was taken.
pub const REQUEST_ID_HEADER: &str = "X-Delete-Request-ID";
/// What a tenant is told whose deletes are switched off.
pub const NOT_AVAILABLE: &str = "deletion is not available for this tenant";
/// What somebody is told who names a request that is not there.
pub const NOT_FOUND: &str = "could not find delete request with given id";

/// Digits of a time in whole seconds.
const SECONDS_DIGITS: usize = 10;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// What is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteParams {
    /// A selector, with filters perhaps; not parsed yet.
    pub query: String,
    /// The first nanosecond.
    pub start_ns: i64,
    /// The last nanosecond: it is deleted too.
    pub end_ns: i64,
    max_interval: String,
}

impl DeleteParams {
    /// Reads the parameters.
    pub fn new(params: &Params, now_ns: i64) -> Result<Self, ParamError> {
        let query = params.get("query").to_owned();
        if query.is_empty() {
            return Err("query not set".into());
        }
        let start_ns = match params.get("start") {
            "" => return Err("start time not set".into()),
            text => time(text).ok_or("invalid start time: require unix seconds or RFC3339 format")?,
        };
        let end_ns = match params.get("end") {
            "" => now_ns,
            text => time(text).ok_or("invalid end time: require unix seconds or RFC3339 format")?,
        };
        if end_ns > now_ns {
            return Err("deletes in the future are not allowed".into());
        }
        if start_ns >= end_ns {
            return Err("start time can't be greater than or equal to end time".into());
        }
        Ok(DeleteParams { query, start_ns, end_ns, max_interval: params.get("max_interval").to_owned() })
    }

    /// Checks `max_interval`, by which Loki cuts a request with filters into pieces. Here nothing has to be cut.
    pub fn check_interval(&self, longest: Duration) -> Result<(), ParamError> {
        if self.max_interval.is_empty() {
            return Ok(());
        }
        let interval = parse_duration(&self.max_interval).ok().filter(|interval| interval.as_secs() >= 1);
        let interval = interval.ok_or("invalid max_interval: valid time units are 's', 'm', 'h'")?;
        let whole = Duration::from_nanos(self.end_ns.abs_diff(self.start_ns));
        if !longest.is_zero() && interval > longest {
            return Err(format!("max_interval can't be greater than {}", print_go_duration(longest)).into());
        }
        if interval > whole {
            let whole = print_go_duration(whole);
            return Err(format!("max_interval can't be greater than the interval to be deleted ({whole})").into());
        }
        Ok(())
    }
}

/// RFC 3339, or seconds in ten digits.
fn time(text: &str) -> Option<i64> {
    if text.len() == SECONDS_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(NANOS_PER_SECOND);
    }
    let time = text.parse::<Timestamp>().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// A request that was taken, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub request_id: String,
    /// Its query.
    pub query: String,
    /// The first nanosecond.
    pub start_ns: i64,
    /// The last one.
    pub end_ns: i64,
    /// When it was taken.
    pub created_ns: i64,
    /// Parts of the store that it is about, and those of them that are done.
    pub parts: usize,
    /// Those of them that are done.
    pub parts_done: usize,
    /// Whether its work may begin.
    pub is_final: bool,
}

impl Listed {
    fn status(&self) -> String {
        match (self.is_final, self.parts_done, self.parts) {
            (true, done, all) if done >= all => "processed".to_owned(),
            (false, ..) | (true, 0, _) => "received".to_owned(),
            (true, done, all) => format!("{}% Complete", done * 100 / all),
        }
    }
}

/// The answer to the question for all requests.
pub fn list(requests: &[Listed]) -> String {
    let row = |request: &Listed| {
        json!({
            "request_id": request.request_id,
            "start_time": seconds(request.start_ns),
            "end_time": seconds(request.end_ns),
            "query": request.query,
            "status": request.status(),
            "created_at": seconds(request.created_ns),
            "user_id": "",
        })
    };
    json!(requests.iter().map(row).collect::<Vec<_>>()).to_string()
}

/// Seconds with milliseconds, if there are any.
fn seconds(timestamp_ns: i64) -> Number {
    let milliseconds = timestamp_ns.div_euclid(NANOS_PER_MILLI);
    let whole = || Number::from(milliseconds.div_euclid(1000));
    if milliseconds.rem_euclid(1000) == 0 {
        return whole();
    }
    Number::from_f64(milliseconds as f64 / 1000.0).unwrap_or_else(whole)
}

/// What somebody is told who cancels a request too late.
pub fn too_late(period: Duration) -> String {
    let period = print_go_duration(period);
    format!(
        "deletion of request past the deadline of {period} since its creation is not allowed. To force, use the ?force query parameter"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: i64 = 1_795_168_800 * NANOS_PER_SECOND;

    fn read(text: &str) -> Result<DeleteParams, String> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        let params = Params::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let read = DeleteParams::new(&params, NOW_NS).map_err(|e| e.to_string())?;
        read.check_interval(Duration::from_secs(86_400)).map_err(|e| e.to_string())?;
        Ok(read)
    }

    #[test]
    fn parameters_are_refused_in_lokis_words() {
        let check = |text: &str, want: &str| assert_eq!(read(text).expect_err(text), want);
        check("start=1", "query not set");
        check("query={}", "start time not set");
        check("query={}&start=yesterday", "invalid start time: require unix seconds or RFC3339 format");
        check("query={}&start=179516880", "invalid start time: require unix seconds or RFC3339 format");
        check("query={}&start=1795168800000000000", "invalid start time: require unix seconds or RFC3339 format");
        check("query={}&start=1795160000&end=x", "invalid end time: require unix seconds or RFC3339 format");
        check("query={}&start=1795160000&end=1795168801", "deletes in the future are not allowed");
        check("query={}&start=1795168800", "start time can't be greater than or equal to end time");
        let whole = "query={}&start=1795168700&max_interval=";
        check(&format!("{whole}5"), "invalid max_interval: valid time units are 's', 'm', 'h'");
        check(&format!("{whole}1ms"), "invalid max_interval: valid time units are 's', 'm', 'h'");
        check(&format!("{whole}25h"), "max_interval can't be greater than 24h0m0s");
        check(&format!("{whole}2m"), "max_interval can't be greater than the interval to be deleted (1m40s)");
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let check = |text: &str, start: i64, end_ns: i64| {
            let read = read(text).expect(text);
            assert_eq!((read.start_ns, read.end_ns), (start * NANOS_PER_SECOND, end_ns), "{text}");
        };
        check("query={}&start=0000000001", 1, NOW_NS);
        check("query={}&start=2026-11-20T09:00:00Z&max_interval=1m", 1_795_165_200, NOW_NS);
        check("query={}&start=1795160000&end=2026-11-20T09:00:00.5Z", 1_795_160_000, 1_795_165_200_500_000_000);
    }

    #[test]
    fn requests_are_listed_as_in_loki() {
        let request = |is_final, parts_done, parts| Listed {
            request_id: "a1".to_owned(),
            query: r#"{app="x"}"#.to_owned(),
            start_ns: NANOS_PER_SECOND,
            end_ns: NOW_NS,
            created_ns: NOW_NS + 7 * NANOS_PER_MILLI,
            parts,
            parts_done,
            is_final,
        };
        let status = |is_final, done, all| request(is_final, done, all).status();
        assert_eq!(status(false, 0, 0), "received");
        assert_eq!(status(true, 0, 3), "received");
        assert_eq!(status(true, 1, 3), "33% Complete");
        assert_eq!(status(true, 3, 3), "processed");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&list(&[request(true, 0, 0)])).expect("JSON"),
            json!([{"request_id": "a1", "start_time": 1, "end_time": 1_795_168_800, "query": "{app=\"x\"}",
                "status": "processed", "created_at": 1_795_168_800.007, "user_id": ""}])
        );
    }
}
