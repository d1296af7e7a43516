//! A query under which segments are merged and collected answers as if nothing had happened; and a clock that jumps loses nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod support;

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, EngineSettings, Error, LabelsRequest, Limits, LiveQuery, QueryRequest, When};
use model::TimeRange;
use object_store::memory::InMemory;
use store::Store;
use store::faulty::{Fault, Faulty, Operation, Rule};
use upkeep::{Grace, KeepAll, MergeSettings, collect_day, merge_day};

use crate::support::{Load, day, everything, read, tenant};

const DAY: Duration = Duration::from_secs(86_400);

async fn merge_and_collect(store: &Store, clock: &Faulty, ahead: Duration) {
    merge_day(store, &tenant(), day(), &MergeSettings::all(), Arc::new(KeepAll)).await.unwrap();
    clock.set_clock(ahead);
    collect_day(store, &tenant(), day(), &Grace::default()).await.unwrap();
}

fn range() -> TimeRange {
    TimeRange::new(day().start_ns(), day().start_ns() + 86_400_000_000_000).unwrap()
}

fn of_all() -> LabelsRequest {
    LabelsRequest { tenants: vec![tenant()], range: range(), selectors: vec![r#"{service_name=~".+"}"#.to_owned()] }
}

/// One of several questions, as a text that can be compared.
async fn ask(engine: &Engine, question: usize) -> Result<String, Error> {
    let metric = |query: &str| {
        let time_ns = range().end_ns();
        QueryRequest { query: query.to_owned(), when: When::Instant { time_ns }, ..everything() }
    };
    Ok(match question {
        0 => format!("{:?}", engine.query(everything()).await?.value),
        1 => format!(
            "{:?}",
            engine.query(metric(r#"sum(count_over_time({service_name=~".+"} |= "e" [24h]))"#)).await?.value
        ),
        2 => format!(
            "{:?}",
            engine
                .query(metric(r#"sum by (detected_level) (count_over_time({service_name=~".+"}[24h]))"#))
                .await?
                .value
        ),
        3 => format!("{:?}", engine.series(of_all()).await?),
        4 => {
            let stats = engine.index_stats(of_all(), &Limits::default()).await?;
            format!("{} {} {}", stats.streams, stats.bytes, stats.entries)
        }
        _ => {
            let query = LiveQuery::parse(r#"{service_name=~".+"}"#)?.unwrap();
            format!("{:?}", engine.history(&query, &tenant(), range(), 1_000, Duration::from_secs(60)).await?)
        }
    })
}

/// A query has listed the fresh segments and is about to read one; then all are merged and collected.
#[tokio::test]
async fn what_is_collected_under_a_query_is_found_where_it_was_merged_to() {
    let load = Load::new(6, 60);
    for question in 0..6 {
        let inner = Arc::new(InMemory::new());
        let (slow, clock) = (Faulty::new(inner.clone()), Faulty::new(inner.clone()));
        let (asked, upkeep) = (Store::new(Arc::new(slow.clone())), Store::new(Arc::new(clock.clone())));
        load.put_all(&upkeep).await;
        let want = ask(&Engine::new(upkeep.clone(), EngineSettings::default()), question).await.unwrap();
        slow.add(Rule::once(Operation::Get, Fault::Hold).on_keys("/l0/").after(2));
        let engine = Engine::new(asked, EngineSettings::default());
        let asking = {
            let engine = engine.clone();
            tokio::spawn(async move { ask(&engine, question).await })
        };
        while slow.held() == 0 {
            tokio::task::yield_now().await;
        }
        merge_and_collect(&upkeep, &clock, 2 * DAY).await;
        assert!(upkeep.day_objects(&tenant(), day()).await.unwrap().fresh.is_empty());
        slow.heal();
        assert_eq!(asking.await.unwrap().unwrap(), want, "question {question}");
        assert_eq!(engine.corrupt_segments(), 0);
    }
}

/// An object that two listings show and that is not there is missing; it is named, or gone without if that is wanted.
#[tokio::test]
async fn what_is_listed_and_never_there_is_named() {
    let load = Load::new(3, 60);
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(faulty.clone()));
    load.put_all(&store).await;
    let key = store.day_objects(&tenant(), day()).await.unwrap().fresh[1].1.key.clone();
    faulty.add(Rule::always(Operation::Get, Fault::Missing).on_keys(key.as_str()));
    for question in 0..6 {
        let engine = Engine::new(store.clone(), EngineSettings::default());
        let error = ask(&engine, question).await.unwrap_err().to_string();
        assert_eq!(error, format!("object {key} is corrupt: it is listed, but not there"), "question {question}");
        let settings = EngineSettings { skip_corrupt_segments: true, ..EngineSettings::default() };
        ask(&Engine::new(store.clone(), settings), question).await.unwrap();
    }
    // As one request wants it.
    let mut request = everything();
    request.limits.skip_corrupt_segments = true;
    let answer = Engine::new(store.clone(), EngineSettings::default()).query(request).await.unwrap();
    let want = format!("left out, so entries may be missing: object {key} is corrupt: it is listed, but not there");
    assert_eq!(answer.warnings, [want]);
}

/// The store's clock jumps a day ahead and back again, between and within merges and collections: entries stay, each once.
#[tokio::test]
async fn a_clock_that_jumps_loses_nothing() {
    const BATCHES: usize = 24;
    let load = Load::new(BATCHES, 40);
    let clock = Faulty::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(clock.clone()));
    let mut jumps = 0;
    for batch in 0..BATCHES {
        // Ahead, back, far ahead, back.
        clock.set_clock([DAY, Duration::ZERO, 30 * DAY, 2 * DAY][batch % 4]);
        jumps += 1;
        load.put(&store, batch).await.unwrap();
        if batch % 2 == 1 {
            merge_and_collect(&store, &clock, [Duration::ZERO, DAY, 60 * DAY][batch % 3]).await;
            jumps += 1;
        }
        let found = read(&store).await;
        assert_eq!(found, load.entries_of(0..=batch), "after batch {batch}");
    }
    let found = read(&store).await;
    let doubled = found.values().filter(|count| **count > 1).count();
    println!(
        "{jumps} jumps of the clock: {} acknowledged = {} read, doubled {doubled}",
        load.entries().len(),
        found.len()
    );
}
