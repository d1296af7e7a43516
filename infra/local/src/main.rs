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
    let cli = Cli::parse();
    if matches!(cli.command, None | Some(Command::Serve(_))) {
        with_few_arenas();
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Begins anew with one arena a processor, unless somebody has said how many. glibc's allocator makes eight, and each keeps what its
/// threads have freed: more than twice the memory while merging. It reads the variable before anything of ours runs.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(clippy::disallowed_methods, reason = "the edge: a variable that is not ours")]
fn with_few_arenas() {
    use std::os::unix::process::CommandExt as _;
    const VARIABLE: &str = "MALLOC_ARENA_MAX";
    let mut arguments = std::env::args_os();
    if let (None, Ok(binary), Some(name)) = (std::env::var_os(VARIABLE), std::env::current_exe(), arguments.next()) {
        let arenas = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        // Comes back only if it cannot be done: then there are more arenas.
        let _ = std::process::Command::new(binary).arg0(name).args(arguments).env(VARIABLE, arenas).exec();
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn with_few_arenas() {}

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
