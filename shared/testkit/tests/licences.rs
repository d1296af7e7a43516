//! Every crate that is built in has a permissive licence: the list of `deny.toml`, asked of cargo itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn every_dependency_is_permissive() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let deny: toml::Table =
        std::fs::read_to_string(root.join("deny.toml")).expect("deny.toml is there").parse().unwrap();
    let allowed: BTreeSet<&str> =
        deny["licenses"]["allow"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();

    // Only what is built for this machine: cargo has it at hand, since it built this test.
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc tells its host");
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(&root)
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Value = serde_json::from_slice(&cargo.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages are a list");

    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !permissive(package["license"].as_str().unwrap_or_default(), &allowed))
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "licences that deny.toml does not allow: {refused:#?}");
    println!("{} packages, all permissive", packages.len());
}

/// Whether one of the alternatives of an SPDX expression is allowed in all its parts.
fn permissive(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let flat = expression.replace('/', " OR ").replace(['(', ')'], " ");
    // Without brackets `A OR B AND C` reads as A or (B and C); an expression that means (A or B) and C then asks for less
    // of A, so the part behind the last bracket is asked on its own.
    let tail_holds = expression.rsplit(')').next().is_none_or(|tail| {
        !expression.contains(')')
            || tail.split(" AND ").all(|part| part.trim().is_empty() || allowed.contains(part.trim()))
    });
    tail_holds
        && flat.split(" OR ").any(|choice| {
            choice
                .split(" AND ")
                .all(|part| allowed.contains(part.split_whitespace().collect::<Vec<_>>().join(" ").as_str()))
        })
}
