//! The wire, in Loki's shapes: push bodies in, parameters in, configuration in, answers out.
//!
//! Pure: bytes and text to nouns and back. No network, no clock, no environment; whoever calls passes `now`.

pub mod aws;
pub mod config;
pub mod documents;
mod limits;
pub mod otlp;
pub mod pages;
pub mod params;
pub mod push;
pub mod response;
pub mod tail;
pub mod units;
