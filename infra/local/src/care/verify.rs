//! `logbarn verify`.

use std::process::ExitCode;

use anyhow::Result;
use ingest_fn::care::{self, Verified, VerifySettings};
use ingest_fn::config::now_ns;

use super::bar::Bar;
use super::{existing, scope, status};
use crate::cli::{Format, VerifyOptions};

/// Verifies, prints, and says by its status whether all is well.
pub(crate) async fn verify(options: &VerifyOptions) -> ExitCode {
    status(run(options).await)
}

async fn run(options: &VerifyOptions) -> Result<bool> {
    let part = &options.part;
    let store = existing(part.store.as_deref())?;
    let bar = Bar::new(part.format);
    let settings = VerifySettings { quick: options.quick, now_ms: now_ns() / 1_000_000 };
    let verified = care::verify(&store, &scope(&part.days)?, &settings, &bar).await;
    bar.finish();
    let verified = verified?;
    print(&verified, part.format);
    Ok(verified.losses == 0)
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print(verified: &Verified, format: Format) {
    let &Verified { days, objects, bytes, entries, bad, missing, orphans, garbage, unknown, losses } = verified;
    match format {
        Format::Text => {
            println!(
                "{days} days, {objects} objects, {bytes} bytes read; {entries} entries\n\
                 {bad} bad, {missing} missing, {orphans} orphans, {unknown} unknown, {garbage} garbage"
            );
            match losses {
                0 => println!("nothing is lost"),
                _ => println!("entries are lost, or cannot be read, by {losses} findings"),
            }
        }
        Format::Json => println!(
            "{}",
            serde_json::json!({
                "days": days, "objects": objects, "bytes": bytes, "entries": entries, "bad": bad, "missing": missing,
                "orphans": orphans, "garbage": garbage, "unknown": unknown, "losses": losses,
            })
        ),
    }
}
