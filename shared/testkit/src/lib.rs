//! For development only: log generators, the conformance corpus, helpers that start real servers for tests.

pub mod generate;
pub mod http;
pub mod moto;
