//! Plan, prune, scan, compute: a LogQL query over stored segments.

mod error;
pub mod needles;
mod request;
mod settings;

pub use error::Error;
pub use request::{Answer, Direction, LabelsRequest, Limits, QueryRequest, When};
pub use settings::EngineSettings;
