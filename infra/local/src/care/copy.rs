//! `logbarn backup` and `logbarn restore`: the same copier, either way.

use std::process::ExitCode;

use anyhow::{Result, bail};
use ingest_fn::care::{self, Copied, CopySettings, Direction};
use ingest_fn::config::{Side, StoreUrl, open_side, price};

use super::bar::Bar;
use super::{check_existing, scope, status};
use crate::cli::{CopyOptions, Format};

/// Copies into a backup.
pub(crate) async fn backup(options: &CopyOptions) -> ExitCode {
    let of = options.source.parse::<StoreUrl>().map(|url| url.to_string()).unwrap_or_default();
    status(run(options, Direction::Backup { of, moved: options.moved }).await)
}

/// Copies into a store.
pub(crate) async fn restore(options: &CopyOptions) -> ExitCode {
    status(run(options, Direction::Restore).await)
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
async fn run(options: &CopyOptions, direction: Direction) -> Result<bool> {
    let (from, to): (StoreUrl, StoreUrl) = (options.source.parse()?, options.target.parse()?);
    check_existing(&from)?;
    let (source, target) = (open_side(&from, Side::From)?, open_side(&to, Side::To)?);
    if from == to && !from.is_bucket() {
        bail!("a store cannot be copied into itself: {from}");
    }
    let bar = Bar::new(options.format);
    let settings = CopySettings { direction, verify: options.verify };
    let copied = care::copy(&source, &target, &scope(&options.days)?, &settings, &bar).await;
    bar.finish();
    let Copied { days, objects, bytes, there, there_bytes, started_over, losses } = copied?;
    let spent = source.counters().snapshot() + target.counters().snapshot();
    let dollars = price::request_dollars(&spent);
    match options.format {
        Format::Text => {
            println!("{days} days: {objects} objects copied, {bytes} bytes; {there} were there, {there_bytes} bytes");
            println!(
                "{started_over} days begun again since they were merged; {} LIST + {} GET + {} PUT, ${dollars:.6} if both are S3",
                spent.lists, spent.gets, spent.puts
            );
            if losses > 0 {
                println!("{losses} findings: the copy is not whole");
            }
        }
        Format::Json => println!(
            "{}",
            serde_json::json!({
                "days": days, "objects": objects, "bytes": bytes, "there": there, "there_bytes": there_bytes,
                "started_over": started_over, "losses": losses, "lists": spent.lists, "gets": spent.gets,
                "puts": spent.puts, "request_dollars": dollars,
            })
        ),
    }
    Ok(losses == 0)
}
