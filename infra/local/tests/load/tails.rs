//! Tails: each must tell every entry that it follows once, or say which it dropped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::entry::{Entry, Wanted};
use crate::ledger::Ledger;
use crate::queries::checked;
use crate::support::Server;

/// What was pushed last comes much sooner, or never.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// More than was pushed before the last tail is open.
const HISTORY_ENTRIES_MAX: &str = "5000";

/// What came of one tail.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) entries: u64,
    /// Not told, but reported as dropped.
    pub(crate) dropped: u64,
    pub(crate) wrong: Vec<String>,
}

/// An open tail.
pub(crate) struct Tail {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    wanted: Wanted,
    ledger: Arc<Ledger>,
    told: HashSet<Entry>,
    dropped: HashSet<Entry>,
    wrong: Vec<String>,
}

impl Tail {
    /// Opens a tail that begins with everything pushed so far.
    pub(crate) async fn open(server: &Server, wanted: Wanted, ledger: Arc<Ledger>) -> Tail {
        let (query, start) = (wanted.logql(), ledger.start_ns.to_string());
        let parameters = [("query", query.as_str()), ("start", &start), ("limit", HISTORY_ENTRIES_MAX)];
        let url = reqwest::Url::parse_with_params(&format!("{}/loki/api/v1/tail", server.url), parameters);
        let url = url.expect("a URL").as_str().replacen("http", "ws", 1);
        let (socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap_or_else(|e| panic!("{url}: {e}"));
        Tail { socket, wanted, ledger, told: HashSet::new(), dropped: HashSet::new(), wrong: Vec::new() }
    }

    /// Listens until everything that was sent has come, and a little longer: nothing must come twice.
    pub(crate) async fn follow(mut self, mut all_sent: watch::Receiver<Option<u64>>) -> Told {
        let sent = loop {
            tokio::select! {
                message = self.socket.next() => { self.read(message); }
                sent = all_sent.wait_for(Option::is_some) => break sent.expect("the test goes on").unwrap_or_default(),
            }
            if self.wrong.len() > 10 {
                return self.end(0);
            }
        };
        let rest = async {
            while self.missing(sent) > 0 && self.wrong.is_empty() {
                while !self.listen().await {}
            }
            // A ping comes when there is nothing to tell.
            self.listen().await;
        };
        if tokio::time::timeout(SETTLE_MAX, rest).await.is_err() {
            self.wrong.push(format!("{}: {SETTLE_MAX:?} after the last push", self.wanted.logql()));
        }
        self.end(sent)
    }

    /// Listens up to a ping, or to the end; says so.
    async fn listen(&mut self) -> bool {
        let message = self.socket.next().await;
        self.read(message)
    }

    fn missing(&self, sent: u64) -> usize {
        let wanted = (0..sent).map(Entry).filter(|entry| self.wanted.matches(*entry));
        wanted.filter(|entry| !self.told.contains(entry) && !self.dropped.contains(entry)).count()
    }

    fn end(mut self, sent: u64) -> Told {
        let missing = self.missing(sent);
        if missing > 0 {
            self.wrong.push(format!("{}: {missing} entries were neither told nor dropped", self.wanted.logql()));
        }
        let wanted_drops = self.dropped.difference(&self.told).filter(|entry| self.wanted.matches(**entry));
        Told { entries: self.told.len() as u64, dropped: wanted_drops.count() as u64, wrong: self.wrong }
    }

    /// Takes a message in; says whether it was a ping or the end.
    fn read(&mut self, message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> bool {
        match message {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(message) => self.take(&message),
                Err(e) => self.wrong.push(format!("{e}: {text}")),
            },
            Some(Ok(Message::Ping(_))) => return true,
            other => {
                self.wrong.push(format!("{}: {other:?} where a message was expected", self.wanted.logql()));
                return true;
            }
        }
        false
    }

    fn take(&mut self, message: &Value) {
        for stream in message["streams"].as_array().into_iter().flatten() {
            for value in stream["values"].as_array().into_iter().flatten() {
                match checked(value, &stream["stream"], &self.ledger, self.wanted) {
                    Ok(entry) if self.told.insert(entry) => {}
                    Ok(entry) => self.wrong.push(format!("{}: {entry:?} told twice", self.wanted.logql())),
                    Err(why) => self.wrong.push(format!("{}: {why}", self.wanted.logql())),
                }
            }
        }
        for dropped in message["dropped_entries"].as_array().into_iter().flatten() {
            let time = dropped["timestamp"].as_str().and_then(|text| text.parse().ok());
            match time.and_then(|time| Entry::at(time, self.ledger.start_ns)) {
                Some(entry) => _ = self.dropped.insert(entry),
                None => self.wrong.push(format!("{}: dropped {dropped}", self.wanted.logql())),
            }
        }
    }
}
