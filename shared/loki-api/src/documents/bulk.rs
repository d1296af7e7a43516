//! Elasticsearch's `_bulk`: pairs of an action and a document, and the answer that tells of each.
//!
//! In: a decompressed body. Out: streams, an item for each action, and the JSON of the answer. `create` and `index` store the
//! document; `update` and `delete` are refused one by one, as logs do not change. An action that cannot be read refuses the whole
//! body, as in Elasticsearch: what follows it cannot be told apart. <https://www.elastic.co/guide/en/elasticsearch/reference/8.19/docs-bulk.html>

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;

use super::{FieldNames, Place, Streams};
use crate::push::{DecodeError, PushRequest};

/// Actions in one body: each is an item of the answer.
const ACTIONS_MAX: usize = 500_000;

/// An action, and what became of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Item<'a> {
    action: &'static str,
    index: Cow<'a, str>,
    id: Option<Cow<'a, str>>,
    /// Bytes of the document.
    pub bytes: usize,
    /// Where its document went, or why it went nowhere.
    pub place: Result<Place, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Target<'a> {
    #[serde(borrow)]
    _index: Option<Cow<'a, str>>,
    #[serde(borrow)]
    _id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action<'a> {
    #[serde(borrow)]
    Create(Target<'a>),
    #[serde(borrow)]
    Index(Target<'a>),
    #[serde(borrow)]
    Update(Target<'a>),
    #[serde(borrow)]
    Delete(Target<'a>),
}

/// Reads a body. `index` is the one of the path, for actions that name none.
pub fn decode_bulk<'a>(
    body: &'a str,
    index: &'a str,
    names: &FieldNames,
) -> Result<(PushRequest<'a>, Vec<Item<'a>>), DecodeError> {
    let mut streams = Streams::new(names);
    let mut items = Vec::new();
    let mut lines = (1..).zip(body.split('\n').map(str::trim_ascii));
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let malformed = |why: String| DecodeError::Bulk(format!("Malformed action/metadata line [{number}], {why}"));
        let action: Action<'a> = serde_json::from_str(line).map_err(|e| malformed(e.to_string()))?;
        let (action, target, stores) = match action {
            Action::Create(target) => ("create", target, true),
            Action::Index(target) => ("index", target, true),
            Action::Update(target) => ("update", target, false),
            Action::Delete(target) => ("delete", target, false),
        };
        let document = match action {
            "delete" => "",
            _ => lines
                .next()
                .map(|(_, line)| line)
                .ok_or_else(|| malformed("expected a document after it".to_owned()))?,
        };
        let place = match stores {
            true => streams.add(document)?,
            false => Err(format!("action [{action}] is not supported: logs are only added")),
        };
        if items.len() >= ACTIONS_MAX {
            return Err(DecodeError::TooMany);
        }
        let index = target._index.unwrap_or(Cow::Borrowed(index));
        items.push(Item { action, index, id: target._id, bytes: document.len(), place });
    }
    if items.is_empty() {
        return Err(DecodeError::Bulk("request body is required".to_owned()));
    }
    Ok((streams.request, items))
}

/// The answer. `refusal` says whether what was read was refused later, with its status and text.
pub fn answer<'r>(items: &[Item<'_>], took_ms: u128, refusal: impl Fn(Place) -> Option<(u16, &'r str)>) -> String {
    let mut out = String::with_capacity(64 + items.len() * 64);
    let mut any = false;
    for (number, item) in items.iter().enumerate() {
        let error = match &item.place {
            Ok(place) => refusal(*place),
            Err(why) => Some((400, why.as_str())),
        };
        let (comma, action, index) = (if number == 0 { "" } else { "," }, item.action, json(&item.index));
        // Writing to a string does not fail.
        let _ = write!(out, r#"{comma}{{"{action}":{{"_index":{index},"#);
        if let Some(id) = &item.id {
            let _ = write!(out, r#""_id":{},"#, json(id));
        }
        let _ = match error {
            None => write!(out, r#""result":"created","status":201}}}}"#),
            Some((status, why)) => {
                any = true;
                write!(out, r#""status":{status},"error":{}}}}}"#, error_json(status, why))
            }
        };
    }
    format!(r#"{{"took":{took_ms},"errors":{any},"items":[{out}]}}"#)
}

/// The body of an answer that refuses a request as a whole.
pub fn refusal(status: u16, reason: &str) -> String {
    let error = error_json(status, reason);
    format!(r#"{{"error":{{"root_cause":[{error}],{},"status":{status}}}"#, error.trim_start_matches('{'))
}

/// An error as Elasticsearch prints one.
fn error_json(status: u16, reason: &str) -> String {
    let kind = match status {
        401 | 403 => "security_exception",
        413 => "content_too_long_exception",
        429 => "es_rejected_execution_exception",
        500.. => "unavailable_shards_exception",
        _ => "document_parsing_exception",
    };
    format!(r#"{{"type":"{kind}","reason":{}}}"#, json(reason))
}

fn json(text: &str) -> serde_json::Value {
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> String {
        match decode_bulk(body, "path", &FieldNames::new("bulk")) {
            Ok((_, items)) => answer(&items, 0, |place| (place == (0, 1)).then_some((429, "later"))),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_action_is_told() {
        let body = concat!(
            "{\"create\":{}}\n{\"message\":\"a\"}\n\n",
            "{\"index\":{\"_index\":\"i\",\"_id\":\"\\\"1\",\"pipeline\":\"p\"}}\n{\"message\":\"b\"}\n",
            "{\"delete\":{\"_id\":\"1\"}}\n{\"update\":{}}\n{\"doc\":{}}\n{\"create\":{}}\nno json",
        );
        let want = concat!(
            r#"{"took":0,"errors":true,"items":[{"create":{"_index":"path","result":"created","status":201}},"#,
            r#"{"index":{"_index":"i","_id":"\"1","status":429,"error":{"type":"es_rejected_execution_exception","reason":"later"}}},"#,
            r#"{"delete":{"_index":"path","_id":"1","status":400,"error":{"type":"document_parsing_exception","reason":"action [delete] is not supported: logs are only added"}}},"#,
            r#"{"update":{"_index":"path","status":400,"error":{"type":"document_parsing_exception","reason":"action [update] is not supported: logs are only added"}}},"#,
            r#"{"create":{"_index":"path","status":400,"error":{"type":"document_parsing_exception","reason":"expected ident at line 1 column 2"}}}]}"#,
        );
        assert_eq!(told(body), want);
    }

    #[test]
    fn refused_as_a_whole() {
        let check = |body: &str, want: &str| assert!(told(body).starts_with(want), "{body}: {}", told(body));
        check("", "request body is required");
        check("{\"create\":{}}\n{}\n{\"a\":1}\n{}\n", "Malformed action/metadata line [3], unknown variant");
        check("nonsense", "Malformed action/metadata line [1], expected value");
        check("{\"create\":{}}", "Malformed action/metadata line [1], expected a document after it");
    }
}
