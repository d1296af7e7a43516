//! A Grafana in front of a server of its own: sends what Grafana's datasource sends, with its headers, always as GET.
//!
//! In: paths and parameters. Out: status, headers and text of the answer, or the answer read by `strict`.

use std::borrow::Cow;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::strict::Answer;
use crate::support::Server;

/// Midnight, 20 November 2026: every test's data lies around it, so that nothing depends on today.
pub(crate) const T0_S: i64 = 1_795_132_800;
/// The same in nanoseconds.
pub(crate) const T0_NS: i64 = T0_S * SECOND_NS;
pub(crate) const SECOND_NS: i64 = 1_000_000_000;
pub(crate) const HOUR_NS: i64 = 3_600 * SECOND_NS;
pub(crate) const DAY_NS: i64 = 24 * HOUR_NS;

/// What a data query carries; resource calls and tails do not.
pub(crate) const CATEGORIZE: (&str, &str) = ("X-Loki-Response-Encoding-Flags", "categorize-labels");
/// What Logs Drilldown adds to everything.
pub(crate) const DRILLDOWN: (&str, &str) = ("X-Query-Tags", "Source=grafana-lokiexplore-app");

/// Accepts entries of any age; each test adds its own limits.
pub(crate) const ANY_AGE: &str = "reject_old_samples: false, creation_grace_period: 100y";

/// Parameters of a question.
pub(crate) type Parameters<'a> = [(&'a str, Cow<'a, str>)];

/// A server and who asks it.
pub(crate) struct Grafana {
    pub(crate) server: Server,
    /// Does not unpack bodies by itself.
    client: reqwest::Client,
    /// Lives as long as the server works in it.
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Grafana {
    /// In front of a server with Loki's defaults.
    pub(crate) async fn start() -> Grafana {
        Grafana::with_limits("").await
    }

    /// In front of a server with these limits, written as in YAML's braces.
    pub(crate) async fn with_limits(limits: &str) -> Grafana {
        let limits = if limits.is_empty() { ANY_AGE.to_owned() } else { format!("{ANY_AGE}, {limits}") };
        Grafana::with_config(&format!("auth_enabled: false\nlimits_config: {{{limits}}}\n")).await
    }

    /// In front of a server with this configuration.
    pub(crate) async fn with_config(config: &str) -> Grafana {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), config).await;
        let client = reqwest::Client::builder().gzip(false).build().expect("a client");
        Grafana { server, client, _folder: folder }
    }

    /// Pushes `[labels, [[time in nanoseconds, line, metadata], …]]`; it is there when this returns.
    pub(crate) async fn push(&self, streams: Value) {
        self.push_as(&[], streams).await;
    }

    /// The same, with headers.
    pub(crate) async fn push_as(&self, headers: &[(&str, &str)], streams: Value) {
        let streams: Vec<Value> = streams
            .as_array()
            .expect("streams")
            .iter()
            .map(|stream| {
                let values = stream[1].as_array().expect("entries").iter().map(|entry| {
                    let metadata = entry.get(2).cloned().unwrap_or_else(|| json!({}));
                    json!([entry[0].to_string(), entry[1], metadata])
                });
                json!({ "stream": stream[0], "values": values.collect::<Vec<_>>() })
            })
            .collect();
        let mut request = self.client.post(format!("{}/loki/api/v1/push", self.server.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = json!({ "streams": streams }).to_string();
        let answer = request.header("Content-Type", "application/json").body(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        assert_eq!(status, 204, "{}", answer.text().await.unwrap_or_default());
    }

    /// One GET.
    pub(crate) async fn ask(&self, headers: &[(&str, &str)], path: &str, parameters: &Parameters<'_>) -> Reply {
        let mut request = self.client.get(format!("{}{path}", self.server.url)).query(parameters);
        for (name, value) in [("User-Agent", "Grafana/13.1.0")].iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Reply { status, headers, text: answer.text().await.expect("a whole body") }
    }

    /// A resource call: labels, fields, volume and the like, as JSON.
    pub(crate) async fn resource(&self, path: &str, parameters: &Parameters<'_>) -> Value {
        self.ask(&[DRILLDOWN], path, parameters).await.json()
    }

    /// A data query over a range: what a panel sends.
    pub(crate) async fn range(&self, query: &str, range: Range) -> Answer {
        let reply = self.ask(&[CATEGORIZE], "/loki/api/v1/query_range", &range.parameters(query)).await;
        let answer = reply.answer();
        assert_eq!(answer.categorized, answer.kind == "streams", "the flag is echoed for streams, and only for them");
        check_order(&answer, range);
        answer
    }

    /// The same without the header, as logcli or Grafana's state history ask.
    pub(crate) async fn plain_range(&self, query: &str, range: Range) -> Answer {
        let answer = self.ask(&[], "/loki/api/v1/query_range", &range.parameters(query)).await.answer();
        assert!(!answer.categorized, "nobody asked for categories");
        check_order(&answer, range);
        answer
    }
}

impl Reply {
    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        let kind = self.header("content-type");
        assert!(kind.starts_with("application/json"), "{kind}: {}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The answer of a query.
    pub(crate) fn answer(&self) -> Answer {
        self.json();
        Answer::read(&self.text)
    }

    /// A header; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What a range query asks for beside its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) step_ms: i64,
    pub(crate) limit: usize,
    pub(crate) forward: bool,
}

impl Range {
    /// Newest first, a thousand lines, a step of a minute.
    pub(crate) fn new(start_ns: i64, end_ns: i64) -> Range {
        Range { start_ns, end_ns, step_ms: 60_000, limit: 1_000, forward: false }
    }

    pub(crate) fn step_ms(self, step_ms: i64) -> Range {
        Range { step_ms, ..self }
    }

    pub(crate) fn limit(self, limit: usize) -> Range {
        Range { limit, ..self }
    }

    pub(crate) fn forward(self) -> Range {
        Range { forward: true, ..self }
    }

    fn parameters<'a>(&self, query: &'a str) -> Vec<(&'a str, Cow<'a, str>)> {
        vec![
            ("direction", if self.forward { "forward" } else { "backward" }.into()),
            ("query", query.into()),
            ("start", self.start_ns.to_string().into()),
            ("end", self.end_ns.to_string().into()),
            ("step", format!("{}ms", self.step_ms).into()),
            ("limit", self.limit.to_string().into()),
        ]
    }
}

/// Parameters from texts.
pub(crate) fn parameters<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, Cow<'a, str>)> {
    pairs.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect()
}

/// Start and end of a resource call, as Drilldown writes them, behind other parameters.
pub(crate) fn between<'a>(start_ns: i64, end_ns: i64, pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, Cow<'a, str>)> {
    let mut all = parameters(pairs);
    all.push(("start", start_ns.to_string().into()));
    all.push(("end", end_ns.to_string().into()));
    all
}

/// Inside a stream entries stand in the order that was asked for, and lie in `[start, end)`.
fn check_order(answer: &Answer, range: Range) {
    for stream in &answer.streams {
        let mut times: Vec<i64> = stream.entries.iter().map(|entry| entry.time_ns).collect();
        assert!(times.iter().all(|time| (range.start_ns..range.end_ns).contains(time)), "{range:?}: {times:?}");
        if !range.forward {
            times.reverse();
        }
        assert!(times.is_sorted(), "{range:?}: {times:?}");
    }
    let entries: usize = answer.streams.iter().map(|stream| stream.entries.len()).sum();
    assert!(entries <= range.limit, "{entries} entries, limit {}", range.limit);
}
