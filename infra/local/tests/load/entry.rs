//! Entries whose every part follows from their number, and questions that know which numbers they mean.
//!
//! So that an answer can be checked without asking the server again.

use serde_json::{Value, json};

/// Streams.
pub(crate) const APPS: u64 = 8;
/// Kinds of lines, and values of the structured metadata.
pub(crate) const KINDS: u64 = 5;
/// Forms of filters.
const FORMS: usize = 4;
/// Time between two entries.
const STEP_NS: i64 = 1_000;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Entry(pub(crate) u64);

impl Entry {
    pub(crate) fn app(self) -> u64 {
        self.0 % APPS
    }

    fn kind(self) -> u64 {
        self.0 / APPS % KINDS
    }

    fn shard(self) -> u64 {
        self.0 / APPS / KINDS % KINDS
    }

    pub(crate) fn line(self) -> String {
        format!("level=info n={} kind={} msg=\"request served\" took={}ms", self.0, self.kind(), self.0 * 7 % 1000)
    }

    pub(crate) fn timestamp_ns(self, start_ns: i64) -> i64 {
        start_ns + i64::try_from(self.0).expect("few entries") * STEP_NS
    }

    /// The entry at a time, if there can be one.
    pub(crate) fn at(timestamp_ns: i64, start_ns: i64) -> Option<Entry> {
        let since = timestamp_ns.checked_sub(start_ns).filter(|since| since % STEP_NS == 0)?;
        u64::try_from(since / STEP_NS).ok().map(Entry)
    }

    /// As a stream of a push.
    pub(crate) fn pushed(self, start_ns: i64) -> Value {
        let value = json!([
            self.timestamp_ns(start_ns).to_string(),
            self.line(),
            { "shard": self.shard().to_string() }
        ]);
        json!({ "stream": { "job": "load", "app": format!("a{}", self.app()) }, "values": [value] })
    }
}

/// Which streams are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apps {
    One(u64),
    /// The lower half of them.
    Half,
    All,
}

/// Which lines are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    All,
    Text(u64),
    Regex(u64),
    Parsed(u64),
    Metadata(u64),
}

/// What a question means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    apps: Apps,
    filter: Filter,
}

impl Wanted {
    /// Of two hundred in a row no two are the same.
    pub(crate) fn nth(i: usize) -> Wanted {
        let selectors = APPS as usize + 2;
        let value = (i / selectors / FORMS) as u64 % KINDS;
        let filter = match i / selectors % FORMS {
            0 => Filter::Text(value),
            1 => Filter::Regex(value),
            2 => Filter::Parsed(value),
            _ => Filter::Metadata(value),
        };
        Wanted { filter, ..Wanted::streams(i) }
    }

    /// Whole streams.
    pub(crate) fn streams(i: usize) -> Wanted {
        let apps = match i as u64 % (APPS + 2) {
            app if app < APPS => Apps::One(app),
            APPS => Apps::Half,
            _ => Apps::All,
        };
        Wanted { apps, filter: Filter::All }
    }

    pub(crate) fn matches(self, entry: Entry) -> bool {
        let streams = match self.apps {
            Apps::One(app) => entry.app() == app,
            Apps::Half => entry.app() < APPS / 2,
            Apps::All => true,
        };
        streams
            && match self.filter {
                Filter::All => true,
                Filter::Text(kind) | Filter::Regex(kind) | Filter::Parsed(kind) => entry.kind() == kind,
                Filter::Metadata(shard) => entry.shard() == shard,
            }
    }

    pub(crate) fn logql(self) -> String {
        let selector = match self.apps {
            Apps::One(app) => format!(r#"{{job="load", app="a{app}"}}"#),
            Apps::Half => format!(r#"{{job="load", app=~"a[0-{}]"}}"#, APPS / 2 - 1),
            Apps::All => r#"{job="load"}"#.to_owned(),
        };
        selector
            + &match self.filter {
                Filter::All => String::new(),
                Filter::Text(kind) => format!(r#" |= "kind={kind} ""#),
                Filter::Regex(kind) => format!(r#" |~ "[Kk]ind={kind}\\s""#),
                Filter::Parsed(kind) => format!(r#" | logfmt | kind="{kind}""#),
                Filter::Metadata(shard) => format!(r#" | shard="{shard}""#),
            }
    }
}
