//! The walls between the rooms: reads every manifest and fails on an edge that the design does not draw.
//!
//! `logql`, `segment` and `loki-api` never see each other, the pure crates never see anything asynchronous, and the
//! local binary sees the three edges alone. Development dependencies may go anywhere below.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Crate, folder, the rooms it may use.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("model", "shared/model", &[]),
    ("logql", "shared/logql", &["model"]),
    ("segment", "shared/segment", &["model"]),
    ("loki-api", "shared/loki-api", &["model"]),
    ("store", "shared/store", &["segment", "model"]),
    ("engine", "shared/engine", &["store", "segment", "logql", "model"]),
    ("upkeep", "shared/upkeep", &["engine", "store", "segment", "logql", "model"]),
    // What both functions have before their routers.
    ("door", "shared/door", &["invoke", "loki-api", "upkeep"]),
    // How functions ask functions.
    ("invoke", "shared/invoke", &[]),
    ("collector", "collector", &["loki-api", "model"]),
    ("ingest-fn", "ingest-fn", &["door", "invoke", "loki-api", "upkeep", "store", "segment", "model"]),
    ("query-fn", "query-fn", &["door", "invoke", "loki-api", "upkeep", "engine", "store", "model"]),
    ("logbarn", "infra/local", &["collector", "ingest-fn", "query-fn"]),
    // Development only: anything may be below it, nothing but tests may be above it.
    ("testkit", "shared/testkit", &["model"]),
    ("localstack-tests", "localstack-tests", &["testkit"]),
];

/// What a crate below the edges must not bring: it has no clock, no network, no tasks.
const NOT_PURE: &[&str] = &["tokio", "axum", "reqwest", "object_store", "tracing", "futures", "lambda_http"];
const PURE: &[&str] = &["model", "logql", "segment", "loki-api"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn dependencies(folder: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("each room has a manifest");
    let manifest: toml::Table = text.parse().expect("a manifest is TOML");
    let tables = ["dependencies", "build-dependencies"];
    tables.iter().filter_map(|t| manifest.get(*t)?.as_table()).flat_map(|t| t.keys().cloned()).collect()
}

#[test]
fn every_edge_is_drawn_in_the_design() {
    let names: BTreeSet<&str> = ROOMS.iter().map(|(name, ..)| *name).collect();
    let mut wrong = Vec::new();
    for (name, folder, allowed) in ROOMS {
        for dependency in dependencies(folder) {
            if names.contains(dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that the design does not have: {wrong:?}");
}

#[test]
fn pure_rooms_stay_pure() {
    for (name, folder, _) in ROOMS.iter().filter(|(name, ..)| PURE.contains(name)) {
        let found: Vec<String> = dependencies(folder).into_iter().filter(|d| NOT_PURE.contains(&d.as_str())).collect();
        assert!(found.is_empty(), "{name} is pure and depends on {found:?}");
    }
}

#[test]
fn every_member_is_a_known_room() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).expect("the root manifest is there");
    let manifest: toml::Table = text.parse().expect("a manifest is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members are a list");
    let members: BTreeSet<&str> = members.iter().filter_map(toml::Value::as_str).collect();
    let known: BTreeSet<&str> = ROOMS.iter().map(|(_, folder, _)| *folder).collect();
    assert_eq!(members, known);
}

#[test]
fn versions_stand_in_the_root_manifest_alone() {
    for (name, folder, _) in ROOMS {
        let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("each room has a manifest");
        let manifest: toml::Table = text.parse().expect("a manifest is TOML");
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (dependency, how) in manifest.get(table).and_then(toml::Value::as_table).into_iter().flatten() {
                let from_root = how.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(from_root, "{name} gives {dependency} a version of its own");
            }
        }
    }
}
