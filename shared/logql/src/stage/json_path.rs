//! `| json a="x.y[0]", b="x[\"k y\"]"`: single values out of a JSON line.
//!
//! Every label is made, empty where the line does not have it. Objects come out as written. One walk serves all paths;
//! what no path asks for is stepped over.

use super::json::ERROR;
use super::json_scan::{Scanner, Text, Value, string_into, unescape_into};
use crate::Error;
use crate::ast::Extraction;
use crate::labels::{LineLabels, Prefix};

/// Longest path, in steps: the walk goes no deeper.
const STEPS_MAX: usize = 100;
/// Most paths of a stage.
const PATHS_MAX: usize = 500;

/// Labels and where their values lie.
#[derive(Debug)]
pub(crate) struct JsonPaths(Vec<JsonPath>);

#[derive(Debug)]
struct JsonPath {
    label: String,
    steps: Vec<Step>,
}

/// One step into a value.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl JsonPaths {
    pub(crate) fn new(extractions: &[Extraction]) -> Result<Self, Error> {
        if extractions.len() > PATHS_MAX {
            return Err(Error::invalid(format!("more than {PATHS_MAX} json expressions")));
        }
        let compile = |extraction: &Extraction| {
            let steps = parse_path(&extraction.expression).filter(|steps| steps.len() <= STEPS_MAX);
            let invalid = || Error::invalid(format!("cannot parse expression [{}]", extraction.expression));
            Ok(JsonPath { label: extraction.label.clone(), steps: steps.ok_or_else(invalid)? })
        };
        extractions.iter().map(compile).collect::<Result<_, _>>().map(JsonPaths)
    }

    pub(crate) fn process(&self, line: &str, labels: &mut LineLabels<'_>) {
        if line.is_empty() {
            return;
        }
        if !line.starts_with(['"', '{', '[']) {
            labels.set_error(ERROR, None);
            return;
        }
        let mut walk = Walk { scanner: Scanner::new(line), paths: &self.0, found: vec![false; self.0.len()], labels };
        let all: Vec<usize> = (0..self.0.len()).collect();
        // A line that breaks off keeps what was found.
        let _ = walk.value(&all, 0);
        let found = walk.found;
        for (path, found) in self.0.iter().zip(found) {
            if !found && labels.get(&path.label).is_none() {
                labels.set(&path.label, "");
            }
        }
    }
}

struct Walk<'l, 'a, 'b> {
    scanner: Scanner<'l>,
    paths: &'b [JsonPath],
    found: Vec<bool>,
    labels: &'b mut LineLabels<'a>,
}

impl Walk<'_, '_, '_> {
    /// Walks a value to which the first `depth` steps of the active paths lead.
    fn value(&mut self, active: &[usize], depth: usize) -> Option<()> {
        let here: Vec<usize> = active.iter().copied().filter(|i| self.step(*i, depth).is_none()).collect();
        let deeper: Vec<usize> = active.iter().copied().filter(|i| self.step(*i, depth).is_some()).collect();
        let start = self.scanner;
        let first = self.scanner.peek()?;
        if !here.is_empty() {
            let value = self.scanner.value().ok()?;
            for i in here {
                self.emit(i, value);
            }
        }
        match first {
            b'{' | b'[' if !deeper.is_empty() => {
                self.scanner = start;
                if first == b'{' { self.object(&deeper, depth) } else { self.array(&deeper, depth) }
            }
            _ if active.len() == deeper.len() => self.scanner.value().ok().map(drop),
            _ => Some(()),
        }
    }

    fn step(&self, path: usize, depth: usize) -> Option<&Step> {
        self.paths.get(path)?.steps.get(depth)
    }

    fn object(&mut self, active: &[usize], depth: usize) -> Option<()> {
        self.scanner.peek()?;
        self.scanner.step();
        let mut name = String::new();
        loop {
            match self.scanner.peek()? {
                b'}' => break,
                b'"' => {}
                _ => return None,
            }
            let key = self.scanner.key().ok()?;
            name.clear();
            unescape_into(key.raw, &mut name)?;
            let leads = |step: Option<&Step>| matches!(step, Some(Step::Key(key)) if *key == name);
            self.member(active, depth, leads)?;
            match self.scanner.peek()? {
                b'}' => break,
                b',' => self.scanner.step(),
                _ => return None,
            }
        }
        self.scanner.step();
        Some(())
    }

    fn array(&mut self, active: &[usize], depth: usize) -> Option<()> {
        self.scanner.peek()?;
        self.scanner.step();
        let mut index = 0;
        while self.scanner.peek()? != b']' {
            let leads = |step: Option<&Step>| matches!(step, Some(Step::Index(i)) if *i == index);
            self.member(active, depth, leads)?;
            index += 1;
            match self.scanner.peek()? {
                b']' => break,
                b',' => self.scanner.step(),
                _ => return None,
            }
        }
        self.scanner.step();
        Some(())
    }

    /// A member of an object or array: walked by the paths that lead into it, else stepped over.
    fn member(&mut self, active: &[usize], depth: usize, leads: impl Fn(Option<&Step>) -> bool) -> Option<()> {
        let into: Vec<usize> =
            active.iter().copied().filter(|i| !self.is_found(*i) && leads(self.step(*i, depth))).collect();
        if into.is_empty() { self.scanner.value().ok().map(drop) } else { self.value(&into, depth + 1) }
    }

    fn is_found(&self, path: usize) -> bool {
        self.found.get(path).copied().unwrap_or_default()
    }

    fn emit(&mut self, path: usize, value: Value<'_>) {
        let (Some(found), Some(path)) = (self.found.get_mut(path), self.paths.get(path)) else { return };
        *found = true;
        self.labels.extract_with(Prefix::NONE, &path.label, |out| match value {
            Value::Null => {}
            Value::Object(text) => out.push_str(text),
            Value::String(text) => string_into(text, out),
            Value::Plain(raw) | Value::Array(raw) => string_into(Text { raw, has_escapes: raw.contains('\\') }, out),
        });
    }
}

/// Reads `a.b[0]["c d"]`.
fn parse_path(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = if let Some(quoted) = inside.strip_prefix('"') {
                let mut scanner = Scanner::new(quoted);
                let mut key = String::new();
                unescape_into(scanner.string()?.raw, &mut key)?;
                (Step::Key(key), quoted.get(scanner.position()..)?.strip_prefix(']')?)
            } else {
                let (index, after) = inside.split_once(']')?;
                (Step::Index(index.parse().ok()?), after)
            };
            steps.push(step);
            rest = after;
            continue;
        }
        // A dot joins two steps; none may stand first or last.
        let field = if steps.is_empty() { rest } else { rest.strip_prefix('.')? };
        let end = field.find(['.', '[']).unwrap_or(field.len());
        let (name, after) = field.split_at(end);
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        steps.push(Step::Key(name.to_owned()));
        rest = after;
    }
    (!steps.is_empty()).then_some(steps)
}
