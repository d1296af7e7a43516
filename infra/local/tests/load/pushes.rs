//! Pushes at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::ledger::Ledger;
use crate::support::Server;

/// Entries of one push.
const ENTRIES: u64 = 10;
/// Time between two pushes of one client.
const INTERVAL: Duration = Duration::from_millis(200);

/// Pushes until told to stop; gives the entries that were taken. Each push must be: the rate is far below every limit.
pub(crate) async fn push(server: Arc<Server>, ledger: Arc<Ledger>, stop: Arc<AtomicBool>) -> u64 {
    let url = format!("{}/loki/api/v1/push", server.url);
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pushed = 0;
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        let entries = ledger.take(ENTRIES);
        let streams: Vec<_> = entries.iter().map(|entry| entry.pushed(ledger.start_ns)).collect();
        let request = server.client.post(&url).header("Content-Type", "application/json");
        let answer = request.body(json!({ "streams": streams }).to_string()).send().await.expect("an answer");
        let status = answer.status();
        assert_eq!(status, 204, "{}", answer.text().await.unwrap_or_default());
        ledger.acknowledge(&entries);
        pushed += ENTRIES;
    }
    pushed
}
