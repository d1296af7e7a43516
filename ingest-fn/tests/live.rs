//! What a listener hears: everything that was stored, enriched, once a day of a commit, and nothing that was stored before.

mod common;

use std::sync::{Arc, Mutex};

use common::{NOW_NS, body, world};
use model::{EntryRef, EntryVisitor, Labels, StoredEntries, TenantId};
use store::faulty::{Fault, Operation, Rule};

/// Heard calls, each with its lines.
type Heard = Arc<Mutex<Vec<Vec<String>>>>;

#[derive(Default)]
struct Lines {
    stream: String,
    lines: Vec<String>,
}

impl EntryVisitor for Lines {
    fn stream(&mut self, labels: &Labels) -> bool {
        self.stream = labels.to_string();
        labels.get("app") != Some("not wanted")
    }

    fn entry(&mut self, entry: EntryRef<'_>) {
        self.lines.push(format!("{} {} {} {:?}", self.stream, entry.timestamp_ns, entry.line, entry.metadata));
    }
}

fn heard(tenant: &TenantId, stored: &dyn StoredEntries) -> Vec<String> {
    let mut lines = Lines::default();
    stored.walk(&mut lines);
    assert!(stored.memory_bytes() > 0);
    lines.lines.into_iter().map(|line| format!("{tenant} {line}")).collect()
}

#[tokio::test]
async fn a_commit_is_heard_once() {
    let world = world("auth_enabled: false");
    let calls = Heard::default();
    let into = calls.clone();
    let _ingest = world.ingest.clone().with_listener(move |tenant, stored| {
        into.lock().expect("not poisoned").push(heard(tenant, &*stored));
    });
    let take = || std::mem::take(&mut *calls.lock().expect("not poisoned"));
    let push = body(r#"{"app":"a"}"#, &format!(r#"["{NOW_NS}","an error"],["1","too old"]"#));
    assert_eq!(world.push(push.clone()).await.0, 400, "a part of it is refused");
    let stored = format!(r#"fake {{app="a", service_name="a"}} {NOW_NS} an error [("detected_level", "error")]"#);
    assert_eq!(take(), [[stored]]);
    assert_eq!(world.push(push).await.0, 400);
    assert_eq!(world.push(body(r#"{"app":"not wanted"}"#, &format!(r#"["{NOW_NS}","x"]"#))).await.0, 204);
    assert_eq!(take(), [Vec::<String>::new()], "a retry is no news, and a stream can be passed over");
    // Two days are two objects. One of them fails: the other is stored, and heard.
    let yesterday = NOW_NS - 86_400_000_000_000;
    let values = format!(r#"["{NOW_NS}","today"],["{yesterday}","yesterday"]"#);
    world.faulty.add(Rule::once(Operation::Put, Fault::InternalError).on_keys("2026-11-19"));
    let push = body(r#"{"app":"a"}"#, &values);
    let first = world.push(push.clone()).await.0;
    assert_eq!(world.push(push).await.0, 204);
    let mut lines: Vec<String> = take().into_iter().flatten().collect();
    lines.sort();
    assert_eq!(lines.len(), 2, "first {first}: {lines:?}");
    assert!(lines[0].contains("yesterday") && lines[1].contains("today"), "{lines:?}");
}
