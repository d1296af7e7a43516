//! `logbarn`: both functions and the collector in one local process.
//!
//! Wires what the three edges offer and holds no logic of its own: `serve` merges the two routers over one store, `query`
//! asks a server, `inspect` prints a segment, and `care` holds the commands that look after a store.

mod banner;
mod care;
mod cli;
mod entrance;
mod gateway;
mod listener;
mod overrides;
mod patience;
mod query;
mod serve;
mod side_door;
mod tls;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command.unwrap_or_default() {
            Command::Serve(options) => serve::run(options).await?,
            Command::Query(options) => query::run(*options).await?,
            Command::Gateway(options) => gateway::run(options).await?,
            Command::Inspect(options) => serve::inspect(options).await?,
            Command::Stats(options) => return Ok(care::stats(&options).await),
            Command::Verify(options) => return Ok(care::verify(&options).await),
            Command::Rebuild(options) => return Ok(care::rebuild(&options).await),
            Command::Backup(options) => return Ok(care::backup(&options).await),
            Command::Restore(options) => return Ok(care::restore(&options).await),
        }
        Ok(ExitCode::SUCCESS)
    })
}
