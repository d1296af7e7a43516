//! The commands that look after a store: `stats`, `verify`, `rebuild`, `backup`, `restore`.
//!
//! Wires and prints; what they do stands in `upkeep`. Findings and figures go to standard output, one a line; the bar goes to standard
//! error, and only to a terminal. Exit status: 0 all is well, 1 entries are lost or something was left undone, 2 it could not run.

mod bar;
mod copy;
mod rebuild;
mod stats;
mod verify;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use ingest_fn::care::Scope;
use ingest_fn::config::{Store, StoreUrl, TenantId};

use crate::cli::DayOptions;
use crate::serve::{open, store_url};

pub(crate) use copy::{backup, restore};
pub(crate) use rebuild::rebuild;
pub(crate) use stats::stats;
pub(crate) use verify::verify;

/// Something was found by which entries are lost.
const LOSSES: u8 = 1;
/// It could not be done.
const COULD_NOT_RUN: u8 = 2;

/// Turns an outcome into a status.
fn status(ran: Result<bool>) -> ExitCode {
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(LOSSES),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "why there is no report")]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// The store that was asked for. A folder must be there: a wrong name is not a sound store without logs.
fn existing(given: Option<&str>) -> Result<Store> {
    let url = store_url(given)?;
    check_existing(&url)?;
    open(&url)
}

fn check_existing(url: &StoreUrl) -> Result<()> {
    match url.folder_path() {
        Some(folder) if !folder.is_dir() => bail!("there is no folder {}", folder.display()),
        _ => Ok(()),
    }
}

/// The part of the store that was asked for.
fn scope(options: &DayOptions) -> Result<Scope> {
    let day = |text: &Option<String>, name: &str| {
        let parsed =
            text.as_ref().map(|day| day.parse().with_context(|| format!("{name} {day:?} is no day like 2026-11-20")));
        parsed.transpose()
    };
    let tenant = options.tenant.as_deref().map(TenantId::new).transpose().context("--tenant")?;
    Ok(Scope { tenant, from: day(&options.from, "--from")?, to: day(&options.to, "--to")? })
}
