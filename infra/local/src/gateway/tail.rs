//! A live tail over a WebSocket, made of questions: what is there, then again and again what is new.
//!
//! In: an upgrade request. Out: Loki's messages. What the function refuses is refused before the upgrade, with its words. Each question
//! reaches back a little behind the last entry, for those that were stored late, and what was told is not told again. Later ones than
//! that are not told. Ends with the client; a function that does not answer is asked again, some times in a row.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::proxy::{handed_back, refusal, unreachable};
use super::{Gateway, upstream::passed_on};

/// How far a question reaches back behind the last entry.
const OVERLAP_NS: i64 = 30_000_000_000;
/// Entries of one question, which Loki allows by default; more are asked for at once.
const QUESTION_ENTRIES_MAX: usize = 5_000;
/// Questions in a row that are full, until there is a pause.
const FULL_QUESTIONS_MAX: usize = 20;
/// Entries of one message, as in Loki.
const MESSAGE_ENTRIES_MAX: usize = 100;
/// Largest answer of the function.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Questions in a row that may fail.
const FAILURES_MAX: u32 = 5;
/// Time between pings, by which a client that is gone is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A client that takes no message for so long is gone.
const SEND_MAX: Duration = Duration::from_secs(30);
/// Bytes of a close frame's reason.
const REASON_BYTES_MAX: usize = 123;
/// How far back a tail begins if it does not say, as in Loki.
const SINCE: &str = "1h";
/// Entries with which it begins.
const LIMIT: &str = "100";
/// What belongs to the upgrade alone.
const OF_THE_SOCKET: [&str; 4] =
    ["sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-protocol"];

/// An answer to `query_range`, as far as a tail reads it.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(rename = "resultType")]
    kind: &'a str,
    #[serde(borrow)]
    result: Vec<Stream<'a>>,
    #[serde(borrow, default, rename = "encodingFlags")]
    encoding_flags: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Stream<'a> {
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default)]
    values: Vec<&'a RawValue>,
}

/// An entry of an answer.
struct Entry<'a> {
    timestamp_ns: i64,
    stream: &'a str,
    value: &'a str,
}

/// A tail at work.
struct Tail {
    gateway: Arc<Gateway>,
    headers: HeaderMap,
    query: String,
    /// The time of the last entry that was told, or where the tail begins.
    last_ns: i64,
    /// Entries that a question may meet again: their hashes and times.
    told: HashMap<u64, i64>,
    hasher: RandomState,
}

/// Serves a tail.
pub(super) async fn tail(
    State(gateway): State<Arc<Gateway>>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let pairs: HashMap<String, String> = reqwest::Url::parse(&format!("http://t/?{}", parameters.unwrap_or_default()))
        .map_or_else(
            |_| HashMap::new(),
            |url| url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        );
    let mut headers = passed_on(&headers);
    OF_THE_SOCKET.iter().for_each(|name| drop(headers.remove(*name)));
    headers.remove(header::ACCEPT_ENCODING);
    headers.insert(HeaderName::from_static("accept"), header::HeaderValue::from_static("application/json"));
    let query = pairs.get("query").cloned().unwrap_or_default();
    let mut tail =
        Tail { gateway, headers, query, last_ns: i64::MIN, told: HashMap::new(), hasher: RandomState::new() };
    let limit = pairs.get("limit").map_or(LIMIT, String::as_str);
    let beginning = match pairs.get("start") {
        Some(start) => ("start", start.as_str()),
        None => ("since", SINCE),
    };
    let answer = match tail.ask(&[beginning, ("limit", limit), ("direction", "backward")]).await {
        Ok(answer) if answer.status().is_success() => answer,
        Ok(refused) => return handed_back(refused),
        Err(error) => return unreachable(&error),
    };
    let history = match read(answer).await.and_then(|body| tail.messages(&body)) {
        Ok((history, _)) => history,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, error.to_string()),
    };
    upgrade.on_upgrade(move |socket| tail.run(socket, history))
}

impl Tail {
    async fn ask(&self, parameters: &[(&str, &str)]) -> Result<reqwest::Response> {
        let all = [("query", self.query.as_str())].into_iter().chain(parameters.iter().copied());
        let url = reqwest::Url::parse_with_params("http://t/loki/api/v1/query_range", all)?;
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        self.gateway.upstream.send(Method::GET, &path, &self.headers, Bytes::new()).await
    }

    async fn run(mut self, mut socket: WebSocket, history: Vec<String>) {
        let why = match self.follow(&mut socket, history).await {
            Ok(()) => return,
            Err(error) => error.to_string(),
        };
        let why = &why[..why.floor_char_boundary(REASON_BYTES_MAX)];
        let frame = CloseFrame { code: close_code::ERROR, reason: why.into() };
        // A client that is gone by now needs no reason.
        let _ = timeout(SEND_MAX, socket.send(Message::Close(Some(frame)))).await;
    }

    /// Until the client goes; an error is one that it is told.
    async fn follow(&mut self, socket: &mut WebSocket, history: Vec<String>) -> Result<()> {
        for message in history {
            if !send(socket, message).await {
                return Ok(());
            }
        }
        let mut turns = interval(self.gateway.tail_every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut pinged, mut failures) = (Instant::now(), 0);
        loop {
            tokio::select! {
                message = socket.recv() => match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return Ok(()),
                    Some(Ok(_)) => continue,
                },
                _ = turns.tick() => {}
            }
            match self.turn(socket).await {
                Ok(true) => failures = 0,
                Ok(false) => return Ok(()),
                Err(error) if failures < FAILURES_MAX => {
                    tracing::warn!("a tail asks again: {error:#}");
                    failures += 1;
                }
                Err(error) => return Err(error),
            }
            if pinged.elapsed() >= PING_INTERVAL {
                pinged = Instant::now();
                if !matches!(timeout(SEND_MAX, socket.send(Message::Ping(Bytes::new()))).await, Ok(Ok(()))) {
                    return Ok(());
                }
            }
        }
    }

    /// Tells what is new; whether the client is still there.
    async fn turn(&mut self, socket: &mut WebSocket) -> Result<bool> {
        let limit = QUESTION_ENTRIES_MAX.to_string();
        let mut start_ns = self.last_ns.saturating_sub(OVERLAP_NS);
        for _ in 0..FULL_QUESTIONS_MAX {
            let start = start_ns.to_string();
            let beginning = if self.last_ns == i64::MIN { ("since", SINCE) } else { ("start", start.as_str()) };
            let answer = self.ask(&[beginning, ("limit", &limit), ("direction", "forward")]).await?;
            let status = answer.status();
            let body = read(answer).await?;
            if !status.is_success() {
                bail!("{status}: {}", String::from_utf8_lossy(&body));
            }
            let (messages, found) = self.messages(&body)?;
            for message in messages {
                if !send(socket, message).await {
                    return Ok(false);
                }
            }
            match found.newest_ns {
                Some(newest_ns) if found.count >= QUESTION_ENTRIES_MAX && newest_ns > start_ns => start_ns = newest_ns,
                _ => break,
            }
        }
        let since_ns = self.last_ns.saturating_sub(OVERLAP_NS);
        self.told.retain(|_, timestamp_ns| *timestamp_ns >= since_ns);
        Ok(true)
    }

    /// The messages of what an answer holds and was not told yet, oldest first.
    fn messages(&mut self, body: &[u8]) -> Result<(Vec<String>, Found)> {
        let answer: Answer<'_> = serde_json::from_slice(body)?;
        if answer.data.kind != "streams" {
            bail!("only log selector is supported");
        }
        let mut entries = entries(&answer.data.result)?;
        entries.sort_by_key(|entry| entry.timestamp_ns);
        let found = Found { count: entries.len(), newest_ns: entries.last().map(|entry| entry.timestamp_ns) };
        entries.retain(|entry| {
            let identity = self.hasher.hash_one((entry.stream, entry.value));
            self.told.insert(identity, entry.timestamp_ns).is_none()
        });
        self.last_ns = self.last_ns.max(found.newest_ns.unwrap_or(i64::MIN));
        let flags = answer.data.encoding_flags.map(|flags| format!(r#","encodingFlags":{flags}"#)).unwrap_or_default();
        let message = |part: &[Entry<'_>]| {
            let each = part.iter().map(|entry| format!(r#"{{"stream":{},"values":[{}]}}"#, entry.stream, entry.value));
            format!(r#"{{"streams":[{}]{flags}}}"#, each.collect::<Vec<_>>().join(","))
        };
        Ok((entries.chunks(MESSAGE_ENTRIES_MAX).map(message).collect(), found))
    }
}

/// What an answer held, told before or not.
struct Found {
    count: usize,
    newest_ns: Option<i64>,
}

fn entries<'a>(streams: &[Stream<'a>]) -> Result<Vec<Entry<'a>>> {
    let mut entries = Vec::new();
    for stream in streams {
        for value in &stream.values {
            let value = value.get();
            // `["1795168800000000000","line"…`
            let time = value.trim_start_matches(['[', ' ', '"']);
            let time = time.split_once('"').map_or(time, |(time, _)| time);
            let stream = stream.stream.map_or("{}", RawValue::get);
            entries.push(Entry { timestamp_ns: time.parse()?, stream, value });
        }
    }
    Ok(entries)
}

async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_BYTES_MAX {
            bail!("the function's answer is larger than {ANSWER_BYTES_MAX} bytes");
        }
    }
    Ok(body)
}

/// Whether the client took it.
async fn send(socket: &mut WebSocket, message: String) -> bool {
    matches!(timeout(SEND_MAX, socket.send(Message::Text(message.into()))).await, Ok(Ok(())))
}
