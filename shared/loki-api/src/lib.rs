//! The wire, in Loki's shapes: push bodies in, parameters in, configuration in, answers out.
//!
//! Pure: bytes and text to nouns and back. No network, no clock, no environment; whoever calls passes `now`.

pub mod auth;
pub mod aws;
pub mod config;
pub mod deletes;
pub mod documents;
mod fan_out;
mod limits;
pub mod narrow;
pub mod otlp;
mod overrides;
pub mod pages;
pub mod params;
pub mod push;
pub mod response;
mod retention;
pub mod tail;
pub mod tenancy;
pub mod units;
