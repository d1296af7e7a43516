//! What a query gives: log entries, series, samples or a number.

use crate::Labels;

/// The result of a query, before anyone decides how it looks on the wire.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A log query: entries in the direction asked, over all streams.
    Entries(Vec<LogEntry>),
    /// An instant metric query.
    Vector(Vec<Sample>),
    /// A range metric query, series sorted by labels.
    Matrix(Vec<Series>),
    /// A number that needed no log at all.
    Scalar(Point),
}

/// One entry of a log query's answer, its labels still told apart by where they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Nanoseconds since 1970, UTC.
    pub timestamp_ns: i64,
    /// The line after the pipeline.
    pub line: String,
    /// Stream labels that the pipeline left alone.
    pub stream: Labels,
    /// Structured metadata that the pipeline left alone.
    pub metadata: Labels,
    /// Labels that the pipeline made or changed, errors included.
    pub parsed: Labels,
}

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Milliseconds since 1970, UTC.
    pub timestamp_ms: i64,
    /// The value; may be NaN or infinite.
    pub value: f64,
}

/// One sample of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The series' labels.
    pub labels: Labels,
    /// Its value.
    pub point: Point,
}

/// One series of a matrix, points in time order.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The series' labels.
    pub labels: Labels,
    /// Its points; a step without samples has none.
    pub points: Vec<Point>,
}
