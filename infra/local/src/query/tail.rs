//! Entries as they come, over a WebSocket, until one of both sides ends it.
//!
//! A connection that breaks, or that the server ends because it is old, is made again from the last entry on, some times in
//! a row at most; what was told before is not told again.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::answer::{self, Entry, Stream};
use super::client::{Client, one_line};
use super::options::{Range, TailOptions};
use super::print::Printer;

/// What a server says that ends a tail for its age.
const OLD: &str = "reached tail max duration limit";
/// Broken connections in a row.
const BREAKS_MAX: u32 = 5;
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    streams: Option<Vec<Stream>>,
    #[serde(default)]
    dropped_entries: Option<Vec<Value>>,
}

/// How a connection ended.
enum End {
    /// The server is done with it.
    Closed,
    /// To be made again.
    Broken,
}

/// Prints until the tail ends.
pub(super) async fn run(
    client: &Client,
    query: &str,
    options: &TailOptions,
    range: &Range,
    printer: &mut Printer,
) -> Result<()> {
    let mut tail = Tail { last_ns: range.start_ns(), told: HashSet::new(), breaks: 0 };
    loop {
        let parameters = vec![
            ("query", query.to_owned()),
            ("start", tail.last_ns.to_string()),
            ("limit", options.limit.to_string()),
            ("delay_for", options.delay_for.to_string()),
        ];
        let end = match client.socket(&["loki", "api", "v1", "tail"], &parameters).await {
            Ok(socket) => tail.follow(socket, printer).await?,
            // A server that comes back is waited for; one that was never there is not.
            Err(error) if tail.breaks == 0 => return Err(error),
            Err(_) => End::Broken,
        };
        match end {
            End::Closed => return Ok(()),
            End::Broken if tail.breaks >= BREAKS_MAX => bail!("the tail broke off"),
            End::Broken => {
                tail.breaks += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What is known of a tail beyond its connection.
struct Tail {
    last_ns: i64,
    /// Entries of the last time: labels and line.
    told: HashSet<(String, String)>,
    breaks: u32,
}

impl Tail {
    async fn follow(
        &mut self,
        mut socket: tokio_tungstenite::WebSocketStream<reqwest::Upgraded>,
        printer: &mut Printer,
    ) -> Result<End> {
        while let Some(message) = socket.next().await {
            match message {
                Ok(Message::Text(text)) => self.tell(&text, printer)?,
                Ok(Message::Close(Some(frame))) if frame.reason.contains(OLD) => return Ok(End::Broken),
                Ok(Message::Close(Some(frame))) if !frame.reason.is_empty() => bail!("{}", frame.reason),
                Ok(Message::Close(_)) => return Ok(End::Closed),
                Ok(_) => {}
                Err(_) => return Ok(End::Broken),
            }
        }
        Ok(End::Broken)
    }

    fn tell(&mut self, text: &str, printer: &mut Printer) -> Result<()> {
        let told: Told = serde_json::from_str(text)?;
        self.breaks = 0;
        let mut entries = answer::entries(told.streams.unwrap_or_default())?;
        entries.retain(|entry| self.is_new(entry));
        printer.entries(&entries)?;
        let dropped = told.dropped_entries.unwrap_or_default().len();
        if dropped > 0 {
            eprintln!("warning: {}", one_line(&format!("{dropped} entries came too fast and were dropped")));
        }
        Ok(())
    }

    fn is_new(&mut self, entry: &Entry) -> bool {
        if entry.timestamp_ns > self.last_ns {
            self.told.clear();
            self.last_ns = entry.timestamp_ns;
        }
        let identity = || (format!("{:?}", entry.labels), entry.line.clone());
        entry.timestamp_ns < self.last_ns || self.told.insert(identity())
    }
}
