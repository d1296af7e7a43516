//! What `logbarn query` can be asked: logcli's names, as far as they are known here.
//!
//! In: arguments, and logcli's environment variables where an argument is not given. Out: plain data. A value that cannot be
//! is a usage error, before any request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Subcommand, ValueEnum};
use query_fn::{parse_duration, parse_timestamp};

/// Loki's port on this machine.
const ADDRESS_DEFAULT: &str = "http://127.0.0.1:3100";

#[derive(Debug, Args)]
pub(crate) struct QueryOptions {
    /// LogQL, of logs or metrics, over a range of time
    query: Option<String>,
    #[command(flatten)]
    logs: LogOptions,
    #[command(flatten)]
    pub(super) server: ServerOptions,
    #[command(flatten)]
    range: RangeOptions,
    /// How results are printed
    #[arg(long, short, global = true, value_enum, default_value_t)]
    pub(super) output: Form,
    /// Whether output is coloured; NO_COLOR switches it off
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(super) color: Color,
    #[command(subcommand)]
    other: Option<Other>,
}

/// Where to ask, and as whom.
#[derive(Debug, Args)]
pub(crate) struct ServerOptions {
    /// The server [env: LOGBARN_ADDR, LOKI_ADDR] [default: http://127.0.0.1:3100]
    #[arg(long, global = true, value_name = "URL")]
    addr: Option<String>,
    /// Name of basic authentication [env: LOKI_USERNAME]
    #[arg(long, global = true, value_name = "NAME")]
    username: Option<String>,
    /// Password of basic authentication [env: LOKI_PASSWORD]
    #[arg(long, global = true, value_name = "PASSWORD")]
    password: Option<String>,
    /// Token to sign in with, instead of a name [env: LOKI_BEARER_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "username")]
    bearer_token: Option<String>,
    /// The tenant, or several with | between them [env: LOKI_ORG_ID]
    #[arg(long, global = true, value_name = "ID")]
    org_id: Option<String>,
}

#[derive(Debug, Args)]
struct RangeOptions {
    /// How far back to look, if there is no --from
    #[arg(long, global = true, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    since: Duration,
    /// The start: RFC 3339, seconds or nanoseconds since 1970
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_timestamp, allow_negative_numbers = true)]
    from: Option<i64>,
    /// The end, which no entry has [default: now]
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_timestamp, allow_negative_numbers = true)]
    to: Option<i64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LogOptions {
    /// Most entries to print; 0 is all of them
    #[arg(long, default_value_t = 30, value_name = "ENTRIES")]
    pub(super) limit: usize,
    /// Entries that are asked for at a time
    #[arg(long, default_value_t = 1000, value_name = "ENTRIES", value_parser = batch)]
    pub(super) batch: usize,
    /// Oldest entries first
    #[arg(long)]
    pub(super) forward: bool,
    /// Time between the points of a metric query, such as 30s
    #[arg(long, value_name = "DURATION")]
    pub(super) step: Option<String>,
    /// Print what comes from now on, too
    #[arg(long, short)]
    pub(super) tail: bool,
    /// Say what the query would read, and what it would skip and why, and do not ask it
    #[arg(long, conflicts_with = "tail")]
    pub(super) explain: bool,
}

/// What else can be asked.
#[derive(Debug, Subcommand)]
enum Other {
    /// Evaluate a metric query at one time
    #[command(alias = "instant")]
    InstantQuery(InstantOptions),
    /// Print the names of all labels, or the values of one
    Labels {
        /// The label
        name: Option<String>,
    },
    /// Print the label sets of streams
    Series {
        /// Selectors; without any, all streams
        selectors: Vec<String>,
    },
    /// Print entries as they come
    Tail {
        /// LogQL
        query: String,
        #[command(flatten)]
        tailing: TailOptions,
    },
    /// Print how much the streams of a selector hold
    Stats {
        /// A selector
        query: String,
    },
    /// Print how many bytes the streams of a selector hold, by the labels that it names, the largest first
    Volume {
        /// A selector
        query: String,
        /// Most label sets to print
        #[arg(long, default_value_t = 30, value_name = "SETS")]
        limit: usize,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InstantOptions {
    /// LogQL of metrics
    pub(super) query: String,
    /// When [default: the end of the range]
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp, allow_negative_numbers = true)]
    pub(super) now: Option<i64>,
    /// Most entries, as the server understands it
    #[arg(long, default_value_t = 30, value_name = "ENTRIES")]
    pub(super) limit: usize,
    /// Say what the query would read, and do not ask it
    #[arg(long)]
    pub(super) explain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TailOptions {
    /// Entries of before that are printed first
    #[arg(long, default_value_t = 30, value_name = "ENTRIES")]
    pub(super) limit: usize,
    /// Seconds to wait for entries that come late, up to 5
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub(super) delay_for: u32,
}

/// The forms of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Time, labels and line
    #[default]
    Default,
    /// The line alone
    Raw,
    /// A JSON object a line
    Jsonl,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    #[default]
    Auto,
    /// In any case
    Always,
    /// Never
    Never,
}

/// What is asked, in one place.
pub(super) enum Command {
    Logs(String, LogOptions),
    Instant(InstantOptions),
    Tail(String, TailOptions),
    Labels(Option<String>),
    Series(Vec<String>),
    Stats(String),
    Volume(String, usize),
}

/// From when to when.
pub(super) struct Range {
    start_ns: i64,
    end_ns: i64,
}

impl Range {
    pub(super) fn start_ns(&self) -> i64 {
        self.start_ns
    }

    pub(super) fn end_ns(&self) -> i64 {
        self.end_ns
    }
}

impl QueryOptions {
    /// What is asked. Nothing, and two things, are usage errors.
    pub(super) fn command(&mut self) -> Command {
        match (self.query.take(), self.other.take()) {
            (Some(query), None) => Command::Logs(query, self.logs.clone()),
            (None, Some(other)) => other.into(),
            (None, None) => usage(ErrorKind::MissingRequiredArgument, "a query is missing, such as '{job=\"logs\"}'"),
            (Some(_), Some(_)) => usage(ErrorKind::ArgumentConflict, "either a query or a command can be given"),
        }
    }

    /// The time that is asked about.
    pub(super) fn range(&self) -> Range {
        let since_ns = i64::try_from(self.range.since.as_nanos()).unwrap_or(i64::MAX);
        let end_ns = self.range.to.unwrap_or_else(now_ns);
        let start_ns = self.range.from.unwrap_or_else(|| end_ns.saturating_sub(since_ns));
        if start_ns > end_ns {
            usage(ErrorKind::ValueValidation, "--to is before --from");
        }
        Range { start_ns, end_ns }
    }
}

impl From<Other> for Command {
    fn from(other: Other) -> Self {
        match other {
            Other::InstantQuery(options) => Command::Instant(options),
            Other::Labels { name } => Command::Labels(name),
            Other::Series { selectors } => Command::Series(selectors),
            Other::Tail { query, tailing } => Command::Tail(query, tailing),
            Other::Stats { query } => Command::Stats(query),
            Other::Volume { query, limit } => Command::Volume(query, limit),
        }
    }
}

impl LogOptions {
    /// The size of the first page.
    pub(super) fn first_page(&self) -> usize {
        if self.limit == 0 { self.batch } else { self.limit.min(self.batch) }
    }

    /// `--tail` asks what the command of that name asks.
    pub(super) fn as_tail(&self) -> TailOptions {
        TailOptions { limit: self.limit, delay_for: 0 }
    }
}

impl ServerOptions {
    pub(super) fn address(&self) -> String {
        let given = self.addr.clone().or_else(|| environment("LOGBARN_ADDR")).or_else(|| environment("LOKI_ADDR"));
        given.unwrap_or_else(|| ADDRESS_DEFAULT.to_owned())
    }

    /// Name and password, unless a token is given.
    pub(super) fn name_and_password(&self) -> Option<(String, Option<String>)> {
        if self.bearer_token.is_some() {
            return None;
        }
        let name = self.username.clone().or_else(|| environment("LOKI_USERNAME"))?;
        Some((name, self.password.clone().or_else(|| environment("LOKI_PASSWORD"))))
    }

    pub(super) fn bearer_token(&self) -> Option<String> {
        self.bearer_token.clone().or_else(|| environment("LOKI_BEARER_TOKEN"))
    }

    pub(super) fn tenant(&self) -> Option<String> {
        self.org_id.clone().or_else(|| environment("LOKI_ORG_ID"))
    }
}

fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a batch has at least one entry".to_owned()),
        Ok(batch) => Ok(batch),
        Err(error) => Err(format!("{error}")),
    }
}

/// Ends the process as clap does for a wrong argument.
fn usage(kind: ErrorKind, text: &str) -> ! {
    crate::cli::Cli::command().error(kind, text).exit()
}

/// A variable that is set to something.
#[expect(clippy::disallowed_methods, reason = "the edge: the one place of this command that reads the environment")]
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "the edge: `now` is read once, here")]
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
