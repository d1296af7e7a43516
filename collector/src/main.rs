//! `logbarn-collector`: Promtail's flags, configuration, signals; all else is the library's.

mod flags;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use collector::Config;
use tracing_subscriber::EnvFilter;

use crate::flags::{Flags, HELP};

#[expect(clippy::print_stdout, reason = "help and version are asked for on the terminal")]
fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if flags.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if flags.version {
        println!("logbarn-collector {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let level = flags.log_level.as_deref().unwrap_or("info");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(EnvFilter::new(level)).init();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    let path = flags.config_file.as_deref().context("no configuration: give -config.file=FILE")?;
    let config = load(path, flags).with_context(|| format!("{}", path.display()))?;
    for notice in &config.notices {
        tracing::info!("{notice}");
    }
    if flags.print_config {
        eprintln!("{config:#?}");
    }
    if flags.check_syntax {
        return Ok(());
    }
    if flags.dry_run {
        return collector::dry_run(&config, &mut std::io::stdout().lock());
    }
    // One thread for the network; files are read on another. More would only cost memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    runtime.block_on(collector::run(config, interrupted()))
}

#[expect(clippy::disallowed_methods, reason = "the edge: -config.expand-env asks for the environment")]
fn load(path: &Path, flags: &Flags) -> anyhow::Result<Config> {
    let mut text = std::fs::read_to_string(path)?;
    if flags.expand_env {
        text = flags::expand_env(&text, |name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?;
    }
    let mut config = Config::parse(&text)?;
    if let Some(url) = &flags.client_url {
        config.set_client_url(url)?;
    }
    if let Some(path) = &flags.positions_file {
        config.positions_path.clone_from(path);
    }
    Ok(config)
}

/// Done when the process is asked to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot listen for SIGTERM");
            drop(tokio::signal::ctrl_c().await);
        }
    }
}
