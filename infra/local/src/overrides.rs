//! Keeps the limits of single tenants as their file says: Loki's `runtime_config`.
//!
//! In: the file's path and how often to look. Out: new limits as soon as the file is another one. A file that is wrong, or
//! gone, changes nothing and is told in the log once. Looks at this machine's disk alone, never at the store.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ingest_fn::config::Config;

/// The least time between two looks, whatever the configuration says.
const PERIOD_MIN: Duration = Duration::from_millis(50);

/// What tells that a file is another one, without reading it.
type Stamp = Option<(SystemTime, u64)>;

/// Looks for as long as the process lives; at once done if there is no file.
pub(crate) async fn watch(config: Arc<Config>) {
    let path = Path::new(&config.runtime_config.file);
    if path.as_os_str().is_empty() {
        return;
    }
    // Not the stamp of now: the file may have changed since it was read at the start.
    let mut seen: Option<Stamp> = None;
    loop {
        tokio::time::sleep(config.runtime_config.period.max(PERIOD_MIN)).await;
        let stamp = tokio::fs::metadata(path).await.ok().and_then(|meta| Some((meta.modified().ok()?, meta.len())));
        if seen == Some(stamp) {
            continue;
        }
        let is_first = seen.replace(stamp).is_none();
        match ingest_fn::config::read_overrides(&config) {
            Ok(()) if is_first => {}
            Ok(()) => tracing::info!("the limits of single tenants were read again"),
            Err(error) => tracing::error!("the limits of single tenants stay as they were: {error:#}"),
        }
    }
}
