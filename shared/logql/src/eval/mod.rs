//! Computing with samples: windows, aggregations, binary operations.
//!
//! In: a metric expression, the steps to compute, and for each of its leaves (the range aggregations) samples, folded by
//! `RangeFold` in whatever order they come. Out: a vector per step. Pure; what the fold keeps grows with series and steps.

mod grouping;
mod leaf;
mod steps;

mod cells;
mod counter;
mod fold;
mod partial;

mod aggregate;
mod binary;
mod label_replace;
mod table;

mod evaluate;

pub use evaluate::{Evaluated, evaluate};
pub use fold::RangeFold;
pub use grouping::{GroupingKey, reduce};
pub use leaf::{Leaf, leaf_time_range, leaves};
pub use steps::Steps;
