//! Why a function did not do what it was asked, by reaction.
//!
//! In: statuses and texts of the Lambda API. Out: one of six kinds. Texts hold what AWS says (it names the missing permission), cut
//! to a line, and never a signature.

use http::StatusCode;

/// Of what AWS says, so much is told.
const TOLD_BYTES_MAX: usize = 500;

/// An error of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The environment cannot work: no region, a bad endpoint.
    #[error("{0}")]
    Settings(String),
    /// More at a time than the account or the function allows: do it oneself, or later.
    #[error("the function {function} is throttled: {why}")]
    Throttled {
        /// Who was asked.
        function: String,
        /// What AWS says.
        why: String,
    },
    /// It will be refused again: a missing permission (the text names it), no such function, a bad request.
    #[error("invoking the function {function} is refused ({status}): {why}")]
    Refused {
        /// Who was asked.
        function: String,
        /// The status of the answer.
        status: u16,
        /// What AWS says.
        why: String,
    },
    /// The payload is larger than Lambda takes.
    #[error("{bytes} bytes for the function {function}, and {bytes_max} are allowed")]
    TooLarge {
        /// Who was asked.
        function: String,
        /// The payload.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// The function was run, and ended in an error or ran out of time or memory.
    #[error("the function {function} failed: {why}")]
    Failed {
        /// Who was asked.
        function: String,
        /// What it said.
        why: String,
    },
    /// No answer, or one that asks to try again.
    #[error("the function {function} cannot be reached: {why}")]
    Unavailable {
        /// Who was asked.
        function: String,
        /// What happened.
        why: String,
    },
}

impl InvokeError {
    /// What an answer of the API other than 2xx means.
    pub(crate) fn of_answer(function: &str, status: StatusCode, body: &[u8]) -> Self {
        let (function, why) = (function.to_owned(), told(body));
        match status {
            StatusCode::TOO_MANY_REQUESTS => InvokeError::Throttled { function, why },
            status if status.is_server_error() => {
                InvokeError::Unavailable { function, why: format!("{status}: {why}") }
            }
            status => InvokeError::Refused { function, status: status.as_u16(), why },
        }
    }

    pub(crate) fn failed(function: &str, body: &[u8]) -> Self {
        InvokeError::Failed { function: function.to_owned(), why: told(body) }
    }

    pub(crate) fn unavailable(function: &str, why: impl ToString) -> Self {
        InvokeError::Unavailable { function: function.to_owned(), why: why.to_string() }
    }
}

/// The beginning of a text as one line.
fn told(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..TOLD_BYTES_MAX).unwrap_or(body));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
