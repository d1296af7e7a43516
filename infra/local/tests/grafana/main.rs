//! What Grafana depends on beyond "200 OK": twenty promises, each a test that asks the built binary as Grafana does.
//!
//! Their numbers are those of the list that was made by reading what Grafana 11 to 13, Logs Drilldown and Alerting send and decode. Every
//! answer passes through `strict`, which reads it as Grafana's own decoder does.

mod strict;
#[path = "../serve/support.rs"]
#[expect(dead_code, reason = "the other test program needs the rest of it")]
mod support;

mod ask;

mod health;

mod entries;
mod splits;

mod filters;
mod parsers;

mod discovery;

mod rules;
mod tails;

mod refusals;
mod tenants;
