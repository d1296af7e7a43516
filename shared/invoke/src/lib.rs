//! Asks AWS Lambda functions by name: [`Functions::ask`] waits for an answer, [`Functions::tell`] only hands over.
//!
//! In: a function's name and a payload. Out: its answer, or an error split by what the caller does about it. One signed HTTP request
//! each, by the credentials and the client that the object store has anyway: an SDK of its own would outweigh the rest of the
//! function. What is asked for must bear being done twice, since a lost answer is asked for again.

mod error;
mod functions;
mod place;
mod signer;

pub use error::InvokeError;
pub use functions::{ASK_BYTES_MAX, Functions, TELL_BYTES_MAX};
pub use signer::Signer;
