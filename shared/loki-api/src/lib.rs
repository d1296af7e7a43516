//! The wire: push bodies, parameters, configuration and answers, in Loki's shapes. Pure.
