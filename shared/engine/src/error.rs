//! Why a query gave no answer, split by what the asker does about it.

/// An error of a query; its `Display` is Loki's text where Loki has one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question makes no sense: the asker changes it.
    #[error("{0}")]
    Invalid(String),
    /// A limit was reached: the asker narrows the question.
    #[error("{0}")]
    Limit(String),
    /// The store did not answer: ask again.
    #[error("{0}")]
    Unavailable(String),
    /// An object is broken: somebody must look.
    #[error("object {key} is corrupt: {why}")]
    Corrupt {
        /// Which object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// An object that was listed is not there any more: list again. No question ends with it.
    #[error("object {key} is gone")]
    Gone {
        /// Which object.
        key: String,
    },
    /// The query took longer than it may.
    #[error(
        "request timed out, decrease the duration of the request or add more label matchers (prefer exact match over \
         regex match) to reduce the amount of data processed"
    )]
    Timeout,
    /// The asker went away.
    #[error("the request was cancelled by the client")]
    Cancelled,
    /// A mistake of ours.
    #[error("{0}")]
    Internal(String),
}

impl From<logql::Error> for Error {
    fn from(error: logql::Error) -> Self {
        match error.kind() {
            logql::Kind::Limit => Error::Limit(error.to_string()),
            _ => Error::Invalid(error.to_string()),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Corrupt { key, why } => Error::Corrupt { key, why },
            store::Error::NotFound { key } => Error::Gone { key },
            store::Error::Invalid { why } => Error::Internal(why),
            store::Error::Unavailable { .. } | store::Error::Full { .. } => Error::Unavailable(error.to_string()),
        }
    }
}
