//! `explain`: what a query would read, and what it would skip and why, in requests, bytes and dollars.
//!
//! In: the parameters of `query`, if a `time` is given, or else those of `query_range`. Out: JSON, or text for a person with
//! `format=text`. The query's limits hold, and nothing of its answer is computed.

mod text;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use engine::{Explained, PartExplained, Reads};
use serde_json::{Value, json};

use crate::Query;
use crate::error::{PLAIN_TEXT, Refusal};
use crate::price::{PRICES_OF, Price};
use crate::request::Asked;
use crate::routes::query::{instant_request, range_request};

/// Explains a query that could be asked with the same parameters.
pub(crate) async fn explain(State(query): State<Query>, asked: Asked) -> Result<Response, Refusal> {
    let request = match asked.params.get("time") {
        "" => range_request(&asked)?,
        _ => instant_request(&asked)?,
    };
    let explained = query.0.engine.explain(request).await?;
    let price = price(&explained);
    Ok(match asked.params.get("format") {
        "text" => ([(header::CONTENT_TYPE, PLAIN_TEXT)], text::of(&explained, &price)).into_response(),
        "" | "json" => super::json(json(&explained, &price).to_string()),
        other => return Err(Refusal::bad_request(format!("format {} is not json or text", model::quote(other)))),
    })
}

fn price(explained: &Explained) -> Price {
    let searched_bytes: u64 = explained.parts.iter().map(|part| part.column_bytes).sum();
    Price::new(explained.reads(), searched_bytes)
}

fn json(explained: &Explained, price: &Price) -> Value {
    json!({
        "query": explained.query,
        "exact": explained.exact,
        "reads": reads(explained.reads()),
        "planning": reads(explained.planning),
        "blocks": reads(explained.blocks),
        "dollars": {
            "total": price.dollars(),
            "list": price.list_dollars,
            "get": price.get_dollars,
            "lambda": price.lambda_dollars,
            "lambdaSeconds": price.lambda_seconds,
            "prices": PRICES_OF,
        },
        "parts": explained.parts.iter().map(part).collect::<Vec<_>>(),
    })
}

fn part(part: &PartExplained) -> Value {
    let PartExplained { segments, blocks, .. } = part;
    json!({
        "query": part.query,
        "exact": part.exact,
        "start": part.range.start_ns().to_string(),
        "end": part.range.end_ns().to_string(),
        "segments": {
            "listed": segments.listed,
            "outsideRange": segments.outside_range,
            "beyondLimit": segments.beyond_limit,
            "opened": segments.opened,
            "cached": segments.cached,
            "withoutStreams": segments.without_streams,
        },
        "streams": {"chosen": part.streams, "seen": part.streams_seen},
        "filtersAskedFor": part.need,
        "blocks": {
            "all": blocks.all,
            "outsideRange": blocks.outside_range,
            "otherStreams": blocks.other_streams,
            "bySegmentFilter": blocks.by_segment_filter,
            "byBlockFilter": blocks.by_block_filter,
            "byGramFilter": blocks.by_gram_filter,
            "counted": blocks.counted,
            "beyondLimit": blocks.beyond_limit,
            "read": blocks.read,
        },
        "columns": part.columns,
        "entries": part.rows,
        "columnBytes": part.column_bytes,
        "reads": {
            "listing": reads(part.listing),
            "footers": reads(part.footers),
            "filters": reads(part.filters),
            "doubles": reads(part.doubles),
            "counts": reads(part.counts),
            "columns": reads(part.columns_read),
        },
    })
}

fn reads(reads: Reads) -> Value {
    json!({"lists": reads.lists, "gets": reads.gets, "bytes": reads.bytes})
}
