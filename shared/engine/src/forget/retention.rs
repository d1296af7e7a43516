//! How long entries stay: Loki's `retention_period` and `retention_stream`, by stream and by level.
//!
//! In: periods, and the labels of a stream. Out: the oldest time that is shown. It lies at the end of a minute, rounded to the later
//! one, so that entries past their period never show and the counts of footers, which are by the minute, still serve. A rule may name
//! the level, which is no stream label as a rule: then each entry's own decides. Pure: now is an argument.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use logql::ast::Matcher;
use logql::matcher::{CompiledMatcher, Selector};
use model::Labels;
use segment::LEVEL_NAME;
use xxhash_rust::xxh3::xxh3_64;

use super::policy::StreamPeriod;
use crate::Error;
use crate::labels::matchers;

const MINUTE_NS: i64 = 60_000_000_000;

/// Whether a text can be the selector of a rule; the error is LogQL's.
pub fn check_retention_selector(selector: &str) -> Result<(), String> {
    let rule = StreamPeriod { selector: selector.to_owned(), priority: 0, period: Duration::ZERO };
    Rule::new(&rule).map(drop).map_err(|error| error.to_string())
}

/// The periods of a tenant, compiled.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// Of everything that no rule chooses; 0 is for ever.
    period_ns: i64,
    /// The first one that fits counts.
    rules: Vec<Rule>,
    /// Equal for equal periods and rules.
    fingerprint: u64,
}

#[derive(Debug)]
struct Rule {
    selector: Selector,
    /// What the level must match, if the rule names it.
    level: Arc<[CompiledMatcher]>,
    period_ns: i64,
}

impl Rule {
    fn new(period: &StreamPeriod) -> Result<Self, Error> {
        let (level, stream): (Vec<Matcher>, Vec<Matcher>) =
            matchers(&period.selector)?.into_iter().partition(|matcher| matcher.name == LEVEL_NAME);
        let level = level.iter().map(CompiledMatcher::new).collect::<Result<_, _>>()?;
        Ok(Rule { selector: Selector::new(&stream)?, level, period_ns: nanos(period.period) })
    }
}

/// The oldest times of one stream's entries that are shown.
#[derive(Debug, Clone)]
pub(super) struct Horizons {
    /// By level: the first one that fits counts.
    by_level: Vec<(Arc<[CompiledMatcher]>, i64)>,
    /// Of all other entries.
    other: i64,
}

impl Retention {
    pub(super) fn new(period: Duration, streams: &[StreamPeriod]) -> Result<Self, Error> {
        let mut streams: Vec<&StreamPeriod> = streams.iter().collect();
        streams.sort_by_key(|rule| (std::cmp::Reverse(rule.priority), rule.period));
        let rules = streams.iter().map(|rule| Rule::new(rule)).collect::<Result<Vec<_>, _>>()?;
        let mut text = format!("{}", period.as_nanos());
        for rule in &streams {
            text += &format!("\n{} {}", rule.period.as_nanos(), rule.selector);
        }
        Ok(Retention { period_ns: nanos(period), rules, fingerprint: xxh3_64(text.as_bytes()) })
    }

    /// Whether everything stays for ever.
    pub(super) fn is_none(&self) -> bool {
        self.period_ns == 0 && self.rules.is_empty()
    }

    fn horizons(&self, now_ns: i64) -> impl Iterator<Item = i64> {
        let periods = self.rules.iter().map(|rule| rule.period_ns).chain([self.period_ns]);
        periods.map(move |period_ns| horizon(period_ns, now_ns))
    }

    /// Nothing older than this is shown, of whatever stream.
    pub(super) fn oldest_ns(&self, now_ns: i64) -> i64 {
        self.horizons(now_ns).min().unwrap_or(i64::MIN)
    }

    /// Everything from here on is shown, of whatever stream.
    pub(super) fn newest_ns(&self, now_ns: i64) -> i64 {
        self.horizons(now_ns).max().unwrap_or(i64::MIN)
    }

    /// Of one stream.
    pub(super) fn of_stream(&self, stream: &Labels, now_ns: i64) -> Horizons {
        let mut horizons = Horizons { by_level: Vec::new(), other: horizon(self.period_ns, now_ns) };
        for rule in self.rules.iter().filter(|rule| rule.selector.matches(stream)) {
            let oldest_ns = horizon(rule.period_ns, now_ns);
            // A label of the stream hides metadata of its name, here as in queries.
            let own = stream.get(LEVEL_NAME);
            if own.is_some_and(|level| !rule.level.iter().all(|matcher| matcher.matches(level))) {
                continue;
            }
            if own.is_some() || rule.level.is_empty() {
                horizons.other = oldest_ns;
                break;
            }
            horizons.by_level.push((Arc::clone(&rule.level), oldest_ns));
        }
        horizons
    }

    /// What a segment is marked with whose entries up to `max_ts` have gone through this: nothing as long as no period has passed
    /// for all of it. Another one for other periods, and when a further period has passed.
    pub(super) fn mark(&self, max_ts: i64, now_ns: i64) -> Option<Box<str>> {
        let passed: BTreeSet<usize> =
            self.horizons(now_ns).enumerate().filter(|(_, horizon)| max_ts < *horizon).map(|(rule, _)| rule).collect();
        if passed.is_empty() {
            return None;
        }
        let text = format!("{:x} {passed:?}", self.fingerprint);
        Some(format!("retention-{:016x}", xxh3_64(text.as_bytes())).into())
    }
}

impl Horizons {
    /// Whether the level decides about anything.
    pub(super) fn by_level(&self) -> bool {
        self.by_level.iter().any(|(_, horizon)| *horizon != self.other)
    }

    /// Nothing older than this is shown.
    pub(super) fn oldest_ns(&self) -> i64 {
        self.by_level.iter().map(|(_, horizon)| *horizon).fold(self.other, i64::min)
    }

    /// Everything from here on is shown.
    pub(super) fn newest_ns(&self) -> i64 {
        self.by_level.iter().map(|(_, horizon)| *horizon).fold(self.other, i64::max)
    }

    /// Nothing older than this is shown of a level; an entry without one has the level `""`.
    pub(super) fn oldest_of(&self, level: &str) -> i64 {
        let fits = |level_of: &&(Arc<[CompiledMatcher]>, i64)| level_of.0.iter().all(|matcher| matcher.matches(level));
        self.by_level.iter().find(fits).map_or(self.other, |(_, horizon)| *horizon)
    }
}

/// The oldest time that a period shows: the first nanosecond of a minute, which begins behind its whole.
fn horizon(period_ns: i64, now_ns: i64) -> i64 {
    if period_ns == 0 {
        return i64::MIN;
    }
    let past = now_ns.saturating_sub(period_ns);
    let into_minute = past.rem_euclid(MINUTE_NS);
    let minute_end = if into_minute == 0 { past } else { past.saturating_add(MINUTE_NS - into_minute) };
    minute_end.saturating_add(1)
}

fn nanos(period: Duration) -> i64 {
    i64::try_from(period.as_nanos()).unwrap_or(i64::MAX)
}
