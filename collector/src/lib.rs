//! Tails files, runs Promtail pipelines, ships batches to the Loki push API.
