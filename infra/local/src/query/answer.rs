//! Answers of Loki's API, as far as they are printed.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Labels, by name.
pub(super) type Labels = BTreeMap<String, String>;

/// An answer to `query` or `query_range`.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) data: Data,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(super) enum Data {
    Streams(Vec<Stream>),
    Matrix(Vec<Series>),
    Vector(Vec<Sample>),
    Scalar(Point),
}

#[derive(Debug, Deserialize)]
pub(super) struct Stream {
    stream: Labels,
    values: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Series {
    pub(super) metric: Labels,
    pub(super) values: Vec<Point>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sample {
    pub(super) metric: Labels,
    pub(super) value: Point,
}

/// Seconds since 1970, and a number as text.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Point(pub(super) f64, pub(super) String);

/// A line with its time and all its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) timestamp_ns: i64,
    pub(super) labels: Arc<Labels>,
    pub(super) line: String,
}

impl Answer {
    /// Says on standard error what the asker should know.
    pub(super) fn notices(&self) {
        for warning in &self.warnings {
            eprintln!("warning: {}", super::client::one_line(warning));
        }
    }
}

/// The entries of streams, one stream after the other.
pub(super) fn entries(streams: Vec<Stream>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for Stream { stream, values } in streams {
        let labels = Arc::new(stream);
        for (time, line) in values {
            let timestamp_ns = time.parse().with_context(|| format!("{time:?} is not a time"))?;
            entries.push(Entry { timestamp_ns, labels: labels.clone(), line });
        }
    }
    Ok(entries)
}
