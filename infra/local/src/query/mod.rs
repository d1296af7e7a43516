//! `logbarn query`: a small logcli, for any server that speaks Loki's HTTP API.
//!
//! In: a command line. Out: entries, points, labels or figures on standard output, and nothing else there; progress and
//! notices go to standard error. The modules follow a question: `options`, `client`, `answer`, `pages`, `print`; `index`
//! is what needs no entries, `tail` what has no end.

mod answer;
mod client;
mod index;
mod options;
mod pages;
mod print;
mod tail;

use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;

use client::Client;
use pages::{Page, Pages};
use print::Printer;

pub(crate) use options::QueryOptions;
use options::{Command, Form, InstantOptions, LogOptions, Range};

/// How often a sign of life is drawn.
const TICK: Duration = Duration::from_millis(200);

/// Asks, and prints what is answered. A reader of the output that goes away ends it well.
pub(crate) async fn run(options: QueryOptions) -> Result<()> {
    let asked = ask(options).await;
    let gone = |error: &anyhow::Error| {
        let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    match asked {
        Err(error) if gone(&error) => Ok(()),
        // One line, whatever a server had to say.
        Err(error) => Err(anyhow::Error::msg(client::one_line(&format!("{error:#}")))),
        Ok(()) => Ok(()),
    }
}

async fn ask(mut options: QueryOptions) -> Result<()> {
    let command = options.command();
    let range = options.range();
    let client = Client::new(&options.server)?;
    let mut printer = Printer::new(options.output, options.color);
    match command {
        Command::Logs(query, logs) if logs.tail => {
            tail::run(&client, &query, &logs.as_tail(), &range, &mut printer).await?
        }
        Command::Logs(query, logs) if logs.explain => {
            let parameters = pages::parameters(&query, &logs, range.start_ns(), range.end_ns(), logs.first_page());
            explain(&client, parameters, &mut printer).await?;
        }
        Command::Logs(query, logs) => entries(&client, &query, &logs, &range, &mut printer).await?,
        Command::Instant(query) => instant(&client, &query, &range, &mut printer).await?,
        Command::Tail(query, tailing) => tail::run(&client, &query, &tailing, &range, &mut printer).await?,
        Command::Labels(name) => index::labels(&client, name.as_deref(), &range, &mut printer).await?,
        Command::Series(selectors) => index::series(&client, &selectors, &range, &mut printer).await?,
        Command::Stats(query) => index::stats(&client, &query, &range, &mut printer).await?,
        Command::Volume(query, limit) => index::volume(&client, &query, limit, &range, &mut printer).await?,
    }
    Ok(printer.flush()?)
}

async fn entries(client: &Client, query: &str, logs: &LogOptions, range: &Range, printer: &mut Printer) -> Result<()> {
    // Drawn only if standard error is a terminal.
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(TICK);
    let mut pages = Pages::new(client, query, logs, range);
    let mut count = 0;
    while let Some(page) = pages.next().await? {
        progress.suspend(|| match &page {
            Page::Entries(entries) => printer.entries(entries),
            Page::Points(data) => printer.points(data),
        })?;
        if let Page::Entries(entries) = &page {
            count += entries.len();
            progress.set_message(format!("{count} entries"));
        }
    }
    progress.finish_and_clear();
    Ok(())
}

async fn instant(client: &Client, options: &InstantOptions, range: &Range, printer: &mut Printer) -> Result<()> {
    let time = options.now.unwrap_or(range.end_ns()).to_string();
    let parameters = vec![("query", options.query.clone()), ("time", time), ("limit", options.limit.to_string())];
    if options.explain {
        return explain(client, parameters, printer).await;
    }
    let answer: answer::Answer = client.json(&["loki", "api", "v1", "query"], &parameters).await?;
    answer.notices();
    Ok(printer.points(&answer.data)?)
}

/// What the query would read: text for a person, JSON for a program.
async fn explain(client: &Client, mut parameters: client::Parameters, printer: &mut Printer) -> Result<()> {
    let format = if printer.form() == Form::Jsonl { "json" } else { "text" };
    parameters.push(("format", format.to_owned()));
    let text = client.text(&["logbarn", "api", "v1", "explain"], &parameters).await?;
    Ok(printer.line(text.trim_end())?)
}
