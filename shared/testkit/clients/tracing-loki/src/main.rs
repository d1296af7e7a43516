//! Logs every entry of a file with `tracing` and tracing-loki, as a program of a user would.
//!
//! In: the server's URL, the entries that `compare.py` wrote. Out: pushes. Ends when all of them are answered.

use std::error::Error;

use tracing::{error, info, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = Url::parse(&arguments.next().ok_or("the server's URL is missing")?)?;
    let text = std::fs::read_to_string(arguments.next().ok_or("the file of entries is missing")?)?;
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text)?;

    let (layer, controller, task) = tracing_loki::builder()
        .label("client", "tracing-loki")?
        .extra_field("place", "barn \"3\"")?
        .build_controller_url(url)?;
    tracing_subscriber::registry().with(layer).init();
    let task = tokio::spawn(task);
    for entry in &entries {
        let (line, level) = (entry["line"].as_str().unwrap_or_default(), entry["level"].as_str().unwrap_or_default());
        let order = entry["order"].as_str().unwrap_or_default();
        match level {
            "error" => error!(order, "{line}"),
            "warn" => warn!(order, "{line}"),
            _ => info!(order, "{line}"),
        }
        // Its queue drops what does not fit: let the sender have a turn.
        tokio::task::yield_now().await;
    }
    controller.shutdown().await;
    task.await?;
    Ok(())
}
