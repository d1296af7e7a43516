//! The segment format: rows to bytes and back. Pure.
