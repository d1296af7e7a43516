//! The labels of one entry on its way through a pipeline.
