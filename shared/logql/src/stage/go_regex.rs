//! Go's regular expressions (RE2) on the `regex` crate.
//!
//! The two dialects are siblings; what differs is rewritten: `\d`, `\w`, `\s` and `\b` are ASCII in Go, a `{` that starts
//! no repetition and a `[` inside a class are plain characters, `\<` is an escaped character, `\Q…\E` quotes. In: a
//! pattern. Out: an expression with bounded size, or Go's words for what is wrong with it.

use regex::{Regex, RegexBuilder};

use crate::Error;

/// Largest compiled expression, in bytes.
const REGEX_BYTES_MAX: usize = 4 << 20;
/// Deepest nesting of groups.
const REGEX_DEPTH_MAX: u32 = 200;
/// Go's own limit of `x{n}`.
const REPEAT_MAX: u32 = 1000;

/// Compiles a pattern that may match anywhere.
pub(crate) fn compile(pattern: &str) -> Result<Regex, Error> {
    build(pattern, &translate(pattern)?)
}

/// Compiles a pattern that must match the whole text.
pub(crate) fn compile_anchored(pattern: &str) -> Result<Regex, Error> {
    // Compiled alone first: `a)(b` must not close our group.
    compile(pattern)?;
    build(pattern, &format!("^(?s:{})$", translate(pattern)?))
}

/// Compiles what is written in our own dialect already.
pub(crate) fn compile_plain(pattern: &str) -> Result<Regex, Error> {
    build(pattern, pattern)
}

fn build(pattern: &str, translated: &str) -> Result<Regex, Error> {
    RegexBuilder::new(translated)
        .size_limit(REGEX_BYTES_MAX)
        .nest_limit(REGEX_DEPTH_MAX)
        .build()
        .map_err(|error| Error::invalid(format!("error parsing regexp: {}", explain(pattern, &error))))
}

/// What Go would say, as far as the other parser's words tell.
fn explain(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let known = [
        ("unclosed group", "missing closing )"),
        ("unopened group", "unexpected )"),
        ("unclosed character class", "missing closing ]"),
        ("repetition operator missing expression", "missing argument to repetition operator"),
        ("unrecognized escape sequence", "invalid escape sequence"),
        ("invalid character class range", "invalid character class range"),
        ("exceeds size limit", "expression too large"),
        ("look-around", "invalid or unsupported Perl syntax"),
        ("duplicate capture group name", "duplicate capture group name"),
    ];
    let go = known.iter().find(|(ours, _)| text.contains(ours)).map_or("invalid regular expression", |(_, go)| go);
    format!("{go}: `{pattern}`")
}

fn translate(pattern: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            '\\' => escape(after, in_class, &mut out),
            '[' if in_class => inner_bracket(rest, &mut out),
            '[' => {
                in_class = true;
                open_class(after, &mut out)
            }
            ']' => {
                in_class = false;
                out.push(']');
                after
            }
            // Set operations of the other dialect.
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
                after
            }
            '{' if !in_class => {
                if !is_repetition(after, pattern)? {
                    out.push('\\');
                }
                out.push('{');
                after
            }
            _ => {
                out.push(c);
                after
            }
        };
    }
    Ok(out)
}

/// Copies what follows a backslash; gives the rest.
fn escape<'p>(after: &'p str, in_class: bool, out: &mut String) -> &'p str {
    let Some(c) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    let rest = after.get(c.len_utf8()..).unwrap_or_default();
    let set = match c {
        'd' | 'D' => "0-9",
        'w' | 'W' => "0-9A-Za-z_",
        's' | 'S' => "\\t\\n\\f\\r ",
        'b' if !in_class => {
            out.push_str("(?-u:\\b)");
            return rest;
        }
        'Q' => {
            let (quoted, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(quoted));
            return rest;
        }
        'p' | 'P' | 'x' if rest.starts_with('{') => {
            let (name, after) = rest.split_at(rest.find('}').map_or(rest.len(), |end| end + 1));
            out.extend(["\\", c.encode_utf8(&mut [0; 4]), name]);
            return after;
        }
        '<' | '>' | '_' => {
            out.push(c);
            return rest;
        }
        _ => {
            out.push('\\');
            out.push(c);
            return rest;
        }
    };
    let negated = c.is_ascii_uppercase();
    match (in_class, negated) {
        (true, false) => out.push_str(set),
        (_, true) => out.extend(["[^", set, "]"]),
        (false, false) => out.extend(["[", set, "]"]),
    }
    rest
}

/// Starts a class: a `]` that comes first is a plain one.
fn open_class<'p>(after: &'p str, out: &mut String) -> &'p str {
    out.push('[');
    let after = after.strip_prefix('^').inspect(|_| out.push('^')).unwrap_or(after);
    after.strip_prefix(']').inspect(|_| out.push_str("\\]")).unwrap_or(after)
}

/// `[:alpha:]` stays as it is, any other `[` in a class is a plain one.
fn inner_bracket<'p>(rest: &'p str, out: &mut String) -> &'p str {
    if rest.starts_with("[:")
        && let Some(end) = rest.find(":]")
    {
        let (class, after) = rest.split_at(end + 2);
        out.push_str(class);
        return after;
    }
    out.push_str("\\[");
    rest.get(1..).unwrap_or_default()
}

/// Whether what follows a `{` makes it a repetition: `3}`, `3,}`, `3,5}`.
fn is_repetition(after: &str, pattern: &str) -> Result<bool, Error> {
    let Some((inside, _)) = after.split_once('}') else { return Ok(false) };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if low.is_empty() || !digits(low) || !digits(high) {
        return Ok(false);
    }
    let too_many = |text: &str| !text.is_empty() && text.parse::<u32>().map_or(true, |n| n > REPEAT_MAX);
    if too_many(low) || too_many(high) {
        return Err(Error::invalid(format!("error parsing regexp: invalid repeat count: `{pattern}`")));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, text, want) in [
            ("^\\d+$", "12", true),
            ("^\\d+$", "٣", false),
            ("^\\w+$", "é", false),
            ("^[\\w-]+$", "a-b_1", true),
            ("^[^\\d]$", "5", false),
            ("^[\\D]$", "x", true),
            ("^\\S+$", "a\u{a0}b", true),
            ("a\\b", "a é", true),
            ("a{", "a{", true),
            ("{foo}", "{foo}", true),
            ("^a{2}$", "aa", true),
            ("^x{,2}$", "x{,2}", true),
            ("[[a]", "[", true),
            ("^[]a]+$", "]a", true),
            ("^[^]a]+$", "]", false),
            ("^[[:alpha:]]+$", "ab", true),
            ("^[a&&b]+$", "a&b", true),
            ("\\<b\\>", "<b>", true),
            ("\\Qa.b\\E+", "a.bb", true),
            ("(?i)ÜN", "ünï", true),
            ("(?s)a.b", "a\nb", true),
            ("a.b", "a\nb", false),
            ("\\p{Greek}", "α", true),
            ("\\x{1F389}", "🎉", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), want, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_go_words() {
        for (pattern, want) in [
            ("(", "missing closing ): `(`"),
            ("a)", "unexpected ): `a)`"),
            ("[a", "missing closing ]: `[a`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a{1001}", "invalid repeat count: `a{1001}`"),
            ("((a{1000}){1000}){1000}", "expression too large: `((a{1000}){1000}){1000}`"),
        ] {
            assert_eq!(compile(pattern).unwrap_err().text(), format!("error parsing regexp: {want}"));
        }
    }

    #[test]
    fn anchors_hold_for_every_alternative() {
        let regex = compile_anchored("warn|error.*").unwrap();
        for (text, want) in
            [("warn", true), ("warning", false), ("errors", true), ("an error", false), ("error\n", true)]
        {
            assert_eq!(regex.is_match(text), want, "{text}");
        }
        assert!(compile_anchored("a)(b").is_err());
    }
}
