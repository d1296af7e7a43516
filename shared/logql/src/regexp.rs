//! Go's regular expressions by way of the regex crate.
//!
//! In: an expression in RE2's syntax as Go reads it. Out: a compiled one that matches the same, or Go's words for what is
//! wrong with it. Differences that are evened out: `\d \w \s \b` mean ASCII; `\Q…\E`, octal escapes and `\<` exist; a
//! brace that is no repetition and `[`, `&&`, `--`, `~~` within a class are plain characters; repetitions do not nest.
//! Both engines run in linear time; the size of a program is bounded here.

use regex::{Regex, RegexBuilder};

/// What a compiled expression may take. Unicode classes repeated a few hundred times fit.
pub(crate) const PROGRAM_BYTES_MAX: usize = 2 << 20;

/// The sizes into which expressions are sorted; nearly all are of the first.
const SIZE_CLASSES_BYTES: [usize; 3] = [32 << 10, 128 << 10, 512 << 10];

/// What the lazily built automaton of one expression may take.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;

/// Go's own limit.
const REPEAT_MAX: u32 = 1000;

/// Compiles an expression that is searched for anywhere in a text.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    build(&translate(pattern)?, pattern)
}

/// Whether an expression is found anywhere in a text.
pub fn found_in(pattern: &str, text: &str) -> Result<bool, String> {
    Ok(compile(pattern)?.is_match(text))
}

/// Compiles an expression that must match all of a text; `.` matches line breaks too, as in Prometheus.
pub(crate) fn compile_anchored(pattern: &str) -> Result<Regex, String> {
    build(&format!("^(?s:{})$", translate(pattern)?), pattern)
}

/// About what a compiled expression takes: the smallest size into which it fits.
pub(crate) fn program_bytes(pattern: &str) -> usize {
    let Ok(translated) = translate(pattern) else { return 0 };
    let fits = |size: &usize| RegexBuilder::new(&translated).size_limit(*size).build().is_ok();
    SIZE_CLASSES_BYTES.into_iter().find(fits).unwrap_or(PROGRAM_BYTES_MAX)
}

fn build(translated: &str, pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(translated).size_limit(PROGRAM_BYTES_MAX).dfa_size_limit(AUTOMATON_BYTES_MAX).build();
    built.map_err(|why| match why {
        regex::Error::CompiledTooBig(_) => error("expression too large", pattern),
        // What the translation lets through but the crate does not know, such as a Unicode class by a strange name.
        _ => error("invalid regular expression", pattern),
    })
}

fn error(why: &str, at: &str) -> String {
    format!("error parsing regexp: {why}: `{at}`")
}

/// What stands before a repetition operator.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Atom,
    /// A repetition that began at this offset.
    Repetition(usize),
}

/// Rewrites the expression into the syntax of the regex crate.
pub fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let (mut at, mut open, mut before) = (0, 0u32, Before::Nothing);
    while let Some(c) = pattern[at..].chars().next() {
        let rest = &pattern[at..];
        let mut length = c.len_utf8();
        let mut now = Before::Atom;
        match c {
            '(' => {
                let group = group_start(rest)?;
                length = group.len();
                open += u32::from(!group.ends_with(')'));
                out.push_str(group);
                now = Before::Nothing;
            }
            ')' => {
                open = open.checked_sub(1).ok_or_else(|| error("unexpected )", pattern))?;
                out.push(c);
            }
            '|' => {
                out.push(c);
                now = Before::Nothing;
            }
            '*' | '+' | '?' | '{' => match repetition(rest)? {
                Some(written) => {
                    now = Before::Repetition(at);
                    match before {
                        Before::Atom => {}
                        Before::Nothing => return Err(error("missing argument to repetition operator", written)),
                        Before::Repetition(start) => {
                            let nested = &pattern[start..at + written.len()];
                            return Err(error("invalid nested repetition operator", nested));
                        }
                    }
                    length = written.len();
                    out.push_str(written);
                }
                None => out.push_str("\\{"),
            },
            '[' => length = class(rest, &mut out)?,
            '\\' => length = escape(rest, &mut out)?,
            '}' | ']' | '&' | '~' | '-' | '#' => out.push_str(&regex::escape(&rest[..length])),
            _ => out.push(c),
        }
        at += length;
        before = now;
    }
    if open > 0 { Err(error("missing closing )", pattern)) } else { Ok(out) }
}

/// `(`, `(?:`, `(?i)`, `(?P<name>`: as long as Go knows it.
fn group_start(rest: &str) -> Result<&str, String> {
    let Some(inside) = rest.strip_prefix("(?") else { return Ok("(") };
    if let Some(named) = inside.strip_prefix("P<").or_else(|| inside.strip_prefix('<')) {
        let name = named.split('>').next().unwrap_or_default();
        let end = rest.len() - named.len() + name.len() + 1;
        let valid = !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        return match rest.get(..end) {
            None => Err(error("invalid named capture", rest)),
            Some(written) if !valid || name.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(error("invalid named capture", written))
            }
            Some(written) => Ok(written),
        };
    }
    let flags = inside.find(|c: char| !matches!(c, 'i' | 'm' | 's' | 'U' | '-')).unwrap_or(inside.len());
    let end = inside[flags..].chars().next().map_or(rest.len(), |c| 2 + flags + c.len_utf8());
    let valid = inside[..flags].matches('-').count() <= 1 && !inside[..flags].ends_with('-');
    match inside[flags..].chars().next() {
        Some(')') if valid && flags > 0 => Ok(&rest[..end]),
        Some(':') if valid => Ok(&rest[..end]),
        None => Err(error("missing closing )", rest)),
        _ => Err(error("invalid or unsupported Perl syntax", &rest[..end])),
    }
}

/// A repetition operator with its `?`, or nothing if the brace is just a brace.
fn repetition(rest: &str) -> Result<Option<&str>, String> {
    let mut length = 1;
    if let Some(inside) = rest.strip_prefix('{') {
        let Some((counts, _)) = inside.split_once('}') else { return Ok(None) };
        let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
        let is_count = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_count(least) || !(most.is_empty() || is_count(most)) {
            return Ok(None);
        }
        length = counts.len() + 2;
        let count = |text: &str| text.parse::<u32>().ok().filter(|count| *count <= REPEAT_MAX);
        let ordered =
            most.is_empty() || count(least).is_some_and(|least| count(most).is_some_and(|most| least <= most));
        if count(least).is_none() || !ordered {
            return Err(error("invalid repeat count", &rest[..length]));
        }
    }
    length += usize::from(rest[length..].starts_with('?'));
    Ok(Some(&rest[..length]))
}

/// A class from its bracket on. Says how long it is.
fn class(rest: &str, out: &mut String) -> Result<usize, String> {
    let unclosed = || error("missing closing ]", rest);
    out.push('[');
    let mut at = 1;
    if rest[at..].starts_with('^') {
        out.push('^');
        at += 1;
    }
    let mut first = true;
    loop {
        let item = &rest[at..];
        let c = item.chars().next().ok_or_else(unclosed)?;
        if c == ']' && !first {
            out.push(']');
            return Ok(at + 1);
        }
        first = false;
        if item.starts_with("[:")
            && let Some(end) = item.find(":]")
        {
            let name = &item[..end + 2];
            if !is_ascii_class(&name[2..end]) {
                return Err(error("invalid character class range", name));
            }
            out.push_str(name);
            at += name.len();
            continue;
        }
        let start = at;
        let Some(low) = class_character(rest, &mut at, out)? else { continue };
        let range = rest[at..].strip_prefix('-').filter(|behind| !behind.starts_with(']'));
        if range.is_none() {
            out.push_str(&literal(low));
            continue;
        }
        at += 1;
        let mut ignored = String::new();
        let high = match rest[at..].chars().next() {
            None => return Err(unclosed()),
            Some(_) => class_character(rest, &mut at, &mut ignored)?,
        };
        match high {
            Some(high) if low <= high => out.push_str(&format!("{}-{}", literal(low), literal(high))),
            _ => return Err(error("invalid character class range", &rest[start..at])),
        }
    }
}

fn is_ascii_class(name: &str) -> bool {
    let names = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
        "word", "xdigit",
    ];
    names.contains(&name.strip_prefix('^').unwrap_or(name))
}

/// One character of a class; a class within the class is written out and gives none.
fn class_character(rest: &str, at: &mut usize, out: &mut String) -> Result<Option<char>, String> {
    let item = &rest[*at..];
    let Some(c) = item.chars().next() else { return Err(error("missing closing ]", rest)) };
    if c != '\\' {
        *at += c.len_utf8();
        return Ok(Some(c));
    }
    if item[1..].starts_with(['d', 'D', 's', 'S', 'w', 'W', 'p', 'P']) {
        *at += escape(item, out)?;
        return Ok(None);
    }
    let (character, length) = escaped_character(item)?;
    *at += length;
    Ok(Some(character))
}

/// A character that stands for itself, inside and outside of classes.
fn literal(c: char) -> String {
    if c.is_ascii() && !c.is_ascii_alphanumeric() { format!("\\x{{{:x}}}", c as u32) } else { c.to_string() }
}

/// An escape from its backslash on. Says how long it is.
fn escape(rest: &str, out: &mut String) -> Result<usize, String> {
    let written = match rest[1..].chars().next() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('s') => "[\\t\\n\\f\\r ]",
        Some('S') => "[^\\t\\n\\f\\r ]",
        Some('b') => "(?-u:\\b)",
        Some('B') => "(?-u:\\B)",
        Some('A') => "\\A",
        Some('z') => "\\z",
        Some('p' | 'P') => return unicode_class(rest, out),
        Some('Q') => {
            let quoted = rest[2..].split("\\E").next().unwrap_or_default();
            // Without a group: a repetition behind it is that of its last character.
            out.push_str(&regex::escape(quoted));
            return Ok((2 + quoted.len() + 2).min(rest.len()));
        }
        _ => {
            let (character, length) = escaped_character(rest)?;
            out.push_str(&literal(character));
            return Ok(length);
        }
    };
    out.push_str(written);
    Ok(2)
}

/// `\pL`, `\p{Greek}`, `\P{^Greek}`.
fn unicode_class(rest: &str, out: &mut String) -> Result<usize, String> {
    let invalid = |length| error("invalid character class range", rest.get(..length).unwrap_or(rest));
    let (name, length) = match rest[2..].chars().next() {
        None => return Err(invalid(2)),
        Some('{') => {
            let name = rest[3..].split_once('}').ok_or_else(|| invalid(rest.len()))?.0;
            (name, name.len() + 4)
        }
        Some(c) => (&rest[2..2 + c.len_utf8()], 2 + c.len_utf8()),
    };
    let (name, twice) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let negated = rest[1..].starts_with('P') != twice;
    if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
        return Err(invalid(length));
    }
    out.push_str(&format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }));
    Ok(length)
}

/// The character that an escape means, and how long the escape is.
fn escaped_character(rest: &str) -> Result<(char, usize), String> {
    let Some(c) = rest[1..].chars().next() else {
        return Err(error("trailing backslash at end of expression", ""));
    };
    let length = 1 + c.len_utf8();
    let invalid = || error("invalid escape sequence", &rest[..length]);
    let octal = rest[1..].bytes().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
    let character = match c {
        'a' => '\u{7}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '0'..='7' if c == '0' || octal > 1 => {
            let code = u32::from_str_radix(&rest[1..=octal], 8).ok();
            return code.and_then(char::from_u32).map(|c| (c, 1 + octal)).ok_or_else(invalid);
        }
        'x' => {
            let (digits, length) = match rest[2..].strip_prefix('{') {
                Some(braced) => braced.split_once('}').map(|(digits, _)| (digits, digits.len() + 4)),
                None => rest.get(2..4).map(|digits| (digits, 4)),
            }
            .ok_or_else(invalid)?;
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
            return code.and_then(char::from_u32).map(|c| (c, length)).ok_or_else(invalid);
        }
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return Err(invalid()),
    };
    Ok((character, length))
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
            ("^\\Qa.b\\E+$", "a.ba.b", false),
            ("^(?i:A)b$", "ab", true),
            ("^\\12$", "\n", true),
            ("^[\\d-z]+$", "5-z", true),
            ("^[--0]+$", "-./0", true),
            ("^[a\\]b]+$", "]ab", true),
            ("^[^\\PN]$", "5", true),
            ("^\\p{^Greek}$", "a", true),
            ("^a\\Bb$", "ab", true),
            ("^a{2}?$", "aa", true),
            ("^}]-$", "}]-", true),
            ("a$", "a\n", false),
            ("(?m)a$", "a\n", true),
            ("^a\\z", "a", true),
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
            ("a|+", "missing argument to repetition operator: `+`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?P<1>a)", "invalid named capture: `(?P<1>`"),
            ("\\1", "invalid escape sequence: `\\1`"),
            ("\\C", "invalid escape sequence: `\\C`"),
            ("\\Z", "invalid escape sequence: `\\Z`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            ("a\\", "trailing backslash at end of expression: ``"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("((a{1000}){1000}){1000}", "expression too large: `((a{1000}){1000}){1000}`"),
        ] {
            assert_eq!(compile(pattern).unwrap_err(), format!("error parsing regexp: {want}"));
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
