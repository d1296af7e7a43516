//! Plan, prune, scan, compute: a LogQL query over stored segments.
