//! One tail, from the upgrade to its end.
//!
//! In: a socket and a query. Out: the history, then what comes live, each entry once. Follows first and asks for the history then, so
//! that an entry comes with the one or the other or with both, and is told once. Ends when the client goes, the time is up or the
//! server stops; never because the client is slow.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use engine::{LiveEntry, LiveQuery};
use loki_api::params::{self, TailQuery};
use loki_api::tail::{self, Dropped, Shape};
use model::{LogEntry, TenantId, TimeRange};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::hub::Following;
use super::recent::Recent;
use crate::Query;
use crate::request::now_ns;

/// Entries of one message, as in Loki.
const MESSAGE_ENTRIES_MAX: usize = 100;
/// Time between pings, as in Loki.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of a close frame's reason.
const REASON_BYTES_MAX: usize = 123;
/// A tail without a bound still ends: an instant needs a number.
const TAIL_DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long a stopping server tries to get rid of what waits.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// A tail that was asked for.
pub(crate) struct Session {
    pub(crate) query: Query,
    pub(crate) tenant: TenantId,
    /// None if the query is one that cannot be followed.
    pub(crate) followed: Option<LiveQuery>,
    pub(crate) wanted: TailQuery,
    pub(crate) shape: Shape,
}

/// Why a tail ends.
enum End {
    /// The client went, or does not answer.
    Gone,
    /// The server stops. There is no close frame then: a client that sees the connection break comes back, as with Loki.
    Stopping,
    /// The client is told why.
    Told(String),
}

/// A tail at work.
struct Open {
    socket: WebSocket,
    following: Following,
    shape: Shape,
    delay: Duration,
    end: Instant,
    stopping: watch::Receiver<bool>,
    recent: Recent,
}

impl Session {
    /// Runs to the end.
    pub(crate) async fn run(self, mut socket: WebSocket) {
        let (query, tenant, shape) = (self.query.clone(), self.tenant.clone(), self.shape);
        let limits = query.0.config.limits(&tenant);
        let followed = match self.followed {
            Some(followed) => followed,
            None => return close(&mut socket, "only log selector is supported").await,
        };
        let following = match query.0.hub.follow(&tenant, followed, limits.max_concurrent_tail_requests) {
            Ok(following) => following,
            Err(too_many) => return close(&mut socket, &too_many.to_string()).await,
        };
        let longest = query.0.config.querier.tail_max_duration;
        let longest = if longest.is_zero() { TAIL_DURATION_MAX } else { longest.min(TAIL_DURATION_MAX) };
        let mut stopping = query.0.hub.stopping();
        let history = tokio::select! {
            history = history(&query, &tenant, &following, &self.wanted) => history,
            () = gone(&mut socket) => return,
            () = up(&mut stopping) => return,
        };
        let history = match history {
            Ok(history) => history,
            Err(why) => return close(&mut socket, &why).await,
        };
        let recent = Recent::of_history(history.iter().map(|found| found.identity));
        let (delay, end) = (self.wanted.delay, Instant::now() + longest);
        let mut open = Open { socket, following, shape, delay, end, stopping, recent };
        match open.run(history).await {
            End::Told(why) => close(&mut open.socket, &why).await,
            End::Gone | End::Stopping => {}
        }
    }
}

/// What is there already, oldest first, or why it cannot be told.
async fn history(
    query: &Query,
    tenant: &TenantId,
    following: &Following,
    wanted: &TailQuery,
) -> Result<Vec<LiveEntry>, String> {
    if let Some(poller) = query.0.poller() {
        poller.watch(tenant).await;
    }
    let limits = query.0.config.limits(tenant);
    let Ok(range) = TimeRange::new(wanted.start_ns, now_ns()) else { return Ok(Vec::new()) };
    let length = Duration::from_nanos(range.end_ns().abs_diff(range.start_ns()));
    if !limits.max_query_length.is_zero() && length > limits.max_query_length {
        return Err(params::query_length_error(length, limits.max_query_length).to_string());
    }
    let most = limits.max_entries_limit_per_query;
    let limit = u64::from(wanted.limit).min(if most == 0 { u64::MAX } else { most });
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = query.0.engine.history(following.follower.query(), tenant, range, limit, limits.query_timeout);
    found.await.map_err(|error| error.to_string())
}

/// Done when the flag is up.
async fn up(flag: &mut watch::Receiver<bool>) {
    // The hub holds the sender as long as there are tails.
    let _ = flag.wait_for(|up| *up).await;
}

/// Done when the client has gone; what it says is not listened to.
async fn gone(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
    }
}

/// Tells why the tail ends, in Loki's way.
async fn close(socket: &mut WebSocket, why: &str) {
    let why = &why[..why.floor_char_boundary(REASON_BYTES_MAX)];
    let frame = CloseFrame { code: close_code::ERROR, reason: why.into() };
    // A client that is gone by now needs no reason; one that does not answer is not waited for.
    let _ = tokio::time::timeout(FLUSH_MAX, async {
        socket.send(Message::Close(Some(frame))).await?;
        gone(socket).await;
        Ok::<_, axum::Error>(())
    })
    .await;
}

impl Open {
    async fn run(&mut self, history: Vec<LiveEntry>) -> End {
        let entries: Vec<LogEntry> = history.into_iter().map(|found| found.entry).collect();
        for part in entries.chunks(MESSAGE_ENTRIES_MAX) {
            if let Err(end) = self.send(part, &[]).await {
                return end;
            }
        }
        drop(entries);
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.following.follower.queue.due(self.delay);
            let wake = due.unwrap_or(self.end);
            let mut stopping = self.stopping.clone();
            let step = tokio::select! {
                () = up(&mut stopping) => return self.flush().await,
                () = sleep_until(self.end) => Err(End::Told("reached tail max duration limit".to_owned())),
                message = self.socket.recv() => match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => Err(End::Gone),
                    Some(Ok(_)) => Ok(()),
                },
                _ = pings.tick() => self.push(Message::Ping(Vec::new().into())).await,
                () = sleep_until(wake), if due.is_some() => self.tell(Instant::now()).await,
                () = self.following.follower.queue.arrived() => Ok(()),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Sends one message of what is due.
    async fn tell(&mut self, now: Instant) -> Result<(), End> {
        let (found, dropped) = self.following.follower.queue.take(MESSAGE_ENTRIES_MAX, self.delay, now);
        let new = found.into_iter().filter(|found| self.recent.is_new(found.identity));
        let entries: Vec<LogEntry> = new.map(|found| found.entry).collect();
        if entries.is_empty() && dropped.is_empty() {
            return Ok(());
        }
        self.send(&entries, &dropped).await
    }

    async fn send(&mut self, entries: &[LogEntry], dropped: &[Dropped]) -> Result<(), End> {
        let text = tail::message(entries, dropped, self.shape);
        self.following.sent(text.len());
        self.push(Message::Text(text.into())).await
    }

    /// Waits for the client as long as the tail may last.
    async fn push(&mut self, message: Message) -> Result<(), End> {
        tokio::select! {
            sent = self.socket.send(message) => sent.map_err(|_| End::Gone),
            () = sleep_until(self.end) => Err(End::Gone),
            () = up(&mut self.stopping) => Err(End::Stopping),
        }
    }

    /// Tells what waits, if the client takes it quickly.
    async fn flush(&mut self) -> End {
        let until = Instant::now() + FLUSH_MAX;
        loop {
            let (found, dropped) =
                self.following.follower.queue.take(MESSAGE_ENTRIES_MAX, Duration::ZERO, Instant::now());
            let new = found.into_iter().filter(|found| self.recent.is_new(found.identity));
            let entries: Vec<LogEntry> = new.map(|found| found.entry).collect();
            if entries.is_empty() && dropped.is_empty() {
                return End::Stopping;
            }
            let text = tail::message(&entries, &dropped, self.shape);
            match timeout_at(until, self.socket.send(Message::Text(text.into()))).await {
                Ok(Ok(())) => {}
                _ => return End::Stopping,
            }
        }
    }
}
