//! The text that Prometheus scrapes, in the form that it asks for.
//!
//! In: a registry and the headers of the question. Out: OpenMetrics if the reader says that it reads it, or else Prometheus' own
//! older form, which every reader knows.

use std::fmt::Write as _;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use prometheus_client::registry::Registry;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Prints a registry.
pub(crate) fn exposition(registry: &Registry, asked: &HeaderMap) -> Response {
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, registry) {
        return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
    }
    let accepted = asked.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match accepted.contains("application/openmetrics-text") {
        true => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        false => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], prometheus_text(&text)).into_response(),
    }
}

/// The older form names a counter with its `_total` in its head too, and knows neither units nor an end.
fn prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), about) => help = about.unwrap_or_default(),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            }
            (Some("#"), ..) => {}
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn counters_have_one_name_in_the_older_form() {
        let (mut registry, counter) = (Registry::default(), Counter::<u64, AtomicU64>::default());
        registry.register("lines", "Lines of logs", counter.clone());
        counter.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        assert_eq!(
            prometheus_text(&text),
            "# HELP lines_total Lines of logs.\n# TYPE lines_total counter\nlines_total 1\n"
        );
    }
}
