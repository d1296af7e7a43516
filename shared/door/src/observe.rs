//! What is seen of each request: a trace id, a line in the log, its time under Loki's metric.
//!
//! In: a request, perhaps with a W3C `traceparent`. Out: its answer with the id in `X-Trace-Id`; every log line on the way
//! carries it. The line has method, path and status, never the parameters: a query may hold what nobody else should read.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing::Instrument as _;

/// The header of an answer by which its log lines can be found.
const TRACE_HEADER: HeaderName = HeaderName::from_static("x-trace-id");
/// Upper bounds of the durations, in seconds.
const DURATION_SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 60.0];
/// The route of a path that nobody serves.
const NO_ROUTE: &str = "other";
/// Methods that are counted by name.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
/// The status of a request whose client did not wait for it, as Loki has it.
const CLIENT_GONE: u16 = 499;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status_code: u16,
    ws: &'static str,
}

/// Watches all requests of a process.
#[derive(Debug, Clone)]
pub(crate) struct Observer {
    durations: Family<Answered, Histogram, fn() -> Histogram>,
}

impl Default for Observer {
    fn default() -> Self {
        Observer { durations: Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS)) }
    }
}

impl Observer {
    /// Adds its metric to a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Time from request to answer";
        registry.register_with_unit("loki_request_duration", help, Unit::Seconds, self.durations.clone());
    }

    /// The same router, watched.
    pub(crate) fn watch(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, observe))
    }
}

async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let trace_id = given_id(request.headers()).unwrap_or_else(new_id);
    let span = tracing::info_span!("request", trace_id);
    let mut seen = Seen::of(observer, &request, span.clone());
    let mut answer = next.run(request).instrument(span).await;
    seen.status = answer.status();
    if let Ok(id) = HeaderValue::try_from(trace_id) {
        answer.headers_mut().insert(TRACE_HEADER, id);
    }
    answer
}

/// A request under way; told when it is dropped, whether it was answered or its client went away before.
struct Seen {
    observer: Observer,
    span: tracing::Span,
    method: &'static str,
    path: String,
    route: String,
    status: StatusCode,
    started: Instant,
}

impl Seen {
    fn of(observer: Observer, request: &Request, span: tracing::Span) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str);
        let known = METHODS.into_iter().find(|method| request.method() == *method);
        Seen {
            observer,
            span,
            method: known.unwrap_or("other"),
            path: request.uri().path().to_owned(),
            // As Loki names its routes; a label's name in a path makes no series.
            route: route.trim_matches('/').replace('/', "_").replace(['{', '}'], "").to_lowercase(),
            status: StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::BAD_REQUEST),
            started: Instant::now(),
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let (status, elapsed) = (self.status.as_u16(), self.started.elapsed().as_secs_f64());
        let (method, path, elapsed_ms) = (self.method, self.path.as_str(), elapsed * 1000.0);
        self.span.in_scope(|| match status {
            500.. => tracing::warn!(method, path, status, elapsed_ms, "answered"),
            _ => tracing::debug!(method, path, status, elapsed_ms, "answered"),
        });
        let ws = if self.status == StatusCode::SWITCHING_PROTOCOLS { "true" } else { "false" };
        let labels = Answered { method, route: std::mem::take(&mut self.route), status_code: status, ws };
        self.observer.durations.get_or_create(&labels).observe(elapsed);
    }
}

/// The trace of whoever asks, if the header is as W3C has it: `00-<32 digits>-<16 digits>-<2 digits>`.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let parts: Vec<&str> = headers.get("traceparent")?.to_str().ok()?.split('-').collect();
    let [_, trace, span, flags] = parts.as_slice() else { return None };
    let hexadecimal = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let sound = hexadecimal(trace, 32) && hexadecimal(span, 16) && hexadecimal(flags, 2);
    (sound && trace.bytes().any(|byte| byte != b'0')).then(|| (*trace).to_owned())
}

/// 128 bits that nobody has had before, as good as.
fn new_id() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_over_only_if_it_is_one() {
        let check = |header: &str, want: Option<&str>| {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("traceparent"), header.parse().expect("text"))]);
            assert_eq!(given_id(&headers).as_deref(), want, "{header}");
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        check(&format!("00-{id}-00f067aa0ba902b7-01"), Some(id));
        check(&format!("00-{id}-00f067aa0ba902b7"), None);
        check(&format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None);
        check(&format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()), None);
        check("00-x\"y-00f067aa0ba902b7-01", None);
        assert!(new_id() != new_id() && new_id().len() == 32);
    }
}
