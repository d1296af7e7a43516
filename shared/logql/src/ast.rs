//! LogQL as a tree: what the parser makes, the printer prints, and pipelines and evaluation are built from.
//!
//! Values are already converted (durations to nanoseconds, sizes to bytes), names are as written. The tree says nothing
//! about how a query runs; `parse` has checked that it makes sense.

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Asks for log lines.
    Log(LogExpr),
    /// Asks for numbers.
    Metric(MetricExpr),
}

/// A stream selector and what happens to each of its entries.
#[derive(Debug, Clone, PartialEq)]
pub struct LogExpr {
    /// Which streams.
    pub selector: Vec<Matcher>,
    /// What is done to each entry, in written order.
    pub pipeline: Vec<Stage>,
}

/// `name op "value"`, in a selector or as a label filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// How it is compared.
    pub op: MatchOp,
    /// With what.
    pub value: String,
}

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Regex,
    /// `!~`, anchored at both ends.
    NotRegex,
}

/// One step of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `|= "x"` and its kin.
    LineFilter(LineFilter),
    /// `| json` when empty, otherwise `| json a="x.y", b`.
    Json(Vec<Extraction>),
    /// `| logfmt [--strict] [--keep-empty] [a="x", b]`.
    Logfmt {
        /// Fail at the first malformed pair.
        strict: bool,
        /// Keep keys without a value.
        keep_empty: bool,
        /// The labels to take; all when empty.
        extractions: Vec<Extraction>,
    },
    /// `| regexp "(?P<name>…)"`.
    Regexp(String),
    /// `| pattern "<name> …"`.
    Pattern(String),
    /// `| unpack`.
    Unpack,
    /// `| level="error" and duration > 5s`.
    LabelFilter(LabelFilter),
    /// `| line_format "…"`.
    LineFormat(String),
    /// `| label_format a=b, c="…"`.
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`.
    Decolorize,
    /// `| drop a, b="x"`.
    Drop(Vec<LabelChoice>),
    /// `| keep a, b="x"`.
    Keep(Vec<LabelChoice>),
}

/// A filter over the line: an operator and alternatives joined by `or`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFilter {
    /// How each alternative is compared. A negative operator keeps a line that matches none of them.
    pub op: LineOp,
    /// At least one.
    pub alternatives: Vec<LineMatch>,
}

/// How a line filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Regex,
    /// `!~`
    NotRegex,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

/// One alternative of a line filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineMatch {
    /// Text, regular expression or pattern, as the operator says.
    Text(String),
    /// `ip("10.0.0.0/8")`.
    Ip(String),
}

/// `label="expression"` of a json or logfmt stage; a bare `label` has its own name as expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// The label that is made.
    pub label: String,
    /// Where its value lies.
    pub expression: String,
}

/// A filter over labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    /// `x="v"` and its kin.
    String(Matcher),
    /// `x > 1`
    Number {
        /// The label.
        name: String,
        /// The comparison.
        op: CompareOp,
        /// The number.
        value: f64,
    },
    /// `x > 1m30s`
    Duration {
        /// The label.
        name: String,
        /// The comparison.
        op: CompareOp,
        /// The duration.
        value_ns: i64,
    },
    /// `x > 20MB`
    Bytes {
        /// The label.
        name: String,
        /// The comparison.
        op: CompareOp,
        /// The size.
        value_bytes: u64,
    },
    /// `x = ip("10.0.0.0/8")`
    Ip {
        /// The label.
        name: String,
        /// `!=` instead of `=`.
        negated: bool,
        /// Address, range or CIDR.
        pattern: String,
    },
    /// Both hold. Written `and`, `,` or with nothing between.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One of them holds.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

impl LabelFilter {
    /// The labels that the filter looks at, in written order.
    pub fn names(&self) -> Vec<&str> {
        match self {
            LabelFilter::String(matcher) => vec![&matcher.name],
            LabelFilter::Number { name, .. }
            | LabelFilter::Duration { name, .. }
            | LabelFilter::Bytes { name, .. }
            | LabelFilter::Ip { name, .. } => vec![name],
            LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
                [left, right].iter().flat_map(|filter| filter.names()).collect()
            }
        }
    }
}

/// A comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`, or `=` in a label filter.
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// One assignment of a `label_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFormat {
    /// The label that is made.
    pub label: String,
    /// From what.
    pub source: LabelSource,
}

/// The right side of a `label_format` assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelSource {
    /// `dst=src`: a rename.
    Label(String),
    /// `dst="template"`.
    Template(String),
}

/// One item of `drop` or `keep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChoice {
    /// Whatever its value.
    Name(String),
    /// Only if the matcher holds.
    Matcher(Matcher),
}

/// An expression with a numeric result.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricExpr {
    /// `rate({…}[5m])` and its kin: the only leaves that read logs.
    Range(Box<RangeAggregation>),
    /// `sum by (x) (…)` and its kin.
    Vector(Box<VectorAggregation>),
    /// `a + b` and its kin.
    Binary(Box<BinaryOperation>),
    /// `label_replace(…)`.
    LabelReplace(Box<LabelReplace>),
    /// `vector(1)`.
    VectorLiteral(f64),
    /// `1`.
    Number(f64),
}

/// An aggregation over time.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    /// Which one.
    pub op: RangeOp,
    /// φ of `quantile_over_time`.
    pub parameter: Option<f64>,
    /// Which entries.
    pub log: LogExpr,
    /// The label to read numbers from, if not lines are counted.
    pub unwrap: Option<Unwrap>,
    /// Length of the window `(t − range, t]`.
    pub range_ns: i64,
    /// How far the window is moved into the past; negative: into the future.
    pub offset_ns: i64,
    /// `by`/`without` of the operations that allow it.
    pub grouping: Option<Grouping>,
}

/// The operations over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named as in LogQL")]
pub enum RangeOp {
    CountOverTime,
    Rate,
    BytesOverTime,
    BytesRate,
    AbsentOverTime,
    RateCounter,
    SumOverTime,
    AvgOverTime,
    MinOverTime,
    MaxOverTime,
    StddevOverTime,
    StdvarOverTime,
    QuantileOverTime,
    FirstOverTime,
    LastOverTime,
}

/// `| unwrap duration(x) | filters…`.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    /// The label.
    pub label: String,
    /// How its text becomes a number.
    pub conversion: Conversion,
    /// Label filters behind the unwrap; they see its errors.
    pub filters: Vec<LabelFilter>,
}

/// How an unwrapped label becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// A plain number.
    Number,
    /// `bytes(x)`.
    Bytes,
    /// `duration(x)`: seconds.
    Duration,
    /// `duration_seconds(x)`: the same under its longer name.
    DurationSeconds,
}

/// `by (…)` or `without (…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// `without` instead of `by`.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

/// An aggregation over series.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorAggregation {
    /// Which one.
    pub op: VectorOp,
    /// k of `topk`, `bottomk` and `approx_topk`.
    pub parameter: Option<u64>,
    /// Over what.
    pub inner: MetricExpr,
    /// Which series go together; none: all.
    pub grouping: Option<Grouping>,
}

/// The operations over series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named as in LogQL")]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

/// `left op right`.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryOperation {
    /// Which one.
    pub op: BinaryOp,
    /// Left operand.
    pub left: MetricExpr,
    /// Right operand.
    pub right: MetricExpr,
    /// A comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// `on`/`ignoring` and the cardinality; none as written without them.
    pub matching: Option<VectorMatching>,
}

/// The binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named as in LogQL")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Which series of the two sides belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorMatching {
    /// `on` instead of `ignoring`.
    pub on: bool,
    /// Its labels.
    pub labels: Vec<String>,
    /// How many of one side may meet one of the other.
    pub cardinality: Cardinality,
    /// The labels that `group_left`/`group_right` takes from the side of one.
    pub include: Vec<String>,
}

/// How many series of each side may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// No `group_…`.
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
}

/// `label_replace(inner, "dst", "replacement", "src", "regex")`.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelReplace {
    /// Over what.
    pub inner: MetricExpr,
    /// The label that is set.
    pub destination: String,
    /// Its value, with `$1` for captures.
    pub replacement: String,
    /// The label that is matched.
    pub source: String,
    /// The anchored regular expression.
    pub regex: String,
}
