//! `timestamp`: an extracted value becomes the entry's time.
//!
//! A value that cannot be read either leaves the time of reading (`skip`), or gives the time of the file's entry before and one
//! nanosecond more (`fudge`, the default), so that the line stays where it was written.

use jiff::tz::TimeZone;
use model::NANOS_PER_SECOND;
use serde::Deserialize;

use super::go_time::Layout;
use super::{Names, Record, Slot};
use crate::metrics::Metrics;

/// The stage's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    source: String,
    format: String,
    #[serde(default)]
    fallback_formats: Vec<String>,
    location: Option<String>,
    action_on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    Fudge,
    Skip,
}

#[derive(Debug)]
enum Format {
    /// A count of units since 1970; so many of them make a second.
    Unix {
        per_second: i64,
    },
    Layout(Layout),
}

#[derive(Debug)]
pub(super) struct Timestamp {
    source: Slot,
    formats: Vec<Format>,
    location: TimeZone,
    on_failure: OnFailure,
}

impl Timestamp {
    pub(super) fn new(settings: Settings, names: &mut Names) -> Result<Self, String> {
        let location = match settings.location.as_deref().filter(|name| !name.is_empty()) {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|error| format!("location {name:?}: {error}"))?,
        };
        if settings.format.is_empty() {
            return Err("format is empty".into());
        }
        Ok(Timestamp {
            source: names.slot(&settings.source),
            formats: std::iter::once(&settings.format)
                .chain(&settings.fallback_formats)
                .map(|f| Format::new(f))
                .collect(),
            location,
            on_failure: settings.action_on_failure.unwrap_or(OnFailure::Fudge),
        })
    }

    pub(super) fn process(&self, record: &mut Record<'_>, metrics: &Metrics) {
        let text = record.extracted(self.source);
        let found =
            text.and_then(|text| self.formats.iter().find_map(|f| f.parse(text, &self.location, record.timestamp_ns)));
        match (found, record.last_known_ns) {
            (Some(timestamp_ns), _) => record.timestamp_ns = timestamp_ns,
            (None, last_known_ns) => {
                metrics.timestamps_failed.increment();
                match last_known_ns.filter(|_| self.on_failure == OnFailure::Fudge) {
                    Some(last_ns) => record.timestamp_ns = last_ns + 1,
                    None => return,
                }
            }
        }
        record.last_known_ns = Some(record.timestamp_ns);
    }
}

impl Format {
    fn new(format: &str) -> Self {
        match format {
            "Unix" => Format::Unix { per_second: 1 },
            "UnixMs" => Format::Unix { per_second: 1_000 },
            "UnixUs" => Format::Unix { per_second: 1_000_000 },
            "UnixNs" => Format::Unix { per_second: NANOS_PER_SECOND },
            layout => Format::Layout(Layout::new(layout)),
        }
    }

    fn parse(&self, text: &str, location: &TimeZone, now_ns: i64) -> Option<i64> {
        match self {
            Format::Layout(layout) => layout.parse(text, location, now_ns),
            Format::Unix { per_second: 1 } => parse_unix_seconds(text),
            Format::Unix { per_second } => text.parse::<i64>().ok()?.checked_mul(NANOS_PER_SECOND / per_second),
        }
    }
}

/// Seconds, with or without a fraction.
fn parse_unix_seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = fraction.get(..fraction.len().min(9))?;
    let nanos = kept.parse::<i64>().ok()? * 10_i64.pow(9 - kept.len() as u32);
    whole.parse::<i64>().ok()?.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
}
