//! Finds the files that a target's `__path__` names.
//!
//! In: a glob pattern (`*`, `?`, `[a-z]`, `**` for any folders, `{a,b}` for either) and one for what to leave out. Out: absolute
//! names of files, at most a limit. Compressed files are left out: their bytes are no lines.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

/// How many names one target gives at most.
pub(crate) const FILES_PER_TARGET_MAX: usize = 10_000;
/// How many patterns the braces of one may stand for.
const ALTERNATIVES_MAX: usize = 1_000;

/// Endings of files that hold no plain lines.
const COMPRESSED_ENDINGS: [&str; 9] = ["gz", "tgz", "z", "Z", "bz2", "xz", "zst", "lz4", "zip"];

/// `*` never crosses a folder, and matches a leading dot, as in Go.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A pattern of files.
#[derive(Debug, Clone)]
pub(crate) struct FilePattern {
    include: Vec<String>,
    exclude: Vec<Pattern>,
}

impl FilePattern {
    /// Checks the patterns; relative ones start at the working folder.
    pub(crate) fn new(include: &str, exclude: Option<&str>) -> Result<Self, String> {
        let mut excluded = Vec::new();
        for pattern in exclude.map(absolute_alternatives).transpose()?.unwrap_or_default() {
            excluded.push(compile(&pattern)?);
        }
        let include = absolute_alternatives(include)?;
        for pattern in &include {
            compile(pattern)?;
        }
        Ok(FilePattern { include, exclude: excluded })
    }

    /// The files that are there now, sorted. What cannot be read is left out, and told in the log.
    pub(crate) fn find(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for pattern in &self.include {
            let Ok(paths) = glob::glob_with(pattern, OPTIONS) else { continue };
            for path in paths.take(FILES_PER_TARGET_MAX) {
                match path {
                    Ok(path) if !self.is_excluded(&path) => found.push(path),
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "cannot look for log files here"),
                }
            }
        }
        found.sort();
        found.dedup();
        found.truncate(FILES_PER_TARGET_MAX);
        found
    }

    fn is_excluded(&self, path: &Path) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches_path_with(path, OPTIONS))
    }
}

/// Whether a name's ending says that the file is compressed.
pub(crate) fn is_compressed(path: &Path) -> bool {
    path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| COMPRESSED_ENDINGS.contains(&ending))
}

fn compile(pattern: &str) -> Result<Pattern, String> {
    Pattern::new(pattern).map_err(|error| format!("bad file pattern {pattern:?}: {error}"))
}

fn absolute_alternatives(pattern: &str) -> Result<Vec<String>, String> {
    if pattern.is_empty() {
        return Err("empty file pattern".into());
    }
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        if open.len() + done.len() > ALTERNATIVES_MAX {
            return Err(format!("braces of {pattern:?} stand for more than {ALTERNATIVES_MAX} patterns"));
        }
        match split_braces(&pattern) {
            Some((before, choices, after)) => {
                open.extend(choices.iter().rev().map(|choice| format!("{before}{choice}{after}")));
            }
            None => {
                let absolute =
                    std::path::absolute(&pattern).map_err(|error| format!("bad file pattern {pattern:?}: {error}"))?;
                done.push(absolute.to_string_lossy().into_owned());
            }
        }
    }
    Ok(done)
}

/// Splits at the innermost of the first braces: `a{b,c}d` is `a`, [`b`, `c`], `d`.
fn split_braces(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let (head, after) = pattern.split_once('}')?;
    let (before, inside) = head.rsplit_once('{')?;
    Some((before, inside.split(',').collect(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_they_say() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.log", "b.log", "c.txt", "x/a.log", "x/y/d.log", "x/y/skip.log", ".dot.log"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let check = |include: &str, exclude: Option<&str>, want: &[&str]| {
            let at = |pattern: &str| folder.path().join(pattern).to_str().unwrap().to_owned();
            let pattern = FilePattern::new(&at(include), exclude.map(at).as_deref()).unwrap();
            let found: Vec<String> = pattern
                .find()
                .iter()
                .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
                .collect();
            assert_eq!(found, want, "{include}");
        };
        check("*.log", None, &[".dot.log", "a.log", "b.log"]);
        check("{a,c}.{log,txt}", None, &["a.log", "c.txt"]);
        check("x/**/*.log", None, &["x/a.log", "x/y/d.log", "x/y/skip.log"]);
        check("**/*.log", Some("**/{skip,a,b,.dot}.log"), &["x/y/d.log"]);
        check("[ab].log", None, &["a.log", "b.log"]);
        check("none/*.log", None, &[]);
        assert!(FilePattern::new("a[", None).is_err());
        assert!(FilePattern::new("", None).is_err());
        assert!(is_compressed(Path::new("/a/app.log.1.gz")) && !is_compressed(Path::new("/a/gz")));
    }
}
