//! LogQL: text to expression, expression to pipeline, entries to values. Pure.
