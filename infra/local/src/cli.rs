//! The command line: what `logbarn` can be asked to do, and what it does when nothing is said.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::gateway::GatewayOptions;
use crate::query::QueryOptions;

/// Loki without the servers: logs in a bucket or a folder, LogQL over Loki's HTTP API.
#[derive(Debug, Parser)]
#[command(name = "logbarn", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take pushes, answer queries and tail ./logs/*.log (what plain `logbarn` does)
    Serve(ServeOptions),
    /// Ask a server, as logcli does: entries, metrics, labels, series, live tails, volumes
    Query(Box<QueryOptions>),
    /// Speak for Grafana to a function's URL: signatures of AWS, live tails
    Gateway(GatewayOptions),
    /// Print what a segment holds
    Inspect(InspectOptions),
    /// Count what a store holds: objects, bytes, entries, streams, and what it costs a month
    Stats(StatsOptions),
    /// Read every object and follow every reference; exit status 1 if entries are lost
    Verify(VerifyOptions),
    /// Make manifests anew that are lost or damaged, from the segments that are there
    Rebuild(RebuildOptions),
    /// Copy a store into a backup: what is there already is not copied again
    Backup(CopyOptions),
    /// Copy a backup into a store that is to be used
    Restore(CopyOptions),
}

impl Default for Command {
    fn default() -> Self {
        Command::Serve(ServeOptions::default())
    }
}

#[derive(Debug, Default, Args)]
pub(crate) struct ServeOptions {
    /// Where to listen; wins over the configuration's `server` block [default: 127.0.0.1:3100]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the logs lie: file:///dir, s3://bucket/prefix or memory: [default: the folder ./data]
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
    /// Configuration in Loki's own YAML; without it one tenant and no authentication
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of which *.log is tailed; `none` tails nothing [default: ./logs]
    #[arg(long, value_name = "DIR")]
    pub(crate) logs: Option<String>,
}

/// Which part of which store.
#[derive(Debug, Args)]
pub(crate) struct PartOptions {
    /// Where the logs lie: file:///dir or s3://bucket/prefix [default: the folder ./data]
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
    #[command(flatten)]
    pub(crate) days: DayOptions,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Whose days.
#[derive(Debug, Default, Args)]
pub(crate) struct DayOptions {
    /// One tenant alone [default: all]
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// From this UTC day on, such as 2026-11-20
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<String>,
    /// Up to this UTC day, itself included
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<String>,
}

/// How findings and figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct StatsOptions {
    #[command(flatten)]
    pub(crate) part: PartOptions,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    pub(crate) part: PartOptions,
    /// Read of each segment the end alone
    #[arg(long)]
    pub(crate) quick: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RebuildOptions {
    #[command(flatten)]
    pub(crate) part: PartOptions,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Each side has its own variables, if they are set: LOGBARN_FROM_AWS_ENDPOINT_URL and so on instead of all AWS_*, likewise LOGBARN_TO_AWS_*.
#[derive(Debug, Args)]
pub(crate) struct CopyOptions {
    /// What is copied: file:///dir or s3://bucket/prefix
    #[arg(value_name = "FROM")]
    pub(crate) source: String,
    /// Into what
    #[arg(value_name = "TO")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) days: DayOptions,
    /// Decode every segment, and compare what lies there with what is here
    #[arg(long)]
    pub(crate) verify: bool,
    /// The store is the one of which the backup is, under another URL
    #[arg(long)]
    pub(crate) moved: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct InspectOptions {
    /// The segment's key in the store, as the log and error messages print it
    pub(crate) key: String,
    /// Where the logs lie: file:///dir or s3://bucket/prefix [default: the folder ./data]
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
}
