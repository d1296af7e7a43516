//! Answers LogQL over the Loki HTTP API.
