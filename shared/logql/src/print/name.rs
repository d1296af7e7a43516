//! What operations are called in a query.

use std::fmt::{self, Display, Formatter};

use crate::ast::{BinaryOp, CompareOp, Conversion, LineOp, RangeOp, VectorOp};

/// Gives each variant its name, and the list of all of them.
macro_rules! names {
    ($type:ident, $count:literal, $($variant:ident = $name:literal),+ $(,)?) => {
        impl $type {
            /// All of them.
            pub const ALL: [Self; $count] = [$(Self::$variant),+];

            /// As written in a query.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names!(
    RangeOp,
    15,
    CountOverTime = "count_over_time",
    Rate = "rate",
    BytesOverTime = "bytes_over_time",
    BytesRate = "bytes_rate",
    AbsentOverTime = "absent_over_time",
    RateCounter = "rate_counter",
    SumOverTime = "sum_over_time",
    AvgOverTime = "avg_over_time",
    MinOverTime = "min_over_time",
    MaxOverTime = "max_over_time",
    StddevOverTime = "stddev_over_time",
    StdvarOverTime = "stdvar_over_time",
    QuantileOverTime = "quantile_over_time",
    FirstOverTime = "first_over_time",
    LastOverTime = "last_over_time",
);

names!(
    VectorOp,
    12,
    Sum = "sum",
    Avg = "avg",
    Min = "min",
    Max = "max",
    Count = "count",
    Stddev = "stddev",
    Stdvar = "stdvar",
    Topk = "topk",
    Bottomk = "bottomk",
    ApproxTopk = "approx_topk",
    Sort = "sort",
    SortDesc = "sort_desc",
);

names!(
    BinaryOp,
    15,
    Or = "or",
    And = "and",
    Unless = "unless",
    Add = "+",
    Subtract = "-",
    Multiply = "*",
    Divide = "/",
    Modulo = "%",
    Power = "^",
    Equal = "==",
    NotEqual = "!=",
    Greater = ">",
    GreaterOrEqual = ">=",
    Less = "<",
    LessOrEqual = "<=",
);

names!(
    CompareOp,
    6,
    Equal = "==",
    NotEqual = "!=",
    Greater = ">",
    GreaterOrEqual = ">=",
    Less = "<",
    LessOrEqual = "<=",
);

names!(
    LineOp,
    6,
    Contains = "|=",
    NotContains = "!=",
    Regex = "|~",
    NotRegex = "!~",
    Pattern = "|>",
    NotPattern = "!>",
);

impl Conversion {
    /// The function that is written around the label, if there is one.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Conversion::Number => None,
            Conversion::Bytes => Some("bytes"),
            Conversion::Duration => Some("duration"),
            Conversion::DurationSeconds => Some("duration_seconds"),
        }
    }
}
