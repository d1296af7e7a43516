//! `logbarn rebuild`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Result;
use ingest_fn::care::{self, Finding, Progress, Rebuilt};

use super::bar::Bar;
use super::{existing, scope, status};
use crate::cli::{Format, RebuildOptions};

/// Rebuilds, prints, and says by its status whether everything could be had again.
pub(crate) async fn rebuild(options: &RebuildOptions) -> ExitCode {
    status(run(options).await)
}

async fn run(options: &RebuildOptions) -> Result<bool> {
    let part = &options.part;
    let store = existing(part.store.as_deref())?;
    let listener = Listener { bar: Bar::new(part.format), left_out: AtomicBool::new(false) };
    let rebuilt = care::rebuild(&store, &scope(&part.days)?, options.dry_run, &listener).await;
    listener.bar.finish();
    print(&rebuilt?, part.format, options.dry_run);
    Ok(!listener.left_out.load(Relaxed))
}

/// Remembers whether a segment was left out.
struct Listener {
    bar: Bar,
    left_out: AtomicBool,
}

impl Progress for Listener {
    fn more(&self, objects: u64, bytes: u64) {
        self.bar.more(objects, bytes);
    }

    fn done(&self, objects: u64, bytes: u64) {
        self.bar.done(objects, bytes);
    }

    fn found(&self, finding: &Finding) {
        self.left_out.fetch_or(finding.loses, Relaxed);
        self.bar.found(finding);
    }
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print(rebuilt: &[Rebuilt], format: Format, dry_run: bool) {
    for Rebuilt { tenant, day, why, version, segments, taken_up } in rebuilt {
        match format {
            Format::Text => println!(
                "rebuilt t/{tenant}/{day}  {why}: version {version} names {segments} segments, {taken_up} of them taken up again"
            ),
            Format::Json => println!(
                "{}",
                serde_json::json!({
                    "tenant": tenant.as_str(), "day": day.to_string(), "why": why, "version": version, "segments": segments,
                    "taken_up": taken_up, "dry_run": dry_run,
                })
            ),
        }
    }
    if format == Format::Text {
        println!("{} days {}rebuilt", rebuilt.len(), if dry_run { "would be " } else { "" });
    }
}
