//! `logbarn stats`.

use std::process::ExitCode;

use anyhow::Result;
use ingest_fn::care::{self, Holding, Pile, TenantStats};
use ingest_fn::config::{Counts, TenantId, price};
use serde_json::{Value, json};

use super::bar::Bar;
use super::{existing, scope, status};
use crate::cli::{Format, StatsOptions};

/// Counts and prints.
pub(crate) async fn stats(options: &StatsOptions) -> ExitCode {
    status(run(options).await)
}

async fn run(options: &StatsOptions) -> Result<bool> {
    let part = &options.part;
    let store = existing(part.store.as_deref())?;
    let bar = Bar::new(part.format);
    let counted = care::stats(&store, &scope(&part.days)?, &bar).await;
    bar.finish();
    let (counted, spent) = (counted?, store.counters().snapshot());
    match part.format {
        Format::Text => print_text(&counted, &spent),
        Format::Json => print_json(&counted, &spent),
    }
    Ok(true)
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print_text(counted: &[(TenantId, TenantStats)], spent: &Counts) {
    println!(
        "{:<24} {:>8} {:>11} {:>11} {:>6} {:>12} {:>8} {:>16} {:>16} {:>16}",
        "tenant, day", "objects", "stored", "raw", "ratio", "entries", "streams", "fresh", "merged", "garbage"
    );
    let mut store = Holding::default();
    for (tenant, stats) in counted {
        for (day, holding) in &stats.days {
            print_row(&format!("{tenant} {day}"), holding);
        }
        print_row(tenant.as_str(), &stats.total);
        store += stats.total;
        store.streams += stats.total.streams;
    }
    if counted.len() > 1 {
        print_row("all", &store);
    }
    let month = price::month_dollars(store.all().bytes);
    println!("\nkept for a month: ${month:.4} ({})", price::PRICES_OF);
    let dollars = price::request_dollars(spent);
    println!("counted with {} LIST + {} GET, {} bytes, ${dollars:.6}", spent.lists, spent.gets, spent.bytes_in);
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print_row(name: &str, holding: &Holding) {
    let Pile { objects, bytes } = holding.all();
    let pile = |pile: Pile| format!("{} in {}", size(pile.bytes), pile.objects);
    let ratio = holding.ratio().map_or("-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
    println!(
        "{name:<24} {objects:>8} {:>11} {:>11} {ratio:>6} {:>12} {:>8} {:>16} {:>16} {:>16}",
        size(bytes),
        size(holding.raw_bytes),
        holding.entries,
        holding.streams,
        pile(holding.fresh),
        pile(holding.merged),
        pile(holding.garbage),
    );
}

/// Three digits or more, and a unit.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print_json(counted: &[(TenantId, TenantStats)], spent: &Counts) {
    let mut bytes = 0;
    for (tenant, stats) in counted {
        for (day, holding) in &stats.days {
            println!("{}", row(tenant, Some(day.to_string()), holding));
        }
        println!("{}", row(tenant, None, &stats.total));
        bytes += stats.total.all().bytes;
    }
    println!(
        "{}",
        json!({
            "stored_bytes": bytes, "month_dollars": price::month_dollars(bytes), "prices": price::PRICES_OF,
            "lists": spent.lists, "gets": spent.gets, "read_bytes": spent.bytes_in,
            "request_dollars": price::request_dollars(spent),
        })
    );
}

fn row(tenant: &TenantId, day: Option<String>, holding: &Holding) -> Value {
    let pile = |pile: Pile| json!({ "objects": pile.objects, "bytes": pile.bytes });
    json!({
        "tenant": tenant.as_str(), "day": day, "entries": holding.entries, "streams": holding.streams,
        "raw_bytes": holding.raw_bytes, "ratio": holding.ratio(), "fresh": pile(holding.fresh), "merged": pile(holding.merged),
        "manifests": pile(holding.manifests), "garbage": pile(holding.garbage), "others": pile(holding.others),
    })
}
