//! The expressions of label filters, anchored as far as Loki anchors them.
//!
//! `| level=~"e.r"` must match the whole value. But where each alternative is a literal, and `.*` stands at an end of it,
//! Loki asks only whether the value contains the literal: `e.*` finds `debug`. Dashboards have been tuned to that.

use regex::Regex;

use crate::{Error, regexp};

/// Compiles a label filter's expression.
pub(crate) fn compile(pattern: &str) -> Result<Regex, Error> {
    let strict = regexp::compile_anchored(pattern).map_err(Error::invalid)?;
    match loosen(pattern) {
        Some(loose) => regexp::compile(&loose).map_err(Error::invalid),
        None => Ok(strict),
    }
}

/// The unanchored expression that does the same, if the pattern is nothing but literals with `.*` at their ends.
fn loosen(pattern: &str) -> Option<String> {
    let (flags, body) = match pattern.strip_prefix("(?i)") {
        Some(body) => ("(?i)", body),
        None => ("", pattern),
    };
    let body = body.strip_prefix('(').and_then(|inside| inside.strip_suffix(')')).unwrap_or(body);
    let alternatives: Vec<String> = body.split('|').map(loosen_alternative).collect::<Option<_>>()?;
    Some(format!("{flags}(?:{})", alternatives.join("|")))
}

fn loosen_alternative(text: &str) -> Option<String> {
    let after = text.strip_prefix(".*").unwrap_or(text);
    let literal = after.strip_suffix(".*").unwrap_or(after);
    if literal.is_empty() || !is_literal(literal) {
        return None;
    }
    Some(if literal.len() == text.len() { format!("^{literal}$") } else { literal.to_owned() })
}

/// Whether every operator is escaped. An escaped letter means more than itself.
fn is_literal(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let fits = match c {
            '\\' => characters.next().is_some_and(|c| c.is_ascii_punctuation()),
            _ => !".*+?()[]{}^$|".contains(c),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_at_the_ends_take_the_anchors_away() {
        for (pattern, value, want) in [
            ("w.*|e.*", "debug", true),
            ("w.*|e.*", "info", false),
            ("user.*", "the user", true),
            (".*user", "users", true),
            ("(a.*|b.*)", "xb", true),
            ("(?i)ERR.*", "an error", true),
            (r"10\.4\..*", "x10.4.1", true),
            (r"10\.4\..*", "10x4.1", false),
            // Without a wildcard, or with anything else in it, the whole value counts.
            ("warn|error", "warning", false),
            ("warn|error", "warn", true),
            ("w.+|e.+", "debug", false),
            ("a.*b", "xab", false),
            ("a.*b", "ab", true),
            (r"a\.*", "xa.", false),
            (".*", "", true),
            (".+", "", false),
            ("", "x", false),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(value), want, "{pattern} on {value}");
        }
    }
}
