//! The recorded pushes get the recorded answers, and what is stored is what Loki's answers show.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use common::{World, world};
use serde_json::Value;

fn corpus(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/testkit/conformance").join(path)
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&fs::read(corpus(path)).expect("the corpus is there")).expect("the corpus is JSON")
}

fn corpus_world() -> World {
    world(&fs::read_to_string(corpus("server.yaml")).expect("the corpus is there"))
}

/// Texts of Go's own parsers, and of what Loki answers with a 500; ours say it in their own words.
const OWN_WORDS: [&str; 6] = [
    "push/bad-json",
    "push/bad-type",
    "push/bad-number-ts",
    "push/bad-line-number",
    "push/bad-meta-type",
    "push/bad-gzip",
];

async fn push_all(world: &World) {
    for case in json("push.json").as_array().expect("a list") {
        let name = case["name"].as_str().expect("a name");
        let headers = case["headers"].as_object().expect("headers").iter();
        let headers: Vec<(&str, &str)> = headers.map(|(n, v)| (n.as_str(), v.as_str().expect("a value"))).collect();
        let body = case["body_b64"].as_str().expect("a body");
        let body = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
        let (status, text) = world.send(case["path"].as_str().expect("a path"), &headers, body).await;
        assert_eq!(u64::from(status.as_u16()), case["status"].as_u64().expect("a status"), "{name}: {text}");
        let want = case["error"].as_str().expect("a text");
        if !OWN_WORDS.contains(&name) && !name.starts_with("push/otlp-bad") && !want.is_empty() {
            // Long texts were recorded cut off.
            assert!(text.starts_with(want), "{name}: {text}");
        }
        assert_eq!(text.is_empty(), status.is_success(), "{name}: {text}");
    }
}

#[tokio::test]
async fn recorded_pushes_get_the_recorded_answers() {
    push_all(&corpus_world()).await;
}

#[tokio::test]
async fn what_is_held_after_them_is_what_loki_held() {
    let world = corpus_world();
    push_all(&world).await;
    let rows = world.rows("fake").await;
    for case in json("cases/after-push.json").as_array().expect("a list") {
        let query = case["params"]["query"].as_str().expect("a query");
        // The selectors of this family are equalities only.
        let wanted: Vec<(&str, &str)> = query
            .trim_matches(['{', '}'])
            .split(',')
            .map(|matcher| matcher.split_once('=').expect("an equality"))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        let mut want: BTreeSet<(BTreeMap<String, String>, String, String)> = BTreeSet::new();
        for stream in case["body"]["data"]["result"].as_array().expect("streams") {
            let labels: BTreeMap<String, String> = serde_json::from_value(stream["stream"].clone()).expect("labels");
            for value in stream["values"].as_array().expect("values") {
                let text = |i: usize| value[i].as_str().expect("text").to_owned();
                want.insert((labels.clone(), text(0), text(1)));
            }
        }
        let chosen = rows.iter().filter(|row| wanted.iter().all(|(name, value)| row.0.get(name) == Some(value)));
        let merged = |(labels, time, line, metadata): &common::Row| {
            let all = labels.iter().chain(metadata.iter()).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            (all, time.to_string(), line.clone())
        };
        assert_eq!(chosen.map(merged).collect::<BTreeSet<_>>(), want, "{query}");
    }
}

/// Loki's answers name the level and the service of some three thousand lines.
#[tokio::test]
async fn levels_and_services_are_those_that_loki_found() {
    let world = corpus_world();
    let mut files: Vec<PathBuf> =
        fs::read_dir(corpus("data")).expect("data").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    for file in files {
        assert_eq!(world.push(fs::read(&file).expect("data")).await, (204, String::new()), "{}", file.display());
    }
    let mut stored: HashMap<(String, String), Vec<(String, String)>> = HashMap::new();
    for (labels, time, line, metadata) in world.rows("fake").await {
        let level = metadata.get("detected_level").expect("every entry has one").to_owned();
        let service = labels.get("service_name").expect("every stream has one").to_owned();
        stored.entry((time.to_string(), line)).or_default().push((level, service));
    }
    let mut compared = 0;
    for family in ["seed", "selector", "line-filter", "window", "discovery", "label-filter"] {
        for case in json(&format!("cases/{family}.json")).as_array().expect("a list") {
            for stream in case["body"]["data"]["result"].as_array().into_iter().flatten() {
                let label = |name: &str| stream["stream"][name].as_str().map(str::to_owned);
                let (Some(level), Some(service)) = (label("detected_level"), label("service_name")) else { continue };
                for value in stream["values"].as_array().into_iter().flatten() {
                    let key =
                        (value[0].as_str().expect("a time").to_owned(), value[1].as_str().expect("a line").to_owned());
                    // A line that a query rewrote is not stored as it stands in the answer.
                    let Some(found) = stored.get(&key) else { continue };
                    assert!(
                        found.contains(&(level.clone(), service.clone())),
                        "{key:?}: want {level} {service}, found {found:?}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 1_000, "only {compared} lines compared");
}
