//! What needs no entries: labels, their values, series, and how much there is.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Data, Labels};
use super::client::{Client, Parameters};
use super::options::{Form, Range};
use super::print::Printer;

/// Data that is left out if there is none.
#[derive(Deserialize)]
struct Listed<T> {
    #[serde(default = "Vec::new")]
    data: Vec<T>,
}

/// Names of labels, or values of one.
pub(super) async fn labels(client: &Client, name: Option<&str>, range: &Range, printer: &mut Printer) -> Result<()> {
    let path = match name {
        None => vec!["loki", "api", "v1", "labels"],
        Some(name) => vec!["loki", "api", "v1", "label", name, "values"],
    };
    let found: Listed<String> = client.json(&path, &between(range)).await?;
    for text in found.data {
        match printer.form() {
            Form::Jsonl => printer.json(&json!(text))?,
            Form::Default | Form::Raw => printer.line(&text)?,
        }
    }
    Ok(())
}

/// Label sets of streams.
pub(super) async fn series(client: &Client, selectors: &[String], range: &Range, printer: &mut Printer) -> Result<()> {
    let mut parameters = between(range);
    parameters.extend(selectors.iter().map(|selector| ("match[]", selector.clone())));
    let found: Listed<Labels> = client.json(&["loki", "api", "v1", "series"], &parameters).await?;
    for labels in found.data {
        printer.labels(&labels)?;
    }
    Ok(())
}

/// Streams, chunks, entries and bytes of a selector.
pub(super) async fn stats(client: &Client, query: &str, range: &Range, printer: &mut Printer) -> Result<()> {
    let mut parameters = between(range);
    parameters.push(("query", query.to_owned()));
    let found: Value = client.json(&["loki", "api", "v1", "index", "stats"], &parameters).await?;
    if printer.form() == Form::Jsonl {
        return Ok(printer.json(&found)?);
    }
    for name in ["streams", "chunks", "entries", "bytes"] {
        printer.line(&format!("{name:<8} {}", found.get(name).unwrap_or(&Value::Null)))?;
    }
    Ok(())
}

/// Bytes by the labels that a selector names.
pub(super) async fn volume(
    client: &Client,
    query: &str,
    limit: usize,
    range: &Range,
    printer: &mut Printer,
) -> Result<()> {
    let mut parameters = between(range);
    parameters.extend([("query", query.to_owned()), ("limit", limit.to_string())]);
    let found: Answer = client.json(&["loki", "api", "v1", "index", "volume"], &parameters).await?;
    if let Data::Vector(samples) = &found.data {
        for sample in samples {
            printer.volume(&sample.metric, &sample.value)?;
        }
    }
    Ok(())
}

fn between(range: &Range) -> Parameters {
    vec![("start", range.start_ns().to_string()), ("end", range.end_ns().to_string())]
}
