//! The stages of a query, compiled once and run per stream.
