//! How fast and how small segments are written.

fn main() {}
