//! Entries to samples.
