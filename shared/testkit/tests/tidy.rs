//! Small promises about the source itself: each file opens with one, functions fit a screen, nothing is left over.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest function, in lines; tests and tables may be longer.
const FUNCTION_LINES_MAX: usize = 70;
/// Functions that were longer when the rule came and may only shrink: none.
const LONG_FUNCTIONS: &[&str] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the checkout can be read") {
            let path = entry.expect("a folder entry can be read").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && !name.starts_with('.') && !["target", "data", "node_modules"].contains(&name.as_str()) {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn each_file(mut check: impl FnMut(&str, &str)) {
    let root = root();
    for path in rust_files() {
        let text = fs::read_to_string(&path).expect("a source file is text");
        let name = path.strip_prefix(&root).expect("found below the root").display().to_string();
        check(&name, &text);
    }
}

#[test]
fn every_file_opens_with_its_promise() {
    let mut bare = Vec::new();
    each_file(|name, text| {
        if !text.starts_with("//!") {
            bare.push(name.to_owned());
        }
    });
    assert!(bare.is_empty(), "files without a promise in their first line: {bare:#?}");
}

#[test]
fn functions_fit_a_screen() {
    let mut long = Vec::new();
    each_file(|name, text| {
        if name.contains("/tests/") || name.contains("/benches/") {
            return;
        }
        let lines: Vec<&str> = text.lines().take_while(|line| *line != "#[cfg(test)]").collect();
        for (start, line) in lines.iter().enumerate() {
            let Some(function) = function_name(line) else { continue };
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = lines[start..].iter().position(|l| *l == format!("{indent}}}")).unwrap_or(0);
            let label = format!("{name} {function}");
            if end > FUNCTION_LINES_MAX && !LONG_FUNCTIONS.contains(&label.as_str()) {
                long.push(format!("{label}: {end} lines"));
            }
        }
    });
    assert!(long.is_empty(), "functions over {FUNCTION_LINES_MAX} lines: {long:#?}");
}

/// The name of the function that a line begins, if it begins one with a body on the following lines.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| {
        matches!(*word, "const" | "async" | "unsafe" | "pub") || word.starts_with("pub(") || *word == "super)"
    });
    (words.next()? == "fn" && !line.ends_with('}')).then_some(())?;
    words.next()?.split(['(', '<']).next()
}

#[test]
fn nothing_is_left_over() {
    let leftovers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut found = Vec::new();
    each_file(|name, text| {
        for (number, line) in text.lines().enumerate() {
            if leftovers.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    });
    assert!(found.is_empty(), "left over: {found:#?}");
}

#[test]
fn every_script_is_run() {
    // A folder of scripts that no test file of its crate names would rot unseen.
    let mut orphans = Vec::new();
    let sources: Vec<(String, String)> = {
        let mut all = Vec::new();
        each_file(|name, text| all.push((name.to_owned(), text.to_owned())));
        all
    };
    for scripts in script_folders(&root()) {
        let folder = scripts.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let crate_folder = scripts.ancestors().find(|a| a.join("Cargo.toml").exists()).expect("scripts lie in a crate");
        let prefix = crate_folder.strip_prefix(root()).expect("below the root").display().to_string();
        let named = sources.iter().any(|(name, text)| name.starts_with(&prefix) && text.contains(&folder));
        if !named {
            orphans.push(scripts.display().to_string());
        }
    }
    assert!(orphans.is_empty(), "script folders that no test runs: {orphans:#?}");
}

fn script_folders(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the checkout can be read").flatten() {
        let path = entry.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(script_folders(&path));
        } else if name.ends_with(".test") && !found.iter().any(|f| f == folder) {
            found.push(folder.to_owned());
        }
    }
    found
}
