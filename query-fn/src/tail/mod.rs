//! Live tails over a WebSocket: what is there already, then what comes, as it is stored.
//!
//! In: an upgrade request. Out: messages in Loki's shape until the client goes. A parameter or a query that is wrong is an HTTP 400
//! before the upgrade; what only the tail itself can find out is a close behind it. The modules follow an entry: `hub` (who follows
//! what), fed by `feed` (commits of this process) or `poll` (the store, while a tail is open), `queue` (one tail's), `recent` (told
//! already), `session` (the socket).

mod feed;
mod hub;
mod poll;
mod queue;
mod recent;
mod session;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use engine::LiveQuery;
use loki_api::tail::Shape;

use crate::Query;
use crate::error::Refusal;
use crate::request::Asked;

pub use feed::Feed;
pub(crate) use hub::Hub;
pub(crate) use poll::Poller;

use session::Session;

/// Bytes of a message from a client: it has nothing to say.
const CLIENT_MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Bytes that are read from a client at a time. The library's own 128 KB would be most of a tail's memory.
const READ_BUFFER_BYTES: usize = 4 << 10;

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// `/loki/api/v1/tail`
pub(crate) async fn tail(state: State<Query>, upgrade: Upgrade, asked: Asked) -> Result<Response, Refusal> {
    let shape = Shape::Current(asked.encoding);
    open(state, upgrade, asked, shape)
}

/// `/api/prom/tail`
pub(crate) async fn legacy_tail(state: State<Query>, upgrade: Upgrade, asked: Asked) -> Result<Response, Refusal> {
    open(state, upgrade, asked, Shape::Legacy)
}

fn open(State(query): State<Query>, upgrade: Upgrade, asked: Asked, shape: Shape) -> Result<Response, Refusal> {
    let [tenant] = asked.tenants.as_slice() else {
        return Err(Refusal::bad_request("multiple org IDs present"));
    };
    let followed = LiveQuery::parse(asked.params.get("query"))?;
    let wanted = asked.params.tail_query(asked.now_ns)?;
    let upgrade = upgrade.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let session = Session { query, tenant: tenant.clone(), followed, wanted, shape };
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(CLIENT_MESSAGE_BYTES_MAX)
        .max_frame_size(CLIENT_MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(|socket| session.run(socket)))
}
