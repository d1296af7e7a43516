//! Whether a query may run: the limits that can be told before a block is read.
//!
//! In: the query's text, its tree, and the tenant's limits. Out: nothing, or Loki's refusal. The texts are Loki's. The
//! bytes of a query are estimated from footers alone, a whole stream of a segment at a time, so never too low.

use std::time::Duration;

use logql::ast::{Expr, LogExpr, Matcher, MetricExpr};
use logql::eval::{self, Steps};
use logql::matcher::Selector;
use model::{TimeRange, Value};

use crate::reader::Reader;
use crate::slices::waves;
use crate::{Error, Limits, When};

/// Queries that a tenant may not ask: all of what is said must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocked {
    /// The query's text, or a regular expression for it; empty is every query.
    pub pattern: String,
    /// Whether the pattern is a regular expression.
    pub regex: bool,
    /// `metric`, `filter` or `limited`; none is every kind.
    pub kinds: Vec<String>,
    /// FNV-1 of the query's text; 0 is every query.
    pub hash: u32,
}

/// Checks what the text alone tells.
pub(crate) fn check(text: &str, expr: &Expr, limits: &Limits) -> Result<(), Error> {
    for blocked in &limits.blocked_queries {
        if blocked.fits(text, expr)? {
            return Err(Error::Limit("query blocked by policy".to_owned()));
        }
    }
    for log in logs_of(expr) {
        check_selector(&log.selector, limits)?;
    }
    if let Expr::Metric(metric) = expr
        && !limits.max_query_range.is_zero()
    {
        check_ranges(metric, limits.max_query_range)?;
    }
    Ok(())
}

impl Blocked {
    fn fits(&self, text: &str, expr: &Expr) -> Result<bool, Error> {
        if self.hash > 0 {
            return Ok(self.hash == fnv1(text));
        }
        let pattern_fits = self.pattern.is_empty()
            || self.pattern.trim() == text.trim()
            || self.regex && logql::regexp::found_in(&self.pattern, text).map_err(Error::Internal)?;
        let kind = match expr {
            Expr::Metric(_) => "metric",
            Expr::Log(log) if log.pipeline.is_empty() => "limited",
            Expr::Log(_) => "filter",
        };
        Ok(pattern_fits && (self.kinds.is_empty() || self.kinds.iter().any(|k| k == kind)))
    }
}

/// FNV-1 of 32 bits, by which Loki names queries in its log.
fn fnv1(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(byte))
}

fn logs_of(expr: &Expr) -> Vec<&LogExpr> {
    match expr {
        Expr::Log(log) => vec![log],
        Expr::Metric(metric) => eval::leaves(metric).into_iter().map(|leaf| &leaf.aggregation.log).collect(),
    }
}

fn check_selector(selector: &[Matcher], limits: &Limits) -> Result<(), Error> {
    let (present, most) = (selector.len(), limits.max_streams_matchers_per_query);
    if most > 0 && present > most {
        return Err(Error::Limit(format!(
            "max streams matchers per query exceeded, matchers-count > limit ({present} > {most})"
        )));
    }
    let names: Vec<&str> = selector.iter().map(|matcher| matcher.name.as_str()).collect();
    let missing: Vec<&str> =
        limits.required_labels.iter().map(String::as_str).filter(|label| !names.contains(label)).collect();
    if !missing.is_empty() {
        return Err(Error::Limit(format!(
            "stream selector is missing required matchers [{}], labels present in the query were [{}]",
            missing.join(", "),
            names.join(", ")
        )));
    }
    let required = limits.minimum_labels_number;
    if present < required {
        return Err(Error::Limit(format!(
            "stream selector has less label matchers than required: (present: [{}], number_present: {present}, \
             required_number_label_matchers: {required})",
            names.join(", ")
        )));
    }
    Ok(())
}

fn check_ranges(metric: &MetricExpr, longest: Duration) -> Result<(), Error> {
    for leaf in eval::leaves(metric) {
        let range = Duration::from_nanos(leaf.aggregation.range_ns.unsigned_abs());
        if range > longest {
            return Err(Error::Limit(format!(
                "[interval] value exceeds limit: [{}] > [{}]",
                logql::print_duration(range),
                logql::print_duration(longest)
            )));
        }
    }
    Ok(())
}

/// Cuts off what lies too far back; none if nothing is left.
pub(crate) fn within_lookback(when: When, oldest_ns: Option<i64>) -> Option<When> {
    let Some(oldest_ns) = oldest_ns else { return Some(when) };
    match when {
        When::Instant { time_ns } => (time_ns >= oldest_ns).then_some(when),
        When::Range { start_ns, end_ns, step_ns, interval_ns } => (end_ns >= oldest_ns).then(|| When::Range {
            start_ns: start_ns.max(oldest_ns),
            end_ns,
            step_ns,
            interval_ns,
        }),
    }
}

/// The answer to a question about nothing.
pub(crate) fn nothing(expr: &Expr, when: When) -> Value {
    match (expr, when) {
        (Expr::Log(_), _) => Value::Entries(Vec::new()),
        (Expr::Metric(_), When::Instant { .. }) => Value::Vector(Vec::new()),
        (Expr::Metric(_), When::Range { .. }) => Value::Matrix(Vec::new()),
    }
}

/// Refuses a query that would have to read too much.
pub(crate) async fn check_bytes(expr: &Expr, when: When, limits: &Limits, reader: &Reader) -> Result<(), Error> {
    let most = limits.max_query_bytes_read;
    if most == 0 {
        return Ok(());
    }
    let mut bytes = 0;
    for (log, range) in parts(expr, when) {
        let selector = Selector::new(&log.selector)?;
        for wave in waves(reader.segments(range).await?, reader.settings()) {
            for opened in reader.open(wave).await? {
                let chosen = (opened.footer.streams().iter())
                    .filter(|stream| range.overlaps(stream.min_ts, stream.max_ts) && selector.matches(&stream.labels));
                bytes += chosen.map(|stream| stream.line_bytes).sum::<u64>();
            }
        }
    }
    if bytes <= most {
        return Ok(());
    }
    Err(Error::Limit(format!(
        "the query would read too many bytes (query: {}, limit: {}); consider adding more specific stream selectors or \
         reduce the time range of the query",
        print_bytes(bytes),
        print_bytes(most)
    )))
}

/// What a query reads, and when.
fn parts(expr: &Expr, when: When) -> Vec<(&LogExpr, TimeRange)> {
    let (start_ns, end_ns, step_ns) = match when {
        When::Instant { time_ns } => (time_ns, time_ns, 1),
        When::Range { start_ns, end_ns, step_ns, .. } => (start_ns, end_ns, step_ns),
    };
    let parts: Vec<(&LogExpr, i64, i64)> = match expr {
        Expr::Log(log) => vec![(log, start_ns, end_ns)],
        Expr::Metric(metric) => (eval::leaves(metric).into_iter())
            .map(|leaf| {
                let (from, to) = eval::leaf_time_range(&leaf, Steps { start_ns, end_ns, step_ns });
                (&leaf.aggregation.log, from, to.saturating_add(1))
            })
            .collect(),
    };
    parts.into_iter().filter_map(|(log, from, to)| Some((log, TimeRange::new(from, to).ok()?))).collect()
}

/// Bytes as Loki's errors print them: `512 B`, `5.0 GB`, `161 GB`.
fn print_bytes(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit > 0 && value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", units.get(unit).unwrap_or(&"B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(query: &str, limits: &Limits) -> Result<(), String> {
        check(query, &logql::parse(query).expect("LogQL"), limits).map_err(|e| e.to_string())
    }

    #[test]
    fn a_query_may_be_refused_by_its_text() {
        let check = |query: &str, limits: Limits, want: &str| {
            assert_eq!(checked(query, &limits).err().as_deref().unwrap_or_default(), want, "{query}");
        };
        let ranges = || Limits { max_query_range: Duration::from_secs(600), ..Limits::default() };
        check(r#"rate({a="b"}[10m])"#, ranges(), "");
        check(r#"rate({a="b"}[1m]) + rate({a="b"}[1h])"#, ranges(), "[interval] value exceeds limit: [1h] > [10m]");
        let matchers = || Limits { max_streams_matchers_per_query: 1, ..Limits::default() };
        check(r#"{a="b"}"#, matchers(), "");
        check(
            r#"{a="b", c="d"}"#,
            matchers(),
            "max streams matchers per query exceeded, matchers-count > limit (2 > 1)",
        );
        let required = || Limits { required_labels: vec!["a".into(), "b".into()], ..Limits::default() };
        check(r#"{a="1", b=~".*"}"#, required(), "");
        check(
            r#"sum(rate({c="1"}[1m]))"#,
            required(),
            "stream selector is missing required matchers [a, b], labels present in the query were [c]",
        );
        check(
            r#"{c="1"}"#,
            Limits { minimum_labels_number: 2, ..Limits::default() },
            "stream selector has less label matchers than required: (present: [c], number_present: 1, \
             required_number_label_matchers: 2)",
        );
        check("vector(1)+vector(1)", required(), "");
    }

    #[test]
    fn a_query_may_be_blocked() {
        let check = |query: &str, pattern: &str, regex: bool, kinds: &[&str], hash: u32, want: bool| {
            let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            let blocked_queries = vec![Blocked { pattern: pattern.to_owned(), regex, kinds, hash }];
            let got = checked(query, &Limits { blocked_queries, ..Limits::default() });
            assert_eq!(got, if want { Err("query blocked by policy".to_owned()) } else { Ok(()) }, "{query} {pattern}");
        };
        let log = r#"{a="b"}"#;
        check(log, r#" {a="b"} "#, false, &[], 0, true);
        check(log, "a=", false, &[], 0, false);
        check(log, "a=", true, &[], 0, true);
        check(log, "", false, &["limited"], 0, true);
        check(log, "", false, &["filter", "metric"], 0, false);
        check(r#"{a="b"} |= "x""#, "", false, &["filter"], 0, true);
        check(r#"rate({a="b"}[1m])"#, ".*", true, &["metric"], 0, true);
        check(log, "", false, &[], fnv1(log), true);
        check(log, "", false, &[], 1, false);
        assert_eq!(fnv1("a"), 0x050c_5d7e);
    }

    #[test]
    fn bytes_are_printed_as_loki_does() {
        let got: Vec<String> = [0, 999, 1000, 9_960, 5_000_000_000, 150 << 30].into_iter().map(print_bytes).collect();
        assert_eq!(got, ["0 B", "999 B", "1.0 kB", "10 kB", "5.0 GB", "161 GB"]);
    }

    #[test]
    fn what_is_too_old_is_cut_off() {
        let range = |start_ns, end_ns| When::Range { start_ns, end_ns, step_ns: 1, interval_ns: 0 };
        assert_eq!(within_lookback(range(1, 9), Some(5)), Some(range(5, 9)));
        assert_eq!(within_lookback(range(1, 4), Some(5)), None);
        assert_eq!(within_lookback(range(1, 4), None), Some(range(1, 4)));
        assert_eq!(within_lookback(When::Instant { time_ns: 4 }, Some(5)), None);
    }
}
