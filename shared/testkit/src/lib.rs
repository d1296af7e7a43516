//! For development only: log generators, events of AWS, functions as Lambda runs them, the conformance corpus, helpers that start real servers for tests.

pub mod aws;
pub mod gate;
pub mod generate;
pub mod http;
pub mod lambda;
pub mod moto;
