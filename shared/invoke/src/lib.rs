//! Asks AWS Lambda functions by name: [`Functions::ask`] waits for an answer, [`Functions::tell`] only hands over.
//!
//! In: a function's name and a payload. Out: its answer, or an error split by what the caller does about it. One signed HTTP request
//! each, by the credentials and the client that the object store has anyway: AWS's own SDK would bring 36 more crates. What is asked
//! for must bear being done twice, since a lost answer is asked for again.

mod client;
mod error;
mod functions;
mod place;
mod signer;

pub use error::InvokeError;
pub use functions::{ASK_BYTES_MAX, Functions, TELL_BYTES_MAX};
pub use signer::Signer;
