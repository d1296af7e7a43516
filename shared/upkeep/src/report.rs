//! What the commands that look after a store are asked, and what they tell.
//!
//! Plain data, and a listener for progress and findings.

use std::fmt;

use model::{Day, TenantId};

/// Which part of a store is meant; by default all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// One tenant.
    pub tenant: Option<TenantId>,
    /// From this day on.
    pub from: Option<Day>,
    /// Up to this day, itself included.
    pub to: Option<Day>,
}

impl Scope {
    /// Whether a day is meant.
    pub fn holds(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }
}

/// What somebody should know about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The object, or the day.
    pub key: String,
    /// What is wrong.
    pub why: String,
    /// Whether entries are lost by it, or cannot be read.
    pub loses: bool,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// It does not hold what it must.
    Bad,
    /// It is needed, and not there.
    Missing,
    /// A merged segment that no manifest has ever named.
    Orphan,
    /// What merges have left behind, and collections will take.
    Garbage,
    /// Nothing that Logbarn writes.
    Unknown,
    /// Another history than that of the source.
    Foreign,
}

impl FindingKind {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            FindingKind::Bad => "bad",
            FindingKind::Missing => "missing",
            FindingKind::Orphan => "orphan",
            FindingKind::Garbage => "garbage",
            FindingKind::Unknown => "unknown",
            FindingKind::Foreign => "foreign",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8}{}  {}", self.kind.word(), self.key, self.why)
    }
}

/// Who listens while work goes on. The calls must be quick.
pub trait Progress: Send + Sync {
    /// So much more is to be done.
    fn more(&self, _objects: u64, _bytes: u64) {}
    /// So much of it is done.
    fn done(&self, _objects: u64, _bytes: u64) {}
    /// Something was found.
    fn found(&self, _finding: &Finding) {}
}

/// Nobody listens.
impl Progress for () {}
