//! Clients that ask one question after the other and check each answer.
//!
//! An answer must hold everything that was acknowledged before it was asked, and nothing that was not sent by the time it came.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::entry::{Entry, Wanted};
use crate::ledger::Ledger;
use crate::support::Server;

/// Entries of an answer with lines.
const LINES_MAX: u64 = 50;
/// All entries lie within this time after the first.
const SPAN_NS: i64 = 10_000_000_000;

/// What came of one client.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) answered: u64,
    pub(crate) wrong: Vec<String>,
}

/// Asks until told to stop.
pub(crate) async fn ask(server: Arc<Server>, ledger: Arc<Ledger>, client: usize, stop: Arc<AtomicBool>) -> Asked {
    let mut asked = Asked::default();
    for turn in client.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let wanted = if turn % 3 == 2 { Wanted::streams(turn) } else { Wanted::nth(turn * 7) };
        let at_least = ledger.at_least(wanted);
        let found = match turn % 3 {
            0 => count(&server, &ledger, wanted).await,
            1 => lines(&server, &ledger, wanted).await,
            _ => stats(&server, &ledger, wanted).await,
        };
        let most = if turn % 3 == 1 { LINES_MAX } else { u64::MAX };
        let (from, to) = (at_least.min(most), ledger.at_most(wanted).min(most));
        match found {
            Ok(found) if (from..=to).contains(&found) => {}
            Ok(found) => asked.wrong.push(format!("{}: {found}, not {from} to {to}", wanted.logql())),
            Err(why) => asked.wrong.push(format!("{}: {why}", wanted.logql())),
        }
        asked.answered += 1;
    }
    asked
}

/// Entries by a metric query.
async fn count(server: &Server, ledger: &Ledger, wanted: Wanted) -> Result<u64, String> {
    let query = format!("sum(count_over_time({} [1h]))", wanted.logql());
    let time = (ledger.start_ns + SPAN_NS).to_string();
    let answer = server.get("/loki/api/v1/query", &[("query", &query), ("time", &time)]).await;
    match answer["data"]["result"].as_array().map(Vec::as_slice) {
        Some([]) => Ok(0),
        Some([sample]) => {
            let value = sample["value"][1].as_str().and_then(|text| text.parse().ok());
            value.ok_or_else(|| format!("no count: {sample}"))
        }
        _ => Err(format!("not one sample: {answer}")),
    }
}

/// Entries with their lines, each checked.
async fn lines(server: &Server, ledger: &Ledger, wanted: Wanted) -> Result<u64, String> {
    let (start, end) = (ledger.start_ns.to_string(), (ledger.start_ns + SPAN_NS).to_string());
    let (query, limit) = (wanted.logql(), LINES_MAX.to_string());
    let parameters = [("query", query.as_str()), ("start", &start), ("end", &end), ("limit", &limit)];
    let answer = server.get("/loki/api/v1/query_range", &parameters).await;
    let mut found = HashSet::new();
    for stream in answer["data"]["result"].as_array().ok_or("no result")? {
        for value in stream["values"].as_array().ok_or("no values")? {
            let entry = checked(value, &stream["stream"], ledger, wanted)?;
            if !found.insert(entry) {
                return Err(format!("{entry:?} twice"));
            }
        }
    }
    Ok(found.len() as u64)
}

/// Entries by the index.
async fn stats(server: &Server, ledger: &Ledger, wanted: Wanted) -> Result<u64, String> {
    let (start, end) = (ledger.start_ns.to_string(), (ledger.start_ns + SPAN_NS).to_string());
    let parameters = [("query", wanted.logql()), ("start", start), ("end", end)];
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = server.get("/loki/api/v1/index/stats", &parameters).await;
    answer["entries"].as_u64().ok_or_else(|| format!("no entries: {answer}"))
}

/// The entry that a pair of time and line is, if it is one and was wanted.
pub(crate) fn checked(value: &Value, labels: &Value, ledger: &Ledger, wanted: Wanted) -> Result<Entry, String> {
    let time = value[0].as_str().and_then(|text| text.parse().ok());
    let entry = time.and_then(|time| Entry::at(time, ledger.start_ns)).ok_or_else(|| format!("no entry: {value}"))?;
    let is_right = value[1].as_str() == Some(&entry.line())
        && labels["app"].as_str() == Some(&format!("a{}", entry.app()))
        && wanted.matches(entry)
        && entry.0 < ledger.sent();
    if is_right { Ok(entry) } else { Err(format!("{entry:?}: {labels} {value}")) }
}
