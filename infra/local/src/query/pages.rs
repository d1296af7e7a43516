//! A log query's entries, page by page, so that any number can be asked for.
//!
//! In: a query and how many entries. Out: pages in the order asked, that join without a gap and without doubles. A full page
//! may end between entries of the same time: those of its last time are left to the next page, which begins with them. If a
//! page has but one time, it is asked for again, twice as large.

use anyhow::{Context as _, Result};

use super::answer::{self, Answer, Data, Entry};
use super::client::{Client, Parameters};
use super::options::{LogOptions, Range};

/// A part of an answer.
pub(super) enum Page {
    /// Of a log query.
    Entries(Vec<Entry>),
    /// Of a metric query: all of it.
    Points(Data),
}

/// Pages that were not asked for yet.
pub(super) struct Pages<'a> {
    client: &'a Client,
    query: &'a str,
    options: &'a LogOptions,
    start_ns: i64,
    end_ns: i64,
    /// Entries of the next page.
    page: usize,
    /// Entries that are still wanted; none is all.
    left: Option<usize>,
    done: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(client: &'a Client, query: &'a str, options: &'a LogOptions, range: &Range) -> Self {
        let left = (options.limit > 0).then_some(options.limit);
        let (start_ns, end_ns) = (range.start_ns(), range.end_ns());
        Pages { client, query, options, start_ns, end_ns, page: options.batch, left, done: false }
    }

    /// The next page, if there is one.
    pub(super) async fn next(&mut self) -> Result<Option<Page>> {
        while !self.done {
            let limit = self.left.map_or(self.page, |left| left.min(self.page));
            let parameters = parameters(self.query, self.options, self.start_ns, self.end_ns, limit);
            let asked = self.client.json(&["loki", "api", "v1", "query_range"], &parameters).await;
            let answer: Answer = match self.page > self.options.batch {
                true => asked.with_context(|| format!("a page of {limit}, since a smaller one has a single time"))?,
                false => asked?,
            };
            answer.notices();
            let Data::Streams(streams) = answer.data else {
                self.done = true;
                return Ok(Some(Page::Points(answer.data)));
            };
            if let Some(entries) = self.cut(answer::entries(streams)?, limit) {
                return Ok(Some(Page::Entries(entries)));
            }
        }
        Ok(None)
    }

    /// What of a page can be told, and where the next one begins; nothing if it has to be asked for again.
    fn cut(&mut self, mut entries: Vec<Entry>, limit: usize) -> Option<Vec<Entry>> {
        match self.options.forward {
            true => entries.sort_by_key(|entry| entry.timestamp_ns),
            false => entries.sort_by_key(|entry| std::cmp::Reverse(entry.timestamp_ns)),
        }
        let last_ns = entries.last().map(|entry| entry.timestamp_ns).filter(|_| entries.len() >= limit);
        let Some(last_ns) = last_ns.filter(|_| self.left.is_none_or(|left| left > limit)) else {
            self.done = true;
            return Some(entries);
        };
        entries.retain(|entry| entry.timestamp_ns != last_ns);
        if entries.is_empty() {
            self.page = self.page.saturating_mul(2);
            return None;
        }
        self.page = self.options.batch;
        self.left = self.left.map(|left| left - entries.len());
        match self.options.forward {
            true => self.start_ns = last_ns,
            false => self.end_ns = last_ns.saturating_add(1),
        }
        Some(entries)
    }
}

/// The parameters of a question with a range of time.
pub(super) fn parameters(query: &str, options: &LogOptions, start_ns: i64, end_ns: i64, limit: usize) -> Parameters {
    let mut parameters = vec![
        ("query", query.to_owned()),
        ("start", start_ns.to_string()),
        ("end", end_ns.to_string()),
        ("limit", limit.to_string()),
        ("direction", if options.forward { "forward" } else { "backward" }.to_owned()),
    ];
    parameters.extend(options.step.clone().map(|step| ("step", step)));
    parameters
}
